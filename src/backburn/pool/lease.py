"""What a slot can be, and how far a lease has come: plain data, written down before the world is changed."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from .health.symptom import Symptom

PREFIX = "backburn"  # of every label; what lacks ours is never touched
LABELS = ("pool", "slot", "lease", "runner", "runner-id", "device")


class State(StrEnum):
    """Of a slot. A table in docs/pool.md says what leads from one to the next."""

    UNKNOWN = "unknown"  # we just started, or the engine does not answer: look before anything else
    CLEANING = "cleaning"  # what the last lease left is being removed
    CHECKING = "checking"  # may a job run here: disk, clock, GPU
    REGISTERING = "registering"  # GitHub is being asked for a runner
    STARTING = "starting"  # its container is being made; it is not online yet
    ONLINE = "online"  # an idle runner
    BUSY = "busy"  # a job
    FINISHING = "finishing"  # the container has ended: outcome, ledger, black box
    PARKED = "parked"  # drained: waits for `resume`
    BLOCKED = "blocked"  # something outside must change first; looks again by itself
    QUARANTINED = "quarantined"  # the slot itself is unfit: parole, or a person, lets it out


# Seconds that a slot may stay in a state that we alone are to leave (I8), beyond which it moves on with the reason.
# ONLINE and BUSY last as long as the world likes; BLOCKED, PARKED and QUARANTINED wait; UNKNOWN waits for the engine.
DEADLINES = {
    State.CLEANING: 300.0,
    State.CHECKING: 60.0,
    State.REGISTERING: 120.0,
    State.STARTING: 90.0,  # beyond [pool] online-within
    State.FINISHING: 120.0,
}


class Phase(StrEnum):
    """How far a lease has come. A word in -ing is an intent: what it names may have been done, or not."""

    REGISTERING = "registering"
    REGISTERED = "registered"
    CREATING = "creating"
    CREATED = "created"
    STARTING = "starting"  # from here on its container must never be started again
    STARTED = "started"
    ENDED = "ended"  # its outcome is in the ledger
    LEAVING = "leaving"  # its container is gone; its registration may not be
    CLOSED = "closed"


class Wanted(StrEnum):
    """What the operator wants of a slot."""

    RUN = "run"
    DRAIN = "drain"


class Kind(StrEnum):
    """Of a quarantine. The first two look again by themselves (parole); all others wait for `release`."""

    UNFIT = "unfit"  # something speaks against its GPU
    STREAK = "streak"  # one job after the other failed fast there
    RESET = "reset"  # its GPU must be reset or replaced
    STUCK = "stuck"  # what a lease left cannot be removed
    BROKEN = "broken"  # an invariant would have been
    ORDERED = "ordered"  # somebody said so


class Quarantine(msgspec.Struct, frozen=True, kw_only=True):
    """Why a slot takes no job, whatever state it is in. `looks` of parole so far, and the last `good` ones in a row."""

    kind: Kind
    reason: str = ""
    looks: int = 0
    good: int = 0


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What the runner's own job-started hook wrote into the container. It comes from where jobs run: hostile."""

    repository: str = ""
    workflow: str = ""
    job: str = ""
    run_id: str = ""
    ref: str = ""


class Lease(msgspec.Struct, kw_only=True):
    """One single-use runner on a slot. Times are seconds since the epoch, by this machine's clock; 0.0: not yet."""

    id: str
    slot: str
    runner: str  # its name at GitHub and of its container, fresh for every attempt
    phase: Phase = Phase.REGISTERING
    url: str = ""  # where it is registered: [github] url of then; "": not known
    device: str = ""  # UUID of the GPU or MIG instance; "" for a CPU slot
    runner_id: int = 0
    container: str = ""
    gated: float = 0.0  # when this slot passed its gate for this very lease (I3)
    opened: float = 0.0
    started: float = 0.0
    online: float = 0.0
    busy: float = 0.0
    ended: float = 0.0
    removed: float = 0.0  # when GitHub said that it is gone: no job can reach it any more
    cause: str = ""  # the outcome, where it was we who ended it
    forced: str = ""  # why we killed a container that may have had a job (I5)
    job: Job | None = None
    symptoms: tuple[Symptom, ...] = ()  # what spoke against its GPU meanwhile; the first of each check and severity
    blame: str = ""  # whose fault its end was, where there was a job and it ended badly: a Blame
    why: str = ""  # and what says so


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """Where one job at a time may run. `device` is a GPU's or MIG instance's UUID, "" for a CPU slot."""

    name: str
    device: str = ""
