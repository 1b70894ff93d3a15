"""Which commit moved a metric of a training that never comes out the same twice: whole runs, weighed by likelihood.

The ends are confirmed first: the metric that is furthest off must be so by more than chance. Each run has a seed of
its own, as the reference's runs have.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .. import tolerance
from ..commits import Conflict
from ..errors import Unjudged
from ..reproduction.rerun import Ask, Ran
from .likely import APART, ENOUGH, Suspicion
from .search import History
from .world import Ledger

_BAD = 3  # runs of the bad end before anything is searched for
_GOOD = 3  # of the good end, where there is no reference
_ALPHA = 0.01  # of a metric's runs without the culprit: within what the good end does


@dataclass(frozen=True, kw_only=True)
class Weighed:
    """What a search came to: the commits that hold 95 % of the posterior, the likeliest first, and its certainty."""

    candidates: tuple[str, ...]
    certainty: float
    metric: str
    said: str
    skipped: tuple[str, ...] = ()
    proof: str = ""
    proven: bool = False


@dataclass(kw_only=True)
class Chances:
    """One search of at most `runs` whole trainings. `reference`: of each final metric its runs at the good end.

    `prior` weighs the commits, those that change nothing that is reached by 0.
    """

    ledger: Ledger
    history: History
    runs: int
    prior: Mapping[str, float]
    reference: Mapping[str, Sequence[float]] = field(default_factory=dict)
    done: int = 0

    def run(self) -> Weighed:
        """Raises Unjudged where the runs do not suffice, or show nothing."""
        good, bad = self._ends()
        metric = _furthest(good, bad)
        spread = tolerance.of(metric, good[metric])
        suspicion = Suspicion(history=self.history, prior=self.prior, floor=spread.floor)
        suspicion.add(self.history.good, *_scaled(good[metric], spread))
        suspicion.add(self.history.bad, *_scaled(bad[metric], spread))
        if not suspicion.apart(APART / len({*good} & {*bad})):  # of several the furthest was chosen
            said = f"{metric} is {_span(bad[metric])} where good is {_span(good[metric])}"
            raise Unjudged(
                f"no metric differs by more than chance: {said}",
                hint="More runs (--runs) see smaller changes; Trainer(deterministic=True) makes each bit speak.",
            )
        self._search(suspicion, metric, spread)
        return self._weighed(suspicion, metric, good[metric], bad[metric])

    def _ends(self) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
        good = {name: list(values) for name, values in self.reference.items() if len(values) >= 2}
        if not good:
            good = _by_metric([self._sound(self.history.good) for _ in range(_GOOD)])
        return good, _by_metric([self._sound(self.history.bad) for _ in range(_BAD)])

    def _sound(self, commit: str, without: tuple[str, ...] = ()) -> Ran:
        return self.ledger.sound(self._ask(commit, without))

    def _ask(self, commit: str, without: tuple[str, ...] = ()) -> Ask:
        """One more run. Raises Unjudged where that would be too many."""
        self.done += 1
        if self.done > self.runs:
            said = f"it does not repeat to the last bit, and {self.runs} whole runs do not suffice"
            raise Unjudged(said, hint="Allow more by --runs.")
        return Ask(commit=commit, shift=self.done, without=without)

    def _search(self, suspicion: Suspicion, metric: str, spread: tolerance.Spread) -> None:
        """Run until one commit holds enough of the posterior, or nothing more may be run."""
        while self.done < self.runs and len(suspicion.credible()) > 1:
            commit = suspicion.next()
            if commit is None:
                return
            ran = self.ledger.train(self._ask(commit))
            if ran.failed or metric not in ran.metrics:
                suspicion.skipped.add(commit)
            else:
                suspicion.add(commit, *_scaled([ran.metrics[metric]], spread))

    def _weighed(self, suspicion: Suspicion, metric: str, good: Sequence[float], bad: Sequence[float]) -> Weighed:
        candidates = suspicion.credible()
        certainty = suspicion.posterior()[candidates[0]]
        skipped = tuple(sorted(suspicion.skipped))
        said = f"{metric} is {_span(bad)} where it was {_span(good)}"
        proof, proven = self._proof(candidates[0], metric, good, bad) if len(candidates) == 1 else (_OPEN, False)
        return Weighed(
            candidates=candidates,
            certainty=certainty,
            metric=metric,
            said=said,
            skipped=skipped,
            proof=proof,
            proven=proven,
        )

    def _proof(self, culprit: str, metric: str, good: Sequence[float], bad: Sequence[float]) -> tuple[str, bool]:
        """Whether the bad end without it is within what the good one does, and nearer to it."""
        without = f"{self.history.bad[:12]} without {culprit[:12]}"
        try:
            values = [self._sound(self.history.bad, (culprit,)).metrics.get(metric, math.nan) for _ in range(2)]
        except Conflict as error:
            return f"not proven: {error}", False
        except Unjudged as error:
            return f"not proven: {error}", False
        spread = tolerance.of(metric, good)
        middle = math.fsum(values) / len(values)
        nearer = abs(middle - math.fsum(good) / len(good)) < abs(middle - math.fsum(bad) / len(bad))
        back = nearer and all(spread.holds(value, _ALPHA) for value in values)
        return f"{without}: {metric} is {_span(values)}, {'as good is' if back else 'and not as good is'}", back


_OPEN = f"the runs do not suffice to name one with {ENOUGH:.0%} certainty"


def _by_metric(runs: Sequence[Ran]) -> dict[str, list[float]]:
    """Of the metrics that all of them have, and that are finite."""
    shared = set.intersection(*({*ran.metrics} for ran in runs)) if runs else set()
    found = {name: [ran.metrics[name] for ran in runs] for name in sorted(shared)}
    return {name: values for name, values in found.items() if all(map(math.isfinite, values))}


def _furthest(good: Mapping[str, Sequence[float]], bad: Mapping[str, Sequence[float]]) -> str:
    """The metric whose bad runs lie furthest from the good ones, in standard deviations."""
    shared = sorted({*good} & {*bad})
    if not shared:
        raise Unjudged("both ends have no finite metric in common", hint="Log what the training is for.")
    return max(shared, key=lambda name: min(tolerance.of(name, good[name]).deviation(one) for one in bad[name]))


def _scaled(values: Sequence[float], spread: tolerance.Spread) -> list[float]:
    """On the scale on which the spread is: a loss by its logarithm."""
    return [math.log(max(one, 1e-300)) for one in values] if spread.logarithmic else list(values)


def _span(values: Sequence[float]) -> str:
    """`0.41 to 0.44`."""
    return " to ".join(dict.fromkeys(f"{one:.6g}" for one in (min(values), max(values))))
