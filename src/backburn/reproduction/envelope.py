"""How far a rounding alone drives a training apart, and whether a night lies within that.

A few runs of the reference's commit begin with each weight moved by at most one rounding. Their largest relative
distance so far from the run that was not moved is the envelope; a change that is only another order of summation stays
within a hundred times as much (14 of 14 planted bugs did not, and 8 of 8 rounded runs did: on a small CNN, 600 steps).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence

from .. import comparison
from ..references import Reference

FLOOR, FACTOR = 1e-5, 100.0  # of the value itself; of the envelope
EVALUATED = 10.0  # of what an evaluation came to in runs that began with rounded weights
_FADED = 1e-3  # a limit above it, and above what seeds do, tells nothing that the seeds' limits do not
_FAMILIES = ("loss", comparison.MEAN, "norm")

Envelope = Mapping[str, float]
Figures = comparison.Figures
Validations = Mapping[str, Sequence[tuple[int, float]]]  # of each metric (step, value)


def steps_of(planned: int, number: int, least: int) -> int:
    """How many steps run `number` of the rounded ones takes: half of `planned`, a quarter, an eighth …, never under
    `least`. Together they cost about one run; a difference that begins by the middle of a training still has a step of
    the grid (a quarter more each) that is as young as what they measured.
    """
    return min(planned, max(planned >> number, least))


def of(base: Figures, rounded: Sequence[Figures], seeds: Reference) -> dict[str, float]:
    """The largest relative distance so far at each step of a family, until it is as far as other seeds lie.

    From there on (the horizon of predictability) the figure is not in it.
    """
    found: dict[str, float] = {}
    for family in _FAMILIES:
        furthest = 0.0
        for name in _of_family(base, family):
            there = [run[name] for run in rounded if name in run]
            if not there:
                break
            furthest = max(furthest, *(_distance(value, base[name]) for value in there))
            if not FACTOR * furthest <= max(_FADED, _spread(seeds.runs(name))):
                break
            found[name] = furthest
    return found


def evaluated(base: Validations, rounded: Sequence[Validations], seeds: Reference) -> dict[str, float]:
    """The largest relative distance of a metric at any validation, under the name that it has at the end; none where
    ten times as much is as far as other seeds lie.

    An evaluation may move where no loss does: what BatchNorm or an average of the weights takes off while it trains,
    a bias before it for one, walks about by rounding alone.
    """
    found: dict[str, float] = {}
    for name, points in base.items():
        known = dict(points)
        there = [(step, value) for run in rounded for step, value in run.get(name, ()) if step in known]
        furthest = max((_distance(value, known[step]) for step, value in there), default=0.0)
        final = f"{comparison.FINAL}{name}"
        if 0 < EVALUATED * furthest <= max(_FADED, _spread(seeds.runs(final))):
            found[final] = furthest
    return found


def is_close(one: Reference, tonight: Figures) -> bool:
    """Whether every figure is that of the reference's first run but for the floor."""
    return all(name in tonight and _distance(tonight[name], values[0]) <= FLOOR for name, values in one.figures.items())


def leaves(one: Reference, tonight: Figures, *, moved: bool = True) -> str:
    """Why a night is more than a rounding away from the reference's first run, in a sentence; empty where it is not.

    Losses and norms are held to the envelope as far as it goes; beyond it, they are for the seeds' limits. What was
    set (rates, steps) is held to the floor. Metrics at the end are held to a hundred times the distance that the loss
    of this night came to, so that one that moves where no loss did is seen; where the training itself `moved`, at least
    to ten times what roundings did to it at a validation.
    """
    if not one.envelope:
        return "the reference knows nothing of roundings"
    missing = next((name for name in one.figures if name not in tonight), "")
    if missing:
        return f"{missing} was not measured"
    return next(_leaving(one, tonight, moved=moved), "")


def _leaving(one: Reference, tonight: Figures, *, moved: bool) -> Iterator[str]:
    alike = _alike(one, tonight)
    for name in sorted(one.figures, key=_order):
        limit = _limit(one, tonight, name, alike, moved=moved)
        off = _distance(tonight[name], one.figures[name][0])
        if limit is not None and not off <= limit:
            yield f"{name} is {off:.2g} of itself off, a rounding at most {limit:.2g}"


def _alike(one: Reference, tonight: Figures) -> int:
    """The last step up to which every figure is the reference's to the bit; 0 for none.

    What parts from it later is as old as that: it has had no more time to grow than a rounding has since the start.
    """
    at_steps = {name: comparison.step_of(name) for name in one.figures if "@" in name and name[:6] != comparison.FINAL}
    off = [step for name, step in at_steps.items() if tonight[name] != one.figures[name][0]]
    return max((step for step in at_steps.values() if not off or step < min(off)), default=0)


def _limit(one: Reference, tonight: Figures, name: str, alike: int, *, moved: bool) -> float | None:
    """Of the relative distance; None where the seeds' limits are all there is."""
    family, _, step = name.rpartition("@")
    if name.startswith(comparison.FINAL):
        return max(FLOOR, FACTOR * drift(one, tonight), EVALUATED * one.envelope.get(name, 0.0) if moved else 0.0)
    if not step or family not in _FAMILIES:
        return FLOOR
    known = sorted(comparison.step_of(known) for known in one.envelope if known.rpartition("@")[0] == family)
    age = next((old for old in known if old >= int(step) - alike), None)
    return None if age is None else max(FLOOR, FACTOR * one.envelope[f"{family}@{age}"])


def drift(one: Reference, tonight: Figures) -> float:
    """The largest relative distance of a loss from the reference's first run, at any step that both have."""
    names = (name for name in one.figures if name in tonight and name.rpartition("@")[0] in _FAMILIES[:2])
    return max((_distance(tonight[name], one.figures[name][0]) for name in names), default=0.0)


def _of_family(base: Figures, family: str) -> list[str]:
    return sorted((name for name in base if name.rpartition("@")[0] == family), key=comparison.step_of)


def _order(name: str) -> tuple[int, str]:
    is_final = name.startswith(comparison.FINAL)
    return (0 if "@" not in name or is_final else comparison.step_of(name)) + 10**12 * is_final, name


def _spread(runs: Sequence[float]) -> float:
    """Of the seeds, relative to their mean; what cannot be told is none."""
    mean = statistics.fmean(runs) if runs else 0.0
    return statistics.stdev(runs) / abs(mean) if len(runs) > 1 and mean else 0.0


def _distance(value: float, before: float) -> float:
    """Relative to what it was; infinite for NaN, and where it was 0 and is not."""
    if value == before:
        return 0.0
    off = abs(value - before) / abs(before) if before else math.inf
    return off if off == off else math.inf
