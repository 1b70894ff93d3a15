"""The batch by itself: finite, whole, varied, on a scale that can be learned from, each sample with one label."""

from __future__ import annotations

import collections
import math
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import Skip, Unjudged
from ..report import Check, Finding, Level, after
from .judging import suspected
from .places import Places

if TYPE_CHECKING:
    from .seen import Evidence

_FEW = 8  # samples: of fewer, two classes may well be missing (research, section 4, row 1)
_SAME = 0.5  # share of different samples at most where something repeats them (row 1)
# That a batch drawn from the data set has one label alone: 1 in 30 000 of two balanced classes, 16 rows.
_UNLIKELY = 0.001
_TINY, _HUGE = 0.02, 50.0  # standard deviation and largest number of inputs that are learned from as they are (row 1)
_LEAK = 0.999  # |correlation| of an input column with the labels (row D09)
_CLEARLY = 3.0  # standard deviations fewer than by chance
_LIKE = 0.5  # mean centred cosine of a sample with itself, fetched again (row 2)
_UNLIKE = 0.1  # a random crop of a small image comes down to 0.2, noise of four times its signal to 0.06
_NEAREST = 4  # samples that are nearest to themselves by chance, at most


class Leaf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One tensor of the batch. `roles`: input, target, both or neither is known; `distinct`: different rows (0: not
    counted); `counts`: how often each of its integers occurs, where they are few.
    """

    path: str
    roles: tuple[str, ...] = ()
    dtype: str = ""
    shape: tuple[int, ...] = ()
    not_finite: int = 0
    first_row: int = 0
    low: float = 0.0
    high: float = 0.0
    mean: float = 0.0
    std: float = 0.0
    whole: bool = False
    distinct: int = 0
    counts: dict[str, int] = {}
    rows: int = 0  # samples that the figures are of; what follows is told of a part over all of them
    tail: float = 0.0  # fourth moment over squared variance: 3 for a normal distribution, 1/p for few ones among zeros
    between: float = 0.0  # the quartiles
    negative: float = 0.0  # shares of the numbers
    fractions: float = 0.0
    ignored: float = 0.0  # -100
    common: float = 0.0  # the most common integer but -100, and its share
    share: float = 0.0

    @property
    def is_float(self) -> bool:
        """Whether it holds floating-point numbers."""
        return "float" in self.dtype

    @property
    def is_input(self) -> bool:
        """Whether it is an input and nothing else."""
        return self.roles == ("input",)

    @property
    def is_target(self) -> bool:
        """Whether it is a target and nothing else."""
        return self.roles == ("target",)


class Leak(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The input column that is most like a target, or like whether a sample is of the class `value`."""

    path: str
    column: int
    target: str
    correlation: float
    value: int | None = None
    rows: int = 0


class Again(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same samples, fetched under other random numbers: paths of inputs and targets that came out otherwise.

    `changed` counts the samples whose target did; `likeness` and `recognised` say how like itself a sample still is.
    """

    inputs: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    changed: int = 0
    labels: bool = False  # the targets that changed are one integer for each sample
    reshaped: bool = False
    likeness: float = 1.0
    recognised: float = 1.0
    smooth: bool = False


class Alignment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A permutation test: do similar inputs have similar labels? `p` is None where it cannot be asked, `clear` how many
    standard deviations of the permuted the labels lie above them, `classes` what the samples of each look like,
    `common` the share of the label that most of the samples have. `by_model`: inputs are what the untrained model makes
    of them.
    """

    samples: int = 0
    p: float | None = None
    clear: float = 0.0
    common: float = 1.0
    classes: dict[str, tuple[float, ...]] = {}
    by_model: bool = False


class Batch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The batch. `rows` are its samples, `asked` those that the loader was asked for (0: it does not say)."""

    rows: int = 0
    asked: int = 0
    leaves: tuple[Leaf, ...] = ()
    leaks: tuple[Leak, ...] = ()
    again: Again | None = None
    alignment: Alignment | None = None
    parts: tuple[Leaf, ...] = ()  # over more samples than the batch, where the data set has them
    pairs: dict[str, float] = {}  # `one ~ other`: standard deviations above chance by which their samples agree
    copies: tuple[str, ...] = ()  # `batch[0]=batch[1]`: parts that are equal, number for number
    places: Places = Places()
    drifts: tuple[str, ...] = ()  # paths that came out otherwise, fetched again under the same random numbers
    untried: str = ""
    stream: bool = False  # of samples that nobody can ask for again: a policy's, say, which change with the model

    @property
    def noted(self) -> tuple[Leaf, ...]:
        """What a reference notes: parts, or the first tensors that have a role."""
        return self.parts or tuple(one for one in self.leaves[:8] if one.roles)

    @property
    def inputs(self) -> tuple[Leaf, ...]:
        """Tensors that are inputs and nothing else; where there is none, the real numbers that are to be restored."""
        alone = tuple(one for one in self.leaves if one.is_input)
        return alone or tuple(one for one in self.leaves if one.is_float and len(one.shape) > 1 and one.roles)

    @property
    def targets(self) -> tuple[Leaf, ...]:
        """Tensors that are targets and nothing else."""
        return tuple(one for one in self.leaves if one.is_target)


def _some(found: Iterable[Leaf]) -> list[Leaf]:
    """What a check looks at. Raises Skip where there is nothing of that kind."""
    listed = list(found)
    if not listed:
        raise Skip("the batch holds nothing of that kind, as far as it can be told")
    return listed


def batch_is_finite(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Nothing in the batch is NaN or infinite."""
    for one in seen.look("batch", Batch).leaves:
        if one.not_finite:
            message = (
                f"{one.path} holds {one.not_finite} numbers that are NaN or infinite, first in row {one.first_row}"
            )
            finding = Finding(message=message, hint="Look at the data set, and at a normalisation that divides by 0.")
            if _loss_is_finite(seen):  # masked on purpose: the loss leaves them out
                yield from suspected([finding], batch_is_finite, seen.reference)
            else:
                yield finding


def _loss_is_finite(seen: Evidence) -> bool:
    losses = seen.probe.losses
    return bool(losses) and abs(losses[0]) < float("inf")


def batch_is_whole(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Inputs and targets have a row for each sample of the batch."""
    told = seen.look("batch", Batch)
    rows = {one.path: one.shape[0] for one in told.leaves if one.shape and set(one.roles) & {"input", "target"}}
    if any(count > told.asked for count in rows.values()):
        raise Skip("samples are packed: nodes, edges, points")
    # A list of samples (detection) has a tensor for each: `batch[0][7]`, which is no batch itself.
    alike = collections.Counter(map(_any_index, rows))
    short = {path: count for path, count in rows.items() if count < told.asked and alike[_any_index(path)] < told.asked}
    if short:
        path, count = next(iter(short.items()))
        message = f"{path} has {count} rows, and the loader was asked for {told.asked} samples"
        hint = "Does collate_fn, or a transfer hook, keep only a part of the batch?"
        yield from suspected([Finding(message=message, hint=hint)], batch_is_whole, seen.reference)


def _any_index(path: str) -> str:
    return re.sub(r"\[\d+\]", "[]", path)


@after(batch_is_finite)
def inputs_vary(seen: Evidence, config: Any) -> Iterator[Finding]:
    """The inputs differ from sample to sample."""
    told = seen.look("batch", Batch)
    found = [one for one in _some(told.inputs) if one.distinct]
    flat = [one for one in found if one.distinct == 1 and told.rows > 1]
    for one in flat[:1]:
        what = f"is {one.low:.4g} everywhere" if one.low == one.high else "is the same in every sample"
        hint = "A normalisation by 0 or infinity, an index that is not used (`data[0]`), a wrong column?"
        finding = Finding(message=f"{one.path} {what}: {told.rows} samples, one input", hint=hint)
        # One of several may be constant on purpose: a mask, a time, a condition.
        yield from [finding] if len(flat) == len(told.inputs) else suspected([finding], inputs_vary, seen.reference)


@after(inputs_vary)
def samples_differ(seen: Evidence, config: Any) -> Iterator[Finding]:
    """No sample is in the batch again and again."""
    told = seen.look("batch", Batch)
    for one in _some(told.inputs):
        # Few possible inputs repeat by themselves: bits, short ids. As many columns as samples do not.
        roomy = one.is_float and not one.whole and one.shape[0] == told.rows
        if roomy and told.rows >= _FEW and 0 < one.distinct <= _SAME * told.rows:
            message = f"{one.path}: {one.distinct} different samples in a batch of {told.rows}"
            hint = "Does __getitem__ use its index? Does a sampler, or an augmentation, repeat samples on purpose?"
            yield from suspected([Finding(message=message, hint=hint)], samples_differ, seen.reference)


@after(batch_is_finite)
def labels_vary(seen: Evidence, config: Any) -> Iterator[Finding]:
    """The targets are not all the same."""
    told = seen.look("batch", Batch)
    for one in _some(told.targets):
        if told.rows >= _FEW and one.low == one.high and one.distinct == 1:
            message = (
                f"{one.path} is {one.low:.4g} for all {told.rows} samples: whatever the input, one answer is right"
            )
            hint = "A label column that was lost, a threshold, a data set sorted by label and not shuffled?"
            finding = Finding(message=message, hint=hint)
            share = told.alignment.common if told.alignment else 1.0
            if share < 1 and share**told.rows > _UNLIKELY:  # frauds, clicks, rare diseases
                message = f"{message} (as of {share:.0%} of {told.alignment.samples} samples)" if told.alignment else ""
                finding = msgspec.structs.replace(finding, message=message, level=Level.NOTICE)
            yield finding


def labels_stay_paired(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Fetched again, the same input has the same label."""
    again = _again(seen)
    if not again.targets:
        return
    message = f"fetched again, {again.changed} samples came with another label ({again.targets[0]})"
    hint = "Does __getitem__ draw the label by another index than the input? Does collate_fn shuffle one of the two?"
    finding = Finding(message=message, hint=hint)
    same = not again.inputs and not again.reshaped
    like = again.likeness >= _LIKE and again.recognised >= _LIKE and again.labels and not again.reshaped
    if not (same or like):
        raise Skip("inputs and targets are both drawn anew each time (masking, mixing, pairs)")
    yield from suspected([finding], labels_stay_paired, seen.reference) if _is_a_part(seen, again) else [finding]


def _is_a_part(seen: Evidence, again: Again) -> bool:
    """Whether clearly fewer labels changed than of samples in another order: one of several annotators' is drawn."""
    told = seen.look("batch", Batch)
    counts = next((one.counts for one in told.leaves if one.path == again.targets[0]), {})
    luck = 1 - sum((count / max(told.rows, 1)) ** 2 for count in counts.values()) if counts else 0.0
    return again.changed + _CLEARLY * math.sqrt(told.rows * luck * (1 - luck)) < told.rows * luck


def augmentation_keeps_inputs(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Fetched again, a sample can still be recognised."""
    again = _again(seen)
    if again.reshaped or not again.inputs:
        raise Skip("fetched again, the inputs are the same" if not again.reshaped else "the inputs are drawn anew")
    if again.smooth:  # mirrored, turned and coloured otherwise, pixel by pixel, they are like any other
        raise Skip("they are pictures still; whether these are the right ones their labels say (labels-match-inputs)")
    if again.likeness < _UNLIKE and again.recognised * seen.look("batch", Batch).rows < _NEAREST:
        message = (
            f"fetched again, a sample is as like itself as like another: cosine {again.likeness:.2f}, and"
            f" {again.recognised:.0%} are still nearest to themselves"
        )
        hint = "An augmentation that drowns its input, or a data set that draws anew?"
        yield from suspected([Finding(message=message, hint=hint)], augmentation_keeps_inputs, seen.reference)


def _again(seen: Evidence) -> Again:
    told = seen.look("batch", Batch)
    if told.again is None:
        raise Skip(told.untried or "these samples cannot be fetched again: a stream, several loaders, or a plain list")
    return told.again


@after(labels_vary)
def labels_not_in_inputs(seen: Evidence, config: Any) -> Iterator[Finding]:
    """No input column is the label."""
    told = seen.look("batch", Batch)
    distinct = {one.path: one.distinct for one in told.leaves}
    for leak in told.leaks:
        few = max(told.rows, leak.rows) < 2 * _FEW or distinct.get(leak.target, 2) < 2
        if not few and leak.correlation > _LEAK:
            what = leak.target if leak.value is None else f"whether {leak.target} is {leak.value}"
            message = f"{leak.path}, column {leak.column}, is {what}: correlation {leak.correlation:.4f}"
            hint = "Leave the label's column out of the features."
            yield from suspected([Finding(message=message, hint=hint)], labels_not_in_inputs, seen.reference)


@after(inputs_vary)
def inputs_are_scaled(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Floating-point inputs have a scale that a network learns from."""
    found = []
    for one in _some(leaf for leaf in seen.look("batch", Batch).inputs if leaf.is_float):
        biggest = max(abs(one.low), abs(one.high))
        if one.std < _TINY and one.distinct != 1:
            message = f"{one.path} hardly varies: standard deviation {one.std:.2g} around {one.mean:.3g}"
            found.append(Finding(message=message, hint="Divided by 255 twice, or normalised twice?"))
        elif biggest > _HUGE:
            message = f"{one.path} reaches {biggest:.4g} (standard deviation {one.std:.3g})"
            found.append(
                Finding(message=message, hint="ToTensor or Normalize left out? Networks like inputs around 1.")
            )
    yield from suspected(found, inputs_are_scaled, seen.reference)


def batch_is_fixed(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Every step saw the same batch: nobody writes into it."""
    told = seen.probe
    if not told.batch_digest:
        raise Unjudged("no batch was seen")
    if told.written:
        yield Finding(
            message=f"a step wrote into its batch, at {told.written}; each step was given a fresh copy",
            level=Level.WARNING,
            hint=_CLONE,
        )
    if told.batch and told.batch.drifts:
        message = f"fetched again under the same random numbers, {told.batch.drifts[0]} came out otherwise"
        hint = f"Does __getitem__ write into what the data set keeps, or draw from a generator of its own? {_CLONE}"
        yield from suspected([Finding(message=message, hint=hint)], batch_is_fixed, seen.reference)


_CLONE = "Where a data set keeps its tensors, the next epoch sees them changed: clone before you write."
CHECKS: tuple[Check, ...] = (
    batch_is_finite,
    batch_is_whole,
    inputs_vary,
    samples_differ,
    labels_vary,
    labels_stay_paired,
    labels_not_in_inputs,
    inputs_are_scaled,
    augmentation_keeps_inputs,
    batch_is_fixed,
)
