"""Virtual time: what is to happen, in order, and a clock that only moves when somebody waits."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

EPOCH = 1_790_000_000.0  # some day in 2026, in seconds since the epoch


class Killed(BaseException):
    """The supervisor was killed at this very call: no `except Exception` of its own may see it."""


@dataclass
class World:
    """Also the supervisor's Clock. `jump` is what the wall clock was set to beside the true time."""

    chance: random.Random
    time: float = 0.0
    jump: float = 0.0
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _count: int = 0

    def now(self) -> float:
        """The wall clock of the simulated machine."""
        return EPOCH + self.time + self.jump

    def true(self) -> float:
        """The time at GitHub, which nobody sets."""
        return EPOCH + self.time

    def passed(self) -> float:
        """Seconds since the simulation began."""
        return self.time

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        """Let something happen then, if time gets there."""
        self._count += 1
        heapq.heappush(self._events, (self.time + seconds, self._count, event))

    def due(self) -> float:
        """When the next thing happens; infinity: never."""
        return self._events[0][0] if self._events else float("inf")

    def wait(self, seconds: float) -> None:
        """Let time pass, and happen what is due in it."""
        until = self.time + seconds
        while self._events and self._events[0][0] <= until:
            at, _, event = heapq.heappop(self._events)
            self.time = max(self.time, at)
            event()
        self.time = max(self.time, until)

    def between(self, low: float, high: float) -> float:
        """A draw, uniform."""
        return self.chance.uniform(low, high)

    def happens(self, rate: float) -> bool:
        """A draw: whether what has this probability happens now."""
        return rate > 0 and self.chance.random() < rate
