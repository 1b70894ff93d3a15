"""A slot and where it stands, what a step works with, and what it comes to."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from .care import Care
from .clock import Clock
from .config import Config
from .engine import Engine
from .exits import Outcome
from .gate import Gate
from .lease import DEADLINES, Lease, Quarantine, Slot, State
from .registrar import Registrar
from .store import Store

SOON = 1.0  # seconds between two looks at what is about to change
IDLE = 15.0  # seconds between two looks at a slot that waits for a person
FIRST, LONGEST = 5.0, 300.0  # seconds that a blocked slot waits: the first time, and at most
# At most where it is GitHub that does not answer: all ask through one circuit, which keeps the pace for them, and
# after an outage every slot is back within a minute (F4).
RETURNS = 10.0


@dataclass
class Tools:
    """What a step works with. `note(slot, level, said)` is the log; `keep(slot, lease, outcome)` the black box."""

    config: Config
    store: Store
    engine: Engine
    registrar: Registrar
    gate: Gate
    clock: Clock
    note: Callable[[str, str, str], None]
    keep: Callable[[Slot, Lease, Outcome], None]
    look: float = 5.0  # seconds between two looks at a container; an event makes it sooner
    chance: random.Random = field(default_factory=random.SystemRandom)
    care: Care = field(default_factory=Care)
    ended: Callable[[Lease, Outcome], None] = lambda lease, how: None  # told while its container is still there


@dataclass
class Place:
    """A slot and where it stands. Only its own worker touches it; times are by Clock.passed(), 0.0: not so."""

    slot: Slot
    state: State = State.UNKNOWN
    since: float = 0.0
    until: float = 0.0  # blocked, or on parole: when to look again
    reason: str = ""
    failures: int = 0  # leases in a row that ended in an error and without a job
    refusals: int = 0  # times in a row that it was blocked
    lease: Lease | None = None
    asked: float = 0.0  # when GitHub was last asked about the runner
    missing: float = 0.0  # since when GitHub has not known it
    quiet: float = 0.0  # since when GitHub has said that a busy runner has no job
    trouble: str = ""  # what GitHub last said instead of an answer about the runner
    began: float = 0.0  # when its job did
    retired: bool = False  # no more in the configuration: drain, then forget


@dataclass(frozen=True)
class Move:
    """What a step comes to: the state to be in, why, and seconds until the next look (an event makes it sooner)."""

    to: State
    reason: str = ""
    after: float = 0.0


def deadline(state: State, config: Config) -> float | None:
    """Seconds that a slot may stay in a state (I8); None: as long as the world likes."""
    limit = DEADLINES.get(state)
    return limit + config.pool.online_within if limit is not None and state is State.STARTING else limit


def blocked(place: Place, tools: Tools, why: str, seconds: float = 0.0, *, longest: float = LONGEST) -> Move:
    """Wait for the world to change, longer each time, with jitter so that slots do not come back together."""
    place.refusals += 1
    pause = min(LONGEST, max(seconds, min(longest, FIRST * 2.0 ** min(place.refusals - 1, 6))))
    return Move(State.BLOCKED, why, pause * (0.75 + 0.25 * tools.chance.random()))


def quarantine(place: Place, tools: Tools, why: Quarantine) -> Move:
    """No job any more until parole or a person lets it out: written down first, so that it outlives us."""
    tools.store.hold(place.slot.name, why)
    return Move(State.QUARANTINED, why.reason)


def futile(place: Place, tools: Tools, why: str) -> Move:
    """A runner ended in an error, and no job was seen: not at once again, and ever more rarely."""
    place.failures += 1
    said = f"{place.failures} runner{'s' * (place.failures > 1)} in a row ended without a job: {why}"
    return blocked(place, tools, said, FIRST * 2.0 ** min(place.failures - 1, 6))
