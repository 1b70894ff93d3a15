"""The outputs that loss functions are given: logits or logarithms as each asks for, in the shape of the targets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..errors import Skip
from ..report import Check, Finding
from .judging import at, suspected
from .losscalls import DISTANCES, SQUEEZES, Call, told_loss, used_calls
from .lossreviewed import LOGITS, ended

if TYPE_CHECKING:
    from .seen import Evidence

_LINEAR = ("Addmm", "Mm", "Bmm", "Convolution", "Relu", "NativeBatchNorm", "NativeLayerNorm", "Sigmoid", "Tanh")
_BY_CLASS = ("cross_entropy", "nll_loss")


def loss_takes_logits(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Losses that apply softmax or sigmoid themselves are given logits, and no activation is new before the loss."""
    told = told_loss(seen)
    found = False
    for one in told.used:
        if one.name not in ("cross_entropy", "binary_cross_entropy_with_logits"):
            continue
        what = SQUEEZES.get(one.made_by, "")
        if one.name == "cross_entropy" and one.classes > 1 and one.probabilities and one.trains:
            what = "softmax"
        if what:
            found = True
            yield at(Finding(message=_squeezed(one, what), hint=LOGITS), one.where)
    if not found and told.squeezed and not told.used:
        message = f"log_softmax of what {SQUEEZES[told.squeezed]} returned: the loss cannot come down to 0"
        yield at(Finding(message=message, hint=LOGITS), told.step)
    elif not found and not any(one.probabilities and one.name in ("nll_loss", "kl_div") for one in told.used):
        yield from ended(seen, told)


def _squeezed(one: Call, what: str) -> str:
    sums = ", every row sums to 1" if one.probabilities else ""
    got = f"{one.name} got what {what} returned ({one.low:.2f} to {one.high:.2f}{sums})"
    bounds = {"softmax": (0.0, 1.0), "sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}
    if what == "relu":
        return f"{got}, {one.zeros:.0%} of them exactly 0: no logit can be negative"
    low, high = bounds[what]
    others = one.classes - 1 if one.name == "cross_entropy" else 1
    away = (high - low) if one.name == "cross_entropy" else -low if low else 0.0
    return f"{got}: the loss cannot fall below about {math.log1p(others * math.exp(-away)):.2f}"


def loss_takes_log_probabilities(seen: Evidence, config: Any) -> Iterator[Finding]:
    """nll_loss and kl_div are given logarithms of probabilities."""
    calls = [one for one in used_calls(seen) if one.name in ("nll_loss", "kl_div") and one.trains]
    if not calls:
        raise Skip("neither nll_loss nor kl_div is used")
    for one in calls:
        if one.probabilities:
            message = (
                f"{one.name} got probabilities ({one.low:.2f} to {one.high:.2f}, every row sums to 1), no logarithms"
            )
            yield at(Finding(message=message, hint="Use log_softmax instead of softmax."), one.where)
        elif one.name == "nll_loss" and not one.normalised:
            message = f"nll_loss got {one.low:.3g} to {one.high:.3g}, and no row is the logarithm of probabilities"
            finding = at(Finding(message=message, hint="Use cross_entropy, or log_softmax before it."), one.where)
            if one.made_by in _LINEAR:  # a layer's own output: nothing normalised it
                yield finding
            else:
                yield from suspected([finding], loss_takes_log_probabilities, seen.reference)


def loss_shapes_agree(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Outputs and targets have one shape: nothing is broadcast in silence, and classes are on their axis."""
    told = told_loss(seen)
    for one in told.used:
        if one.other_axis:
            which, hint = "on the last", "Move the classes to axis 1 of both: .movedim(-1, 1)."
            if len(one.target) == 2:
                which, hint = "over the samples", "The softmax that made them takes another axis than 0: dim=1 or -1."
            message = f"{one.name} takes axis 1 of {_shape(one.input)} for the classes; the targets sum to 1 {which}"
            yield at(Finding(message=message, hint=hint), one.where)
        if one.name in DISTANCES and one.input != one.target and math.prod(one.target) > 1 and math.prod(one.input) > 1:
            became = _broadcast(one.input, one.target)
            message = (
                f"{one.name} got {_shape(one.input)} and {_shape(one.target)}, and compared {_shape(became)} values"
            )
            finding = at(Finding(message=message, hint=_ONE_SHAPE), one.where)
            spreads = math.prod(became) > max(math.prod(one.input), math.prod(one.target))
            if spreads and len(one.input) != len(
                one.target
            ):  # n outputs against n targets each; QR-DQN writes both axes
                yield finding
            else:
                yield from suspected([finding], loss_shapes_agree, seen.reference)
    if told.spread:
        message = f"the loss takes a difference that broadcasts: {told.spread}"
        finding = at(Finding(message=message, hint=_ONE_SHAPE), told.step)
        # Of many numbers each, all pairs may be meant: a kernel, a matching of sets.
        pairs = told.spread.rpartition("(")[2].count(",") > 1
        yield from suspected([finding], loss_shapes_agree, seen.reference) if pairs else [finding]


_ONE_SHAPE = "Give both one shape: y.unsqueeze(1), or outputs.squeeze(-1)."


def _shape(shape: Iterable[int]) -> str:
    sizes = list(shape)
    return f"({sizes[0]},)" if len(sizes) == 1 else f"({', '.join(map(str, sizes))})"


def _broadcast(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    count = max(len(one), len(other))
    first, second = ((1,) * (count - len(shape)) + shape for shape in (one, other))
    return tuple(max(a, b) for a, b in zip(first, second))


def loss_has_classes(seen: Evidence, config: Any) -> Iterator[Finding]:
    """A loss over classes has more than one of them."""
    calls = [one for one in used_calls(seen) if one.name in _BY_CLASS]
    if not calls:
        raise Skip("no loss over classes")
    for one in calls:
        if one.classes == 1:
            message = f"{one.name} got outputs of shape {_shape(one.input)}: of one class, its loss is always 0"
            hint = "One logit for yes and no? Use binary_cross_entropy_with_logits; else give each class an output."
            yield at(Finding(message=message, hint=hint), one.where)


CHECKS: tuple[Check, ...] = (
    loss_takes_logits,
    loss_takes_log_probabilities,
    loss_shapes_agree,
    loss_has_classes,
)
