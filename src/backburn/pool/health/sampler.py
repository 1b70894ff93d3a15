"""A GPU's health, as the pool asks for it: a process that looks, what it said, and what that comes to.

No call here waits for the driver: only for the process that asks it, and never for longer than `_FRESH`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from msgspec.structs import replace

from ...received import line
from ..clock import Clock
from ..config import Config
from . import looker, reading
from .floor import Floors
from .judging import judge, of_event
from .keeper import Keeper
from .reading import Event, Look, Reading, Told, Trouble
from .record import Record
from .symptom import Health, Symptom, Unwatched

Note = Callable[[str, str, str], None]
T = TypeVar("T", Reading, Event, Trouble)

_FRESH = 1.5  # seconds that a question waits for a look newer than itself: two are the most that it may take
_RECENT = 0.2  # seconds; a look that is no older will do
_SAID = {"hang": "no answer", "stuck": "no answer, and the process that asks cannot be ended"}
_LISTEN = 0.5  # seconds after which `watch` sees that it is to end


def watched(config: Config, clock: Clock, note: Note) -> Health:
    """The health of this pool's GPUs; nothing is looked at where it has none. `note(slot, level, said)` is the log."""
    devices = [slot.device for slot in config.all_slots if slot.device]
    if not devices:
        return Unwatched()
    sampler = Sampler(config, clock, note)
    sampler.start(Keeper(looker.command(devices), float(config.health.interval), sampler.hear))
    return sampler


class Sampler:
    """The health of a machine with GPUs: what a Keeper told, kept and judged."""

    def __init__(self, config: Config, clock: Clock, note: Note) -> None:
        self._clock, self._note = clock, note
        self._floors = Floors(config.state)
        grace = float(config.health.throttle_grace)
        devices = [slot.device for slot in config.all_slots if slot.device]
        self._records = {one: Record(one, self._floors, grace) for one in devices}
        self._states: dict[str, frozenset[tuple[str, str]]] = {}
        self._troubles: deque[Trouble] = deque(maxlen=100)
        self._woken: dict[str, None] = {}
        self._changed = threading.Condition()
        self._keeper: Keeper | None = None
        self._looked = self._closed = False
        self._said = ""

    def start(self, keeper: Keeper) -> None:
        """Whom to ask for a look."""
        self._keeper = keeper

    def symptoms(self, device: str, *, empty: bool = True) -> tuple[Symptom, ...]:
        """What speaks against it now, the gravest first. `empty`: no job runs there, so its memory should be free.

        An event that only a person ends counts until the supervisor ends: `at` says whether it came after a release.
        """
        record = self._records.get(device)
        if record is None:
            return ()
        fresh = self._refresh(record)
        now, passed = self._clock.now(), self._clock.passed()
        with self._changed:
            troubles = tuple(self._troubles)
            return judge(record.seen(now, passed, empty=empty, late=not fresh, troubles=troubles))

    def between(self, device: str, begin: float, end: float) -> tuple[Symptom, ...]:
        """What was seen there in that time (seconds since the epoch), the earliest first."""
        record = self._records.get(device)
        if record is None:
            return ()
        with self._changed:
            found = (*record.lasted(begin, end), *map(of_event, record.events(begin, end)))
        return tuple(sorted(found, key=lambda one: one.at))

    def unseen(self, device: str) -> tuple[str, ...]:
        """The checks that this card or driver does not support: skipped, and never a symptom."""
        record = self._records.get(device)
        with self._changed:
            last = record.sound if record is not None else None
        return reading.unseen(last) if last is not None else ()

    def watch(self, wake: Callable[[str], None]) -> None:
        """Call `wake(device)` when something new was seen there; for ever, until `close`."""
        while not self._closed:
            with self._changed:
                self._changed.wait_for(lambda: self._woken or self._closed, _LISTEN)
                woken, self._woken = self._woken, {}
            for device in woken:
                wake(device)

    def close(self) -> None:
        """End what was started for it."""
        self._closed = True
        with self._changed:
            self._changed.notify_all()
        if self._keeper is not None:
            self._keeper.close()

    def hear(self, told: Told) -> None:
        """What the Keeper tells."""
        with self._changed:
            if isinstance(told, Look):
                self._look(told)
            elif isinstance(told, Event):
                self._happened(self._stamped(told))
            elif told.kind != "anew":
                self._trouble(self._stamped(told))
            self._changed.notify_all()
        self._keep_floors()

    def _refresh(self, record: Record) -> bool:
        """Ask for a look, and wait for it where one may come soon. Whether there is one, or a reason why not."""
        asked = self._clock.passed()

        def fresh() -> bool:
            """A look, or the reason why there is none."""
            told = (record.newest, self._troubles[-1] if self._troubles else None)
            return self._closed or any(one is not None and one.passed >= asked - _RECENT for one in told)

        with self._changed:
            if fresh() or self._keeper is None:
                return True
            if (self._looked or self._troubles) and not self._keeper.prompt:
                return False
            self._keeper.want()
            return self._changed.wait_for(fresh, _FRESH)

    def _look(self, look: Look) -> None:
        self._said = ""
        if not self._looked:  # a driver that was loaded after we began
            self._looked = True
            self._troubles = deque((one for one in self._troubles if one.kind != "driver"), maxlen=100)
        for one in look.readings:
            if record := self._records.get(one.device):
                record.add(self._stamped(one))
                self._conclude(one.device, record)

    def _happened(self, event: Event) -> None:
        if record := self._records.get(event.device):
            if event.kind != "change":
                record.happened(event)
                self._woken[event.device] = None
            if self._keeper is not None:
                self._keeper.want()  # 154, and what is no Xid, say that a look will show more

    def _trouble(self, trouble: Trouble) -> None:
        self._troubles.append(trouble)
        said = trouble.said or _SAID.get(trouble.kind, f"the process that looks ended, exit code {trouble.code}")
        if said != self._said:
            self._said = said
            self._note("", "warning", f"the GPU driver: {line(said)}")
        for device, record in self._records.items():
            self._conclude(device, record)

    def _conclude(self, device: str, record: Record) -> None:
        """Write down what is so without the events, and wake whom it concerns."""
        now, passed = self._clock.now(), self._clock.passed()
        seen = replace(record.seen(now, passed, troubles=tuple(self._troubles)), events=())
        found = judge(seen)
        record.saw(found, now)
        state = frozenset((one.check, str(one.severity)) for one in found)
        if state - self._states.get(device, frozenset()):
            self._woken[device] = None
        self._states[device] = state

    def _stamped(self, told: T) -> T:
        return replace(told, at=self._clock.now(), passed=self._clock.passed())

    def _keep_floors(self) -> None:
        try:
            self._floors.save()
        except OSError as error:
            self._note("", "warning", f"what an empty GPU uses cannot be kept, and is learned again: {error}")
