"""What runs in the containers of a simulation: listeners that connect, wait, take a job, and end as real ones do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .dock import Box, Dock
from .hub import Hub
from .service import Conflict, Gone, Progress, Work
from .world import World

WARMS = (1.0, 5.0)  # seconds from a container's start to its session
TAKES = (0.1, 2.0)  # seconds until it knows of its job, and again until the job's hook has run
LEARNS = (1.0, 50.0)  # seconds until it knows that its registration is gone: one long poll
ENDS = (0.2, 2.0)  # seconds from the job's end to its own
FAILS = (20.0, 90.0)  # seconds that a job takes on a GPU that fails every one
ROUND = 20.0  # seconds between two looks at what GitHub took back
RESULTS, SHARES = (("succeeded", 100), ("failed", 102), ("canceled", 103)), (0.8, 0.15, 0.05)


@dataclass
class Listener:
    """One, in one container."""

    box: Box
    session: str = ""
    work: Work | None = None
    leaving: bool = False


@dataclass
class Listeners:
    """All of them. `hangs` and `crashes` are shares of jobs; `ended(box)` is told when a process is no more."""

    world: World
    hub: Hub
    dock: Dock
    hangs: float = 0.0
    crashes: float = 0.0
    lasts: tuple[float, float] = (20.0, 900.0)  # seconds that a job takes
    ended: Callable[[Box], None] = lambda box: None
    fails: Callable[[Box], bool] = lambda box: False  # at once, whatever its job is
    alive: dict[str, Listener] = field(default_factory=dict)  # by the container's name
    killed_busy: list[str] = field(default_factory=list)  # with a job that GitHub had not ended

    def __post_init__(self) -> None:
        """Be told of every container."""
        self.dock.begun, self.dock.killed = self._begun, self._killed
        self.world.after(ROUND, self._round)

    def hand_out(self) -> None:
        """Let GitHub choose runners for what waits, and those learn of it."""
        for work in self.hub.assign():
            if (listener := self.alive.get(work.runner)) is not None:
                self.world.after(self.world.between(*TAKES), lambda one=listener: self._take(one))  # type: ignore[misc]

    def _begun(self, box: Box) -> None:
        listener = self.alive[box.name] = Listener(box)
        self.world.after(self.world.between(*WARMS), lambda: self._connect(listener))

    def _connect(self, one: Listener) -> None:
        if one.box.name not in self.alive:
            return
        try:
            one.session = self.hub.connect(one.box.configuration)
        except Conflict:
            return self._end(one, 5)
        except Gone:
            return self._end(one, 1)
        self.hand_out()

    def _take(self, one: Listener) -> None:
        if one.box.name not in self.alive or one.work is not None:
            return
        try:
            one.work = self.hub.poll(one.session)
        except Gone:
            return self._end(one, 0)
        if one.work is not None:
            self.world.after(self.world.between(*TAKES), lambda: self._mark(one))
            lasts = FAILS if self.fails(one.box) else self.lasts
            self.world.after(self.world.between(*lasts), lambda: self._done(one))

    def _mark(self, one: Listener) -> None:
        if one.box.name in self.alive and one.work is not None:
            repository = one.work.instructions.get("repository", "")
            told = {"repository": repository, "workflow": "gpu", "job": "train", "run_id": str(one.work.id)}
            self.dock.mark(one.box, {**told, "ref": "refs/heads/main"})

    def _done(self, one: Listener) -> None:
        if one.box.name not in self.alive or one.work is None or one.work.progress is not Progress.RUNNING:
            return
        if self.world.happens(self.crashes):
            return self._crash(one)
        result, code = self.world.chance.choices(RESULTS, weights=SHARES)[0]
        if self.fails(one.box):
            result, code = "failed", 102
        self.hub.finish(one.session, result)
        one.work = None
        self.dock.unmark(one.box)
        if not self.world.happens(self.hangs):
            self.world.after(self.world.between(*ENDS), lambda: self._end(one, code))

    def _crash(self, one: Listener) -> None:
        self.hub.disconnect(one.session)
        self._end(one, 134)

    def _round(self) -> None:
        for one in list(self.alive.values()):
            if one.session and not one.leaving and one.work is None:
                try:
                    self.hub.poll(one.session)
                except Gone:
                    if not one.box.files:  # else it had a job, and hangs
                        self._leave(one)
        self.hub.advance()
        self.hand_out()
        self.world.after(ROUND, self._round)

    def _leave(self, one: Listener) -> None:
        one.leaving = True
        self.world.after(self.world.between(*LEARNS), lambda: self._end(one, 0))

    def _killed(self, box: Box) -> None:
        if (one := self.alive.pop(box.name, None)) is not None:
            if one.work is not None and one.work.progress is Progress.RUNNING:
                self.killed_busy.append(box.name)
            self.hub.disconnect(one.session)
            self.ended(box)

    def _end(self, one: Listener, code: int) -> None:
        if self.alive.pop(one.box.name, None) is not None:
            self.dock.end(one.box, code)
            self.ended(one.box)
