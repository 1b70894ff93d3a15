"""pool.toml: made from the example by changing values, and of one that is there the image's line alone."""

from __future__ import annotations

import difflib
import json
import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path

from ...errors import UserError
from .. import config as configuration
from ..config import Config
from .request import Request

_KEY = r"^[ \t]*(?:#[ \t]?)?{key}[ \t]*=[ \t]*"
# A value of one line: strings and lists of strings may hold a #.
_VALUE = r"""(?:"[^"\n]*"|'[^'\n]*'|\[[^\]]*\]|[^\s#"'\[]+)"""


def composed(example: str, request: Request, gpus: tuple[str, ...], image: str, secret: str) -> str:
    """The example's text with the request's values. `secret`: where the key or the token is, as `file:/…`."""
    text = example
    for table, key, value in _values(request, gpus, image, secret):
        text = drop(text, table, key) if value is None else put(text, table, key, value)
    return text


def _values(request: Request, gpus: tuple[str, ...], image: str, secret: str) -> Iterator[tuple[str, str, object]]:
    app = bool(request.app_id)
    number = int(request.app_id) if request.app_id.isdecimal() else request.app_id
    yield "github", "url", request.url
    yield "github", "app-id", number if app else None
    yield "github", "private-key", secret if app else None
    yield "github", "token", None if app else secret
    if request.group:
        yield "github", "runner-group", request.group
    yield "pool", "name", request.name or "pool"
    yield "pool", "image", image
    yield "pool", "labels", _labels(gpus)
    yield "slots", "gpus", list(gpus)
    yield "slots", "cpu", request.cpu
    cpus, memory = _share(len(gpus) + request.cpu)
    yield "limits", "cpus", float(cpus)
    yield "limits", "memory", f"{memory}m"


def _labels(gpus: tuple[str, ...]) -> list[str]:
    """As GitHub has them: of a runner on this processor, with a GPU or without."""
    arm = platform.machine() in ("aarch64", "arm64")
    default = ("arm64" if arm and one == "x64" else one for one in configuration.Pool().labels)
    return [one for one in default if gpus or one != "gpu"]


def _share(slots: int) -> tuple[int, int]:
    """Processors and MiB of each slot: all alike, and a tenth of the memory stays with the machine."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    slots = max(1, slots)
    return max(1, (os.cpu_count() or 1) // slots), max(512, int(pages * 0.9 / slots) >> 20)


def put(text: str, table: str, key: str, value: object) -> str:
    """The text with this value of a key, in its place where the key has one, commented out or not."""
    start, end = _bounds(text, table)
    if start < 0:
        return f"{text.rstrip()}\n\n[{table}]\n{key} = {json.dumps(value)}\n"
    body = text[start:end]
    written = f"{key} = {json.dumps(value)}"
    plain = re.compile(rf"^[ \t]*{re.escape(key)}[ \t]*=[ \t]*{_VALUE}", re.MULTILINE)
    any_form = re.compile(_KEY.format(key=re.escape(key)) + _VALUE, re.MULTILINE)
    for pattern in (plain, any_form):
        if pattern.search(body):
            return text[:start] + pattern.sub(lambda _: written, body, count=1) + text[end:]
    return text[:start] + f"\n{written}" + body + text[end:]


def drop(text: str, table: str, key: str) -> str:
    """The text without the lines of a key."""
    start, end = _bounds(text, table)
    pattern = re.compile(_KEY.format(key=re.escape(key)) + _VALUE + r"[^\n]*\n", re.MULTILINE)
    return text if start < 0 else text[:start] + pattern.sub("", text[start:end]) + text[end:]


def _bounds(text: str, table: str) -> tuple[int, int]:
    """From behind the table's head to the next table's; (-1, -1) where there is none."""
    head = re.search(rf"^\[{re.escape(table)}\][^\n]*", text, re.MULTILINE)
    if head is None:
        return -1, -1
    following = re.compile(r"^\[", re.MULTILINE).search(text, head.end())
    return head.end(), following.start() if following else len(text)


def difference(old: str, new: str, path: Path) -> str:
    """As `diff -u`, without a line of context."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), str(path), str(path), n=0, lineterm="")
    return "\n".join(lines)


def agree(config: Config, request: Request, path: Path) -> None:
    """Raises UserError where the file that is there says something else than what is asked now."""
    gpus = ", ".join(config.slots.gpus)
    pairs = (
        ("--url", request.url.rstrip("/"), config.github.url.rstrip("/")),
        ("--app-id", request.app_id, str(config.github.app_id)),
        ("--name", request.name, config.pool.name),
        ("--group", request.group, config.github.runner_group),
        ("--gpus", "" if request.automatic else ", ".join(request.gpus), gpus or "none"),
        ("--cpu", str(request.cpu or ""), str(config.slots.cpu)),
    )
    differing = [
        f"{option} {asked}: the file says {said or 'nothing'}"
        for option, asked, said in pairs
        if asked and asked != said
    ]
    if differing:
        hint = "It is kept as it is: change it there, and leave the option out."
        raise UserError("\n".join(differing), where=str(path), hint=hint)
