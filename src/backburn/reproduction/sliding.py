"""The sliding lane: a training on the data of the last days, held against the nights of its own lane, not a reference.

What a night comes to has two parts. A training of the same code on data that stay (`beside`, in the fixed lane) shows
what the code did, and what is left is the data's: d_code = fixed(tonight) - fixed(last night), and
d_data = sliding(tonight) - sliding(last night) - d_code. Metrics that are always positive are looked at as logarithms.

Two charts stand on what is left of each night once the fixed lane is taken off. One night: Student's prediction
interval. A drift: an exponentially weighted mean (lambda 0.2; Roberts, 1959) of the later half against the mean of the
earlier one. Windows overlap, so that nights resemble the ones before: the variance of a mean is multiplied by
(1 + r) / (1 - r), r being the correlation of one night with the next.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from .. import tolerance

ENOUGH = 10  # nights before tonight; of fewer nothing is said
MOST = 60
_WEIGHT = 0.2  # lambda
_LIKENESS = 0.9  # the most that r is taken for: of few nights more is not to be told from a drift


class Point(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One night of the lane: the metrics at its end, and of the same night those of the training beside it."""

    date: str
    commit: str = ""
    figures: dict[str, float]
    beside: dict[str, float] = {}


class Lane(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The nights before, oldest first. `where` says where they are kept, `fixed` which training is beside."""

    points: tuple[Point, ...] = ()
    fixed: str = ""
    where: str = ""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What one metric did since the last night, relative where it is `relative`. `code` is None where no training of
    the fixed lane ran in both nights: then `data` is what both did together.
    """

    name: str
    data: float
    code: float | None
    relative: bool

    def __str__(self) -> str:
        """`data +3.1 %, code +0.0 %`."""
        if self.code is None:
            return f"data and code together {self._shown(self.data)}"
        return f"data {self._shown(self.data)}, code {self._shown(self.code)}"

    def _shown(self, value: float) -> str:
        return f"{round(100 * math.expm1(value), 1) + 0.0:+.1f} %" if self.relative else f"{round(value, 6) + 0.0:+.3g}"


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """A metric that is beyond what the lane's nights do: tonight alone, or by a drift."""

    name: str
    drift: bool
    deviation: float  # of tonight, or of the weighted mean, in standard deviations of a night
    nights: int


def effects(lane: Lane, tonight: Point) -> Iterator[Effect]:
    """Of each metric that the last night had too."""
    if not lane.points:
        return
    last = lane.points[-1]
    for name, value in tonight.figures.items():
        if name not in last.figures:
            continue
        fixed = (last.beside.get(name), tonight.beside.get(name))
        logarithmic = _positive([value, last.figures[name], *(one for one in fixed if one is not None)])
        total = _scaled(value, logarithmic) - _scaled(last.figures[name], logarithmic)
        if fixed[0] is None or fixed[1] is None:
            yield Effect(name=name, data=total, code=None, relative=logarithmic)
            continue
        code = _scaled(fixed[1], logarithmic) - _scaled(fixed[0], logarithmic)
        yield Effect(name=name, data=total - code, code=code, relative=logarithmic)


def alarms(lane: Lane, tonight: Point, alpha: float) -> Iterator[Alarm]:
    """The metrics that are off. `alpha` is the share of sound nights with one, divided among metrics and charts."""
    names = [name for name in tonight.figures if len(_series(lane, tonight, name)) > ENOUGH]
    for name in names:
        *before, now = _series(lane, tonight, name)
        each = alpha / len(names) / 2
        if (off := _jump(before, now)) and not off <= tolerance.factor(len(before), each):
            yield Alarm(name=name, drift=False, deviation=off, nights=len(before))
        elif found := _drift(before, now, each):
            yield Alarm(name=name, drift=True, deviation=found, nights=len(before))


def _series(lane: Lane, tonight: Point, name: str) -> list[float]:
    """What is left of a metric night by night, tonight last, once the fixed lane is taken off wherever all have it."""
    points = [one for one in (*lane.points[-MOST:], tonight) if name in one.figures]
    own, fixed = [one.figures[name] for one in points], [one.beside.get(name) for one in points]
    known = [one for one in fixed if one is not None]
    if len(known) < len(points):
        known = []
    logarithmic = _positive([*own, *known])
    scaled = [_scaled(one, logarithmic) for one in own]
    return [one - _scaled(two, logarithmic) for one, two in zip(scaled, known)] if known else scaled


def _jump(before: Sequence[float], now: float) -> float:
    """Standard deviations that tonight lies off the mean of the nights before."""
    mean, sd = _moments(before)
    return abs(now - mean) / sd if sd else math.inf if now != mean else 0.0


def _drift(before: Sequence[float], now: float, alpha: float) -> float:
    """How far the weighted mean of the later nights is off, in standard deviations; 0 where it is within its limit."""
    half = len(before) // 2
    early, late = before[:half], [*before[half:], now]
    mean, sd = _moments(early)
    if not sd:
        return math.inf if any(one != mean for one in late) else 0.0
    alike = _likeness(early, before[half:])
    weighted = mean
    for one in late:
        weighted += _WEIGHT * (one - weighted)
    kept = (1 - _WEIGHT) ** 2
    own = _WEIGHT / (2 - _WEIGHT) * (1 - kept ** len(late)) * _stretched(alike * (1 - _WEIGHT))
    wide = math.sqrt(own + _stretched(alike) / len(early))
    limit = tolerance.factor(len(early), alpha) / math.sqrt(1 + 1 / len(early)) * wide
    off = abs(weighted - mean) / sd
    return 0.0 if off <= limit else off


def _stretched(alike: float) -> float:
    return (1 + alike) / (1 - alike)


def _likeness(*halves: Sequence[float]) -> float:
    """The correlation of one night with the next, what is lost to the estimated mean added (Kendall, 1954). Each half
    is looked at around its own mean: a step between them is no likeness.
    """
    off = [[one - math.fsum(half) / len(half) for one in half] for half in halves]
    whole = math.fsum(one * one for half in off for one in half)
    found = math.fsum(one * two for half in off for one, two in zip(half, half[1:])) / whole if whole else 0.0
    return min(_LIKENESS, max(0.0, found + (1 + 3 * found) * len(halves) / sum(map(len, halves))))


def _moments(values: Sequence[float]) -> tuple[float, float]:
    mean = math.fsum(values) / len(values)
    return mean, math.sqrt(math.fsum((one - mean) ** 2 for one in values) / (len(values) - 1))


def _positive(values: Sequence[float]) -> bool:
    return min(values) > 0


def _scaled(value: float, logarithmic: bool) -> float:
    return math.log(value) if logarithmic else value
