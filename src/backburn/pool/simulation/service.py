"""GitHub's runner service without its API: registrations, sessions and jobs, and all that befalls them in time."""

from __future__ import annotations

import base64
import heapq
import random
import threading
from collections import deque
from collections.abc import Callable
from enum import StrEnum

import msgspec

from .. import jit
from ..clock import Clock

Span = tuple[float, float]  # seconds, from and to; drawn evenly


class Conflict(Exception):
    """Another session of this runner is open, or its lease has not lapsed."""


class Gone(Exception):
    """The registration was removed: the listener has nothing to wait for."""


class NameTaken(Exception):
    """A runner of this name is registered."""


class Behaviour(msgspec.Struct, kw_only=True):
    """How the service treats runners; shares are of 1. The times are those that issues tell."""

    late: float = 0.0  # share of new runners that lists leave out
    late_for: Span = (0.0, 60.0)
    idle_removal: float = 0.0  # share of idle runners that are removed (actions/runner#4726)
    unused_removal: float = 0.0  # share of runners that are removed where none has connected (ubicloud#2957)
    idle_for: Span = (120.0, 360.0)  # either happens after so long
    offline_for: float = 86400.0  # an ephemeral runner that is offline so long is removed
    noticed_in: Span = (5.0, 60.0)  # a runner that died idle is taken to be online so long
    lapse: Span = (600.0, 900.0)  # one that died with a job is busy so long (ubicloud#1678)
    pick_up: float = 60.0  # a job that its runner does not take is queued again


class Progress(StrEnum):
    """Of a job."""

    QUEUED = "queued"
    ASSIGNED = "assigned"  # to a runner, which has not taken it yet
    RUNNING = "running"
    FINISHED = "finished"
    LOST = "lost"


class Work(msgspec.Struct, kw_only=True):
    """A job. `instructions` are for a listener that is a script. Times are seconds by the service's clock."""

    id: int
    labels: tuple[str, ...] = ()
    instructions: dict[str, str] = {}
    progress: Progress = Progress.QUEUED
    runner: str = ""  # the name of the last that it was assigned to
    assignments: int = 0
    result: str = ""
    why: str = ""  # it was lost
    queued: float = 0.0
    started: float = 0.0
    ended: float = 0.0


class Runner(msgspec.Struct, kw_only=True):
    """A registration, kept after its end. `removed` says why it ended: "" while it lives."""

    id: int
    name: str
    labels: tuple[str, ...]
    group: int
    configuration: str
    registered: float
    visible: float = 0.0
    session: str = ""
    sessions: int = 0
    online: bool = False
    work: Work | None = None
    removed: str = ""
    ended: float = 0.0

    @property
    def busy(self) -> bool:
        """A job is its own, whether it has taken it or died with it."""
        return self.work is not None

    def __repr__(self) -> str:  # noqa: D105
        state = f"online={self.online}, busy={self.busy}, removed={self.removed!r}"
        return f"Runner(id={self.id}, name={self.name!r}, {state})"


class Service:
    """Time passes at each call. All calls may come from any thread. What happened stays in `runners` and `jobs`."""

    def __init__(self, clock: Clock, dice: random.Random, behaviour: Behaviour | None = None) -> None:
        self.behaviour = behaviour or Behaviour()
        self.runners: dict[int, Runner] = {}  # all that ever were
        self.jobs: dict[int, Work] = {}  # likewise
        self.names: dict[str, list[int]] = {}  # name -> the registrations that it ever had
        self.live: dict[int, Runner] = {}
        self.reused: list[str] = []  # names of runners whose configuration was connected with more than once (I4)
        self.secrets: list[str] = []  # every token, configuration and runner's key that was handed out
        self.lock = threading.RLock()
        self._clock, self._dice = clock, dice
        self._epoch = clock.now() - clock.passed()  # the client's clock may jump; this one never does
        self._queue: deque[Work] = deque()
        self._sessions: dict[str, Runner] = {}
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._made = 0

    def now(self) -> float:
        """Seconds since the epoch, by the service's own clock."""
        return self._epoch + self._clock.passed()

    def advance(self) -> None:
        """Let happen what is due."""
        now = self.now()
        with self.lock:
            while self._due and self._due[0][0] <= now:
                heapq.heappop(self._due)[2]()

    def next_due(self) -> float:
        """When something will happen by itself; infinity: nothing."""
        with self.lock:
            return self._due[0][0] if self._due else float("inf")

    # What the API does

    def register(self, name: str, labels: tuple[str, ...], group: int) -> Runner:
        """Raises NameTaken."""
        with self.lock:
            self.advance()
            if self.named(name):
                raise NameTaken(name)
            number, now = self._number(), self.now()
            runner = Runner(
                id=number,
                name=name,
                labels=labels,
                group=group,
                configuration=self._configuration(number, name),
                registered=now,
                visible=now + (self._drawn(self.behaviour.late_for) if self._chance(self.behaviour.late) else 0.0),
            )
            self.runners[number] = self.live[number] = runner
            self.names.setdefault(name, []).append(number)
            self.secrets.append(runner.configuration)
            self._at(self.behaviour.offline_for, lambda: None if runner.online else self._end(runner, "expired"))
            if self._chance(self.behaviour.unused_removal):
                self._at(
                    self._drawn(self.behaviour.idle_for),
                    lambda: None if runner.sessions else self._end(runner, "unused"),
                )
            return runner

    def named(self, name: str) -> Runner | None:
        """The living one of this name."""
        ids = self.names.get(name, ())
        return next((self.live[number] for number in ids if number in self.live), None)

    def remove(self, number: int) -> bool | None:
        """True: it was there, idle, and is gone. False: it has a job. None: there is none."""
        with self.lock:
            self.advance()
            runner = self.live.get(number)
            if runner is None:
                return None
            if runner.busy:
                return False
            self._end(runner, "deleted")
            return True

    # What a listener does

    def connect(self, configuration: str) -> str:
        """A session. Raises Conflict and Gone, and ValueError for a configuration that was never handed out."""
        with self.lock:
            self.advance()
            runner = self.runners.get(int(jit.settings(configuration).get("agentId", 0)))
            if runner is None or runner.configuration != configuration:
                raise ValueError("no such configuration")
            if runner.sessions:
                self.reused.append(runner.name)
            if runner.removed:
                raise Gone(runner.name)
            if runner.session or runner.busy or runner.online:
                raise Conflict(runner.name)
            runner.sessions += 1
            runner.session, runner.online = f"session-{runner.id}-{runner.sessions}", True
            self._sessions[runner.session] = runner
            if self._chance(self.behaviour.idle_removal):
                self._at(self._drawn(self.behaviour.idle_for), lambda: self._end_if_idle(runner))
            return runner.session

    def poll(self, session: str) -> Work | None:
        """The job that this runner was chosen for, which it has taken with this; None: none yet. Raises Gone."""
        with self.lock:
            self.advance()
            runner = self._connected(session)
            work = runner.work
            if work is not None and work.progress is Progress.ASSIGNED:
                work.progress, work.started = Progress.RUNNING, self.now()
            return work

    def finish(self, session: str, result: str = "succeeded") -> None:
        """The job has ended, and with it the registration. Raises Gone where there is neither."""
        with self.lock:
            self.advance()
            runner = self._connected(session)
            if runner.work is None:
                raise Gone(runner.name)
            runner.work.progress, runner.work.result, runner.work.ended = Progress.FINISHED, result, self.now()
            runner.work = None
            self._end(runner, "used")

    def disconnect(self, session: str) -> None:
        """The listener has died, without a word. A session that is none (any more) is no error."""
        with self.lock:
            self.advance()
            runner = self._sessions.pop(session, None)
            if runner is None or runner.session != session:
                return
            runner.session = ""
            running = runner.work is not None and runner.work.progress is Progress.RUNNING
            if running:
                runner.online = False
                self._at(self._drawn(self.behaviour.lapse), lambda: self._lapse(runner))
            else:
                self._at(self._drawn(self.behaviour.noticed_in), lambda: self._notice(runner))
            self._at(self.behaviour.offline_for, lambda: None if runner.session else self._end(runner, "expired"))

    # What people do

    def submit(self, labels: tuple[str, ...] = (), **instructions: str) -> Work:
        """A job into the queue."""
        with self.lock:
            work = Work(id=self._number(), labels=labels, instructions=instructions, queued=self.now())
            self.jobs[work.id] = work
            self._queue.append(work)
            return work

    def assign(self) -> list[Work]:
        """Hand queued jobs to online idle runners that have their labels, in the order of the queue."""
        with self.lock:
            self.advance()
            idle = [runner for runner in self.live.values() if runner.online and not runner.busy]
            self._dice.shuffle(idle)
            given, left = [], deque[Work]()
            while self._queue and idle:
                work = self._queue.popleft()
                runner = next((one for one in idle if set(work.labels) <= set(one.labels)), None)
                if runner is None:
                    left.append(work)
                else:
                    idle.remove(runner)
                    self._give(work, runner)
                    given.append(work)
            self._queue.extendleft(reversed(left))
            return given

    @property
    def queued(self) -> int:
        """Jobs that wait."""
        return len(self._queue)

    @property
    def lost(self) -> list[Work]:
        """Jobs that were lost, and each says why."""
        return [work for work in self.jobs.values() if work.progress is Progress.LOST]

    # What time does

    def _give(self, work: Work, runner: Runner) -> None:
        work.progress, work.runner, runner.work = Progress.ASSIGNED, runner.name, work
        work.assignments += 1
        self._at(self.behaviour.pick_up, lambda: self._take_back(work, runner))

    def _take_back(self, work: Work, runner: Runner) -> None:
        if work.progress is Progress.ASSIGNED:
            work.progress, runner.work = Progress.QUEUED, None
            runner.online = runner.online and bool(runner.session)  # it did not answer
            self._queue.appendleft(work)

    def _notice(self, runner: Runner) -> None:
        if not runner.session:
            runner.online = False

    def _lapse(self, runner: Runner) -> None:
        if runner.work is not None:
            runner.work.progress, runner.work.ended = Progress.LOST, self.now()
            runner.work.why = "the runner lost communication"
            runner.work = None

    def _end_if_idle(self, runner: Runner) -> None:
        if not runner.busy and runner.session:
            self._end(runner, "idle")

    def _end(self, runner: Runner, why: str) -> None:
        if not runner.removed and not runner.busy:
            runner.removed, runner.online, runner.ended = why, False, self.now()
            self.live.pop(runner.id, None)
            self._sessions.pop(runner.session, None)
            runner.session = ""

    def _connected(self, session: str) -> Runner:
        if (runner := self._sessions.get(session)) is None:
            raise Gone(session)
        return runner

    def _at(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self.now() + seconds, self._number(), what))

    def _number(self) -> int:
        self._made += 1
        return self._made

    def _chance(self, share: float) -> bool:
        return share > 0 and self._dice.random() < share

    def _drawn(self, span: Span) -> float:
        return self._dice.uniform(*span)

    def _configuration(self, number: int, name: str) -> str:
        """As GitHub's: base64 of JSON of file names -> base64 of the files; the key is a canary of its own."""
        secret = f"{self._dice.getrandbits(256):064x}"
        files = {
            ".runner": {"agentId": str(number), "agentName": name, "ephemeral": "True", "workFolder": "_work"},
            ".credentials": {"scheme": "OAuth", "data": {"clientId": f"{number}", "authorizationUrl": "none"}},
            ".credentials_rsaparams": {"d": secret, "exponent": "AQAB"},
        }
        self.secrets.append(secret)
        packed = {file: base64.b64encode(msgspec.json.encode(content)).decode() for file, content in files.items()}
        return base64.b64encode(msgspec.json.encode(packed)).decode()
