"""The first optimizer steps: the record of what they, the schedules and the gradients did.

`gradients`, `updates` and `upkeep` judge it: what reaches a step, what the step does, and what holds from step to step.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from ..report import Finding
from .judging import at

if TYPE_CHECKING:
    from .seen import Evidence

FEW = 3  # steps at least before a pattern is one
LOST = 0.5  # of 16-bit elements that have a gradient are after all steps what they were (research, P01)
SHRINKING = 0.7  # cosine between a step and the way to 0; L2 that dominates gives 0.8 (Adam) to 1, sound steps 0 +- 0.2


class Stepped(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the steps on one set of parameters did; lists have a number for each step.

    `ratios`: length of the step by that of the weights, median over matrices. `along`: cosine between step and
    gradient. `shrink`: between step and the way to 0; `pull`: between gradient and weights; `decay`: length of weights
    by that of their gradient (medians too). `kept`: gradient's length at the step by that after backward; `left`: that
    at the step. `rates`: the highest of the groups' learning rates; `highest`: what the schedule comes to. `given`: the
    Trainer has it. `lost`: steps that began without the state of the one before. `stale`: parameters whose gradients
    were never emptied, of `windows` times that they were used; `reused`: those in which most of them were not emptied
    before. `lost_in_precision`: the share of elements of the 16-bit type `low` that had a gradient in every step and
    are what they were.
    """

    name: str = ""
    given: bool = True
    parameters: int = 0
    ratios: tuple[float, ...] = ()
    along: tuple[float, ...] = ()
    shrink: tuple[float, ...] = ()
    pull: tuple[float, ...] = ()
    decay: tuple[float, ...] = ()
    kept: tuple[float, ...] = ()
    left: tuple[float, ...] = ()
    rates: tuple[float, ...] = ()
    highest: float = 0.0
    windows: int = 0
    lost: int = 0
    stale: tuple[str, ...] = ()
    reused: int = 0
    low: str = ""
    lost_in_precision: float = 0.0
    options: dict[str, float] = {}

    @property
    def steps(self) -> int:
        """How many steps were seen."""
        return len(self.ratios)

    @property
    def ratio(self) -> float:
        """The largest of `ratios`, each as it would be at the schedule's highest rate; NaN where none is known."""
        seen = [
            one * (self.highest / rate if 0 < rate < self.highest else 1)
            for one, rate in zip(self.ratios, self.rates)
            if math.isfinite(one) and rate > 0
        ]
        return max(seen, default=math.nan)


class Schedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A schedule tried ahead for `tried` of its own steps, of which the training plans `planned` (`by_epoch`: one
    in an epoch). `peak` is its step of the highest rate, where that is more than twice the first. From its step `low`
    on, to the end of the try, the rate is below 1 % of `highest`; None: never.
    """

    name: str = ""
    by_epoch: bool = False
    planned: float = math.inf
    tried: int = 0
    highest: float = 0.0
    peak: int = 0
    low: int | None = None


class Idle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An optimizer that never stepped while others did, and the names of what it holds."""

    name: str
    parameters: tuple[str, ...] = ()


class Optimizing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the first `count` steps of the training did: optimizers by the sets of parameters that they stepped on.

    `wiped`: how many of its `backwards` left gradients that were gone before any step used them.
    """

    count: int = 0
    backwards: int = 0
    wiped: int = 0
    optimizers: tuple[Stepped, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    idle: tuple[Idle, ...] = ()


def least(values: tuple[float, ...]) -> float:
    """The least of those that are known; 0 where none is."""
    return min((one for one in values if not math.isnan(one)), default=0.0)


def first_steps(seen: Evidence) -> Optimizing:
    """The record of the first steps. Raises Skip where there is none."""
    return seen.look("optimizing", Optimizing)


def told_steps(seen: Evidence) -> Optimizing | None:
    """The record of the first steps; None where there is none."""
    return seen.probe.optimizing


def in_step(finding: Finding, seen: Evidence) -> Finding:
    """The finding, where training_step is."""
    told = seen.probe.parameters
    return at(finding, told.step) if told else finding


def in_setup(finding: Finding, seen: Evidence) -> Finding:
    """The finding, where configure_optimizers is."""
    told = seen.probe.parameters
    return at(finding, told.optimizer) if told else finding
