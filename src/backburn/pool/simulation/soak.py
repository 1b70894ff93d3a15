"""The supervisor against GitHub, an engine and fate, in virtual time: days in seconds, invariants at every step."""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ..config import Config, Costs, GitHub, Injection, Limits, Metrics, Pool, Slots
from ..exits import Outcome
from ..care import Care
from ..gate import MachineGate
from ..github import GitHub as Client
from ..janitor import Janitor
from ..lease import Lease, Slot, State
from ..machine import step
from ..muster import muster
from ..place import Place, Tools
from ..store import Store
from .dock import Box, Dock
from .fate import HOUR, Fate, befall
from .faults import Fault
from .fuse import Fuse
from .gpus import Gpus
from .hub import Hub
from .listener import Listeners
from .service import Behaviour, Progress
from .witness import Witness
from .world import Killed, World

TOKEN = "ghp_simulated0simulated0simulated0simu"  # noqa: S105 - of no account


class Soaked(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. `jobs_lost` are those that the supervisor killed unasked; seconds are virtual but for `took`."""

    seed: int
    days: float
    slots: int
    steps: int
    looks: int
    jobs: int
    jobs_lost: int
    kills: int
    requests: int
    orphans: int
    outcomes: dict[str, int]
    quarantines: dict[str, int]  # that began, by kind
    rearm_p95: float
    broken: list[str]
    took: float


@dataclass
class Soak:
    """One world. `go(seconds)` lets it live on; a test may do more to it in between."""

    seed: int = 0
    slots: int = 4
    per_hour: float = 4.0  # jobs that arrive, for each slot
    lasts: tuple[float, float] = (20.0, 900.0)  # seconds that one takes
    fate: Fate = field(default_factory=Fate)
    look: float = 60.0  # seconds between two looks of a worker that no event wakes
    folder: Path | None = None
    blow: Callable[[str], bool] | None = None  # says where the supervisor dies, instead of the lot

    def __post_init__(self) -> None:
        """The world before the supervisor first starts."""
        self.world = World(chance=random.Random(self.seed))  # noqa: S311
        self._scratch = tempfile.TemporaryDirectory(prefix="backburn-pool-")
        self.config = configured(self.slots, self.folder or Path(self._scratch.name))
        behaviour = Behaviour(late=self.fate.late, idle_removal=self.fate.removals)
        dice = random.Random(self.seed + 1)  # noqa: S311
        self.hub = Hub(self.world, dice, token=TOKEN, behaviour=behaviour, limit=0, points=0)
        self.hub.faults.rates = dict.fromkeys((Fault.LOST, Fault.FAILED_AFTER, Fault.GARBLED), self.fate.lost / 3)
        self.dock = Dock(self.world, self.config.pool.name)
        self.dock.rates.unheard, self.dock.rates.declines = self.fate.unheard, self.fate.declines
        self.listeners = Listeners(
            self.world, self.hub, self.dock, self.fate.hangs, self.fate.crashes, self.lasts, self._ended
        )
        self.gpus = Gpus(self.world)
        self.listeners.fails = lambda box: box.device in self.gpus.duds
        self.witness = Witness(self.world, self.hub, self.dock, self.listeners, self.config, self.gpus)
        self.free = 1e12
        self.places: list[Place] = []
        self.store: Store | None = None
        self.notes: list[str] = []
        self.steps = self.kills = 0
        self.rearms: list[float] = []
        self.outcomes: Counter[str] = Counter()
        self.quarantines: Counter[tuple[str, str]] = Counter()
        self._life = 0
        self.doomed = float("inf")
        self._ends: dict[str, tuple[float, str]] = {}
        self._turns: dict[str, int] = {}
        self._working: set[str] = set()
        self._strangers()
        if self.per_hour:
            self.world.after(1.0, self._arrival)
        befall(self)
        self.boot()

    def go(self, seconds: float) -> None:
        """Let time pass, with whatever it brings; the supervisor is started again each time that it is killed."""
        until = self.world.passed() + seconds
        while self.world.passed() < until:
            try:
                self.world.wait(until - self.world.passed())
            except Killed:
                self.kill()

    def kill(self) -> None:
        """No line of it runs any more; a few seconds later it is started again."""
        if self.store is None:
            return  # it is dead already
        self.kills += 1
        self._life += 1
        self.doomed = float("inf")
        self.store.close()
        self.store, self.places = None, []
        self._working.clear()
        self.world.after(self.world.between(1.0, 30.0), self.boot)

    def boot(self) -> None:
        """The supervisor starts, as its process does: the store, then a look at what there is, then its workers."""
        self._life += 1
        life = self._life
        self.store = Store(self.config.state, durable=False)
        fuse = Fuse(self.blow or self._by_lot)
        store, engine = fuse.wrap("store", self.store), fuse.wrap("engine", self.dock)
        client = Client(self.config, clock=self.world, transport=self.hub.transport(), dice=self.world.chance,
                        read=lambda place: TOKEN)  # fmt: skip
        registrar = fuse.wrap("registrar", client)
        self.gpus.forget()
        care = Care(self.gpus, self.config.slots.gpus, self._note, trusted=self.store.trusted, clock=self.world)
        care.quarantines = self.quarantines
        gate = MachineGate(self.config, engine, registrar, room=lambda place: (self.free, 50.0), care=care)
        clock, chance = self.world, self.world.chance
        tools = self.tools = Tools(
            self.config, store, engine, registrar, gate, clock, self._note, self._kept, self.look, chance, care
        )
        self._muster(tools, life)

    def _muster(self, tools: Tools, life: int) -> None:
        if life != self._life:
            return
        try:
            self.places = muster(self.config, tools.store, self.dock)
        except Exception as error:  # the engine is down, or does not answer
            self._note("", "error", str(error))
            self.world.after(5.0, lambda: self._muster(tools, life))
            return
        janitor = Janitor(tools)
        self.world.after(0.1, lambda: self._janitor(janitor, life))
        for place in self.places:
            place.since = self.world.passed()
            self._turn(place, 0.0, tools, life)
        self.dock.watch(lambda slot: self._woken(slot, tools, life))
        named = {place.slot.device: place.slot.name for place in self.places}

        def felt(device: str) -> None:
            tools.care.doubt(device)
            self._woken(named.get(device, ""), tools, life)

        self.gpus.watch(felt)

    def _turn(self, place: Place, seconds: float, tools: Tools, life: int) -> None:
        """Let a worker come round then, unless it does so sooner."""
        turn = self._turns[place.slot.name] = self._turns.get(place.slot.name, 0) + 1

        def come() -> None:
            if life == self._life and self._turns[place.slot.name] == turn:
                self._work(place, tools, life)

        self.world.after(seconds, come)

    def _woken(self, slot: str, tools: Tools, life: int) -> None:
        """An event of the engine; some are lost. A worker in the middle of a step looks again after it."""
        if life == self._life and not self.world.happens(self.fate.lost):
            for place in self.places:
                if place.slot.name == slot and slot not in self._working:
                    self._turn(place, 0.0, tools, life)

    def _work(self, place: Place, tools: Tools, life: int) -> None:
        """One worker comes round. It may be in the middle of another's call: threads are."""
        self._working.add(place.slot.name)
        seconds = step(place, tools)
        self._working.discard(place.slot.name)
        self.steps += 1
        if self.store is not None and life == self._life:
            self.witness.look(self.places, self.store)
            self._rearmed(place)
            self._turn(place, max(seconds, 0.001), tools, life)

    def _janitor(self, janitor: Janitor, life: int) -> None:
        if life == self._life:
            seconds = janitor.round()
            self.world.after(seconds, lambda: self._janitor(janitor, life))

    def _by_lot(self, point: str) -> bool:
        return self.world.passed() >= self.doomed

    def _note(self, slot: str, level: str, said: str) -> None:
        self.notes.append(f"{self.world.passed():.3f} {level} {slot} {said}")
        del self.notes[:-2000]

    def _kept(self, slot: Slot, lease: Lease, outcome: Outcome) -> None:
        """A black box would be kept."""

    def _ended(self, box: Box) -> None:
        self._ends[box.slot] = (self.world.passed(), box.name)

    def _rearmed(self, place: Place) -> None:
        """From the end of one runner to the next that is online, where nobody wanted the slot to wait."""
        since, runner = self._ends.get(place.slot.name, (0.0, ""))
        if place.state in (State.BLOCKED, State.PARKED, State.QUARANTINED, State.UNKNOWN):
            self._ends.pop(place.slot.name, None)
        elif runner and place.lease and place.lease.online and place.lease.runner != runner:
            del self._ends[place.slot.name]
            self.rearms.append(self.world.passed() - since)

    # What befalls it

    def _arrival(self) -> None:
        repository = self.world.chance.choice(("acme/vision", "acme/speech", "acme/tables"))
        self.hub.submit(repository=repository)
        self.listeners.hand_out()
        self.world.after(self.world.chance.expovariate(self.per_hour * self.slots / HOUR), self._arrival)

    def _strangers(self) -> None:
        """What looks like ours and is not, here and at GitHub: nobody may touch it (I6)."""
        prefix = self.config.prefix
        for name in (f"{prefix}2-gpu12345678-0123abcd", f"{prefix}build-7", f"x{prefix}cpu0-0123abcd"):
            self.hub.register(name, ("self-hosted",), 1)
            self.witness.strangers.append(name)
        for name, pool in (("other", "lab10"), (f"{prefix}cpu0-ffffffff", "lab"), ("postgres", "")):
            labels = {"backburn.pool": pool, "backburn.slot": "cpu0"} if pool else {}
            self.dock.boxes[f"stranger-{name}"] = Box(f"stranger-{name}", name, labels, "", "", state="exited")
            self.witness.strange_boxes.append(f"stranger-{name}")


def configured(slots: int, state: Path) -> Config:
    """A pool of that many simulated GPUs."""
    return Config(
        github=GitHub(url="https://github.com/acme", token="env:SIMULATED"),
        pool=Pool(name="lab1", image="simulated", host="sim", state=str(state), labels=("self-hosted", "gpu")),
        slots=Slots(gpus=tuple(f"GPU-{place:08x}-sim" for place in range(slots)), injection=Injection.NVIDIA),
        limits=Limits(),
        metrics=Metrics(listen=""),
        costs=Costs(),
    )


def run(days: float = 7.0, slots: int = 4, seed: int = 0, say: Callable[[str], None] = lambda said: None) -> Soaked:
    """Let a supervisor live through so many days, and some hours without new misfortune; tell what came of it."""
    begun = time.monotonic()
    soak = Soak(seed=seed, slots=slots)
    for hour in range(max(1, round(days * 24))):
        soak.go(HOUR)
        if hour % 12 == 11:
            say(f"day {hour / 24 + 1 / 24:.1f} of {days:g}: {soak.steps} steps, {len(soak.witness.broken)} broken")
    return soaked(soak, days, time.monotonic() - begun)


def soaked(soak: Soak, days: float, took: float) -> Soaked:
    """What came of it until now."""
    entries = soak.store.ledger() if soak.store else []
    rearms = sorted(soak.rearms)
    return Soaked(
        seed=soak.seed,
        days=days,
        slots=soak.slots,
        steps=soak.steps,
        looks=soak.witness.looks,
        jobs=sum(work.progress in (Progress.FINISHED, Progress.LOST) for work in soak.hub.jobs.values()),
        jobs_lost=len(soak.witness.unasked),
        kills=soak.kills,
        requests=sum(soak.hub.requests.values()),
        orphans=len(soak.witness.orphans),
        outcomes=dict(Counter(str(entry.outcome) for entry in entries).most_common()),
        quarantines=_by_kind(soak),
        rearm_p95=rearms[int(0.95 * (len(rearms) - 1))] if rearms else 0.0,
        broken=[f"{what} (first at {when:.0f} s)" for what, when in soak.witness.broken.items()],
        took=took,
    )


def _by_kind(soak: Soak) -> dict[str, int]:
    kinds: Counter[str] = Counter()
    for (_, kind), count in soak.quarantines.items():
        kinds[kind] += count
    return dict(kinds)
