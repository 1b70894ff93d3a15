"""Who sees the whole world, the supervisor, GitHub and the engine, and says what must never be seen: I1 to I8."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ..config import Config
from ..place import Place, deadline
from ..store import Store
from .dock import Dock
from .gpus import Gpus
from .hub import Hub
from .listener import Listeners
from .world import EPOCH, World

AGE = 300.0  # seconds that a registration may have no open lease (I2), while GitHub can be asked to remove it
SLACK = 60.0  # seconds that one step may take, beyond a state's deadline (I8)
EXPIRY = 86000.0  # seconds: after a day GitHub itself removes what was never online
KNOWN = 300.0  # seconds from a gate to a start, at most: what spoke against a GPU for longer was known at the gate (I3)
MOST = 100  # kinds of broken things that are kept


@dataclass
class Witness:
    """`look()` after every step; `broken` is what it saw, each thing once, with the time."""

    world: World
    hub: Hub
    dock: Dock
    listeners: Listeners
    config: Config
    gpus: Gpus
    broken: dict[str, float] = field(default_factory=dict)  # what -> when first, by the simulation's time
    looks: int = 0
    orphans: dict[str, float] = field(default_factory=dict)  # registrations without an open lease -> since when
    strangers: list[str] = field(default_factory=list)  # registrations that are not ours
    strange_boxes: list[str] = field(default_factory=list)  # containers that are not
    unasked: list[str] = field(default_factory=list)  # killed with a job, and nobody had forced it
    _gated: set[str] = field(default_factory=set)
    _judged: int = 0

    def look(self, places: Sequence[Place], store: Store) -> None:
        """Compare what is with what must be."""
        self.looks += 1
        for one in itertools.chain(
            self._devices(),
            self._registrations(store),
            self._starts(store),
            self._kills(store),
            self._others(),
            self._deadlines(places),
        ):
            if len(self.broken) < MOST:
                self.broken.setdefault(one, self.world.passed())

    def _devices(self) -> Iterator[str]:
        holders: dict[str, str] = {}
        for box in self.dock.boxes.values():
            if box.state == "running":
                other = holders.setdefault(box.device or box.slot, box.name)
                if other != box.name:
                    yield f"I1: {other} and {box.name} run on {box.slot}"

    def _registrations(self, store: Store) -> Iterator[str]:
        """Ours map to open leases, or are gone within minutes; and of one slot only one can be given a job."""
        ours = {one.name: one for one in self.hub.live.values() if one.name not in self.strangers}
        known = {lease.runner for lease in store.open_leases()}
        now = self.world.passed()
        before = {} if self.hub.faults.stormy(self.hub.now()) else self.orphans
        # One that died with a job is GitHub's to let go: it answers 422 until it does (ubicloud#1678).
        strange = [name for name, one in ours.items() if name not in known and not one.busy]
        self.orphans = {name: before.get(name, now) for name in strange}
        for name, since in self.orphans.items():
            if self.world.passed() - since > AGE:
                yield f"I2: {name} is registered, and no open lease has it"
        ready: dict[str, str] = {}
        for name, one in ours.items():
            if one.session:
                other = ready.setdefault(name.rpartition("-")[0], name)
                if other != name:
                    yield f"I2: {other} and {name} are both online"

    def _starts(self, store: Store) -> Iterator[str]:
        for box in self.dock.boxes.values():
            if box.starts > 1:
                yield f"I4: {box.name} was started {box.starts} times"
            if box.starts and box.name not in self._gated:
                self._gated.add(box.name)
                lease = store.lease(box.labels.get("backburn.lease", ""))
                if lease is None or not lease.gated or not lease.started:
                    yield f"I3: {box.name} was started without a gate, or without an intent on disk"
                if self.gpus.long_ill(box.device, box.started - EPOCH, KNOWN):
                    yield f"I3: {box.name} was started on a GPU that was known to be ill"
        yield from (f"I4: the configuration of {name} was used twice" for name in self.hub.reused)

    def _kills(self, store: Store) -> Iterator[str]:
        """Those that the supervisor removed with a job, since the last look."""
        killed = self.listeners.killed_busy[self._judged :]
        self._judged += len(killed)
        for name in killed:
            lease = store.lease(name.rpartition("-")[2])
            if name in self.dock.removed_running and (lease is None or not lease.forced):
                self.unasked.append(name)
                yield f"I5: {name} was killed with a job, and nobody had forced it"

    def _others(self) -> Iterator[str]:
        for name in self.strangers:
            if self.hub.named(name) is None and self.world.passed() < EXPIRY:
                yield f"I6: the runner {name} is gone, which was not ours"
        for name in self.strange_boxes:
            if name not in self.dock.boxes:
                yield f"I6: the container {name} is gone, which was not ours"

    def _deadlines(self, places: Sequence[Place]) -> Iterator[str]:
        for place in places:
            limit = deadline(place.state, self.config)
            if limit is not None and self.world.passed() - place.since > limit + SLACK:
                yield f"I8: {place.slot.name} is {place.state} since {place.since:.0f} s"
