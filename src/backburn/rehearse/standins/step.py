"""What every stand-in reads and writes; served beside each of them, and run by the step's own python3 (>= 3.9)."""

import json
import os
import secrets
import sys
from pathlib import Path
from typing import Dict, List, NoReturn


def given(name: str, default: str = "") -> str:
    """An input, handed over as STANDIN_<NAME>: act leaks INPUT_* of outer actions into inner ones."""
    return os.environ.get("STANDIN_" + name.upper().replace("-", "_"), "").strip() or default


def yes(name: str) -> bool:
    """A boolean input, spelled as GitHub's toolkit accepts it."""
    value = given(name, "false")
    if value not in ("true", "True", "TRUE", "false", "False", "FALSE"):
        fail(f'Input does not meet YAML 1.2 "Core Schema" specification: {name}: {value}')
    return value.lower() == "true"


def lines(name: str) -> List[str]:
    """An input of many lines, the empty ones left out."""
    return [line.strip() for line in given(name).splitlines() if line.strip()]


def place(name: str) -> Path:
    """A folder or file of this rehearsal, which rehearse wrote beside the stand-in."""
    settings: Dict[str, str] = json.loads(Path(__file__).with_name("rehearsal.json").read_text(encoding="utf-8"))
    return Path(settings[name])


def put(name: str, value: object) -> None:
    """Set a step output."""
    append("GITHUB_OUTPUT", name, value)


def append(file: str, name: str, value: object) -> None:
    """Append `name=value` to one of the runner's command files."""
    mark = "standin-" + secrets.token_hex(8)
    with open(os.environ[file], "a", encoding="utf-8") as stream:
        stream.write(f"{name}<<{mark}\n{value}\n{mark}\n")


def warn(message: str) -> None:
    """Annotate the step with a warning."""
    print(f"::warning::{message}", flush=True)


def fail(message: str) -> NoReturn:
    """End the step as failed, as `core.setFailed` does."""
    print(f"::error::{message}", flush=True)
    sys.exit(1)
