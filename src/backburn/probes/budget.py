"""How much of a training's time may go into recording it."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator

# Of the time trained. Half a percent more is what no clock around it sees, the training's data pushed out of the caches
# for one: 2 % in all (benchmarks/reproduce).
SHARE = 0.015
# Seconds that may be spent before they are earned, where the training is planned to be long enough to earn them: the
# first steps are the dense ones of the grid, and a defect shows in them.
_CREDIT = 0.25
_SURE = 0.5  # of what is planned: the first steps, by which its length is told, are slow ones


class Budget:
    """What was spent so far, in seconds, and whether the next recording may be paid.

    All that is spent is at most `share` of the time trained or, earlier, of half of that planned and then at most
    0.25 s; only the first recording is beyond its reach, and one that costs more than the one before.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self.spent = self.last = 0.0
        self._now = 0.0

    @contextlib.contextmanager
    def paid(self) -> Iterator[None]:
        """What runs inside is recording."""
        began = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - began
            self.spent += took
            self._now += took

    def over(self) -> None:
        """One recording is complete: the next one is expected to cost as much."""
        self.last, self._now = self._now, 0.0

    def affords(self, trained: float, planned: float, besides: float = 0.0) -> bool:
        """Whether one more recording is within the share, after `trained` seconds, of `planned` (0: not known) in all;
        `besides` was spent elsewhere. The first one always is: what it costs is not known.
        """
        return not self.last or self.spent + besides + self.last <= self.allowed(trained, planned)

    def allowed(self, trained: float, planned: float) -> float:
        """Seconds that may have been spent by now."""
        if self.share == math.inf:
            return math.inf
        return max(self.share * trained, min(_CREDIT, self.share * planned * _SURE))
