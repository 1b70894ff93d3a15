"""A just-in-time configuration, as GitHub hands it out: base64 of JSON of file names -> base64 of the files."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

LARGEST = 256 << 10  # characters; a real one has 5 to 6 thousand
FILES = (".runner", ".credentials")


def settings(configuration: str) -> dict[str, Any]:
    """The content of its `.runner`. Raises ValueError, which does not show what it is about."""
    if not 0 < len(configuration) <= LARGEST:
        raise ValueError(f"the configuration has {len(configuration)} characters")
    files = _decoded(configuration, "the configuration")
    if missing := [name for name in FILES if not isinstance(files.get(name), str)]:
        raise ValueError(f"the configuration lacks {', '.join(missing)}")
    _decoded(files[".credentials"], ".credentials")
    return _decoded(files[".runner"], ".runner")


def unfit(configuration: str, runner_id: int) -> str:
    """Why a container must not be started with it; "": it is single-use, and of that runner.

    A runner that is not ephemeral would take a second job in the first one's dirt.
    """
    try:
        found = settings(configuration)
    except ValueError as error:
        return str(error)
    lower = {str(key).lower(): value for key, value in found.items()}
    if str(lower.get("ephemeral", "")).lower() != "true":
        return "the configuration is not of an ephemeral runner"
    if str(lower.get("agentid", "")) != str(runner_id):
        return f"the configuration is not of the runner {runner_id}"
    return ""


def _decoded(text: str, what: str) -> dict[str, Any]:
    try:
        # A BOM: the runner's own files are written by .NET, with one.
        content = base64.b64decode("".join(text.split()), validate=True).removeprefix(b"\xef\xbb\xbf")
        found = msgspec.json.decode(content)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        raise ValueError(f"{what} is not base64 of JSON") from None
    if not isinstance(found, dict):
        raise ValueError(f"{what} is no JSON object")
    return found
