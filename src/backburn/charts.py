"""Curves as drawings: where lines, dots, gaps and labels lie. Plain numbers, for whoever draws them.

Places are whole numbers from 0 to 1000, from the left and from the top, in a plot that may be stretched to any size.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .report import Curve

SIZE = 1000  # of the plot, both ways
_MOST = 500  # points of a line; a screen has no more columns to show them in
_SPOTS = 100  # places to point at
_RATIO = 50  # from the least to the most, above which a scale is logarithmic
_REFERENCE = "reference "  # before the name of the curve that another is held against

Point = tuple[int, float]  # step, value


@dataclass(frozen=True)
class Label:
    """A word at an axis, or at a spot (`width` wide) that a reader points at."""

    place: int
    text: str
    width: int = 0


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One plot. `lines`, `reference` and `dots` are SVG paths; `lost` says where a value is not finite."""

    name: str
    training: str
    words: str
    unit: str = ""
    log: bool = False
    lines: str = ""
    reference: str = ""
    dots: str = ""
    median: int | None = None
    lost: tuple[int, ...] = ()
    rows: tuple[Label, ...] = ()
    columns: tuple[Label, ...] = ()
    spots: tuple[Label, ...] = ()


@dataclass(frozen=True)
class _Axis:
    """From the least to the most of some finite values, on a logarithmic scale or not."""

    low: float
    high: float
    log: bool

    @classmethod
    def over(cls, values: Sequence[float], *, may_be_log: bool = True) -> _Axis:
        """Logarithmic where they lie orders of magnitude apart."""
        low, high = min(values), max(values)
        return cls(low, high, may_be_log and low > 0 and high / low > _RATIO)

    def place(self, value: float) -> int:
        """Halved, so that the distance between two floats is one; in the middle where all are the same."""
        low, high, here = (math.log10(one) if self.log else one / 2 for one in (self.low, self.high, value))
        return round(SIZE * ((here - low) / (high - low))) if high > low else SIZE // 2

    def ticks(self, most: int = 5) -> list[float]:
        """Round numbers within it, about `most`: 1, 2 or 5 times a power of ten, on a logarithmic scale 1 or 3."""
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            every, leads = max(1, (last - first) // most), (1.0, 3.0) if last - first <= 3 else (1.0,)
            found = [lead * 10.0**power for power in range(first, last + 1, every) for lead in leads if power < 309]
            return [one for one in found if self.low <= one <= self.high]
        rough = (self.high / most - self.low / most) or abs(self.high) or 1.0
        power = 10.0 ** max(-300, math.floor(math.log10(rough)))
        step = power * next((lead for lead in (1, 2, 5) if lead * power >= rough), 10)
        if not self.high > self.low or not math.isfinite(step):
            return [self.low]
        counts = range(math.ceil(self.low / step), math.floor(self.high / step) + 1)
        return [one for one in (step * count for count in counts) if self.low <= one <= self.high] or [self.low]


def drawn(curves: Sequence[Curve]) -> list[Chart]:
    """A chart per curve; `reference loss` is drawn into the chart of `loss` (of the same training)."""
    named = {(one.name, one.training): one for one in curves}
    against = {(_REFERENCE + name, training) for name, training in named}
    alone = [one for one in curves if (one.name, one.training) not in against]
    return [_chart(one, named.get((_REFERENCE + one.name, one.training))) for one in alone]


def _chart(curve: Curve, reference: Curve | None) -> Chart:
    timed = curve.name.endswith("seconds")
    scale, unit = (1000.0, "ms") if timed else (1.0, "")
    whole = _points(curve, scale)
    own = [value for _, value in whole if math.isfinite(value)]
    words = _words(whole, unit, timed)
    if not own:
        return Chart(name=curve.name, training=curve.training, words=words)
    points, others = _thinned(whole), _thinned(_points(reference, scale)) if reference else []
    finite = [*own, *(value for _, value in others if math.isfinite(value))]
    x = _Axis.over([step for step, _ in (*points, *others)], may_be_log=bool(curve.steps))
    y = _Axis.over(finite)
    return Chart(
        name=curve.name,
        training=curve.training,
        words=words,
        unit=unit,
        log=y.log,
        lines="" if timed else _line(points, x, y),
        reference=_line(others, x, y),
        dots=_dots(points, x, y, alone_only=not timed),
        median=SIZE - y.place(statistics.median(own)) if timed else None,
        lost=tuple(sorted({x.place(step) for step, value in points if not math.isfinite(value)})),
        rows=tuple(Label(SIZE - y.place(one), f"{one:.4g}") for one in y.ticks()),
        columns=tuple(Label(x.place(one), f"{one:,.0f}") for one in x.ticks() if one == int(one)),
        spots=tuple(_spots(points, x, unit)),
    )


def _points(curve: Curve, scale: float) -> list[Point]:
    steps = curve.steps or range(1, len(curve.values) + 1)
    return [(step, scale * value) for step, value in zip(steps, curve.values)]


def _thinned(points: Sequence[Point]) -> Sequence[Point]:
    """At most about `_MOST`: of each share of a long one its least, its most and what is first not finite."""
    size = math.ceil(2 * len(points) / _MOST)
    if len(points) <= _MOST:
        return points
    return [one for start in range(0, len(points), size) for one in _ends(points[start : start + size])]


def _ends(share: Sequence[Point]) -> list[Point]:
    finite = [one for one in share if math.isfinite(one[1])]
    lost = [one for one in share if not math.isfinite(one[1])][:1]
    ends = [min(finite, key=_value), max(finite, key=_value)] if finite else []
    return sorted({*ends, *lost}, key=lambda one: one[0])


def _value(point: Point) -> float:
    return point[1]


def _stretches(points: Sequence[Point]) -> Iterator[list[Point]]:
    """The parts of it between values that are not finite."""
    for finite, some in itertools.groupby(points, key=lambda one: math.isfinite(one[1])):
        if finite:
            yield list(some)


def _line(points: Sequence[Point], x: _Axis, y: _Axis) -> str:
    parts = [[f"{x.place(step)} {SIZE - y.place(value)}" for step, value in one] for one in _stretches(points)]
    return "".join("M" + "L".join(part) for part in parts if len(part) > 1)


def _dots(points: Sequence[Point], x: _Axis, y: _Axis, *, alone_only: bool) -> str:
    """Strokes of no length, which round ends make dots: of each value, or of those that no line reaches."""
    parts = [one for one in _stretches(points) if len(one) == 1 or not alone_only]
    return "".join(f"M{x.place(step)} {SIZE - y.place(value)}h0" for one in parts for step, value in one)


def _spots(points: Sequence[Point], x: _Axis, unit: str) -> Iterator[Label]:
    some = points[:: math.ceil(len(points) / _SPOTS)]
    places = [x.place(step) for step, _ in some]
    edges = [0, *((left + right) // 2 for left, right in itertools.pairwise(places)), SIZE]
    for (step, value), left, right in zip(some, edges, edges[1:]):
        yield Label(left, f"step {step:,}: {_number(value, unit)}", right - left)


def _words(points: Sequence[Point], unit: str, timed: bool) -> str:
    """The curve for who does not see it, and what no drawing says to the digit."""
    finite = [one for one in points if math.isfinite(one[1])]
    lost = [one for one in points if not math.isfinite(one[1])]
    if not points:
        return "no value was measured"
    said = []
    if finite:
        least, most = min(finite, key=_value), max(finite, key=_value)
        said = [
            f"{name} {_number(one[1], unit)} at step {one[0]:,}" for name, one in (("least", least), ("most", most))
        ]
        said.append(f"last {_number(finite[-1][1], unit)} at step {finite[-1][0]:,}")
    if finite and timed:
        said.insert(0, f"median {_number(statistics.median(map(_value, finite)), unit)}")
    if lost:
        said.append(f"{len(lost)} of {len(points)} not finite, the first at step {lost[0][0]:,} ({lost[0][1]})")
    return "; ".join(said)


def _number(value: float, unit: str) -> str:
    return f"{value:.4g} {unit}".rstrip()
