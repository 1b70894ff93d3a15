"""When a night is called worse or better than the reference: by a suspicion first, then by a mean with fresh seeds.

A night that lies where one in twenty sound nights would is suspicious. Runs under fresh seeds follow, and only where
the mean of all of them lies off as well, at a tenth of `alpha`, is anyone alarmed. Both stages share the few runs of
the reference, so that the two shares cannot be multiplied: the second alone bounds that of false alarms.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .. import comparison, tolerance
from ..references import Reference

SUSPICIOUS = 0.05  # of sound nights that changed, that fresh seeds are run for
_CONFIRMED = 0.1  # of alpha, for the second stage: by it 365 nights have no false alarm in 9 of 10 years
_FINAL, _CURVE = 2 / 3, 1 / 3  # of a share: final metrics are what a training is for
_POWER = 0.9  # of each stage, so that both together see at least 80 %

Figures = comparison.Figures


class Alarm(NamedTuple):
    """A figure that lies off. `confirmed`: by fresh seeds, or, where there are none, at alpha by the night alone."""

    name: str
    confirmed: bool


class Sight(NamedTuple):
    """The smallest shift of a figure that is seen in 80 % of all cases, in standard deviations and in the figure's own
    unit (relative to itself where `relative`).
    """

    name: str
    deviations: float
    shift: float
    relative: bool

    def __str__(self) -> str:
        """`by 3.1 % (7.2 sd)`."""
        moved = f"{100 * self.shift:.2g} %" if self.relative else f"{self.shift:.2g}"
        return f"by {moved} ({self.deviations:.2g} sd)"


def finals(one: Reference) -> list[str]:
    """The figures of the end that seeds vary: metrics, and the steps of a training that stops early."""
    steps = ["steps"] if len(set(one.runs("steps"))) > 1 else []
    return comparison.finals(one) + steps


def suspicious(one: Reference, tonight: Figures, alpha: float) -> list[str]:
    """Figures that are further off than in all but one of twenty sound nights, those of the end first."""
    stage = max(SUSPICIOUS, alpha)
    end = comparison.beyond(one, tonight, finals(one), stage * _FINAL)
    return end + comparison.beyond(one, tonight, comparison.octaves(one), stage * _CURVE)


def alarms(one: Reference, tonight: Figures, fresh: Sequence[Figures], alpha: float, wanted: int) -> list[Alarm]:
    """Every suspicious figure. `wanted` is how many fresh runs there should be: with none, or where they could not be
    had, the night alone decides at `alpha`; then a suspicion that it does not confirm is left open.
    """
    names = suspicious(one, tonight, alpha)
    if fresh and wanted:
        share, nights = alpha * _CONFIRMED, [tonight, *fresh]
        end = comparison.moved(one, nights, finals(one), share * _FINAL)
        off = {*end, *comparison.moved(one, nights, comparison.octaves(one), share * _CURVE)}
    else:
        end = comparison.beyond(one, tonight, finals(one), alpha * _FINAL)
        off = {*end, *comparison.beyond(one, tonight, comparison.octaves(one), alpha * _CURVE)}
    return [Alarm(name, name in off) for name in names if name in off or wanted]


def sights(one: Reference, tonight: Figures, alpha: float, fresh: int) -> list[Sight]:
    """What could have been seen at all, figure by figure."""
    found = []
    for names, part in ((finals(one), _FINAL), (comparison.octaves(one), _CURVE)):
        there = [name for name in names if name in tonight]
        if there:
            shift = _visible(len(one.seeds), alpha, part / len(there), fresh)
            found += [_sight(one, name, shift) for name in there]
    return found


def _visible(runs: int, alpha: float, part: float, fresh: int) -> float:
    if not fresh:
        return tolerance.visible(runs, alpha * part)
    first = tolerance.visible(runs, max(SUSPICIOUS, alpha) * part, power=_POWER)
    both = {"several": fresh + 1, "degrees": runs + fresh - 1}
    return max(first, tolerance.visible(runs, alpha * _CONFIRMED * part / 2, power=_POWER, **both))


def _sight(one: Reference, name: str, shift: float) -> Sight:
    spread = comparison.spread(one, name)
    moved = shift * max(spread.sd, spread.floor)
    if spread.logarithmic:
        return Sight(name, shift, math.expm1(min(moved, 700)), True)
    return Sight(name, shift, moved, False)


def budget(alpha: float, fresh: int) -> str:
    """What share of sound nights that changed is called regressed, in words."""
    share = alpha * _CONFIRMED if fresh else alpha
    return f"at most {100 * share:.2g} % of changed nights that are sound, {365 * share:.2g} a year"


def with_seeds(one: Reference, fresh: int) -> Iterable[int]:
    """What is added to the seeds of fresh runs: beyond those of the reference."""
    return range(len(one.seeds), len(one.seeds) + fresh)
