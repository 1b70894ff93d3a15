"""What must hold once the batch is memorized: metrics that say so, and a checkpoint that brings the model back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import Skip
from ..report import Finding
from .draws import draws_anew
from .judging import meant, suspected

if TYPE_CHECKING:
    from .seen import Evidence

_ALL = 0.999  # share of right predictions from which every average of them has to be 1
_ROUNDED = 0.02  # of an accuracy: averages over classes differ by that where some are missing
_ONE = 0.98  # what a metric of right predictions is at least: AUROC and F1 smooth, bfloat16 keeps 8 bits
_METRICS = "metrics"  # the key in a reference's settings
_OF = "validated of"  # likewise: what the loss was that training_step and validation_step had in common
_GOOD, _BAD = 0.9, 0.6  # a metric of the memorized batch when it was reviewed, and one that is another
_NONE = 0.02  # what a metric is that knows of nothing right
_NOTED = 6  # metrics that a reference notes
_TRUE = "true"  # the key in a reference's settings: metrics that were what was right, to the digit
_TO_THE_DIGIT, _UNTRUE = 1e-4, 0.1  # a metric's distance from it then, and one that another sum of it has not
_TIMES = 2  # that it has to be so while some predictions are right and some are not: one alone may be by chance
_EQUAL, _OTHER = 1e-3, 0.05  # relative difference of two losses that are one, and of two that are not
_SAME = {"32": 1e-3, "64": 1e-6}  # relative difference of two losses, by precision; 2 % of what keeps 8 bits
_LACKING = 1e-4  # likewise, where state_dict lacks names: a layer that learned little
_APART = 0.05  # relative difference of two gradients that should be one (transformers#34191)


class Metric(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A metric that a step logged of the batch; `right` is the share of its predictions that are right, `by_class` the
    mean of those of each class; `plain`: it calls itself an accuracy; `borrowed`: the step has no loss of its own, and
    `right` is that of training_step, where the model said the same.
    """

    hook: str
    name: str
    value: float
    right: float
    by_class: float
    plain: bool = False
    borrowed: bool = False

    @property
    def apart(self) -> float:
        """How far it is from what is right, over samples or over classes."""
        low, high = sorted((self.right, self.by_class))
        return max(low - self.value, self.value - high)


class Metrics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the steps log before the batch is memorized."""

    metrics: tuple[Metric, ...] = ()


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


class Validated(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The loss of validation_step, that of training_step in eval mode, and whether all that the model is given is the
    same.
    """

    losses: tuple[float, float]
    alike: bool = False


class After(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was seen once the training had ended; `untold` says why a part was not.

    `logged`: `validation_step/val_acc` -> its value on the memorized batch; `right`: hook -> the share
    of its predictions that are right; `validated`: the loss of
    validation_step there; `alike`: where it has none, whether the model says the same in both.
    """

    metrics: tuple[Metric, ...] = ()
    logged: dict[str, float] = {}
    right: dict[str, float] = {}
    validated: Validated | None = None
    alike: bool | None = None
    checkpoint: Checkpoint | None = None
    accumulation: Accumulation | None = None
    untold: dict[str, str] = {}


def metric_agrees(seen: Evidence, config: Any) -> Iterator[Finding]:
    """A metric says of predictions that are right that they are."""
    told = seen.look("after", After)
    # A step without a loss may count other samples than training's loss does (the nodes of a mask).
    sure = [one for one in told.metrics if not one.borrowed and (one.plain or one.right >= _ALL)]
    changed = list(_otherwise(seen, told)) or list(_untrue(seen))
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
    else:  # of averaged weights, which need more steps than these: only what is surely said of the same model
        names = {name for name in told.logged if name.startswith("training_step/")}
        names |= {f"{one.hook}/{one.name}" for one in told.metrics if one.borrowed}
    mixed = draws_anew(seen)  # labels that a mixup mixes are no more those of an accuracy
    for name in sorted(names & set(told.logged) - true, key=list(told.logged).index):
        step, _, metric = name.partition("/")
        value, was = told.logged[name], before.get(name, 0.0)
        # Of what is not memorized, one of 1 counts what is right; others may be of probabilities, which rise with it.
        known = seen.probe.ended == "memorized" or (_are_right(seen, step) and was >= _ALL)
        if not known or (mixed and step == "training_step"):
            continue
        nothing = was >= _BAD and not value > _NONE and told.right.get(step, 0.0) >= _GOOD
        if nothing or (was >= _GOOD and not value >= _BAD):
            message = f"{step} logs {metric} = {value:.3g} of a memorized batch, and {was:.3g} when reviewed"
            yield meant(Finding(message=message, hint=_DISAGREES))
    if "validated" in before and told.validated and not mixed:
        yield from _apart(seen, told.validated)
    elif "alike" in before and told.alike is False:
        message = "the model says something else in validation_step than in training_step, in eval mode, of one batch"
        yield meant(Finding(message=message, hint=f"It said the same when it was reviewed: {_PREPARED}"))


def _are_right(seen: Evidence, step: str) -> bool:
    """Whether each prediction of a step is."""
    told = seen.probe.after
    return told is not None and told.right.get(step, 0.0) >= _ALL


def _apart(seen: Evidence, told: Validated) -> Iterator[Finding]:
    """A validation that has another loss of the batch than training, and had the same."""
    if not _is_same(told, _OTHER) and not _is_another(seen, told):
        one, other = told.losses
        message = f"validation_step has a loss of {one:.4g} where training_step, in eval mode, has {other:.4g}"
        yield meant(Finding(message=message, hint=f"They were the same when it was reviewed: {_PREPARED}"))


_PREPARED = "is its input prepared, scaled and masked as in training?"


def _untrue(seen: Evidence) -> Iterator[Finding]:
    """What was the share of right predictions when it was reviewed, before all of them were right, and is not now."""
    before = seen.reference.settings.get(_TRUE, "").split() if seen.reference else []
    for name, many in _undecided(seen).items():
        one = max(many, key=lambda one: one.apart)
        if name in before and not one.apart <= _UNTRUE:
            message = f"{one.hook} logs {one.name} = {one.value:.3g} where {one.right:.1%} of its predictions are right"
            yield meant(Finding(message=f"{message}, and was true when it was reviewed", hint=_DISAGREES))


def _undecided(seen: Evidence) -> dict[str, list[Metric]]:
    """`training_step/train_acc` -> what it was, each time that some predictions were right and some were not."""
    told = (seen.probe.metrics_first, seen.probe.metrics_moved, seen.probe.after)
    found: dict[str, list[Metric]] = {}
    for one in (one for times in told if times for one in times.metrics):
        if 0 < one.right < 1 and one.plain and " " not in one.name:
            found.setdefault(f"{one.hook}/{one.name}", []).append(one)
    return found


def _is_another(seen: Evidence, told: Validated) -> bool:
    """Whether the model is given the same, and training's loss is another than the reviewed one: a label smoothing,
    class weights or a penalty that it got, and validation did not.
    """
    before = seen.reference.settings.get(_OF) if seen.reference else None
    calls = seen.probe.loss_calls
    return told.alike and before is not None and calls is not None and before != calls.spelled


def _is_same(told: Validated, apart: float) -> bool:
    one, other = told.losses
    return abs(one - other) <= apart * max(abs(one), abs(other))


def _parsed(text: str) -> dict[str, float]:
    return {name: float(value) for name, _, value in (word.rpartition("=") for word in text.split())}


def kept(seen: Evidence) -> dict[str, str]:
    """What a reference notes: metrics that were good of the memorized batch, and whether validation has its loss."""
    told = seen.probe.after
    if told is None:
        return {}
    least = _BAD if seen.probe.ended == "memorized" else _ALL
    sure = {name: value for name, value in told.logged.items() if value >= least and " " not in name}
    if least == _ALL:
        sure = {name: value for name, value in sure.items() if _are_right(seen, name.partition("/")[0])}
    same = told.validated is not None and _is_same(told.validated, _EQUAL)
    words = [f"{name}={value:.4g}" for name, value in sure.items()][:_NOTED] + (["validated=1"] if same else [])
    words += ["alike=1"] if told.alike else []
    many, calls = _undecided(seen), seen.probe.loss_calls
    true = [name for name, all_of_it in many.items() if len(all_of_it) >= _TIMES and _are_true(all_of_it)]
    noted = {_METRICS: " ".join(words), _TRUE: " ".join(true[:_NOTED])}
    noted |= {_OF: calls.spelled} if same and calls is not None else {}
    return {name: text for name, text in noted.items() if text}


def _are_true(metrics: list[Metric]) -> bool:
    return all(one.apart <= _TO_THE_DIGIT for one in metrics)


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
