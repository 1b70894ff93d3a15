"""What a step does to the parameters: it moves each of them, against its gradient, and by a sound amount."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import Skip
from ..report import Check, Finding, Level, after
from .gradients import gradients_are_kept
from .judging import listed, suspected
from .optimizing import FEW, LOST, SHRINKING, Idle, Stepped, first_steps, in_setup, in_step, least, told_steps
from .parameters import parameters_are_optimized

if TYPE_CHECKING:
    from .seen import Evidence

_ACROSS = 0.02  # cosine between a step and its gradient: Adam's steps lie at -0.99 to -0.2, random ones at 0 +- 0.01
_SMALL = 1e-5  # of the weights' length in a step, and the loss stands still; the sound do 1e-4 to 1e-2 (research, 8)
_TINY = 1e-7  # no weight of float32 changes by less than 6e-8 of itself
_LARGE = 1.0  # a step as long as the weights themselves, and nothing is memorized
_JUMP = 10  # times the first loss, a loss that one step of such a length throws off
_APART = 30  # times smaller or larger than reviewed: lr / 3, half the width and a warm-up together make 12
_STANDS = 0.02  # of its size, a loss fell by less: it stands still
_LONG = 50  # times that backward was called, an optimizer should have stepped


@after(gradients_are_kept)
def optimizer_descends(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Steps go against the gradient."""
    for one in first_steps(seen).optimizers:
        along = [cosine for cosine, ratio in zip(one.along, one.ratios) if ratio > 0]
        if len(along) < FEW or not min(along) > _ACROSS or least(one.shrink) > SHRINKING:
            continue  # of a decay that turns the steps, another check speaks
        maximize = " (maximize=True)" if one.options.get("maximize") else ""
        message = f"all {len(along)} steps of {one.name}{maximize} go along the gradient, so they make the loss larger"
        finding = Finding(message=f"{message}: cosine {min(along):.2f} to {max(along):.2f}", hint=_ASCENDS)
        known = seen.probe.sign > 0 or not maximize  # what is maximized on purpose is no loss of torch's
        yield from [in_setup(finding, seen)] if known else suspected([finding], optimizer_descends, seen.reference)


_ASCENDS = "An optimizer minimises: leave out maximize=True, and whatever turns the sign of gradients."


@after(gradients_are_kept, parameters_are_optimized)
def parameters_move(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Every parameter that gets a gradient moves."""
    told, steps = seen.probe, told_steps(seen)
    if steps is not None and steps.backwards >= _LONG and not steps.optimizers:
        message = f"backward was called {steps.backwards} times, and no optimizer took a step"
        yield in_step(Finding(message=message, hint="Manual optimization: call optimizer.step()."), seen)
        return
    if steps is not None and steps.optimizers and not any(any(one.rates) for one in steps.optimizers):
        raise Skip("the learning rate is 0 (learning-rate-holds)")
    idle = [_idle(one, seen) for one in steps.idle] if steps is not None else []
    yield from suspected(idle, parameters_move, seen.reference)
    if told.unmoved and not (steps and any(one.low and one.lost_in_precision > 0 for one in steps.optimizers)):
        yield in_setup(
            Finding(
                message=f"{listed(told.unmoved, told.trainable)} got a gradient and never moved",
                hint="Does configure_optimizers hand them over? Is their learning rate 0, or too small?",
            ),
            seen,
        )
    if told.noisy:
        message = f"{listed(told.noisy, told.trainable)} did not move: the gradient is rounding noise"
        yield Finding(message=message, level=Level.NOTICE, hint="A bias before a normalisation layer has no effect.")


def _idle(one: Idle, seen: Evidence) -> Finding:
    steps = told_steps(seen)
    message = f"{one.name}, one of {seen.probe.optimizers} optimizers, took no step in {steps.count if steps else 0}"
    named = listed(one.parameters, seen.probe.trainable)
    return in_step(Finding(message=f"{message}: {named} stay as they are", hint=_IDLE), seen)


_IDLE = "Manual optimization: each optimizer's step() is to be called. One that only begins later? Bless it."


@after(gradients_are_kept)
def updates_are_sized(seen: Evidence, config: Any) -> Iterator[Finding]:
    """A step changes the weights by a sound share of their size."""
    for one in first_steps(seen).optimizers:
        yield from _odd_options(one, seen)
        if one.steps < FEW or not any(one.rates) or one.lost_in_precision > LOST:
            continue
        said = f"a step of {one.name} changes the weights by {one.ratio:.1g} of their size (usual: 1e-4 to 1e-2)"
        rate = f" at a learning rate of {max(one.rates):.3g}"
        if one.ratio < _TINY or (one.ratio < _SMALL and _stands(seen)):
            yield in_setup(Finding(message=said + rate, hint="Far too small a learning rate?"), seen)
        elif one.ratio > _LARGE and (_diverges(seen) or (_jumps(seen) and not _searches(one))):
            hint = "Far too high a learning rate: try a hundredth."
            yield in_setup(Finding(message=said + rate, hint=hint), seen)
        elif _searches(one):  # how far it goes is found out at each step
            continue
        elif one.ratio / _reviewed(one, seen) > _APART or _reviewed(one, seen) / one.ratio > _APART:
            message = f"{said}{rate}; when it was reviewed, {_reviewed(one, seen):.1g}"
            yield in_setup(Finding(message=message, hint="Has the learning rate's unit changed?"), seen)


def _odd_options(one: Stepped, seen: Evidence) -> Iterator[Finding]:
    """Arguments outside of all use. Source: the defaults of torch, TensorFlow and the papers; research, O15."""
    get = one.options.get
    if "adam" not in one.name.lower():
        return
    betas = get("beta1", 0.9), get("beta2", 0.999)
    if betas[0] >= 0.99 and betas[0] > betas[1]:
        message = f"{one.name} has betas {betas}: the first is larger than the second"
        yield in_setup(Finding(message=message, hint="Usual: (0.9, 0.999). Swapped?"), seen)
    if get("eps", 0.0) > 1e-2:
        message = f"{one.name} has eps {get('eps', 0.0):.3g}: larger than most gradients, so it hardly adapts"
        finding = in_setup(Finding(message=message, hint="Usual: 1e-8, or 1e-6 in low precision."), seen)
        yield from suspected([finding], updates_are_sized, seen.reference)


def _reviewed(one: Stepped, seen: Evidence) -> float:
    """The size of this optimizer's updates in the reference; NaN where it notes none."""
    noted = seen.reference.settings.get("updates", "").split() if seen.reference else []
    sizes = [float(size) for name, _, size in (entry.partition("=") for entry in noted) if name == one.name]
    return sizes[0] if len(sizes) == 1 else math.nan


def _stands(seen: Evidence) -> bool:
    """Whether the loss did not fall to speak of."""
    losses = seen.probe.losses
    return bool(losses) and losses[0] - min(losses) < _STANDS * abs(losses[0])


def _diverges(seen: Evidence) -> bool:
    """Whether nothing was memorized, and the loss is no lower at the end than at the start."""
    losses = seen.probe.losses
    return bool(losses) and seen.probe.ended != "memorized" and not losses[-1] < losses[0]


def _jumps(seen: Evidence) -> bool:
    """Whether the first steps made the loss ten times larger."""
    losses = seen.probe.losses[: FEW + 1]
    return bool(losses) and losses[0] > 0 and not max(losses) <= _JUMP * losses[0]


def _searches(one: Stepped) -> bool:
    """Whether a step is many: L-BFGS tries on the way how far to go, and may begin far off."""
    return "lbfgs" in one.name.lower()


def kept(seen: Evidence) -> dict[str, str]:
    """What a reference notes of updates: their sizes, by the optimizer's name."""
    steps = told_steps(seen)
    sizes = [f"{one.name}={one.ratio:.2g}" for one in steps.optimizers if one.ratio > 0] if steps else []
    return {"updates": " ".join(sizes)} if sizes else {}


CHECKS: tuple[Check, ...] = (optimizer_descends, parameters_move, updates_are_sized)
