"""Where runners run: what the supervisor asks of a container engine, and what its silence means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from .lease import Lease, Slot

# In the container, all of the runner's user: the configuration it starts with, and what its hooks write.
CONFIGURATION = "/run/backburn/jit"  # mode 0400; the entrypoint reads and unlinks it
MARKER = "/run/backburn/job.json"  # written by the job-started hook: a Job
DONE = "/run/backburn/done.json"  # written by the job-completed hook
BLIND = "/run/backburn/blind"  # written by the job-started hook where the container does not see its GPU: why not
MACHINE = "/run/backburn/machine.md"  # written from here while a job runs; that hook adds it to the job's summary


class Unreachable(Exception):
    """The engine does not answer. What runs there is unknown: it has not ended, nor has it not."""


class Declined(Exception):
    """The engine answered, and did not do it: no such image, no device driver, a full disk."""

    def __init__(self, why: str, hint: str = "") -> None:
        super().__init__(why)
        self.hint = hint


class Container(msgspec.Struct, frozen=True, kw_only=True):
    """One that carries this pool's label. `state` is the engine's word."""

    id: str
    name: str
    state: str  # created, running, paused, restarting, removing, exited, dead
    labels: dict[str, str]

    @property
    def ended(self) -> bool:
        """It ran, and does no more."""
        return self.state in ("exited", "dead", "removing")

    @property
    def running(self) -> bool:
        """It holds its device."""
        return self.state in ("running", "paused", "restarting")


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """One container, looked at closely. Times are seconds since the epoch by the engine's clock; 0.0: never."""

    id: str
    state: str
    code: int = 0
    out_of_memory: bool = False
    started: float = 0.0
    finished: float = 0.0
    # What it was really given: (the UUID of its label,), on a CPU slot (), where all is well, whatever the injection;
    # else other UUIDs, "all", "count:N", or the paths of device nodes that are not exactly those of its GPU.
    devices: tuple[str, ...] = ()
    error: str = ""

    @property
    def ended(self) -> bool:
        """It ran, and does no more."""
        return self.state in ("exited", "dead", "removing")


class Engine(Protocol):
    """All raise Unreachable; those that change something raise Declined too. Each call has a time limit of its own."""

    def ping(self) -> None:
        """Raise Unreachable where it does not answer."""

    def containers(self) -> list[Container]:
        """All of this pool, in every state: the truth."""

    def create(self, lease: Lease, slot: Slot) -> str:
        """The id of the container that carries the lease's runner name, made now or by a call whose answer was lost."""

    def deliver(self, container: str, configuration: str) -> None:
        """Put the secret into a container that was created and not started, as a file that only its user reads."""

    def start(self, container: str) -> None:
        """Once for each container."""

    def inspect(self, container: str) -> Inspection | None:
        """None where there is no such container."""

    def read(self, container: str, path: str, limit: int = 65536) -> bytes | None:
        """A file in it, whether it runs or has ended; None where there is none, or where it is longer than `limit`."""

    def tell(self, container: str, path: str, text: str) -> None:
        """Put a file into one that runs, in place of one that is there; only its user reads it."""

    def logs(self, container: str, limit: int = 1 << 20) -> bytes:
        """The last `limit` bytes of what it printed."""

    def remove(self, container: str) -> None:
        """Kill and delete it with its own anonymous volumes; one that is not there is no error."""

    def sweep(self, slot: Slot) -> list[str]:
        """Delete what carries this slot's label and is no running container (volumes, networks): what was deleted."""

    def restarted(self) -> float:
        """When the engine last came (back) up as far as we know, seconds since the epoch; 0.0: not since we look."""

    def watch(self, wake: Callable[[str], None]) -> None:
        """Call `wake(slot)` when something of this pool changes, `wake("")` when the stream was lost; for ever. Only
        to look sooner: nothing is concluded from it, nor from its silence.
        """
