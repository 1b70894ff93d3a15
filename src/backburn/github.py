"""What GitHub Actions hands a step and reads back: the environment files, the commands, and their escaping."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from .errors import UserError

ANNOTATIONS = 10  # GitHub shows at most 10 annotations per type and step
SUMMARY_BYTES = 60 * 1024  # GitHub's limit is 1 MiB a step, above which the whole summary is dropped
MESSAGE_CHARACTERS = 4000  # GitHub cuts a message at 4096
_OURS = re.compile(r"BACKBURN_|INPUT_|GITHUB_(OUTPUT|ENV|PATH|STATE|STEP_SUMMARY)$")


@dataclass(frozen=True, kw_only=True)
class Actions:
    """The environment of one step, read once at the door. Every path is None outside GitHub Actions."""

    running: bool = False
    output: Path | None = None
    summary: Path | None = None
    event: str = ""
    base: str = ""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Actions:
        """`base` is the pull request's target as a revision (`origin/main`), empty on other events."""
        if environ.get("GITHUB_ACTIONS") != "true":
            return cls()
        target = environ.get("GITHUB_BASE_REF", "")
        return cls(
            running=True,
            output=_path(environ.get("GITHUB_OUTPUT")),
            summary=_path(environ.get("GITHUB_STEP_SUMMARY")),
            event=environ.get("GITHUB_EVENT_NAME", ""),
            base=f"origin/{target}" if target else "",
        )

    def write_outputs(self, values: Mapping[str, str]) -> None:
        """Set step outputs, each between delimiters that no value can guess."""
        marked = ((f"backburn-{secrets.token_hex(16)}", name, value) for name, value in values.items())
        _append(self.output, "".join(f"{name}<<{mark}\n{value}\n{mark}\n" for mark, name, value in marked))

    def write_summary(self, text: str) -> None:
        """Append Markdown to the job's summary."""
        _append(self.summary, text if text.endswith("\n") else text + "\n")


def _append(path: Path | None, text: str) -> None:
    """Write to one of the runner's files, if there is one. Raises UserError where that cannot be written."""
    if path is None:
        return
    try:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        hint = "GITHUB_OUTPUT and GITHUB_STEP_SUMMARY name files of GitHub's runner; elsewhere, unset GITHUB_ACTIONS."
        raise UserError(f"cannot write: {error.strerror}", where=str(path), hint=hint) from error


def _path(value: str | None) -> Path | None:
    return Path(value) if value else None


def for_user_code(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment without what only this step was told: user code must not write its outputs, nor read ours."""
    return {key: value for key, value in environ.items() if not _OURS.match(key)}


def command(name: str, message: str, **properties: str | int) -> str:
    """One workflow command (`::error file=…,line=…::…`), escaped; empty properties are left out."""
    listed = ",".join(f"{key}={escape_property(str(value))}" for key, value in properties.items() if value)
    return f"::{name}{' ' if listed else ''}{listed}::{escape_data(message[:MESSAGE_CHARACTERS])}"


def escape_data(text: str) -> str:
    """As actions/toolkit's `escapeData`."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escape_property(text: str) -> str:
    """As actions/toolkit's `escapeProperty`: a path with a comma or a colon must not end the property."""
    return escape_data(text).replace(":", "%3A").replace(",", "%2C")


@contextlib.contextmanager
def commands_stopped(stream: TextIO, running: bool) -> Iterator[None]:
    """While inside, the runner obeys no command found in `stream`: a training's output cannot give orders."""
    mark = f"backburn-{secrets.token_hex(16)}"
    if running:
        print(f"::stop-commands::{mark}", file=stream, flush=True)
    try:
        yield
    finally:
        if running:
            print(f"::{mark}::", file=stream, flush=True)
