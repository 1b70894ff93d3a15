"""What the end of a container means: the listener's own exit code, the job's marker, and who ended it. Pure."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from .engine import Inspection
from .lease import Lease

# actions/runner, Runner.Listener's return codes; 100 and up only with ACTIONS_RUNNER_RETURN_JOB_RESULT_FOR_HOSTED.
SUCCESS, TERMINATED, RETRYABLE, UPDATING, UPDATING_ONCE, CONFLICT, REFRESHED, DEPRECATED = range(8)
RESULTS = {
    100: "succeeded",
    101: "succeeded with issues",
    102: "failed",
    103: "canceled",
    104: "skipped",
    105: "abandoned",
}
KILLED = 137
BLIND = 69  # of our entrypoint: EX_UNAVAILABLE, which no listener has
NEAR = 30.0  # seconds: dockerd waits 10 s for its containers, and comes back in less than 20


class Outcome(StrEnum):
    """How a lease ended, as the ledger, `status` and the metrics have it."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"  # the job said so itself
    CANCELED = "canceled"
    SKIPPED = "skipped"
    ABANDONED = "abandoned"
    DONE = "done"  # there was a job, and the runner does not say how it went
    IDLE = "idle"  # GitHub took back a runner that had waited: no failure, armed again
    DRAINED = "drained"
    ORPHANED = "orphaned"  # the runner ended well, and GitHub still has it: its job, if any, waits there
    MEMORY = "out-of-memory"
    RESTARTED = "daemon-restart"  # the engine took its containers with it: no live-restore
    WATCHDOG = "watchdog"
    LATE = "never-online"
    UNBOUND = "other-device"  # the container was not given the device of its lease
    BLIND = "blind"  # the container does not see its GPU: it is that container's fault, and not the GPU's
    KILLED = "killed"
    LOST = "lost"  # the container is gone, and we did not take it
    CONFLICT = "conflict"
    DEPRECATED = "deprecated"
    IMAGE = "image"  # what it should start is not there, or cannot be started
    RETRYABLE = "retryable"  # the runner asks to be started again, which a single-use one must not be
    CRASHED = "crashed"


# What a person should look at: a black box is kept of it.
BAD = frozenset(Outcome) - {
    Outcome.SUCCEEDED,
    Outcome.CANCELED,
    Outcome.SKIPPED,
    Outcome.DONE,
    Outcome.IDLE,
    Outcome.DRAINED,
}
# No job was seen, and the same thing would happen at once again: wait longer each time, and stop in the end.
FUTILE = frozenset(
    {
        Outcome.CONFLICT,
        Outcome.IMAGE,
        Outcome.RETRYABLE,
        Outcome.CRASHED,
        Outcome.MEMORY,
        Outcome.KILLED,
        Outcome.LOST,
        Outcome.LATE,
        Outcome.UNBOUND,
        Outcome.BLIND,
    }
)


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of an end: whether GitHub still knows the runner, and when the engine last started."""

    lease: Lease
    seen: Inspection | None
    registered: bool
    restarted: float = 0.0

    @property
    def job(self) -> bool:
        """A job began: its hook wrote so, GitHub said so, or the exit code is a job's."""
        return bool(self.lease.job or self.lease.busy or (self.seen and self.seen.code in _RESULTS))


def outcome(end: Ending) -> Outcome:
    """Who or what ended it, the most certain first."""
    if end.lease.cause:
        return Outcome(end.lease.cause)
    seen = end.seen
    if seen is None:
        return Outcome.RESTARTED if _with_the_engine(end, end.lease.ended or end.restarted) else Outcome.LOST
    if seen.code in _RESULTS:
        return _RESULTS[seen.code]
    if seen.out_of_memory:
        return Outcome.MEMORY
    if seen.code >= 128:
        return Outcome.RESTARTED if _with_the_engine(end, seen.finished) else Outcome.KILLED
    return _by_code(end, seen.code)


def _with_the_engine(end: Ending, finished: float) -> bool:
    return end.restarted > end.lease.started and abs(finished - end.restarted) <= NEAR


def _by_code(end: Ending, code: int) -> Outcome:
    if code == SUCCESS:
        return _well(end)
    if code == TERMINATED:  # also: "the registration was deleted"
        return Outcome.CRASHED if end.job or end.registered else Outcome.IDLE
    return _CODES.get(code, Outcome.CRASHED)


def _well(end: Ending) -> Outcome:
    """Zero proves nothing (actions/runner#4726, #4598); where GitHub has let the runner go, all is well."""
    if end.job:
        return Outcome.DONE if not end.registered else Outcome.ORPHANED
    return Outcome.ORPHANED if end.registered else Outcome.IDLE


_RESULTS = {
    100: Outcome.SUCCEEDED,
    101: Outcome.SUCCEEDED,
    102: Outcome.FAILED,
    103: Outcome.CANCELED,
    104: Outcome.SKIPPED,
    105: Outcome.ABANDONED,
}
_CODES = {
    RETRYABLE: Outcome.RETRYABLE,
    UPDATING: Outcome.RETRYABLE,
    UPDATING_ONCE: Outcome.RETRYABLE,
    CONFLICT: Outcome.CONFLICT,
    DEPRECATED: Outcome.DEPRECATED,
    BLIND: Outcome.BLIND,
    125: Outcome.IMAGE,
    126: Outcome.IMAGE,  # a shell's and the engine's: it is there, and cannot be executed
    127: Outcome.IMAGE,  # it is not there
}
