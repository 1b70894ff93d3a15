"""What must hold once the batch is memorized: metrics that say so, and a checkpoint that brings the model back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import Skip
from ..report import Finding
from .judging import meant, suspected

if TYPE_CHECKING:
    from .seen import Evidence

_ALL = 0.999  # share of right predictions from which every average of them has to be 1
_ROUNDED = 0.02  # of an accuracy: averages over classes differ by that where some are missing
_ONE = 0.98  # what a metric of right predictions is at least: AUROC and F1 smooth, bfloat16 keeps 8 bits
_METRICS = "metrics"  # the key in a reference's settings
_GOOD, _BAD = 0.9, 0.6  # a metric of the memorized batch when it was reviewed, and one that is another
_NOTED = 6  # metrics that a reference notes
_EQUAL, _OTHER = 1e-3, 0.05  # relative difference of two losses that are one, and of two that are not
_SAME = {"32": 1e-3, "64": 1e-6}  # relative difference of two losses, by precision; 2 % of what keeps 8 bits
_LACKING = 1e-4  # likewise, where state_dict lacks names: a layer that learned little
_APART = 0.05  # relative difference of two gradients that should be one (transformers#34191)


class Metric(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A metric that a step logged of the memorized batch; `right` is the share of its predictions that are right,
    `by_class` the mean of those of each class; `plain`: it calls itself an accuracy.
    """

    hook: str
    name: str
    value: float
    right: float
    by_class: float
    plain: bool = False


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The loss, and that of the model before training into which today's state_dict was loaded."""

    before: float
    after: float | None = None
    names: tuple[str, ...] = ()
    precision: str = ""


class Accumulation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far (relative) the gradient of the batch is from the mean of its halves', where `times` are accumulated."""

    times: int
    difference: float


class After(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was seen once the training had ended; `untold` says why a part was not.

    `logged`: `validation_step/val_acc` -> its value on the memorized batch; `validated`: the loss of validation_step
    there, and that of training_step in eval mode.
    """

    metrics: tuple[Metric, ...] = ()
    logged: dict[str, float] = {}
    validated: tuple[float, ...] = ()
    checkpoint: Checkpoint | None = None
    accumulation: Accumulation | None = None
    untold: dict[str, str] = {}


def metric_agrees(seen: Evidence, config: Any) -> Iterator[Finding]:
    """A metric says of predictions that are right that they are."""
    told = seen.look("after", After)
    sure = [one for one in told.metrics if one.plain or one.right >= _ALL]
    changed = list(_otherwise(seen, told))
    yield from changed
    if not sure and not changed:
        raise Skip(told.untold.get("metrics", "not every prediction is right yet"))
    for one in sure:
        least = min(one.right, one.by_class) - _ROUNDED if one.right < _ALL else _ONE
        if not one.value >= least:
            message = f"{one.hook} logs {one.name} = {one.value:.3g} where {one.right:.1%} of its predictions are right"
            yield from suspected([Finding(message=message, hint=_DISAGREES)], metric_agrees, seen.reference)


_DISAGREES = "Look at the axis of argmax, at a threshold on logits, and at a metric object that is never reset."


def _otherwise(seen: Evidence, told: After) -> Iterator[Finding]:
    """What says otherwise of a memorized batch than it did when it was reviewed."""
    before = _parsed(seen.reference.settings.get(_METRICS, "")) if seen.reference else {}
    # What is true of the predictions is no metric that is wrong: averaged weights lag behind, dropout costs some.
    true = {f"{one.hook}/{one.name}" for one in told.metrics if one.value >= min(one.right, one.by_class) - _ROUNDED}
    if "validated" in before:
        names = set(told.logged)
    else:  # of averaged weights, which need more steps than these: only with the loss of training it is the same model
        names = {name for name in told.logged if name.startswith("training_step/")}
    for name, value in told.logged.items():
        was = before.get(name, 0.0) if name in names - true and seen.probe.ended == "memorized" else 0.0
        if was >= _GOOD and not value >= _BAD:
            step, _, metric = name.partition("/")
            message = f"{step} logs {metric} = {value:.3g} of a memorized batch, and {before[name]:.3g} when reviewed"
            yield meant(Finding(message=message, hint=_DISAGREES))
    if "validated" in before and told.validated and not _is_same(told.validated, _OTHER):
        one, other = told.validated
        message = f"validation_step has a loss of {one:.4g} where training_step, in eval mode, has {other:.4g}"
        hint = "They were the same when it was reviewed: is its input prepared, scaled and masked as in training?"
        yield meant(Finding(message=message, hint=hint))


def _is_same(pair: tuple[float, ...], apart: float) -> bool:
    return abs(pair[0] - pair[1]) <= apart * max(abs(pair[0]), abs(pair[1]))


def _parsed(text: str) -> dict[str, float]:
    return {name: float(value) for name, _, value in (word.rpartition("=") for word in text.split())}


def kept(seen: Evidence) -> dict[str, str]:
    """What a reference notes: metrics that were good of the memorized batch, and whether validation has its loss."""
    told = seen.probe.after
    if told is None:
        return {}
    good = [f"{name}={value:.3g}" for name, value in told.logged.items() if value >= _GOOD and " " not in name]
    same = told.validated and _is_same(told.validated, _EQUAL)
    words = (good[:_NOTED] if seen.probe.ended == "memorized" else []) + (["validated=1"] if same else [])
    return {_METRICS: " ".join(words)} if words else {}


def checkpoint_restores(seen: Evidence, config: Any) -> Iterator[Finding]:
    """A saved and loaded model has the loss that it was saved with."""
    told = seen.look("after", After)
    one = told.checkpoint
    if one is None or one.after is None:
        raise Skip(told.untold.get("checkpoint", "it could not be tried"))
    same = next((limit for bits, limit in _SAME.items() if one.precision.startswith(bits)), 0.02)
    same = min(same, _LACKING) if one.names else same
    if not abs(one.before - one.after) <= same * max(abs(one.before), abs(seen.probe.losses[0])):
        names = f" (state_dict lacks or does not know {', '.join(one.names)})" if one.names else ""
        message = f"loaded from its own checkpoint, the model has a loss of {one.after:.4g} instead of {one.before:.4g}"
        hint = "What it learned and state_dict does not hold is lost: use register_buffer, nn.Parameter, nn.ModuleList."
        finding = Finding(message=message + names, hint=hint)
        yield from suspected([finding], checkpoint_restores, seen.reference)


def accumulation_agrees(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Accumulated gradients of parts are the gradient of the whole."""
    told = seen.look("after", After)
    one = told.accumulation
    if one is None:
        raise Skip(told.untold.get("accumulation", "no gradients are accumulated"))
    if not one.difference <= _APART:
        message = f"accumulated over halves, the gradient differs by {one.difference:.0%} from that of the whole batch"
        hint = (
            "A mean over tokens weighs short samples more when it is taken in parts: divide a sum by the whole count."
        )
        yield from suspected([Finding(message=message, hint=hint)], accumulation_agrees, seen.reference)


CHECKS = (metric_agrees, checkpoint_restores, accumulation_agrees)
