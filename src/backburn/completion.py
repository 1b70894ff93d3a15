"""What a shell completes beside verbs and options: names that stand in the project's own files."""

from __future__ import annotations

import tomllib
from pathlib import Path

from . import config, git

SHELLS = ("bash", "zsh", "fish")


def trainings(folder: Path) -> tuple[str, ...]:
    """The names under `[tool.backburn.trainings]`; none where it cannot be read: a Tab key is no place to complain."""
    try:
        file = config.find_root(folder.absolute(), git.top(folder)) / config.FILE
        table = tomllib.loads(file.read_text(encoding="utf-8"))["tool"]["backburn"]["trainings"]
        return tuple(table)
    except (OSError, KeyError, TypeError, ValueError):
        return ()


def workflows(folder: Path) -> tuple[str, ...]:
    """The stems of the repository's workflow files, as `backburn rehearse` takes them."""
    top = git.top(folder) or folder
    return tuple(sorted(file.stem for file in (top / ".github" / "workflows").glob("*.y*ml")))
