"""What is known of one GPU: its latest looks, and what happened to it. Bounded, however long and however noisy."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from .floor import Floors, dirty
from .reading import Event, Reading, Trouble
from .symptom import Severity, Symptom
from .xid import RECOVERY_CHANGED, meaning

HELD = 300.0  # seconds that what was seen once still counts: a fault that comes and goes is a fault
QUIET = 600.0  # seconds that a slot is kept from work after an event that passes, from when it was first kept
_ASKED = 120.0  # seconds between two questions about an empty slot, above which a job may have run between
_JOINED = 90.0  # seconds between two looks that saw the same: it was so in between, too
_LOOKS, _EVENTS, _SPANS, _CODES = 5000, 1000, 1000, 64


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One device at one moment: what every check is given."""

    device: str
    now: float  # seconds since the epoch
    passed: float  # Clock.passed
    looks: tuple[Reading, ...] = ()  # the earliest first
    events: tuple[Event, ...] = ()  # those that still count
    troubles: tuple[Trouble, ...] = ()
    grace: float = 120.0  # seconds
    late: bool = False  # it was asked for a look, and has not answered yet
    empty: bool = False  # no job should be there
    floor: int | None = None  # bytes in use when it is empty
    dirty: float = 0.0  # since when (Clock.passed) the empty slot has not been clean; 0.0: it is
    relapses: int = 0  # how often it became so within HELD


@dataclass
class _Standing:
    event: Event
    told: float = 0.0  # when an empty slot was first kept from work by it


@dataclass
class _Span:
    symptom: Symptom
    last: float  # seconds since the epoch


class Record:
    """Of one device. Not locked: whoever has it sees to that."""

    def __init__(self, device: str, floors: Floors, grace: float = 120.0) -> None:
        self._device, self._floors, self._grace = device, floors, grace
        self._looks: deque[Reading] = deque(maxlen=_LOOKS)
        self._events: deque[Event] = deque(maxlen=_EVENTS)
        self._standing: dict[tuple[str, int], _Standing] = {}
        self._spans: deque[_Span] = deque(maxlen=_SPANS)
        self._asked = self._dirty = 0.0
        self._relapses: deque[float] = deque(maxlen=16)

    @property
    def newest(self) -> Reading | None:
        """The latest look."""
        return self._looks[-1] if self._looks else None

    @property
    def sound(self) -> Reading | None:
        """The latest look that was answered."""
        return next((one for one in reversed(self._looks) if not one.error), None)

    def add(self, reading: Reading) -> Event | None:
        """A look, and the uncorrected memory errors since the last one, where there are more."""
        before = next((one.ecc_uncorrected for one in reversed(self._looks) if one.ecc_uncorrected is not None), None)
        self._looks.append(reading)
        while self._looks[0].passed < reading.passed - max(HELD, 4 * self._grace):
            self._looks.popleft()
        more = (reading.ecc_uncorrected or 0) - (before or 0) if before is not None else 0
        if more <= 0:
            return None
        event = Event(device=self._device, kind="ecc", code=more, at=reading.at, passed=reading.passed)
        self.happened(event)
        return event

    def happened(self, event: Event) -> None:
        """An Xid, or more errors. What keeps a slot from work is kept apart, where no flood pushes it out."""
        self._events.append(event)
        key = (event.kind, event.code if event.kind == "xid" else 0)
        if _grave(event) and (lasting(event) or key in self._standing or len(self._standing) < _CODES):
            self._standing[key] = _Standing(event)

    def seen(
        self, now: float, passed: float, *, empty: bool = False, late: bool = False, troubles: Sequence[Trouble] = ()
    ) -> Seen:
        """For the checks, now. With `empty`, a floor is learned and the time of what is left behind begins."""
        if empty:
            self._look_around(passed)
        for key, one in list(self._standing.items()):
            if one.told and passed - one.told > QUIET and not lasting(one.event):
                del self._standing[key]
        return Seen(
            device=self._device,
            now=now,
            passed=passed,
            looks=tuple(self._looks),
            events=(*(one.event for one in self._standing.values()), *self._lately(passed)),
            troubles=tuple(troubles),
            grace=self._grace,
            late=late,
            empty=empty,
            floor=self._floors.of(self._device),
            dirty=self._dirty if empty else 0.0,
            relapses=sum(passed - since <= HELD for since in self._relapses) if empty else 0,
        )

    def _lately(self, passed: float) -> Iterable[Event]:
        """The others, the last of each code."""
        late = [one for one in self._events if one.kind == "xid" and passed - one.passed <= HELD]
        return {one.code: one for one in late if ("xid", one.code) not in self._standing}.values()

    def _look_around(self, passed: float) -> None:
        for one in self._standing.values():
            one.told = one.told or passed
        if self.newest is not None:
            self._floors.learn(self.newest)
            was = self._dirty if passed - self._asked <= _ASKED else 0.0
            self._dirty = (was or passed) if dirty(self.newest, self._floors.of(self._device)) else 0.0
            if self._dirty and not was:
                self._relapses.append(passed)
        self._asked = passed

    def saw(self, symptoms: Iterable[Symptom], now: float) -> None:
        """What the latest look came to, for `between`."""
        for symptom in symptoms:
            key = (symptom.check, symptom.severity)
            same = next(
                (one for one in reversed(self._spans) if key == (one.symptom.check, one.symptom.severity)), None
            )
            if same is not None and now - same.last <= _JOINED:
                same.last = now
            else:
                self._spans.append(_Span(symptom, now))

    def lasted(self, begin: float, end: float) -> tuple[Symptom, ...]:
        """What was so at some time between (seconds since the epoch)."""
        return tuple(one.symptom for one in self._spans if one.symptom.at <= end and one.last >= begin)

    def events(self, begin: float, end: float) -> tuple[Event, ...]:
        """What happened between."""
        return tuple(one for one in self._events if begin <= one.at <= end)


def _grave(event: Event) -> bool:
    if event.kind != "xid":
        return event.kind == "ecc"
    return event.code == RECOVERY_CHANGED or meaning(event.code).severity is not Severity.NOTED


def lasting(event: Event) -> bool:
    """Whether only a person ends it."""
    return event.kind == "xid" and meaning(event.code).severity is Severity.RESET
