"""Time, of which there are two: `now` for people and other machines, `passed` for deadlines."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What the supervisor knows of time."""

    def now(self) -> float:
        """Seconds since the epoch; may jump either way."""

    def passed(self) -> float:
        """Seconds since some moment; never jumps. Every deadline is by this."""

    def wait(self, seconds: float) -> None:
        """Sleep, inside one call of ours (a retry), never for a slot's sake."""


class SystemClock:
    """This machine's."""

    def now(self) -> float:
        """By the wall clock."""
        return time.time()

    def passed(self) -> float:
        """Monotonic, time asleep included: a laptop that slept has a job that got older."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()

    def wait(self, seconds: float) -> None:
        """By the system."""
        time.sleep(seconds)
