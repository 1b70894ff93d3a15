"""What holds from step to step: the learning rate, the optimizer's state, the weights' precision, and a small decay."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..report import Check, Finding
from . import lossterms
from .judging import meant, suspected
from .optimizing import FEW, LOST, SHRINKING, Schedule, first_steps, in_setup, in_step, least, told_steps

if TYPE_CHECKING:
    from .seen import Evidence

_EARLY = 20  # steps within which a rate falls to a hundredth, where the plan is not known
_PLAN = 0.1  # of the plan, likewise
_LONG = 50  # steps that a plan has at least, to be held against
_DECAY = 0.05  # of a weight is taken off at each step: half of it in 14 (research, O07)
_DROWNED = 30  # times the gradient, a coupled weight decay is; sound ones are below 1
# Optimizers of torch that add weight_decay to the gradient; others (AdamW, Lion, LAMB, Muon) take it off the weights.
_COUPLED = ("SGD", "Adam", "Adamax", "NAdam", "RAdam", "RMSprop", "Adagrad", "Adadelta", "ASGD")
_SCHEDULES = "schedules"  # the key in a reference's settings: `OneCycleLR=step`


def learning_rate_holds(seen: Evidence, config: Any) -> Iterator[Finding]:
    """The learning rate is above 0, and stays so for a sensible share of the training."""
    steps = first_steps(seen)
    for one in steps.schedules:
        plan = f" of {one.planned:.0f}" if one.planned < math.inf else ""
        # Of epochs without a plan nothing is told: StepLR(1, 0.7) for 14 of them is the one of torch's MNIST example.
        early = 0 if one.by_epoch else _EARLY
        within = _PLAN * one.planned if _LONG <= one.planned < math.inf else early if one.planned == math.inf else 0
        if not one.highest > 0:
            message = f"{one.name} holds the learning rate at 0 in all of {one.tried} steps"
            yield in_setup(Finding(message=message, hint="A warm-up that never ends?"), seen)
        elif one.low is not None and one.low <= within:
            message = f"{one.name} brings the learning rate below 1 % of its highest at its step {one.low}{plan}"
            yield in_setup(Finding(message=message, hint=_COLLAPSES), seen)
        elif one.peak > one.planned:
            message = f"{one.name} warms up for {one.peak} of its steps, and the training has {one.planned:.0f} of them"
            finding = in_setup(Finding(message=message, hint=_WARMS), seen)
            yield from suspected([finding], learning_rate_holds, seen.reference)
    yield from _otherwise_stepped(seen)
    for group in steps.optimizers:
        if group.steps >= FEW and not any(group.rates) and not any(not one.highest > 0 for one in steps.schedules):
            message = f"the learning rate of {group.name} is 0 in all of its {group.steps} first steps"
            yield in_setup(Finding(message=message, hint="A warm-up that never ends?"), seen)
        elif group.steps >= FEW and group.rates[-1] < 0.01 * max(group.rates):
            message = f"the learning rate of {group.name} fell from {max(group.rates):.3g} to {group.rates[-1]:.3g}"
            yield in_setup(Finding(message=f"{message} in {group.steps} steps", hint=_COLLAPSES), seen)


def _otherwise_stepped(seen: Evidence) -> Iterator[Finding]:
    """A schedule that was stepped at each batch when it was reviewed, and is at each epoch now, or the reverse."""
    before = seen.reference.settings.get(_SCHEDULES, "").split() if seen.reference else []
    for one in first_steps(seen).schedules:
        others = [other for other in before if other.partition("=")[0] == one.name]
        if others and _stepped(one) not in others:
            was = others[0].partition("=")[2]
            message = (
                f"{one.name} is stepped by {_stepped(one).partition('=')[2]}, and was by {was} when it was reviewed"
            )
            yield in_setup(meant(Finding(message=message, hint=_WARMS)), seen)


def _stepped(one: Schedule) -> str:
    return f"{one.name}={'epoch' if one.by_epoch else 'step'}"


_WARMS = 'Is a schedule of steps stepped once an epoch? {"scheduler": …, "interval": "step"} steps it at each batch.'
_COLLAPSES = 'Is a schedule of epochs stepped at each batch? {"scheduler": …, "interval": "epoch"} steps it by epoch.'


def optimizer_keeps_state(seen: Evidence, config: Any) -> Iterator[Finding]:
    """The optimizer keeps its state (moments, momentum) from step to step."""
    for one in first_steps(seen).optimizers:
        if one.steps > FEW and one.lost >= one.steps - 1:
            message = f"{one.name} began all of its {one.steps} steps anew: what it keeps (moments, momentum) is lost"
            yield in_step(Finding(message=message, hint="Is it made in each step, or its state cleared?"), seen)


def precision_keeps_updates(seen: Evidence, config: Any) -> Iterator[Finding]:
    """The parameters' precision is fine enough for the optimizer's steps."""
    for one in first_steps(seen).optimizers:
        rounds = one.lost_in_precision > (0 if seen.probe.unmoved else LOST)  # of which whole parameters
        if one.steps >= FEW and any(one.rates) and rounds:
            message = (
                f"{one.lost_in_precision:.0%} of the {one.low} weights that get a gradient are after {one.steps} steps"
            )
            hint = "Keep parameters in float32 (precision='bf16-mixed' instead of 'bf16-true'), or raise the rate."
            yield in_setup(Finding(message=f"{message} of {one.name} what they were before", hint=hint), seen)


def decay_is_small(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Weight decay, or a penalty on the weights, does not dominate the loss."""
    yield from lossterms.penalised(seen)
    for one in first_steps(seen).optimizers:
        get = one.options.get
        weight, rate = get("weight_decay", 0.0), max(one.rates, default=0.0)
        drowned, shrink, pull = weight * least(one.decay), least(one.shrink), least(one.pull)
        usual = "Usual: 0 to 0.1."
        if weight * rate > _DECAY:
            message = f"{one.name} takes {weight * rate:.0%} off the weights at each step: weight_decay {weight:g}"
            yield in_setup(Finding(message=f"{message} times a learning rate of {rate:.3g}", hint=usual), seen)
        elif one.steps >= FEW and drowned > _DROWNED and one.name in _COUPLED and not get("decoupled_weight_decay"):
            message = f"weight_decay {weight:g} of {one.name} is {drowned:.0f} times the gradient of the loss"
            yield in_setup(Finding(message=message, hint=usual), seen)
        elif one.steps >= FEW and shrink > SHRINKING and pull > SHRINKING:
            message = f"the gradient points from 0 to the weights (cosine {pull:.2f}): a penalty on them dominates"
            yield in_step(Finding(message=message, hint="Lower the factor of the L2 or L1 term."), seen)
        elif get("decay of matrices") == 0 and get("decay of others", 0.0) > 0:
            message = f"{one.name} decays biases and gains ({get('decay of others', 0.0):g}), and no matrix of weights"
            finding = in_setup(Finding(message=message, hint="Are the parameter groups exchanged?"), seen)
            yield from suspected([finding], decay_is_small, seen.reference)


def kept(seen: Evidence) -> dict[str, str]:
    """What a reference notes of schedules: whether each is stepped at each step or each epoch."""
    steps = told_steps(seen)
    stepped = [_stepped(one) for one in steps.schedules] if steps else []
    return {_SCHEDULES: " ".join(stepped)} if stepped else {}


CHECKS: tuple[Check, ...] = (learning_rate_holds, optimizer_keeps_state, precision_keeps_updates, decay_is_small)
