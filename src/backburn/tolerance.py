"""How far one more training may lie from those of a reference: Student's prediction interval, right for few runs.

For k runs of mean m and standard deviation s, one more sound run lies outside m ± t·s·√(1 + 1/k) in a share `alpha` of
all cases, t being the 1 - alpha/2 quantile of Student's distribution with k - 1 degrees of freedom (Hahn, 1969). Three
standard deviations of 5 runs, for comparison, are left by 5 % of sound runs, not by 0.3 %.

The mean of n more runs lies outside m ± t·s·√(1/n + 1/k) in that share. It is held to the s of the k runs, and to that
of all k + n around their own means, which is known better (k + n - 2 degrees of freedom); each gets half of `alpha`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_RELATIVE = 1e-6  # another order of summation moves a validation loss by up to 8e-7 (measured on a small CNN)


@dataclass(frozen=True, kw_only=True)
class Spread:
    """What `runs` runs of one figure came to. All but `logarithmic` is of its logarithm where that is set.

    `floor` is the least standard deviation that can be, however alike the few runs are.
    """

    runs: int
    mean: float
    sd: float
    floor: float
    logarithmic: bool = False

    def limit(self, alpha: float) -> float:
        """How far from the mean one more run may lie. The floor is known, not estimated: its factor is the normal's."""
        one_more = math.sqrt(1 + 1 / self.runs)
        return max(factor(self.runs, alpha) * self.sd, normal(alpha) * one_more * self.floor)

    def holds(self, value: float, alpha: float) -> bool:
        """Whether one more run may come to this; never for NaN."""
        return self._distance(value) <= self.limit(alpha)

    def moved(self, values: Sequence[float], alpha: float) -> bool:
        """Whether the mean of more runs lies further off than that of so many sound ones; always so for NaN.

        The spread of the k runs alone tells what was steady and is now anywhere, the pooled one what moved a little.
        """
        several = len(values)
        if several == 1:
            return not self.holds(values[0], alpha)
        scaled = [self._scaled(value) for value in values]
        mean = math.fsum(scaled) / several
        if not math.isfinite(mean):
            return True
        squares = (self.runs - 1) * self.sd**2 + math.fsum((value - mean) ** 2 for value in scaled)
        degrees = self.runs + several - 2
        own = quantile(self.runs - 1, alpha / 2) * self.sd
        pooled = quantile(degrees, alpha / 2) * math.sqrt(squares / degrees)
        limit = unit(self.runs, several) * max(min(own, pooled), normal(alpha) * self.floor)
        return not abs(mean - self.mean) <= limit

    def between(self, alpha: float) -> tuple[float, float]:
        """The lowest and the highest that one more run may come to, in the figure's own unit."""
        low, high = self.mean - self.limit(alpha), self.mean + self.limit(alpha)
        return (_exp(low), _exp(high)) if self.logarithmic else (low, high)

    def deviation(self, value: float) -> float:
        """The distance from the mean in standard deviations (in floors where that is more)."""
        distance, unit = self._distance(value), max(self.sd, self.floor)
        return distance / unit if unit else math.inf if distance else 0.0

    def _distance(self, value: float) -> float:
        return abs(self._scaled(value) - self.mean)

    def _scaled(self, value: float) -> float:
        if not self.logarithmic:
            return value
        return math.log(value) if value > 0 else math.nan if value != value else -math.inf


def of(name: str, values: Sequence[float], samples: int = 0) -> Spread:
    """The spread of one figure over at least 2 finite runs. Raises ValueError for fewer.

    A figure with `loss` in its name that is always positive is looked at on the log scale. A share (an accuracy, in
    [0, 1]) of `samples` samples cannot be known better than √(p(1-p)/samples), with p moved by (x·n+1)/(n+2) away from
    0 and 1, where it would say 0.
    """
    if len(values) < 2:
        raise ValueError(f"the spread of {name!r} takes at least 2 runs, got {len(values)}")
    is_loss = "loss" in name.lower()
    logarithmic = is_loss and min(values) > 0
    scaled = [math.log(value) for value in values] if logarithmic else list(values)
    mean = math.fsum(scaled) / len(scaled)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in scaled) / (len(scaled) - 1))
    floor = _RELATIVE * (1.0 if logarithmic else abs(mean))
    if samples and not is_loss and min(values) >= 0 and max(values) <= 1:
        share = (mean * samples + 1) / (samples + 2)
        floor = max(floor, math.sqrt(share * (1 - share) / samples))
    return Spread(runs=len(values), mean=mean, sd=sd, floor=floor, logarithmic=logarithmic)


def factor(runs: int, alpha: float) -> float:
    """Standard deviations that one more run may lie off the mean of `runs`, two-sided.

    >>> round(factor(5, 0.01), 2), round(factor(3, 0.001), 1)
    (5.04, 36.5)
    """
    return quantile(runs - 1, alpha) * unit(runs)


def unit(runs: int, several: int = 1) -> float:
    """The standard deviation of the difference of two means, of `runs` runs and of `several`, in that of one run."""
    return math.sqrt(1 / several + 1 / runs)


@functools.lru_cache(maxsize=1024)
def visible(runs: int, alpha: float, *, several: int = 1, degrees: int = 0, power: float = 0.8) -> float:
    """The smallest shift, in standard deviations, of the mean of `several` runs that leaves the limit of `runs` others
    in a share of at least `power`; the standard deviation is known with `degrees` of freedom (0: runs - 1).

    This is the power of Student's test, integrated over the estimate s, whose square is χ² with its degrees.

    >>> round(visible(5, 0.02), 1), round(visible(5, 0.02, several=3), 1)
    (5.3, 3.6)
    """
    degrees = degrees or runs - 1
    width = unit(runs, several)
    weights = _estimates(degrees)
    limit = quantile(degrees, alpha)

    def seen(shift: float) -> float:
        return math.fsum(share * _above(limit * s - shift / width) for s, share in weights)

    return _where(seen, power, 100 * limit * width)


def _estimates(degrees: int, points: int = 400) -> list[tuple[float, float]]:
    """Values that s takes where it should be 1, and the share of each: the density of √(χ²/degrees), at the middles
    of narrow strips.
    """
    highest = 1 + 8 / math.sqrt(degrees)
    values = [(place + 0.5) * highest / points for place in range(points)]
    logs = [(degrees - 1) * math.log(s) - degrees * s * s / 2 for s in values]
    top = max(logs)
    total = math.fsum(math.exp(one - top) for one in logs)
    return [(s, math.exp(one - top) / total) for s, one in zip(values, logs)]


def _above(z: float) -> float:
    """The share of the normal distribution above z."""
    return math.erfc(z / math.sqrt(2)) / 2


@functools.lru_cache(maxsize=1024)
def quantile(degrees: int, alpha: float) -> float:
    """Student's t that is exceeded on either side with the probability `alpha` together."""
    angle = _where(lambda angle: _inside(angle, degrees), 1 - alpha, math.pi / 2)
    return math.sqrt(degrees) * math.tan(angle)


@functools.lru_cache(maxsize=1024)
def normal(alpha: float) -> float:
    """The same for the normal distribution, where the standard deviation is known."""
    return _where(lambda z: math.erf(z / math.sqrt(2)), 1 - alpha, 40.0)


def _inside(angle: float, degrees: int) -> float:
    """P(|T| <= t) for t = √degrees · tan(angle): the finite series of Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2
    if degrees == 1:
        return angle * 2 / math.pi
    term = total = cosine if odd else 1.0
    for i in range(2 + odd, degrees - 1, 2):
        term *= (i - 1) / i * cosine**2
        total += term
    return (angle + sine * total) * 2 / math.pi if odd else sine * total


def _where(rising: Callable[[float], float], target: float, high: float) -> float:
    """Between 0 and `high`, to the last bit, by bisection."""
    low = 0.0
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if rising(middle) < target else (low, middle)
    return high


def _exp(value: float) -> float:
    return math.exp(value) if value < 709 else math.inf
