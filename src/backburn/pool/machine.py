"""One slot, one step: look at the world, change at most one thing in it, say when to look again.

Every change is written down before it is made and after it was (`lease.Phase`), so that a supervisor that is killed
between any two lines finds its way back by what the engine and GitHub show. What is not known is never taken for ended.
"""

from __future__ import annotations

from collections.abc import Callable

from . import departing
from .arming import adopt, checking, cleaning, registering
from .engine import Declined, Unreachable
from .invariants import Broken
from .lease import Kind, Phase, Quarantine, State, Wanted
from .parole import quarantined
from .place import FIRST, IDLE, LONGEST, RETURNS, SOON, Move, Place, Tools, blocked, deadline, quarantine
from .registrar import Later, Refused, Uncertain
from .store import Full, Standing
from .watching import busy, finishing, online, starting

_WAITING = (State.PARKED, State.BLOCKED, State.QUARANTINED)
_EMPTY = (State.CHECKING, State.REGISTERING)  # no container yet: outside is a good place to wait
_REFUSED = 60.0  # seconds until a refusal is tried again: a person must have changed something


def step(place: Place, tools: Tools) -> float:
    """Make one step, write down where it led, and return the seconds until the next one is due."""
    try:
        return _settle(place, _moved(place, tools), tools)
    except Full as error:
        tools.note(place.slot.name, "error", f"nothing is done until this can be written down: {error}")
        return FIRST


def _moved(place: Place, tools: Tools) -> Move:
    try:
        return _overdue(place, tools) or STEPS[place.state](place, tools)
    except Unreachable as error:
        return _silent(place, f"the engine does not answer: {error}")
    except (Later, Uncertain) as error:
        return _held_up(place, tools, f"GitHub: {error}", getattr(error, "seconds", FIRST), longest=RETURNS)
    except Refused as error:
        return _held_up(place, tools, f"GitHub refuses: {error} {error.hint}".rstrip(), _REFUSED)
    except Declined as error:
        return _held_up(place, tools, f"the engine declines: {error} {error.hint}".rstrip(), FIRST)
    except Broken as error:
        said = f"{error}. Nothing was done; please report it"
        return quarantine(place, tools, Quarantine(kind=Kind.BROKEN, reason=said))


def _settle(place: Place, move: Move, tools: Tools) -> float:
    changed = move.to is not place.state
    if changed or move.reason != place.reason:
        now = tools.clock.passed()
        since = now if changed else place.since
        _write(place, move, tools, tools.clock.now() - (now - since))
        if changed:
            _tell(place, move, tools)
            place.until = now + move.after if move.to is State.BLOCKED else 0.0
        place.since, place.state, place.reason = since, move.to, move.reason
        if move.to in (State.ONLINE, State.BUSY):
            place.refusals = 0
    return min(move.after, IDLE) if move.to is State.BLOCKED else move.after  # an order may come meanwhile


def _tell(place: Place, move: Move, tools: Tools) -> None:
    if move.to is State.QUARANTINED and (why := tools.store.held(place.slot.name)):
        tools.care.quarantines[place.slot.name, why.kind.value] += 1
    level = "warning" if move.to in (State.BLOCKED, State.QUARANTINED) else "info"
    tools.note(place.slot.name, level, f"{place.state} -> {move.to}" + (f": {move.reason}" if move.reason else ""))


def _write(place: Place, move: Move, tools: Tools, since: float) -> None:
    name, device = place.slot.name, place.slot.device
    standing = Standing(
        name=name,
        device=device,
        state=move.to,
        since=since,
        reason=move.reason,
        failures=place.failures,
        wanted=Wanted.RUN,
    )
    tools.store.settle(standing)


def _overdue(place: Place, tools: Tools) -> Move | None:
    """No slot stays in a state that we alone are to leave (I8)."""
    limit = deadline(place.state, tools.config)
    if limit is None or tools.clock.passed() - place.since <= limit:
        return None
    reason = f"still {place.state} after {limit:.0f} s: {place.reason or 'no answer'}"
    if place.state is State.CLEANING:
        return quarantine(place, tools, Quarantine(kind=Kind.STUCK, reason=reason))
    if place.state in _EMPTY:
        return blocked(place, tools, reason)
    return Move(State.UNKNOWN, reason)  # there may be a container: look


def _silent(place: Place, why: str) -> Move:
    """The engine does not answer: what runs goes on running, and no more is begun."""
    if place.state in (State.ONLINE, State.BUSY):
        return Move(place.state, why, SOON)
    if place.state in _WAITING:
        return Move(place.state, place.reason, IDLE)
    return Move(State.UNKNOWN, why, SOON)


def _held_up(place: Place, tools: Tools, why: str, seconds: float, *, longest: float = LONGEST) -> Move:
    """Not now, GitHub says or the engine. With a container there, stay and ask again; else wait outside."""
    if place.state in _EMPTY:
        return blocked(place, tools, why, seconds, longest=longest)
    place.trouble = why
    return Move(place.state, why, min(max(seconds, SOON), IDLE))


def _unknown(place: Place, tools: Tools) -> Move:
    """Look: adopt what runs, finish what ended, and clean the rest."""
    place.lease = None
    mine = departing.containers(place.slot, tools.engine)
    leases = tools.store.open_leases(place.slot.name)
    running = [one for one in mine if one.running]
    if len(running) > 1:
        names = ", ".join(one.name for one in running)
        said = f"I1: {len(running)} containers run on this slot: {names}"
        return quarantine(place, tools, Quarantine(kind=Kind.BROKEN, reason=said))
    if running:
        return adopt(place, running[0], leases, tools)
    ended = {one.labels.get("backburn.lease"): one.id for one in mine if one.ended}
    for lease in leases:
        gone = lease.phase is Phase.STARTED and lease.container and lease.id not in ended
        if gone or (lease.id in ended and lease.phase in (Phase.STARTING, Phase.STARTED)):
            lease.container = ended.get(lease.id, lease.container)
            place.lease = lease
            return Move(State.FINISHING, "it ended while nobody looked")
    return Move(State.CLEANING)


def _parked(place: Place, tools: Tools) -> Move:
    if not place.retired and (tools.store.wanted(place.slot.name) is Wanted.RUN or tools.store.held(place.slot.name)):
        return Move(State.CLEANING, "resumed")
    return Move(State.PARKED, "drained", IDLE)


def _blocked(place: Place, tools: Tools) -> Move:
    """Until it is time to look again."""
    if place.retired or tools.store.wanted(place.slot.name) is Wanted.DRAIN:
        return Move(State.PARKED, "drained")
    left = place.until - tools.clock.passed()
    if left <= 0 or tools.store.held(place.slot.name):
        return Move(State.CLEANING, place.reason)
    return Move(State.BLOCKED, place.reason, left)


STEPS: dict[State, Callable[[Place, Tools], Move]] = {
    State.UNKNOWN: _unknown,
    State.CLEANING: cleaning,
    State.CHECKING: checking,
    State.REGISTERING: registering,
    State.STARTING: starting,
    State.ONLINE: online,
    State.BUSY: busy,
    State.FINISHING: finishing,
    State.PARKED: _parked,
    State.BLOCKED: _blocked,
    State.QUARANTINED: quarantined,
}
