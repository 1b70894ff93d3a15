"""Gradients until the step: of their own batch, all of them kept, and for every parameter."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import Skip
from ..report import Check, Finding, Level, after
from .judging import at, listed, suspected
from .optimizing import FEW, first_steps, in_step, told_steps

if TYPE_CHECKING:
    from .seen import Evidence

_NOTHING = 1e-4  # of the gradient's length is left: a clip of 1e-6 leaves 1e-6 to 1e-4 (research, O09)
_LEFT = 1e-3  # of length: a clip of 0.1 to 10 leaves that of a loss in dollars too, and Adam asks for no more
_OFTEN = 0.3  # of the steps, or of calls of backward
_DEAD = 0.9  # of the weights get no gradient: more than a mixture that sends all to one of eight experts leaves out
_MORE = 0.02  # of the weights, more than when it was reviewed


def gradients_are_fresh(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Each step uses the gradients of its own batch: zero_grad empties them before."""
    for one in first_steps(seen).optimizers:
        if one.stale and one.windows >= FEW:
            names = listed(one.stale, one.parameters, f"parameters of {one.name}")
            message = f"{names} still held the gradients of the step before when backward added to them"
            yield in_step(Finding(message=message, hint=_STALE), seen)
        elif one.reused >= max(FEW, _OFTEN * one.windows):
            message = (
                f"in {one.reused} of {one.windows} steps of {one.name}, gradients of the step before were still there"
            )
            finding = in_step(Finding(message=message, hint=_STALE), seen)
            yield from suspected([finding], gradients_are_fresh, seen.reference)


_STALE = "Call optimizer.zero_grad() before each backward (or behind each step); does an own optimizer_zero_grad do so?"


def gradients_are_kept(seen: Evidence, config: Any) -> Iterator[Finding]:
    """What backward computed reaches the optimizer's step: nothing wipes it or clips it to nothing."""
    for one in first_steps(seen).optimizers:
        kept = [share for share in one.kept if not math.isnan(share)]
        if len(kept) >= FEW and not max(kept) > 0:
            message = f"backward computed gradients, and {one.name} found none of them in any of {len(kept)} steps"
            hint = "Is zero_grad called between backward and step? Or a hook that empties them?"
            yield in_step(Finding(message=message, hint=hint), seen)
        elif len(kept) >= FEW and not max(kept) > _NOTHING and not max(one.left, default=0.0) > _LEFT:
            message = f"gradients are cut to {max(kept):.1g} of their length before {one.name} steps"
            hint = "Look at gradient_clip_val: a usual one is 0.1 to 10."
            yield in_step(Finding(message=message, hint=hint), seen)
    yield from suspected(_wiped(seen), gradients_are_kept, seen.reference)


def _wiped(seen: Evidence) -> Iterator[Finding]:
    """An attack on the inputs leaves gradients that are wiped on purpose; who accumulates does not. Where no optimizer
    takes a step at all, parameters-move says it.
    """
    told = first_steps(seen)
    if told.optimizers and told.wiped >= max(FEW, _OFTEN * told.backwards):
        message = (
            f"the gradients of {told.wiped} of {told.backwards} calls of backward were wiped before a step used them"
        )
        hint = "Accumulating by hand: zero_grad() belongs behind the step, not before each backward."
        yield in_step(Finding(message=message, hint=hint), seen)


@after(gradients_are_kept)
def gradients_reach(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Every trainable parameter gets a gradient."""
    told, steps = seen.probe, told_steps(seen)
    if steps is not None and not steps.optimizers:
        raise Skip("no optimizer took a step (parameters-move)")
    cut = {*told.parameters.disconnected, *told.parameters.twins} if told.parameters else set()
    # Gradients are looked at where Lightning has an optimizer step; of a module's own, nothing is told.
    own = steps is not None and any(not one.given for one in steps.optimizers)
    cut |= {name for one in steps.idle for name in one.parameters} if steps else set()  # parameters-move says it
    without = [name for name in told.without_gradient if name not in cut and not own]
    found = []
    if told.parameters and told.parameters.flat:
        message = f"{listed(told.parameters.flat, told.trainable)} begin as one number throughout"
        hint = "Units that begin alike get one gradient, or none at all; draw weights at random."
        flat = Finding(message=f"{message}: no gradient tells their units apart", hint=hint)
        return (yield at(flat, told.parameters.step))
    if without:
        message = f"{listed(without, told.trainable)} never got a gradient"
        found.append(in_step(Finding(message=message, hint=_NO_GRADIENT), seen))
    if told.zero_gradient:
        named = listed(told.zero_gradient, told.trainable)
        message = f"{named}: the gradient is always 0, for {told.zero_share:.0%} of the weights"
        zero = in_step(Finding(message=message, hint=_ZERO_GRADIENT), seen)
        before = float(seen.reference.settings.get("zero-gradients", "0")) if seen.reference else math.inf
        routed = all("expert" in name.lower() for name in told.zero_gradient)
        if not told.zero_share < _DEAD or (told.zero_share > before + _MORE and not routed):
            yield zero
        else:
            found.append(zero)
    reviewed = found and seen.reference is not None and not without
    yield from _quietly(found) if reviewed else suspected(found, gradients_reach, seen.reference)


def _quietly(found: list[Finding]) -> Iterator[Finding]:
    """Next to nothing more than when it was reviewed: a bias of a critic, a unit that died."""
    return (msgspec.structs.replace(one, level=Level.NOTICE) for one in found)


_NO_GRADIENT = "Look for detach(), no_grad(), .data or .item() on the way to the loss, and for layers never used."
_ZERO_GRADIENT = (
    "A factor of 0, weights that all start at 0, a clamp on the loss, a ReLU that is never on, an output that is"
    " dropped (`out[:, -1]` of a BiLSTM)? Experts that this batch is not routed to: [[tool.backburn.allow]]."
)


def kept(seen: Evidence) -> dict[str, str]:
    """What a reference notes of gradients: the share of the weights that get none."""
    return {"zero-gradients": f"{seen.probe.zero_share:.3f}"}


CHECKS: tuple[Check, ...] = (gradients_are_fresh, gradients_are_kept, gradients_reach)
