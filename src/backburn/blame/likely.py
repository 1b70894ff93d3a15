"""Which commit most likely moved a metric of a training that does not repeat. Pure.

Runs before the culprit have one mean, those that hold it another, and all of them one variance; none of the three is
known. With the usual priors (flat for the means, 1/σ for the deviation) a hypothesis that parts n runs into groups of
g and b has the marginal likelihood (g·b)^(-1/2) · S^(-(n-2)/2), S being the squares within both groups: it is what
Student's t density of each run comes to, one after another (Gelman et al., Bayesian Data Analysis, 3.2). The next run
is of the commit whose side is least certain.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .. import tolerance
from .search import History

ENOUGH = 0.95  # of the posterior: then the search ends
APART = 0.01  # two-sided; ends that chance parts more often than this show nothing to search for


@dataclass(kw_only=True)
class Suspicion:
    """What runs say of a history. `prior`: weights of the commits (0: it cannot be it); `floor` is the least standard
    deviation that can be, in the unit of the values.
    """

    history: History
    prior: Mapping[str, float]
    floor: float = 0.0
    runs: list[tuple[str, float]] = field(default_factory=list)  # (commit, value)
    skipped: set[str] = field(default_factory=set)

    def add(self, commit: str, *values: float) -> None:
        """Runs of one commit; `history.good` for those of the reference."""
        self.runs += [(commit, value) for value in values]

    def apart(self, alpha: float = APART) -> bool:
        """Whether the runs of both ends differ by more than chance does: Student's test, one variance."""
        good, bad = self._of(self.history.good), self._of(self.history.bad)
        count = len(good) + len(bad)
        if min(len(good), len(bad)) < 2:
            return False
        squares = _squares(good) + _squares(bad) + count * self.floor**2
        error = math.sqrt(squares / (count - 2) * (1 / len(good) + 1 / len(bad)))
        return abs(_mean(good) - _mean(bad)) > tolerance.quantile(count - 2, alpha) * error

    def _of(self, commit: str) -> list[float]:
        return [value for one, value in self.runs if one == commit]

    def posterior(self) -> dict[str, float]:
        """The probability of each commit to be the first with the other mean."""
        logs = {one: math.log(weight) + self._likelihood(one) for one, weight in self.prior.items() if weight > 0}
        most = max(logs.values())
        weights = {one: math.exp(value - most) for one, value in logs.items()}
        total = math.fsum(weights.values())
        return {one: weight / total for one, weight in weights.items()}

    def _likelihood(self, culprit: str) -> float:
        """Its logarithm, up to what all hypotheses share."""
        count, squares, sizes = len(self.runs), 0.0, 0.0
        bit = self.history.ancestors[culprit].bit_length() - 1
        ancestors = self.history.ancestors
        for side in (0, 1):
            values = [value for commit, value in self.runs if ancestors.get(commit, 0) >> bit & 1 == side]
            squares += _squares(values)
            sizes += 0.5 * math.log(len(values)) if values else 0.0
        return -sizes - (count - 2) / 2 * math.log(max(squares + count * self.floor**2, 1e-300))

    def next(self) -> str | None:
        """The commit to run next; None where no run can tell more."""
        posterior = self.posterior()
        bits = [(self.history.ancestors[one].bit_length() - 1, weight) for one, weight in posterior.items()]
        doubts = {}
        for commit, ancestors in self.history.ancestors.items():
            holding = sum(weight for bit, weight in bits if ancestors >> bit & 1)
            if commit not in self.skipped and 1e-9 < holding < 1 - 1e-9:
                doubts[commit] = abs(holding - 0.5)
        return min(doubts, key=lambda one: doubts[one]) if doubts else None

    def credible(self, enough: float = ENOUGH) -> tuple[str, ...]:
        """The fewest commits that hold this much of the posterior, the likeliest first."""
        return tuple(_until(sorted(self.posterior().items(), key=lambda one: -one[1]), enough))


def _until(ranked: Sequence[tuple[str, float]], enough: float) -> Iterator[str]:
    total = 0.0
    for commit, weight in ranked:
        if total >= enough:
            return
        total += weight
        yield commit


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _squares(values: Sequence[float]) -> float:
    """Around their mean; none have none."""
    middle = _mean(values) if values else 0.0
    return math.fsum((value - middle) ** 2 for value in values)
