"""The process: a thread for each slot, one for the janitor, one that listens to the engine; it ends within seconds."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from . import notify
from .engine import Unreachable
from .janitor import Janitor
from .lease import State
from .machine import step
from .muster import muster
from .place import FIRST, Place, Tools
from .store import Full

TICK = 5.0  # seconds
ENDING = 4.0  # seconds that the steps in progress get; what they leave undone, the next start finds
AGAIN = 30.0  # seconds after a bug of ours, until its slot is looked at again


@dataclass
class Supervisor:
    """`run()` returns the exit code. Told of it all: `expected` (the slots there are), `stepped`, `ticked`."""

    tools: Tools
    janitor: Janitor
    rounds: Sequence[Callable[[], float]] = ()  # of others like the janitor: each returns seconds until the next
    reload: Callable[[], object] = lambda: None  # raises UserError where the configuration cannot be taken
    close: Callable[[], None] = lambda: None  # ends what listens to the engine
    expected: Callable[[Collection[str]], None] = lambda names: None
    stepped: Callable[[Place, float], None] = lambda place, due: None
    ticked: Callable[[], None] = lambda: None  # every few seconds, by the main thread
    stopping: threading.Event = field(default_factory=threading.Event)
    places: list[Place] = field(default_factory=list)
    _wakes: dict[str, threading.Event] = field(default_factory=dict)
    _again: bool = False

    def run(self) -> int:
        """Until SIGTERM or SIGINT. Every container is left as it is: the next start adopts it."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._signalled)
        self._muster()
        self.expected([place.slot.name for place in self.places])
        threads = [self._thread(self._work, place) for place in self.places]
        threads += [self._thread(self._go_round, one) for one in (self.janitor.round, *self.rounds)]
        self._thread(self.tools.engine.watch, self.wake)
        self._thread(self.tools.care.health.watch, self._felt)
        notify.tell(notify.READY)
        while not self.stopping.wait(TICK):
            self.ticked()
        notify.reloading() if self._again else notify.tell(notify.STOPPING)
        self.wake("")
        self.close()
        until = self.tools.clock.passed() + ENDING
        for thread in threads:
            thread.join(max(0.0, until - self.tools.clock.passed()))
        self.tools.note("", "info", "stopped; what runs goes on running")
        if self._again:
            os.execv(sys.executable, [sys.executable, "-m", "backburn", *sys.argv[1:]])  # noqa: S606
        return 0

    def wake(self, slot: str) -> None:
        """Look at a slot now; "": at all of them."""
        for name, event in self._wakes.items():
            if slot in ("", name):
                event.set()

    def _felt(self, device: str) -> None:
        """Something was seen on a GPU: its slots look now; where it is no slot's own (a GPU with instances), all do."""
        self.tools.care.doubt(device)
        slots = [place.slot.name for place in self.places if place.slot.device == device]
        for slot in slots or [""]:
            self.wake(slot)

    def _muster(self) -> None:
        """Without the engine nobody knows what runs: wait for it, as long as it takes."""
        said = ""
        while not self.stopping.is_set():
            try:
                self.places = muster(self.tools.config, self.tools.store, self.tools.engine)
                break
            except (Unreachable, Full) as error:
                if str(error) != said:
                    said = str(error)
                    self.tools.note("", "error", f"not begun: {said}")
                notify.waiting(said)
                self.stopping.wait(FIRST)
        for place in self.places:
            place.since = self.tools.clock.passed()
            self._wakes[place.slot.name] = threading.Event()

    def _thread(self, target: Callable[..., None], *given: object) -> threading.Thread:
        thread = threading.Thread(target=target, args=given, daemon=True)
        thread.start()
        return thread

    def _work(self, place: Place) -> None:
        name = place.slot.name
        wake = self._wakes[name]
        while not self.stopping.is_set():
            wake.clear()  # what happens from here on is seen in the next round
            try:
                seconds = step(place, self.tools)
            except Exception as error:
                self.tools.note(name, "error", "a bug of backburn, please report it:\n" + _trace(error))
                place.state, seconds = State.UNKNOWN, AGAIN
                place.since = self.tools.clock.passed()
            self.stepped(place, seconds)
            if place.retired and place.state is State.PARKED:
                return self._forget(place)
            if seconds > 0:
                wake.wait(seconds)

    def _forget(self, place: Place) -> None:
        self.places.remove(place)
        self.expected([one.slot.name for one in self.places])
        try:
            self.tools.store.forget(place.slot.name)
        except Full as error:
            self.tools.note(place.slot.name, "error", str(error))

    def _go_round(self, go: Callable[[], float]) -> None:
        while not self.stopping.is_set():
            try:
                seconds = go()
            except Full as error:
                self.tools.note("", "error", str(error))
                seconds = FIRST
            except Exception as error:
                self.tools.note("", "error", "a bug of backburn, please report it:\n" + _trace(error))
                seconds = AGAIN
            self.stopping.wait(seconds)

    def _signalled(self, number: int, frame: object) -> None:
        if number == signal.SIGHUP:
            try:
                self.reload()
            except Exception as error:
                self.tools.note("", "error", f"the configuration stays as it was: {error}")
                return
            self.tools.note("", "info", "the configuration is read again, by a restart that adopts what runs")
            self._again = True
        self.stopping.set()


def _trace(error: Exception) -> str:
    return "".join(traceback.format_exception(error)).rstrip()
