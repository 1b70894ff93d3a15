"""A model of a container engine and of the listeners in its containers, for the supervisor in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec

from ..engine import DONE, MARKER, Container, Declined, Inspection, Unreachable
from ..lease import Lease, Slot
from .world import World

LATENCY = (0.005, 0.05)  # seconds of one call
STARTS = (0.3, 1.5)  # seconds of one start


@dataclass
class Rates:
    """How often the engine misbehaves, per call."""

    silent: float = 0.0  # the connection is lost before anything is done
    unheard: float = 0.0  # it is done, and the answer is lost
    declines: float = 0.0  # create or start says no


@dataclass
class Box:
    """One container. `process` is what runs in it: told when it is started, and when it is killed."""

    id: str
    name: str
    labels: dict[str, str]
    slot: str
    device: str
    state: str = "created"
    code: int = 0
    out_of_memory: bool = False
    started: float = 0.0
    finished: float = 0.0
    starts: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    configuration: str = ""


class Dock:
    """Satisfies Engine. `begun(box)` and `killed(box)` are called when a process begins and when one is killed."""

    def __init__(self, world: World, pool: str) -> None:
        self.world, self.pool = world, pool
        self.boxes: dict[str, Box] = {}
        self.rates, self.up, self.live_restore = Rates(), True, True
        self.back = 0.0  # when the engine came up again, by the true clock
        self.begun: Callable[[Box], None] = lambda box: None
        self.killed: Callable[[Box], None] = lambda box: None
        self.wake: Callable[[str], None] = lambda slot: None
        self.removed_running: list[str] = []
        self._serial = 0

    @contextmanager
    def _call(self, changes: bool = False) -> Iterator[None]:
        self.world.wait(self.world.between(*LATENCY))
        if not self.up or self.world.happens(self.rates.silent):
            raise Unreachable("connection refused")
        yield
        if changes and self.world.happens(self.rates.unheard):
            raise Unreachable("the answer was lost")

    def ping(self) -> None:
        """Raise Unreachable while it is down."""
        with self._call():
            pass

    def containers(self) -> list[Container]:
        """All of them: this engine has no others' but what a test puts in."""
        with self._call():
            return [
                Container(id=box.id, name=box.name, state=box.state, labels=dict(box.labels))
                for box in self.boxes.values()
                if box.labels.get("backburn.pool") == self.pool
            ]

    def create(self, lease: Lease, slot: Slot) -> str:
        """One, or the one that an unheard call made."""
        with self._call(changes=True):
            self._decline()
            for box in self.boxes.values():
                if box.name == lease.runner:
                    if box.starts:
                        raise Declined(f"{lease.runner} exists, and was started")
                    return box.id
            self._serial += 1
            words = {"pool": self.pool, "slot": slot.name, "lease": lease.id, "runner": lease.runner}
            words |= {"runner-id": str(lease.runner_id), "device": slot.device}
            labels = {f"backburn.{word}": value for word, value in words.items()}
            box = Box(id=f"box{self._serial:08d}", name=lease.runner, labels=labels, slot=slot.name, device=slot.device)
            self.boxes[box.id] = box
            return box.id

    def deliver(self, container: str, configuration: str) -> None:
        """The secret, for the process to take."""
        with self._call(changes=True):
            if self._box(container).starts:
                raise Declined(f"{container} was started")
            self._box(container).configuration = configuration

    def start(self, container: str) -> None:
        """Its process begins."""
        self.world.wait(self.world.between(*STARTS))
        with self._call(changes=True):
            self._decline()
            box = self._box(container)
            box.state, box.started, box.starts = "running", self.world.true(), box.starts + 1
            self.begun(box)

    def inspect(self, container: str) -> Inspection | None:
        """How it is."""
        with self._call():
            if (box := self.boxes.get(container)) is None:
                return None
            devices = (box.device,) if box.device else ()
            return Inspection(
                id=box.id,
                state=box.state,
                code=box.code,
                out_of_memory=box.out_of_memory,
                started=box.started,
                finished=box.finished,
                devices=devices,
            )

    def read(self, container: str, path: str, limit: int = 65536) -> bytes | None:
        """What its process wrote."""
        with self._call():
            box = self.boxes.get(container)
            content = box.files.get(path) if box else None
            return content if content is not None and len(content) <= limit else None

    def tell(self, container: str, path: str, text: str) -> None:
        """A file beside what its process wrote."""
        with self._call(changes=True):
            self._box(container).files[path] = text.encode()

    def logs(self, container: str, limit: int = 1 << 20) -> bytes:
        """Nothing: its processes print nothing."""
        with self._call():
            return b""

    def remove(self, container: str) -> None:
        """Kill it, if it runs, and forget it."""
        with self._call(changes=True):
            if (box := self.boxes.pop(container, None)) is not None and box.state == "running":
                self.removed_running.append(box.name)
                self.killed(box)

    def sweep(self, slot: Slot) -> list[str]:
        """It has neither volumes nor networks."""
        with self._call():
            return []

    def restarted(self) -> float:
        """When it last came up again."""
        return self.back

    def watch(self, wake: Callable[[str], None]) -> None:
        """Be told of ends, if the engine is up."""
        self.wake = wake

    def end(self, box: Box, code: int) -> None:
        """Its process ends by itself."""
        if box.id in self.boxes and box.state == "running":
            box.state, box.code, box.finished = "exited", code, self.world.true()
            self.wake(box.slot)

    def mark(self, box: Box, job: dict[str, str]) -> None:
        """Its job-started hook writes what the job is."""
        box.files[MARKER] = msgspec.json.encode(job)

    def unmark(self, box: Box) -> None:
        """Its job-completed hook."""
        box.files[DONE] = b"{}"

    def restart(self, seconds: float) -> None:
        """The daemon goes, and comes back; without live-restore its containers are killed."""
        self.up = False

        def back() -> None:
            self.up, self.back = True, self.world.true()
            for box in [] if self.live_restore else list(self.boxes.values()):
                if box.state == "running":
                    self.killed(box)
                    self.end(box, 137)

        self.world.after(seconds, back)

    def _decline(self) -> None:
        if self.world.happens(self.rates.declines):
            raise Declined("no space left on device")

    def _box(self, container: str) -> Box:
        if container not in self.boxes:
            raise Declined(f"no such container: {container}")
        return self.boxes[container]
