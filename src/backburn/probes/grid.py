"""Which steps of a training are kept: a grid that is the same for each, however long it goes on, and octaves."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

_FIRST = (1, 2, 3, 5, 8, 13, 21, 34, 55)


def steps() -> Iterator[int]:
    """The grid, without end: Fibonacci's numbers up to 55, then a quarter more each time, rounded down.

    >>> from itertools import islice, takewhile
    >>> list(islice(steps(), 13))
    [1, 2, 3, 5, 8, 13, 21, 34, 55, 68, 85, 106, 132]
    >>> len(list(takewhile(lambda step: step <= 1_000_000, steps())))
    53
    """
    yield from _FIRST
    step = _FIRST[-1]
    while True:
        step = step * 5 // 4
        yield step


class Grid:
    """A cursor on the grid: `next` is the first of its steps that has not come yet.

    A training that goes on after `start` steps of another process stops at that one's grid too: they can be compared.
    """

    def __init__(self, start: int = 0) -> None:
        theirs = (step - start for step in steps() if step > start)
        self._steps = _without_doubles(heapq.merge(steps(), theirs)) if start else steps()
        self.next = next(self._steps)

    def reached(self, step: int) -> bool:
        """Whether `step`, one more than the last time, is on the grid."""
        if step < self.next:
            return False
        self.next = next(self._steps)
        return True


def _without_doubles(several: Iterable[int]) -> Iterator[int]:
    return (one for one, _ in itertools.groupby(several))


class Octaves:
    """Means over (s/2, s] for s = 1, 2, 4, 8, …: of a loss that jumps from batch to batch they say where it is.

    Values may be tensors: a sum stays on its device, and is read (`float`) where an octave ends.
    """

    def __init__(self) -> None:
        self.means: dict[int, float] = {}
        self.step, self.end = 0, 1
        self.total: Any = 0.0
        self.count = 0

    def add(self, value: Any) -> bool:
        """The next step's value, None where it has none. Whether an octave ended with it."""
        self.step += 1
        if value is not None:
            self.total, self.count = self.total + value, self.count + 1
        if self.step < self.end:
            return False
        self.means |= self._mean()
        self.total, self.count, self.end = 0.0, 0, 2 * self.end
        return True

    @property
    def points(self) -> list[tuple[int, float]]:
        """(s, mean) of each octave that had a value; the last one's may be cut short by the last step."""
        return [*(self.means | self._mean()).items()]

    def _mean(self) -> dict[int, float]:
        return {self.step: float(self.total) / self.count} if self.count else {}


class Thinned:
    """Values by step, at most `most`: each one, then each second, each fourth …, so that long ones agree with short."""

    def __init__(self, most: int = 200) -> None:
        self.points: list[tuple[int, float]] = []
        self.most, self.stride, self.count = most, 1, 0

    def add(self, step: int, value: float) -> None:
        """One more."""
        if self.count % self.stride == 0:
            self.points.append((step, value))
        self.count += 1
        if len(self.points) > self.most:
            del self.points[1::2]
            self.stride *= 2
