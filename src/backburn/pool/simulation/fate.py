"""What befalls a simulated pool: how often, and what it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from ..health.symptom import Blame, Severity
from ..lease import Kind, Quarantine, Wanted
from ..parole import PAROLED
from .faults import Fault

if TYPE_CHECKING:
    from .soak import Soak

DAY, HOUR = 86400.0, 3600.0
_ILLS = (  # severity, seconds that it lasts at most; 0.0: it is seen once
    (Severity.NOTED, 3 * HOUR),
    (Severity.WAIT, 600.0),
    (Severity.UNFIT, 3 * HOUR),
    (Severity.UNFIT, 0.0),
    (Severity.RESET, 30 * DAY),
    (Severity.RESET, 0.0),
    (Severity.MACHINE, HOUR / 2),
)
_ALL = (Fault.FAILED, Fault.DROPPED, Fault.THROTTLED, Fault.SECONDARY)


@dataclass(frozen=True)
class Fate:
    """What goes wrong: events a day, or a share of calls or of jobs."""

    kills: float = 12.0  # of the supervisor, at one of its calls
    restarts: float = 2.0  # of the engine
    storms: float = 2.0  # of 5xx and rate limits, for half an hour
    lost: float = 0.02  # answers of GitHub, whatever was done
    late: float = 0.1  # new runners that lists leave out for a minute
    removals: float = 0.5  # idle runners that GitHub takes back after minutes
    unheard: float = 0.005  # answers of the engine
    declines: float = 0.002
    jumps: float = 1.0  # of the wall clock, by up to 15 minutes
    drains: float = 6.0  # and an hour at most until `resume`
    full: float = 1.0  # disks, for an hour
    hangs: float = 0.01  # jobs after which the listener goes on
    crashes: float = 0.02  # jobs in which the listener dies
    ills: float = 6.0  # symptoms on a GPU, from what is noted to what is of the whole machine
    duds: float = 0.25  # GPUs that fail every job for three hours, and show nothing
    orders: float = 1.0  # quarantines by a person
    rounds: float = 6.0  # of a person, who mends what waits for one and releases it


QUIET = Fate(**{one.name: 0.0 for one in fields(Fate)})


def befall(soak: Soak) -> None:
    """Let each of them happen, again and again, as often as its fate says."""
    fate = soak.fate
    for rate, event in (
        (fate.kills, _doom),
        (fate.restarts, _restart),
        (fate.storms, _storm),
        (fate.jumps, _jump),
        (fate.drains, _drain),
        (fate.full, _fill),
        (fate.ills, _sicken),
        (fate.duds, _spoil),
        (fate.orders, _order),
        (fate.rounds, _round),
    ):
        if rate:
            _again(soak, rate, event)


def _again(soak: Soak, rate: float, event: Callable[[Soak], None]) -> None:
    def happen() -> None:
        _again(soak, rate, event)
        event(soak)

    soak.world.after(soak.world.chance.expovariate(rate / DAY), happen)


def _doom(soak: Soak) -> None:
    soak.doomed = soak.world.passed()


def _restart(soak: Soak) -> None:
    soak.dock.restart(soak.world.between(0.5, 60.0))


def _storm(soak: Soak) -> None:
    now = soak.hub.now()
    soak.hub.faults.storm(_ALL, now, now + HOUR / 2, share=soak.world.between(0.3, 1.0))


def _jump(soak: Soak) -> None:
    soak.world.jump = soak.world.between(-900.0, 900.0)
    soak.world.after(HOUR, lambda: setattr(soak.world, "jump", 0.0))


def _drain(soak: Soak) -> None:
    if soak.store is None:
        return
    names = [slot.name for slot in soak.config.all_slots]
    chosen = soak.world.chance.sample(names, soak.world.chance.randint(1, len(names)))
    soak.store.want(chosen, Wanted.DRAIN)
    soak.world.after(soak.world.between(30.0, HOUR), lambda: _resume(soak, chosen))


def _resume(soak: Soak, chosen: list[str]) -> None:
    if soak.store is None:
        soak.world.after(60.0, lambda: _resume(soak, chosen))
    else:
        soak.store.want(chosen, Wanted.RUN)


def _sicken(soak: Soak) -> None:
    severity, longest = soak.world.chance.choice(_ILLS)
    seconds = soak.world.between(1.0, longest) if longest else 0.0
    soak.gpus.strike(_device(soak), severity, seconds, soak.world.chance.choice(tuple(Blame)))


def _spoil(soak: Soak) -> None:
    device = _device(soak)
    soak.gpus.duds.add(device)
    soak.world.after(3 * HOUR, lambda: soak.gpus.duds.discard(device))


def _device(soak: Soak) -> str:
    return soak.world.chance.choice(soak.config.slots.gpus)


def _order(soak: Soak) -> None:
    if soak.store is not None:
        slot = soak.world.chance.choice(soak.config.all_slots)
        soak.store.order([slot.name], Quarantine(kind=Kind.ORDERED, reason="by lot"))


def _round(soak: Soak) -> None:
    if soak.store is not None:
        held = [one for one in soak.store.slots() if one.quarantine and one.quarantine.kind not in PAROLED]
        for one in held:
            soak.gpus.mend(one.device)
        soak.store.release([one.name for one in held], soak.world.now())


def _fill(soak: Soak) -> None:
    soak.free = 1e9
    soak.world.after(HOUR, lambda: setattr(soak, "free", 1e12))
