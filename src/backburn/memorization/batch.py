"""The batch: finite, whole, varied, on a scale that can be learned from, with labels that belong to its inputs."""

from __future__ import annotations

import collections
import itertools
import math
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import Skip, Unjudged
from ..report import Finding, Level, after
from .dependence import LEAK
from .judging import meant, suspected

if TYPE_CHECKING:
    from .seen import Evidence

_ALIGNED = ("alignment", "alignment: by the model")  # figures of a reference
_PAIR = "together: "  # what such a figure of a pair of parts begins with
_LOOKS = "classes"  # the key in a reference's settings of what the samples of each class look like
_FEW = 8  # samples: of fewer, two classes may well be missing (research, section 4, row 1)
_SAME = 0.5  # share of different samples at most where something repeats them (row 1)
# That a batch drawn from the data set has one label alone: 1 in 30 000 of two balanced classes, 16 rows.
_UNLIKELY = 0.001
_TINY, _HUGE = 0.02, 50.0  # standard deviation and largest number of inputs that are learned from as they are (row 1)
_LEAK = 0.999  # |correlation| of an input column with the labels (row D09)
_LIKE = 0.5  # mean centred cosine of a sample with itself, fetched again (row 2)
_UNLIKE = 0.1  # a random crop of a small image comes down to 0.2, noise of four times its signal to 0.06
_NEAREST = 4  # samples that are nearest to themselves by chance, at most
_BY_CHANCE = 0.05  # p above which labels may as well be drawn (row 13)
_CLEAR = 5.0  # standard deviations above chance that a reference has to have had (digits: 60, diabetes: 11)
_GONE = 3.0  # and below which nothing is left of them: 1 in 700 by chance
_ELSEWHERE = 2.0  # times as far from its own class as from another one: renumbered
_SHIFT = 5.0  # times by which a standard deviation may differ from the reviewed one
_MOVED = 4.0  # reviewed standard deviations by which a mean may differ
# The same two where both are over samples enough, in what sampling does to them: 192 lognormal samples (sigma 2) differ
# by a factor of 3 in 1 of 5 draws; by 6 standard errors, and in their quartiles too, in none of 1000.
_ROWS = 16
_SCALED, _ERRORS = 3.0, 6.0
_STREAM = 30.0  # likewise of a stream: returns of one rollout were 8 times those of a wider policy
_MANY, _SCALED_MANY = 64, 2.5  # pictures that are normalised twice come to 1/0.29 to 1/0.5 of their scale
_HEAVY = 9.0  # fourth moment from which the quartiles have to agree (an exponential distribution's)
_SHARE = 0.05  # of the numbers, and so many samples of it, for it to be there or not by more than luck: e**-9
_SURE = 9.0
_TURNED = 0.15  # by which a share of ones may differ, beyond 5 standard errors
# As _CLEAR and _GONE, for pairs: other rows of the same data move what is 9 on average by 3, and there are many pairs.
_PAIRED, _APART = 10.0, 2.5
_LEFT = 8.0  # times that what was clearer must have fallen by: a few samples may stay where they were
_NOTED = 8  # pairs


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
    if same or like:
        yield finding
    else:
        raise Skip("inputs and targets are both drawn anew each time (masking, mixing, pairs)")


def augmentation_keeps_inputs(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Fetched again, a sample can still be recognised."""
    again = _again(seen)
    if again.reshaped or not again.inputs:
        raise Skip("fetched again, the inputs are the same" if not again.reshaped else "the inputs are drawn anew")
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


@after(labels_stay_paired, labels_vary)
def labels_match_inputs(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Similar inputs have similar labels more often than by chance."""
    told = seen.look("batch", Batch)
    apart = list(_parted(told.pairs, _pairs(seen)))
    if told.alignment is None or told.alignment.p is None:
        if not told.pairs:
            raise Skip("it cannot be asked: not one target for each sample of a data set with a length")
    elif not (told.alignment.by_model and _is_mixed(seen)):
        found = list(_matched(seen, told.alignment))
        yield from found
        apart = [] if any(one.level is Level.ERROR for one in found) else apart
    elif not apart:
        raise Skip("what the model makes of a sample follows from others (samples-are-independent)")
    yield from apart[:1]


def _matched(seen: Evidence, told: Alignment) -> Iterator[Finding]:
    before = _number(seen, _ALIGNED[told.by_model])
    if before is not None and before >= _CLEAR and told.clear < _GONE:
        message = (
            f"labels do not belong to their inputs: similar inputs have similar labels no more often than by chance"
            f" ({told.clear:.1f} standard deviations above it over {told.samples} samples; {before:.1f} when reviewed)"
        )
        yield Finding(message=message, hint="Were labels shuffled, sorted or joined by another key than the inputs?")
    elif before is None and told.p is not None and told.p > _BY_CHANCE:
        message = f"similar inputs have similar labels no more often than by chance (p = {told.p:.2f})"
        hint = "Raw inputs may well not show it; where they should, check that labels and inputs are joined rightly."
        yield Finding(message=message, level=Level.NOTICE, hint=hint)


def _parted(now: dict[str, float], before: dict[str, float]) -> Iterator[Finding]:
    """Pairs of parts that belonged together, sample by sample, and do no more: those that were clearest first."""
    for pair in sorted(before, key=lambda name: -before[name]):
        if before[pair] >= _PAIRED and now.get(pair, math.inf) < max(_APART, before[pair] / _LEFT):
            one, other = pair.split(" ~ ")
            message = (
                f"{one} and {other} do not belong together: samples alike in one are alike in the other no more often"
                f" than by chance ({now[pair]:.1f} standard deviations above it; {before[pair]:.1f} when reviewed)"
            )
            hint = "Was one of the two shuffled, sorted or joined by another key than the other?"
            yield meant(Finding(message=message, hint=hint))


def _pairs(seen: Evidence) -> dict[str, float]:
    """As reviewed."""
    figures = seen.reference.figures if seen.reference else {}
    return {name[len(_PAIR) :]: float(values[0]) for name, values in figures.items() if name.startswith(_PAIR)}


def _is_mixed(seen: Evidence) -> bool:
    """Whether, in the model, a sample's place has something of others."""
    leak = seen.probe.dependence.leak if seen.probe.dependence else None
    return bool(leak and not leak.far <= LEAK) or bool(seen.probe.pairing and seen.probe.pairing.unpaired)


def _classes(seen: Evidence) -> dict[str, tuple[float, ...]]:
    text = seen.reference.settings.get(_LOOKS, "") if seen.reference else ""
    pairs = (word.split("=") for word in text.split())
    return {name: tuple(map(float, values.split(","))) for name, values in pairs}


def _renumbered(before: dict[str, tuple[float, ...]], now: dict[str, tuple[float, ...]]) -> str:
    """`what is labelled 3 now was labelled 2`, where most classes look like another of the reviewed ones."""
    both = [name for name in now if name in before]
    if len(both) < 2:
        return ""
    nearest = {name: min(before, key=lambda other: math.dist(now[name], before[other])) for name in both}
    own = math.fsum(math.dist(now[name], before[name]) for name in both)
    other = math.fsum(math.dist(now[name], before[nearest[name]]) for name in both)
    moved = [name for name in both if nearest[name] != name]
    if 2 * len(moved) <= len(both) or not own > _ELSEWHERE * other:
        return ""
    return f"what is labelled {moved[0]} now looks like what was labelled {nearest[moved[0]]}"


def _number(seen: Evidence, name: str) -> float | None:
    values = seen.reference.runs(name) if seen.reference else ()
    return float(values[0]) if values else None


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


@after(batch_is_finite, inputs_vary, labels_vary)
def data_are_as_reviewed(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Inputs and targets have the types, shapes, scales and values that were reviewed."""
    if seen.reference is None:
        raise Skip("there is no reference")
    stream = seen.look("batch", Batch).stream
    for one in seen.look("batch", Batch).noted:
        before = seen.reference.settings.get(f"data {one.path}")
        if before and (changes := list(_changes(_parsed(before), one, stream))):
            message = f"{one.path}: {'; '.join(changes)} when reviewed"
            yield meant(Finding(message=message, hint="Another file, column, normalisation or transform?"))
    told = seen.look("batch", Batch).alignment
    # Labels that belong to no input any more look like any class: that is labels-match-inputs.
    if told is not None and told.clear >= _GONE and (moved := _renumbered(_classes(seen), told.classes)):
        hint = "An offset, another order of classes, a label map that is not the reviewed?"
        yield meant(Finding(message=f"labels are numbered otherwise: {moved}", hint=hint))


def kept(seen: Evidence) -> dict[str, str]:
    """What a reference notes of the batch: a line for each of its first tensors, and what its classes look like."""
    told = seen.probe.batch
    if told is None:
        return {}
    looks = told.alignment.classes if told.alignment else {}
    spelled = {_LOOKS: " ".join(f"{name}={','.join(map(str, values))}" for name, values in looks.items())}
    return {f"data {one.path}": _spelled(one) for one in told.noted} | (spelled if looks else {})


def figures(seen: Evidence) -> dict[str, float]:
    """What a reference notes in numbers."""
    told = seen.probe.batch
    if told is None:
        return {}
    clear = sorted((name for name, far in told.pairs.items() if far >= _PAIRED), key=lambda name: -told.pairs[name])
    pairs = {f"{_PAIR}{name}": told.pairs[name] for name in clear[:_NOTED]}
    if told.alignment is None or told.alignment.p is None:
        return pairs
    return {_ALIGNED[told.alignment.by_model]: told.alignment.clear} | pairs


def _spelled(one: Leaf) -> str:
    """`kind=float shape=1x8x8 mean=0.1 std=0.9 whole=False rows=192`: what should stay; of integers the range."""
    kind = "float" if one.is_float else one.dtype
    shape = "x".join(map(str, one.shape[1:])) or "1"
    words = [f"kind={kind}", f"shape={shape}", f"mean={one.mean:.4g}", f"std={one.std:.4g}", f"whole={one.whole}"]
    if one.counts and one.is_target or one.whole and one.rows and (one.counts or _is_bits(one)):
        words.append(f"low={_lowest(one):.0f} high={one.high:.0f}")
    words += [f"rows={one.rows}"] if one.rows else []
    figures = ("tail", "between", "negative", "fractions", "ignored") + (("common", "share") if one.share else ())
    return " ".join(words + [f"{name}={getattr(one, name):.3g}" for name in figures if getattr(one, name)])


def _is_bits(one: Leaf) -> bool:
    return one.whole and (one.low, one.high) == (0, 1)


def _lowest(one: Leaf) -> float:
    return min((int(value) for value in one.counts if value != "-100"), default=one.low)


def _parsed(text: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in text.split() if "=" in word)


def _changes(before: dict[str, str], now: Leaf, stream: bool = False) -> Iterator[str]:
    """What differs by more than batches of one data set do."""
    kind, shape = before.get("kind"), _parsed(_spelled(now))["shape"]
    is_float = kind == "float" and now.is_float
    if not is_float and kind != now.dtype:
        yield f"{'float' if now.is_float else now.dtype} instead of {kind}"
        return
    if len(before.get("shape", "").split("x")) != len(shape.split("x")):
        yield f"shape {shape} of a sample instead of {before.get('shape')}"
    was = {name: float(value) for name, value in before.items() if name not in ("kind", "shape", "whole")}
    rows = int(min(was.get("rows", 0), now.rows))
    if stream:
        if is_float and was["std"] > 0 and not _ratio(now.std, was["std"]) <= _STREAM:
            yield _other("standard deviation", now.std, was["std"])
    elif rows >= _ROWS:
        # One of them says it: what is constant, or has another sign, has another scale and mean too.
        yield from itertools.islice(itertools.chain(_values(was, now, rows), _scales(was, now, rows)), 1)
    elif is_float:
        yield from _roughly(was, before.get("whole") == "False", now)


def _roughly(was: dict[str, float], fractions: bool, now: Leaf) -> Iterator[str]:
    """Of few samples, or an old reference."""
    if fractions and now.whole:
        yield "only whole numbers, where there were fractions"
    if was["std"] > 0 and not was["std"] / _SHIFT <= now.std <= was["std"] * _SHIFT:
        yield _other("standard deviation", now.std, was["std"])
    elif was["std"] > 0 and abs(now.mean - was["mean"]) > _MOVED * was["std"]:
        yield _other("mean", now.mean, was["mean"])


def _other(what: str, now: float, was: float) -> str:
    return f"{what} {now:.3g} instead of {was:.3g}"


def _sure(share: float, rows: int) -> bool:
    """Whether so many samples have what is in this share of the numbers by more than luck."""
    return share >= _SHARE and share * rows >= _SURE


def _error(share: float, other: float, was: dict[str, float], now: Leaf) -> float:
    """Standard error of the difference of two shares, where all numbers of a sample go together."""
    middle = (share + other) / 2
    return math.sqrt(max(middle * (1 - middle), 1 / now.rows) * (1 / was["rows"] + 1 / now.rows))


def _values(was: dict[str, float], now: Leaf, rows: int) -> Iterator[str]:
    """Values that are new, or gone."""
    if now.std == 0 and was["std"] > 0 and rows >= _SURE * min(was.get("tail", 3.0), rows):
        yield f"{now.mean:.4g} everywhere, instead of a standard deviation of {was['std']:.3g}"
    for name, what in (("negative", "negative numbers"), ("fractions", "fractions")):
        share, earlier = getattr(now, name), was.get(name, 0.0)
        if not earlier and _sure(share, rows):
            yield f"{share:.0%} {what} instead of none"
        if not share and _sure(earlier, rows):
            yield f"no {what} instead of {earlier:.0%}"
    ignored, earlier = now.ignored, was.get("ignored", 0.0)
    if max(ignored, earlier) >= _SHARE and abs(ignored - earlier) > 5 * _error(ignored, earlier, was, now) + _SHARE:
        yield f"{ignored:.0%} of -100 (what a loss ignores) instead of {earlier:.0%}"
    elif not ignored and _sure(earlier, rows):
        yield f"no -100 (what a loss ignores) instead of {earlier:.0%}"
    if now.counts and _sure(was.get("share", 0.0), rows) and not now.counts.get(f"{was.get('common', 0):.0f}"):
        yield f"no {was.get('common', 0):.0f} instead of {was['share']:.0%}"
    total = sum(now.counts.values())
    if "low" in was and total:
        below = sum(count for value, count in now.counts.items() if value != "-100" and int(value) < was["low"]) / total
        above = sum(count for value, count in now.counts.items() if int(value) > was["high"]) / total
        if _sure(below, rows):
            yield _other("lowest", _lowest(now), was["low"])
        if _sure(above, rows):
            yield _other("highest", now.high, was["high"])


def _scales(was: dict[str, float], now: Leaf, rows: int) -> Iterator[str]:
    """Means and scales that moved by more than sampling moves them."""
    if _is_bits(now) and (was.get("low"), was.get("high")) == (0, 1):
        error = _error(was["mean"], now.mean, was, now)
        moved = abs(now.mean - was["mean"])
        if moved > 4 * error and abs(now.mean + was["mean"] - 1) < 2 * error:
            yield f"turned round, {now.mean:.0%} ones instead of {was['mean']:.0%}"
        elif moved > 5 * error + _TURNED:
            yield f"{now.mean:.0%} ones instead of {was['mean']:.0%}"
    elif now.is_float and was["std"] > 0:
        widest = max(was["std"], now.std)
        if _is_scaled(was, now, rows):
            yield _other("standard deviation", now.std, was["std"])
        elif abs(now.mean - was["mean"]) > max(1.0, _ERRORS / math.sqrt(rows)) * widest:
            yield _other("mean", now.mean, was["mean"])


def _is_scaled(was: dict[str, float], now: Leaf, rows: int) -> bool:
    """Whether the standard deviation is another one, and, of heavy tails, the quartiles are too."""
    tail = max(was.get("tail", 3.0), now.tail)
    limit = max(
        _SCALED_MANY if rows >= _MANY else _SCALED, math.exp(_ERRORS * math.sqrt(max(tail - 1, 0) / (4 * rows)))
    )
    if not now.std or not _ratio(now.std, was["std"]) > limit:
        return False
    return tail <= _HEAVY or _ratio(now.between, was.get("between", 0.0)) > _SCALED_MANY


def _ratio(one: float, other: float) -> float:
    low, high = sorted((one, other))
    return high / low if low > 0 else (math.inf if high > 0 else 1.0)


CHECKS = (
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
    data_are_as_reviewed,
    labels_match_inputs,
)
