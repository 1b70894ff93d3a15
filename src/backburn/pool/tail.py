"""The last lines of a slot: of its container, or of its newest black box."""

from __future__ import annotations

from pathlib import Path

from ..visible import spelled
from .blackbox import FILE_CAP, recent
from .engine import Declined, Engine, Unreachable
from .secrets import redact


def last(state: Path, slot: str, engine: Engine, lines: int) -> tuple[str, str]:
    """(Where they are from, the last `lines` of it), without what looks like a secret and what moves a cursor."""
    try:
        found = [one for one in engine.containers() if one.labels.get("backburn.slot") == slot]
        found.sort(key=lambda one: one.running, reverse=True)
        if found:
            text = engine.logs(found[0].id, FILE_CAP).decode("utf-8", "replace")
            return f"{slot}: {found[0].name}, {found[0].state}", _cut(text, lines)
        why = "it has no container at present"
    except (Unreachable, Declined) as error:
        why = f"the engine does not say ({error})"
    return _kept(state, slot, lines, why)


def _kept(state: Path, slot: str, lines: int, why: str) -> tuple[str, str]:
    for box in recent(state, most=1000):
        if box.slot == slot:
            path = Path(box.folder, "log.txt")
            try:
                text = path.read_text(encoding="utf-8", errors="replace")
            except OSError as error:
                return f"{slot}: {why}; its black box cannot be read: {error}", ""
            return f"{slot}: {why}; this is of its newest black box: {path}", _cut(text, lines)
    return f"{slot}: {why}, and there is no black box of it", ""


def _cut(text: str, lines: int) -> str:
    kept = redact(spelled(text)).splitlines(keepends=True)[-lines:]
    return "".join(kept) + ("\n" if kept and not kept[-1].endswith("\n") else "")
