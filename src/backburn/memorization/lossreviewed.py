"""The calls of loss functions, held against the reference: activations, what counts, the targets and the loss itself.

Checks of `lossoutputs` and `losstargets` say it, beside what they find without a reference.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..report import Finding, Level
from .dependence import LEAK
from .draws import draws_anew
from .judging import at, meant
from .losscalls import BATCH, LossCalls, terms_of, token, told_loss

if TYPE_CHECKING:
    from .seen import Evidence

_NEAR = {"squares", "distances"}  # either holds numbers against numbers
_PART, _ALL = 0.95, 0.9999  # of targets: padding, or another split, that was left out, and is not any more
_MOVED = 0.3  # by which the share moves with no batch of one data set
_TALLIED = 4  # samples: of fewer, all may have one length
_GONE, _SAME, _MIXED = 0.1, 0.999, 0.95  # correlations: none, the very same, a mixture
_CERTAIN = 5.0  # deviations
_EVEN = 1.2  # times: weights that differ by less are one


def ended(seen: Evidence, told: LossCalls) -> Iterator[Finding]:
    """Activations that the model ends in, and did not when it was reviewed."""
    before = seen.reference.settings.get("loss ends") if seen.reference else None
    new = [one for one in told.ends if before is not None and one not in before.split() and "*" not in one]
    leak = seen.probe.dependence.leak if seen.probe.dependence else None
    if new and not (leak and not leak.far <= LEAK):  # a softmax over the batch: samples-are-independent
        message = f"outputs go through {', '.join(new).lower()} before the loss, and did not when it was reviewed"
        yield at(meant(Finding(message=message, hint=LOGITS)), told.used[0].where if told.used else told.step)


LOGITS = "Return what the last layer gives; apply softmax or sigmoid only where a probability is asked for."


def counted_otherwise(seen: Evidence, told: LossCalls) -> Iterator[Finding]:
    """Another share of the targets counts than when it was reviewed, or others are ignored."""
    before = seen.reference.runs("loss: counted") if seen.reference else ()
    if not before or told.share is None or 1 < told.size < _TALLIED:
        return
    name, where = (told.used[0].name, told.used[0].where) if told.used else ("the loss", told.step)
    now, reviewed = told.share, before[0]
    samples = seen.reference.runs("loss: samples") if seen.reference else ()
    filled = now > _ALL and reviewed < _PART and (told.size > 1 or samples == (1.0,))
    if filled or (abs(now - reviewed) > _MOVED and told.used):
        counts = sum(one.targets for one in told.used)
        share = f"all {counts or ''}".strip() if now > _ALL else f"{now:.0%} of {counts or ''}".strip()
        message = f"{name} counts {share} targets, and {reviewed:.0%} of them when it was reviewed"
        yield at(meant(Finding(message=message, hint=_PADDING)), where)
        return
    tokens = seen.reference.settings.get("loss never", "").split() if seen.reference else []
    again = [value for one in told.used for value in one.always if token(one, value) in tokens]
    if again:
        message = f"{name} counts each target at tokens of {again[0]}, and none of them when it was reviewed"
        yield at(meant(Finding(message=message, hint=_PADDING)), where)
        return
    known = seen.reference.settings.get("loss ignored", "").split() if seen.reference else []
    new = [value for value in told.ignored if value >= 0 and str(value) not in known]
    if known and new:
        message = f"{name} ignores targets of {new[0]}, and ignored those of {', '.join(known)} when it was reviewed"
        yield at(meant(Finding(message=message, hint="Is that a class that occurs?")), where)


_PADDING = "Is ignore_index what labels are padded with? Is a mask left out, or inverted?"


def weighed_otherwise(seen: Evidence, told: LossCalls) -> Iterator[Finding]:
    """Classes that weighed something of their own when it was reviewed, and weigh the same now, or the reverse."""
    words = seen.reference.settings.get("loss weights", "") if seen.reference else ""
    before = [float(one) for one in words.split(",") if one]
    calls = [one for one in told.used if one.classes in (0, len(before)) or len(before) == 1]
    calls = [one for one in calls if one.reduction != "none"]  # else they may well be multiplied by hand
    if not before or not calls or not _is_uneven(before):
        return
    now = next((one.weights for one in calls if len(one.weights) == len(before)), ())
    if not any(one.weights for one in calls):
        message = f"{calls[0].name} weighs all classes alike, and did not when it was reviewed"
    elif now and min(now) > 0 and _alike(before, now) < 0:
        message = f"{calls[0].name} weighs more what weighed less when it was reviewed"
    else:
        return
    hint = "Are the weights passed on, and are they those of rare classes: one over their number, in their order?"
    yield at(meant(Finding(message=message, hint=hint)), calls[0].where)


def _is_uneven(weights: Sequence[float]) -> bool:
    low, high = (weights[0], 1.0) if len(weights) == 1 else (min(weights), max(weights))
    return low > 0 and not 1 / _EVEN <= high / low <= _EVEN


def _alike(before: Sequence[float], now: Sequence[float]) -> float:
    """Of the logarithms: their products' sum, each less its mean; of a single one, their product."""
    one, other = [math.log(value) for value in before], [math.log(value) for value in now]
    middle = (math.fsum(one) / len(one), math.fsum(other) / len(other)) if len(one) > 1 else (0.0, 0.0)
    return math.fsum((a - middle[0]) * (b - middle[1]) for a, b in zip(one, other))


def unrelated(seen: Evidence, told: LossCalls) -> Iterator[Finding]:
    """What outputs are held against, or what the model is given, follows otherwise from the batch than reviewed."""
    settings = seen.reference.settings if seen.reference else {}
    samples = min((*(seen.reference.runs("loss: samples") if seen.reference else ()), told.size))
    noted = settings.get("loss related", "").split()
    # Where only inputs are related, an augmentation may as well have moved into the model.
    for word in noted if any(word.startswith("target") for word in noted) else ():
        name, _, spelled = word.rpartition("=")
        before, now = float(spelled), told.related.get(name, float(spelled))
        gone = abs(now) < _GONE
        if gone and name.startswith("input"):  # mixed up before the model: samples-are-independent
            continue
        lost = now * before < 0 or gone or (abs(now) > _SAME and abs(before) < _MIXED)
        if lost and samples > 3 and abs(_z(now) - _z(before)) > _CERTAIN * math.sqrt(2 / (samples - 3)):
            what, _, path = name.partition(":")
            what = "the target" if what == "target" else "the model's first input"
            message = f"{what} has a correlation of {now:.2f} with {path}, and of {before:.2f} when it was reviewed"
            hint = "A sign, an argument, or noise that is not drawn?"
            yield at(meant(Finding(message=message, hint=hint)), told.used[0].where if told.used else told.step)


def _z(r: float) -> float:
    """Fisher's: a correlation's deviation is 1 / sqrt(n - 3) there, whatever it is."""
    return math.atanh(max(-_SAME, min(_SAME, r)))


_GAN = "Of a GAN: real samples 1 and fakes 0 for the discriminator, fakes 1 for the generator."


def _sides(before: list[str], now: list[str]) -> str:
    labels = [", ".join(one.rstrip("b") for one in each) for each in (now, before)]
    if labels[0] != labels[1]:
        return f"the constant targets are {labels[0]}, and were {labels[1]} when it was reviewed"
    place = next(i for i, (one, other) in enumerate(zip(before, now)) if one != other)
    does, did = ("follow", "did not") if now[place].endswith("b") else ("do not follow", "did")
    return f"outputs held against {labels[0][3 * place]} (call {place + 1}) {does} the batch, and {did} when reviewed"


def exchanged(seen: Evidence) -> Iterator[Finding]:
    """Another loss, or other targets, than what was reviewed. What is written by hand may be the same written anew."""
    if seen.reference is None:
        return
    told, (before, now) = told_loss(seen), terms_of(seen)
    lost, new = set(before) - set(now), set(now) - set(before)
    # Where a penalty is all that is left, the outputs are cut off: parameters-are-connected.
    if lost and new and "other" not in lost | new and new != {"weights"}:
        level = Level.NOTICE if lost | new <= _NEAR else Level.ERROR
        terms = ", ".join(sorted(lost)), ", ".join(sorted(new))
        message = f"the loss is one of {terms[1]}, and was one of {terms[0]} when it was reviewed"
        yield at(meant(Finding(level=level, message=message, hint="Is this the loss for such targets?")), told.step)
    constants = seen.reference.settings.get("loss constants", "").split(), told.constants
    if len(constants[0]) == len(constants[1]) and constants[0] != constants[1]:
        yield at(meant(Finding(message=_sides(*constants), hint=_GAN)), told.used[0].where)
    leak = seen.probe.dependence.leak if seen.probe.dependence else None
    # A mixup whose share is near 0 for once gives each sample the label of the other one.
    mixed = "orders" in seen.reference.settings.get("draws", "")
    mixup = mixed or (leak is not None and leak.both and draws_anew(seen))
    if seen.reference.settings.get("loss targets") == BATCH and told.taken not in ("", BATCH) and not mixup:
        message = f"targets are {told.taken}, and were a part of the batch when it was reviewed"
        yield at(Finding(message=message, hint="Are the labels changed on the way to the loss?"), told.used[0].where)
