"""The data, held against the reference: the types, shapes, scales, values and classes that were reviewed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import Skip
from ..report import Check, Finding, after
from .alignment import GONE
from .batch import Batch, Leaf, batch_is_finite, inputs_vary, labels_vary
from .judging import meant

if TYPE_CHECKING:
    from .seen import Evidence

_COPIES = "copies"  # the key in a reference's settings
_LOOKS = "classes"  # the key in a reference's settings of what the samples of each class look like
_ELSEWHERE = 2.0  # times as far from its own class as from another one: renumbered
_SHIFT = 5.0  # times by which a standard deviation may differ from the reviewed one
_MOVED = 4.0  # reviewed standard deviations by which a mean may differ
# The same two where both are over samples enough, in what sampling does to them: 192 lognormal samples (sigma 2) differ
# by a factor of 3 in 1 of 5 draws; by 6 standard errors, and in their quartiles too, in none of 1000.
_ROWS = 16
_SCALED, _ERRORS = 3.0, 6.0
_RESIZED = 1.5  # up to which a standard deviation is the same numbers', resized or jittered
_STREAM = 30.0  # likewise of a stream: returns of one rollout were 8 times those of a wider policy
_MANY, _SCALED_MANY = 64, 2.5  # pictures that are normalised twice come to 1/0.29 to 1/0.5 of their scale
_HEAVY = 9.0  # fourth moment from which the quartiles have to agree (an exponential distribution's)
_SHARE = 0.05  # of the numbers, and so many samples of it, for it to be there or not by more than luck: e**-9
_SURE = 9.0
_TURNED = 0.15  # by which a share of ones may differ, beyond 5 standard errors


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
    yield from _copied(seen, seen.look("batch", Batch))
    told = seen.look("batch", Batch).alignment
    # Labels that belong to no input any more look like any class: that is labels-match-inputs.
    if told is not None and told.clear >= GONE and (moved := _renumbered(_classes(seen), told.classes)):
        hint = "An offset, another order of classes, a label map that is not the reviewed?"
        yield meant(Finding(message=f"labels are numbered otherwise: {moved}", hint=hint))


def _copied(seen: Evidence, told: Batch) -> Iterator[Finding]:
    """Parts that are one, and were two when it was reviewed."""
    settings = seen.reference.settings if seen.reference else {}
    for pair in told.copies if _COPIES in settings else ():
        one, other = pair.split("=")
        if pair not in settings[_COPIES].split() and f"data {one}" in settings and f"data {other}" in settings:
            message = f"{other} is {one}, number for number, and was another when it was reviewed"
            yield meant(Finding(message=message, hint="Is a view, an augmentation or noise drawn once for both?"))


def kept(seen: Evidence) -> dict[str, str]:
    """What a reference notes of the batch: a line for each of its first tensors, and what its classes look like."""
    told = seen.probe.batch
    if told is None:
        return {}
    looks = told.alignment.classes if told.alignment else {}
    spelled = {_LOOKS: " ".join(f"{name}={','.join(map(str, values))}" for name, values in looks.items())}
    spelled = {_COPIES: " ".join(told.copies)} | (spelled if looks else {})
    return {f"data {one.path}": _spelled(one) for one in told.noted} | spelled


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
        # Whole numbers of the same scale that are resized or jittered (pixels, boxes) are no other numbers.
        resized = name == "fractions" and was["std"] > 0 and _ratio(now.std, was["std"]) <= _RESIZED
        if not earlier and _sure(share, rows) and not resized:
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


CHECKS: tuple[Check, ...] = (data_are_as_reviewed,)
