"""The health of the GPUs as the slots have it: what keeps a job away, what was felt while one ran, and who is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ..received import line
from .clock import Clock, SystemClock
from .health.symptom import Health, Severity, Symptom, Unwatched
from .lease import Kind, Lease, Quarantine, Slot

EARLY = 30.0  # seconds before its hook says so that a job may have begun: two looks at a container, and some
MOST = 32  # symptoms that are kept of a lease
_RANK = {severity: rank for rank, severity in enumerate(Severity)}
_KINDS = {Severity.UNFIT: Kind.UNFIT, Severity.RESET: Kind.RESET}


@dataclass
class Care:
    """Any thread. `probe` is real work on a GPU, for parole, or (`each_lease`) before each lease: it may take 40
    seconds. `trusted` says when a person last released a slot: what was seen before that is mended.
    """

    health: Health = field(default_factory=Unwatched)
    devices: Iterable[str] = ()  # all of this pool's
    note: Callable[[str, str, str], None] = lambda slot, level, said: None
    probe: Callable[[str], Symptom | None] = lambda device: None
    each_lease: bool = False
    trusted: Callable[[str], float] = lambda slot: 0.0
    clock: Clock = field(default_factory=SystemClock)
    current: dict[str, tuple[Symptom, ...]] = field(default_factory=dict)  # by slot, as of its last look
    quarantines: Counter[tuple[str, str]] = field(default_factory=Counter)  # begun, by slot and kind
    _told: set[tuple[str, str, str]] = field(default_factory=set)
    _machine: set[str] = field(default_factory=set)  # devices that may speak against the whole machine

    def __post_init__(self) -> None:
        """Each of them may, until it was asked."""
        for device in self.devices:
            self.doubt(device)

    def doubt(self, device: str) -> None:
        """Something new was seen there: whoever looks next asks it too, for its own slot may look no more (drained)."""
        self._machine.add(device)

    def against(self, slot: Slot, *, empty: bool = True) -> tuple[Symptom, ...]:
        """What speaks against it now, also what was seen on another GPU and is of the whole machine.

        Within two seconds where the driver is silent: then no other GPU is asked. `empty`: no job runs there.
        """
        if not slot.device:
            return ()
        found = self.unmended(slot, self._asked(slot.device, empty))
        self._tell(slot, found)
        return found if gravest(found, Severity.WAIT) else found + self._elsewhere(slot.device)

    def unmended(self, slot: Slot, seen: Iterable[Symptom]) -> tuple[Symptom, ...]:
        """Those that were seen after a person last released the slot."""
        since = self.trusted(slot.name)
        since = since if since <= self.clock.now() else 0.0  # the clock was set back
        return tuple(one for one in seen if not 0 < one.at <= since)

    def felt(self, slot: Slot, lease: Lease, now: float) -> tuple[Symptom, ...]:
        """What speaks against its GPU now or did since its job began, and is not in lease.symptoms yet.

        Not what may pass by itself: a look that came late explains no job's end.
        """
        if not slot.device:
            return ()
        begin = max(lease.started, lease.busy - EARLY) if lease.busy else lease.started
        between = self.unmended(slot, self.health.between(slot.device, begin, now))
        seen = between + self.against(slot, empty=False)
        known = {_kind(one) for one in self.unmended(slot, lease.symptoms)}
        new = {_kind(one): one for one in reversed(seen) if one.severity is not Severity.WAIT}  # the first of each
        return tuple(one for kind, one in reversed(new.items()) if kind not in known)[: MOST - len(lease.symptoms)]

    def worked(self, slot: Slot) -> Symptom | None:
        """What keeps a GPU from work that really was tried on it; no job runs there."""
        found = self.probe(slot.device) if slot.device else None
        if found is not None and found.severity is Severity.NOTED:  # there is nothing to try it with
            self._once(slot.name, found.check, found.severity, said(found))
            return None
        return found

    def counted(self) -> dict[tuple[str, str, str], int]:
        """By slot, check and severity: how many there were when it was last looked at."""
        found = [(slot, one.check, one.severity.value) for slot, seen in list(self.current.items()) for one in seen]
        return dict(Counter(found))

    def _asked(self, device: str, empty: bool) -> tuple[Symptom, ...]:
        found = self.health.symptoms(device, empty=empty)
        if any(one.severity is Severity.MACHINE for one in found):
            self._machine.add(device)
        else:
            self._machine.discard(device)
        return found

    def _elsewhere(self, device: str) -> tuple[Symptom, ...]:
        for other in sorted(self._machine - {device}):
            found = [one for one in self._asked(other, empty=False) if one.severity is Severity.MACHINE]
            if found:
                return (found[0],)
        return ()

    def _tell(self, slot: Slot, found: tuple[Symptom, ...]) -> None:
        self.current[slot.name] = found
        for check in self.health.unseen(slot.device):
            self._once(slot.name, check, "", f"{line(check)}: not supported by this card or driver, and left out")
        for one in found:
            if one.severity is Severity.NOTED:
                self._once(slot.name, one.check, one.severity, f"{said(one)}; jobs go on")

    def _once(self, slot: str, check: str, severity: str, text: str) -> None:
        if (key := (slot, check, severity)) not in self._told:
            self._told.add(key)
            self.note(slot, "warning" if severity else "info", text)


def _kind(one: Symptom) -> tuple[str, str, str]:
    return one.check, one.severity, one.blame


def gravest(found: Iterable[Symptom], least: Severity) -> Symptom | None:
    """The worst of those that are at least as grave as that."""
    grave = [one for one in found if _RANK[one.severity] >= _RANK[least]]
    return max(grave, key=lambda one: _RANK[one.severity], default=None)


def ground(found: Iterable[Symptom]) -> Quarantine | None:
    """What of it is a reason to quarantine this one GPU."""
    own = [one for one in found if one.severity in _KINDS]
    worst = gravest(own, Severity.UNFIT)
    return Quarantine(kind=_KINDS[worst.severity], reason=said(worst)) if worst else None


def said(one: Symptom) -> str:
    """In one line; a driver's words may be in it."""
    return line(f"{one.check}: {one.said} {one.hint}".rstrip())
