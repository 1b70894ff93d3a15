"""Keeps one process that looks: asks it, ends it when it does not answer, starts another, and never a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from .looker import Looker
from .reading import Look, Told, Trouble

BEGIN = 30.0  # seconds that its first look may take: without persistence mode each GPU is brought up first
ANSWER = 5.0  # seconds that any other may
PACES = (1.0, 30.0)  # seconds before another is started: at first, at most
_TICK = 0.25  # seconds between two looks at the process itself
_STILL = 60.0  # seconds after which it is said again that one cannot be ended


class Keeper:
    """One thread. `hear` is told what the process says, and what became of it; on threads of ours."""

    def __init__(
        self,
        words: Sequence[str],
        interval: float,
        hear: Callable[[Told], None],
        *,
        begin: float = BEGIN,
        answer: float = ANSWER,
        paces: tuple[float, float] = PACES,
    ) -> None:
        self._words, self._interval, self._hear = words, interval, hear
        self._begin, self._answer, self._paces = begin, answer, paces
        self._looker: Looker | None = None
        self._wake = threading.Event()
        self._closed = False
        self._asked = self._again = self._stuck = 0.0  # by time.monotonic()
        self._pace = paces[0]
        self._answered = self._refused = False  # since it was started
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def prompt(self) -> bool:
        """Whether an answer may come at once: a process is there, and does not keep us waiting."""
        late = time.monotonic() - self._asked > self._answer / 4
        return self._looker is not None and not self._stuck and not (self._looker.owes and late)

    def want(self) -> None:
        """A look as soon as may be. Never waits."""
        self._wake.set()

    def close(self) -> None:
        """End the process and the thread; waits two seconds at most."""
        self._closed = True
        self._wake.set()
        self._thread.join(2.0)

    def _run(self) -> None:
        while not self._closed:
            wanted = self._wake.wait(_TICK)
            self._wake.clear()
            self._step(time.monotonic(), wanted)
        if self._looker is not None:
            self._looker.end()

    def _step(self, now: float, wanted: bool) -> None:
        if self._looker is None:
            if now >= self._again:
                self._start(now)
        elif self._looker.code() is not None or (self._looker.silent and not self._stuck):
            self._bury(self._looker, now)
        elif self._stuck:
            if now - self._stuck > _STILL:
                self._cannot_end(now)
        elif self._looker.owes:
            if now - self._asked > (self._answer if self._answered else self._begin):
                self._give_up(self._looker, now)
        elif wanted or now - self._asked >= self._interval:
            self._asked = now
            self._looker.ask()

    def _start(self, now: float) -> None:
        self._answered = self._refused = False
        try:
            self._looker = Looker(self._words, self._told, self._wake.set)
        except OSError as error:  # no memory, too many processes
            self._hear(Trouble(kind="end", code=127, said=str(error)))
            self._rest(now)
            return
        self._asked = now
        self._looker.ask()

    def _told(self, told: Told) -> None:
        if isinstance(told, Look):
            self._answered, self._pace = True, self._paces[0]
        self._refused = self._refused or isinstance(told, Trouble)
        self._hear(told)

    def _bury(self, looker: Looker, now: float) -> None:
        if not looker.end():
            self._cannot_end(now)
            return
        if not (self._refused or self._stuck):
            self._hear(Trouble(kind="end", code=looker.code() or 0))
        self._looker, self._stuck = None, 0.0
        self._rest(now)

    def _give_up(self, looker: Looker, now: float) -> None:
        self._hear(Trouble(kind="hang"))
        if looker.end():
            self._looker = None
            self._rest(now)
        else:
            self._cannot_end(now)

    def _cannot_end(self, now: float) -> None:
        self._stuck = now
        self._hear(Trouble(kind="stuck"))

    def _rest(self, now: float) -> None:
        self._again, self._pace = now + self._pace, min(2 * self._pace, self._paces[1])
