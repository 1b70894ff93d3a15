"""How a quarantine ends: by looks that are good, one after the other, or by a person's word."""

from __future__ import annotations

from msgspec.structs import replace

from .care import gravest, ground, said
from .health.symptom import Severity, Symptom
from .lease import Kind, Quarantine, State
from .place import IDLE, Move, Place, Tools

PAROLED = (Kind.UNFIT, Kind.STREAK)  # of all other kinds only a person knows that they are over
PAUSES = (60.0, 300.0, 1800.0)  # seconds until the first look, the second, and each one after
NEEDED = 3  # good looks in a row: a fault that shows in half of all looks gets by one time in eight


def pause(looks: int) -> float:
    """Seconds until the next look, after so many."""
    return PAUSES[min(looks, len(PAUSES) - 1)]


def after(why: Quarantine, found: Symptom | None) -> Quarantine:
    """The quarantine after one more look, which found that, or nothing."""
    if found is None:
        return replace(why, looks=why.looks + 1, good=why.good + 1)
    worse = ground([found]) or why
    kind = worse.kind if worse.kind not in PAROLED else why.kind
    return Quarantine(kind=kind, reason=said(found), looks=why.looks + 1)


def quarantined(place: Place, tools: Tools) -> Move:
    """The step of that state."""
    if place.retired:
        return Move(State.PARKED, "drained")
    why = tools.store.held(place.slot.name)
    if why is None:
        return Move(State.CLEANING, "released")
    return _on_parole(place, why, tools) if why.kind in PAROLED else Move(State.QUARANTINED, why.reason, IDLE)


def _on_parole(place: Place, why: Quarantine, tools: Tools) -> Move:
    now = tools.clock.passed()
    place.until = place.until or now + pause(why.looks)
    if (left := place.until - now) > 0:
        return Move(State.QUARANTINED, why.reason, min(left, IDLE))
    then = after(why, _look(place, why, tools))
    place.until = tools.clock.passed() + pause(then.looks)
    if then.good >= NEEDED:
        tools.store.amend(place.slot.name, why, None)
        return Move(State.CLEANING, f"{NEEDED} good looks in a row")
    tools.store.amend(place.slot.name, why, then)
    return Move(State.QUARANTINED, then.reason, IDLE)


def _look(place: Place, why: Quarantine, tools: Tools) -> Symptom | None:
    """What keeps it from being a good one. Real work comes last, and only before it would be let out."""
    own = [one for one in tools.care.against(place.slot) if one.device == place.slot.device]
    found = gravest(own, Severity.WAIT)
    return tools.care.worked(place.slot) if found is None and why.good + 1 >= NEEDED else found
