"""What an operator wants of slots: written into the database, where the supervisor finds it; then waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import Interrupted, UserError
from ..received import line
from .lease import Kind, Quarantine, State, Wanted
from .locks import holder
from .store import Full, Store

LOOK = 1.0  # seconds between two looks
_LOOK = "backburn pool status shows where each slot stands."
_STOPPED = "No supervisor runs: the order stands, and is carried out when one is started (backburn pool run)."


Say = Callable[[str], None]


def drain(store: Store, state: Path, slots: Sequence[str], timeout: float | None, say: Say) -> bool:
    """Order it, then wait until no job can come, `timeout` seconds at most. Whether it is so."""
    store.want(slots, Wanted.DRAIN)
    try:
        return _until_parked(store, state, slots, timeout, say)
    except Interrupted:
        say(f"The order stands: {', '.join(slots)} still drain. backburn pool resume takes it back.")
        raise


def _until_parked(store: Store, state: Path, slots: Sequence[str], timeout: float | None, say: Say) -> bool:
    told: dict[str, str] = {}
    began = time.monotonic()
    while True:
        left = _tell(store, slots, told, say)
        if not left:
            return True
        if not holder(state):
            say(_STOPPED)
            return False
        if timeout is not None and time.monotonic() - began >= timeout:
            say(f"Not yet after {timeout:.0f} s: {', '.join(left)}. The order stands.")
            return False
        time.sleep(LOOK if timeout is None else min(LOOK, max(0.05, timeout - (time.monotonic() - began))))


def _tell(store: Store, slots: Sequence[str], told: dict[str, str], say: Say) -> list[str]:
    """Say what is new, and give those that may have a job. One that is gone was parked, and is no more configured."""
    try:
        standing = {one.name: one for one in store.slots() if one.name in slots}
        jobs = {lease.slot: lease.job for lease in store.open_leases() if lease.job}
    except Full:
        return list(slots)  # the database is being written; looked at again
    for name, one in standing.items():
        job = jobs.get(name) if one.state is State.BUSY else None
        about = line(f"{job.repository} {job.workflow} {job.job}") if job else line(one.reason)
        said = f"{name}: {one.state}" + (f", {about}" if about and one.state is not State.PARKED else "")
        if told.get(name) != said:
            told[name] = said
            say(said)
    return [name for name, one in standing.items() if one.state not in (State.PARKED, State.QUARANTINED)]


def resume(store: Store, state: Path, slots: Sequence[str], say: Say, *, strict: bool = True) -> None:
    """Order it. One that is quarantined and not drained is left out, or (`strict`) raises UserError: that it is mended
    is another word.
    """
    standing = [one for one in store.slots() if one.name in slots]
    shut = [one.name for one in standing if one.quarantine and one.wanted is not Wanted.DRAIN]
    if shut and strict:
        hint = f"Is mended what is said there? Then: backburn pool release {' '.join(shut)}"
        raise UserError("quarantined, and not drained", where=", ".join(shut), hint=hint)
    names = [one.name for one in standing if one.name not in shut]
    store.want(names, Wanted.RUN)
    for one in standing:
        if one.quarantine and one.name in names:
            say(f"{one.name}: drained no more, and still quarantined: backburn pool release {one.name} ends that")
    _carried_out(state, say, names, "resumed within 15 s")


def quarantine(store: Store, state: Path, slots: Sequence[str], reason: str, say: Say) -> None:
    """Order it: no job from now on, until somebody releases them; one that runs ends first."""
    said = line(reason) or "by order"
    store.order(slots, Quarantine(kind=Kind.ORDERED, reason=said))
    _carried_out(state, say, slots, "quarantined within 15 s, or when a job that runs has ended")


def release(store: Store, state: Path, slots: Sequence[str], say: Say, *, strict: bool = True) -> None:
    """Order it: a person vouches for them. One that is not quarantined is left out, or (`strict`) raises UserError."""
    standing = [one for one in store.slots() if one.name in slots]
    free = [one for one in standing if not one.quarantine]
    if free and strict:
        drained = [one.name for one in free if one.wanted is Wanted.DRAIN]
        hint = f"Drained is another word: backburn pool resume {' '.join(drained)}" if drained else _LOOK
        raise UserError("not quarantined", where=", ".join(one.name for one in free), hint=hint)
    names = [one.name for one in standing if one.quarantine]
    store.release(names, time.time())
    _carried_out(state, say, names, "released within 15 s, and looked at before the next job")


def _carried_out(state: Path, say: Say, names: Sequence[str], said: str) -> None:
    if not names:
        say("There is none.")
    else:
        say(f"{', '.join(names)}: {said}" if holder(state) else _STOPPED)
