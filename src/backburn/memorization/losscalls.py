"""The calls of loss functions: what they are given, and what that is held against.

Each call of torch's loss functions is read with its arguments (research, mechanism A); `lossterms` judges what the loss
is made of.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import Skip
from ..report import Check, Finding, Level
from .dependence import LEAK
from .judging import Where, at, meant, suspected

if TYPE_CHECKING:
    from .seen import Evidence

_SQUEEZES = {"Softmax": "softmax", "Sigmoid": "sigmoid", "Tanh": "tanh", "Relu": "relu"}
_LINEAR = ("Addmm", "Mm", "Bmm", "Convolution", "Relu", "NativeBatchNorm", "NativeLayerNorm", "Sigmoid", "Tanh")
_BY_CLASS = ("cross_entropy", "nll_loss")
_BATCH = "a part of the batch"  # where targets are from
_BINARY = ("binary_cross_entropy", "binary_cross_entropy_with_logits")
DISTANCES = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
_HELD = ("classes", "binary", "squares", "distances")  # terms with a target for each element
_NEAR = {"squares", "distances"}  # either holds numbers against numbers
_ENOUGH = 8  # targets below which a constant says nothing (research, section 4, row 1)
_IGNORED = 0.9  # of the targets (research, section 4, row 4)
_PART, ALL = 0.95, 0.9999  # of targets: padding, or another split, that was left out, and is not any more
_MOVED = 0.3  # by which the share moves with no batch of one data set
_TALLIED = 4  # samples: of fewer, all may have one length
_GONE, _SAME, _MIXED = 0.1, 0.999, 0.95  # correlations: none, the very same, a mixture
NOTED = 0.3  # of a correlation: below it a batch of 100 says nothing
_CERTAIN = 5.0  # deviations
_OUT_OF_REACH = 0.1  # of the targets: a few outliers beyond a tanh are common
_FEW_CLASSES = 20  # distinct whole numbers that look like class ids
_LOW = 0.05  # of chance (row 5)


class Call(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One call of a loss function in the first pass, and its arguments `input` and `target`, where it had them.

    `weight` is the sum of |d loss / d call|, None where the loss does not depend on it; `sign` that of the derivative
    where it is one number for all elements. `made_by` is what the outputs went through last (`Softmax`, `Addmm`),
    `low`, `high`, `zeros` (a share) their values. `taken` says from where in the batch the targets are; `lowest`,
    `highest`, `different` (how many values), `whole` what they are; `counted` of `targets` are not ignored.
    `unreachable` is the share of targets outside the outputs' range, `no_shares` of those outside [0, 1]. `chance` is
    the call's value for outputs of 0. `shift`: by how many tokens the targets are ahead of the model's own tokens.
    `share` of the targets counts, of those that there were before a mask; `ignored` are values of those that do not;
    `never` and `always`: tokens at whose places none, or each, counts. `fed`: a constant target's outputs follow the
    batch.
    """

    name: str
    where: Where = ("", 0)
    value: float = 0.0
    weight: float | None = None
    sign: int = 0
    made_by: str = ""
    trains: bool = False
    reduction: str | None = ""
    input: tuple[int, ...] = ()
    target: tuple[int, ...] = ()
    taken: str = ""
    low: float = 0.0
    high: float = 0.0
    zeros: float = 0.0
    chance: float | None = None
    whole: bool = False
    targets: int = 0
    lowest: float = 0.0
    highest: float = 0.0
    different: int = 0
    floating: bool = False
    unreachable: float = 0.0
    no_shares: float = 0.0
    classes: int = 0
    probabilities: bool = False
    normalised: bool = True
    other_axis: bool = False
    most_in_row: float = 1.0
    counted: int | None = None
    shift: int | None = None
    causal: bool = False
    share: float = 1.0
    ignored: tuple[int, ...] = ()
    never: tuple[int, ...] = ()
    always: tuple[int, ...] = ()
    fed: bool = False

    @property
    def counts(self) -> bool:
        """Whether the loss depends on it."""
        return self.weight is not None and self.weight > 0


class Term(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A term of the loss: `kind` ("" if it is none that is known), `factor` (the sum of |d loss / d term|: 1 of a
    mean, `size` of a sum), `way` (the derivative's sign, 0 where it is not one), `sign` (-1 where that is wrong)
    and `share`: of its rows, those that the loss follows at all.
    """

    kind: str
    factor: float
    size: int
    sign: int
    way: int = 0
    share: float = 1.0


class Unpaired(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call that holds a sample's targets (first at row `target`) against another's outputs (its own: `output`)."""

    name: str
    where: Where
    target: int
    output: int


class Pairing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """After the first few steps: the calls whose targets are another sample's."""

    unpaired: tuple[Unpaired, ...] = ()


class LossCalls(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The loss of the first pass. `sign`: -1 where all of it is calls with a negative factor (`functions` spells them).
    `squeezed`: what a log_softmax got logits from; `spread`: a hand-written difference that broadcast; `size`: samples
    in the batch; `missing`: labels that are NaN, and learned from; `underflows`: what a logarithm is taken of as it is;
    `largest`: the largest absolute value that went into the model; `ends`: activations that are all that follows one
    of the model's last layers, `Sigmoid*` where a loss of logits has it as well; `related`: correlations of targets and
    inputs with parts of the batch.
    """

    calls: tuple[Call, ...] = ()
    terms: tuple[Term, ...] = ()
    sign: int = 0
    functions: str = ""
    manual: bool = False
    value: float | None = None
    size: int = 1
    squeezed: str = ""
    underflows: str = ""
    spread: str = ""
    ends: tuple[str, ...] = ()
    related: dict[str, float] = {}
    missing: int = 0
    tied: bool = False
    largest: float = 0.0
    step: Where = ("", 0)

    @property
    def used(self) -> tuple[Call, ...]:
        """The calls that the loss depends on."""
        return tuple(one for one in self.calls if one.counts)

    @property
    def known(self) -> bool:
        """Whether each term of the loss is of a known kind."""
        return bool(self.terms) and all(one.kind for one in self.terms)

    @property
    def kinds(self) -> list[str]:
        """The kinds of the terms that count, in order; unknown ones as `other`, once."""
        kinds = [one.kind for one in self.terms if one.factor > 0 and one.kind]
        return sorted(kinds) + ["other"] * any(not one.kind for one in self.terms)

    @property
    def taken(self) -> str:
        """From where the targets of all calls are: a part of the batch, if one of them is."""
        taken = [one.taken for one in self.used if one.targets]
        if any(one.startswith("batch") for one in taken):
            return _BATCH
        return next(iter(filter(None, taken)), "no part of the batch") if taken else ""

    @property
    def drawn(self) -> bool:
        """Whether the targets of all calls are no part of the batch, nor of one order with a part."""
        taken = [one.taken for one in self.used if one.targets]
        return bool(taken) and not any(taken)

    @property
    def share(self) -> float | None:
        """The share of targets that count, of all calls together; of a loss by hand of its terms."""
        calls = [(one.targets, one.share) for one in self.used if one.targets > 1]
        held = [one for one in self.terms if one.kind in _HELD and one.factor > 0]  # a weight that warms up begins at 0
        by_hand = [(one.size, one.share) for one in held if one.size > 1]
        of = calls or by_hand
        return sum(count * share for count, share in of) / sum(count for count, _ in of) if of else None

    @property
    def ignored(self) -> list[int]:
        """Values of targets that are ignored."""
        return sorted({value for one in self.used for value in one.ignored})

    @property
    def never(self) -> list[str]:
        """Tokens at whose places no target counts: `0`, or `next:0` where targets are the tokens that come next."""
        return list(dict.fromkeys(_token(one, value) for one in self.used for value in one.never))

    @property
    def constants(self) -> list[str]:
        """The calls with a constant target that no part of the batch is: `1b` on the side of 1, given what follows the
        batch (a discriminator's images), `0`.
        """
        calls = [one for one in self.used if one.name in (*_BINARY, *DISTANCES) and one.different == 1]
        sides = [("1" if one.lowest > 1 / 2 else "0", one) for one in calls if one.targets > 1 and not one.taken]
        return [side + "b" * one.fed for side, one in sides]

    @property
    def idle(self) -> int:
        """Calls that could be learned from, and are not: logged alone, or times 0."""
        return sum(one.trains and not one.counts for one in self.calls)


def _token(call: Call, value: int) -> str:
    return f"next:{value}" if call.shift == 1 else str(value)


def told_loss(seen: Evidence) -> LossCalls:
    """The record of the first pass's loss. Raises Skip where there is none."""
    return seen.look("loss_calls", LossCalls)


def used_calls(seen: Evidence) -> tuple[Call, ...]:
    """The calls that the loss depends on. Raises Skip where it depends on no call of torch's loss functions."""
    used = told_loss(seen).used
    if not used:
        raise Skip("the loss depends on no call of torch's loss functions")
    return used


def terms_of(seen: Evidence) -> tuple[list[str], list[str]]:
    """Kinds of terms when it was reviewed, and now."""
    before = seen.reference.settings.get("loss terms", "") if seen.reference else ""
    return before.split(), told_loss(seen).kinds


def loss_takes_logits(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Losses that apply softmax or sigmoid themselves are given logits, and no activation is new before the loss."""
    told = told_loss(seen)
    found = False
    for one in told.used:
        if one.name not in ("cross_entropy", "binary_cross_entropy_with_logits"):
            continue
        what = _SQUEEZES.get(one.made_by, "")
        if one.name == "cross_entropy" and one.classes > 1 and one.probabilities and one.trains:
            what = "softmax"
        if what:
            found = True
            yield at(Finding(message=_squeezed(one, what), hint=_LOGITS), one.where)
    if not found and told.squeezed and not told.used:
        message = f"log_softmax of what {_SQUEEZES[told.squeezed]} returned: the loss cannot come down to 0"
        yield at(Finding(message=message, hint=_LOGITS), told.step)
    elif not found and not any(one.probabilities and one.name in ("nll_loss", "kl_div") for one in told.used):
        yield from _ended(seen, told)


def _ended(seen: Evidence, told: LossCalls) -> Iterator[Finding]:
    """Activations that the model ends in, and did not when it was reviewed."""
    before = seen.reference.settings.get("loss ends") if seen.reference else None
    new = [one for one in told.ends if before is not None and one not in before.split() and "*" not in one]
    leak = seen.probe.dependence.leak if seen.probe.dependence else None
    if new and not (leak and not leak.far <= LEAK):  # a softmax over the batch: samples-are-independent
        message = f"outputs go through {', '.join(new).lower()} before the loss, and did not when it was reviewed"
        yield at(meant(Finding(message=message, hint=_LOGITS)), told.used[0].where if told.used else told.step)


_LOGITS = "Return what the last layer gives; apply softmax or sigmoid only where a probability is asked for."


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
            message = (
                f"cross_entropy takes axis 1 of {_shape(one.input)} for the classes; the targets sum to 1 on the last"
            )
            yield at(Finding(message=message, hint="Move the classes to axis 1 of both: .movedim(-1, 1)."), one.where)
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
        yield at(Finding(message=message, hint=_ONE_SHAPE), told.step)


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


def loss_counts_targets(seen: Evidence, config: Any) -> Iterator[Finding]:
    """The loss counts its targets: ignore_index and weights leave out no more than a part."""
    told = told_loss(seen)
    if told.missing:
        message = (
            f"the loss learns from {told.missing} targets that are missing: NaN in the batch, something else later"
        )
        finding = at(Finding(message=message, hint=_MISSING), told.step)
        yield from suspected([finding], loss_counts_targets, seen.reference)
    changed = list(_counted_otherwise(seen, told))
    yield from changed
    calls = [one for one in told.used if one.counted is not None and one.targets]
    if not calls and not told.missing and not changed:
        raise Skip("no loss with targets that can be ignored")
    for one in calls:
        counted = one.counted or 0
        if not counted / one.targets < 1 - _IGNORED:
            continue
        message = f"{one.name} ignores {one.targets - counted} of {one.targets} targets (ignore_index, or weight 0)"
        finding = at(
            Finding(message=message, hint="Is ignore_index a class that occurs? Is the mask inverted?"), one.where
        )
        # Masked language models and prompts count a few tokens of each sample at least.
        if counted < told_loss(seen).size / 2 and one.targets > told_loss(seen).size or not counted:
            yield finding
        else:
            yield from suspected([finding], loss_counts_targets, seen.reference)


def _counted_otherwise(seen: Evidence, told: LossCalls) -> Iterator[Finding]:
    """Another share of the targets counts than when it was reviewed, or others are ignored."""
    before = seen.reference.runs("loss: counted") if seen.reference else ()
    if not before or told.share is None or 1 < told.size < _TALLIED:
        return
    name, where = (told.used[0].name, told.used[0].where) if told.used else ("the loss", told.step)
    now, reviewed = told.share, before[0]
    samples = seen.reference.runs("loss: samples") if seen.reference else ()
    filled = now > ALL and reviewed < _PART and (told.size > 1 or samples == (1.0,))
    if filled or (abs(now - reviewed) > _MOVED and told.used):
        counts = sum(one.targets for one in told.used)
        share = f"all {counts or ''}".strip() if now > ALL else f"{now:.0%} of {counts or ''}".strip()
        message = f"{name} counts {share} targets, and {reviewed:.0%} of them when it was reviewed"
        yield at(meant(Finding(message=message, hint=_PADDING)), where)
        return
    tokens = seen.reference.settings.get("loss never", "").split() if seen.reference else []
    again = [value for one in told.used for value in one.always if _token(one, value) in tokens]
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
_MISSING = "Take the mask before nan_to_num or fillna, and leave out what it names."


def loss_fits_targets(seen: Evidence, config: Any) -> Iterator[Finding]:
    """The loss is one for such targets, and the targets are the batch's own."""
    told = told_loss(seen)
    if not told.used and not told.related:
        raise Skip("the loss depends on no call of torch's loss functions")
    maybe = []
    for one in told.used:
        if one.no_shares > 0 and one.reduction != "none":
            message = f"{one.name} takes targets in [0, 1] and got {one.lowest:.4g} to {one.highest:.4g}"
            yield at(Finding(message=f"{message}: it has no lower bound", hint=_SHARES), one.where)
        if one.name == "cross_entropy" and one.floating and one.most_in_row > 1 + _LOW:
            maybe.append(at(Finding(message=_several(one), hint=_MULTILABEL), one.where))
        if one.unreachable > _OUT_OF_REACH:
            maybe.append(at(Finding(message=_unreachable(one), hint=_REACH), one.where))
        if _are_ids(one):
            message = f"{one.name} is given {one.different} whole numbers from {one.lowest:.0f} to {one.highest:.0f}"
            maybe.append(at(Finding(message=f"{message}, as class ids are", hint=_IDS), one.where))
        counted = one.targets if one.counted is None else one.counted
        if one.different == 1 and counted >= _ENOUGH and not (one.taken or told.manual or one.name == "kl_div"):
            message = f"all {counted} targets of {one.name} are {one.lowest:.4g}, and no part of the batch is"
            maybe.append(at(Finding(message=message, hint=_LOST), one.where))
    yield from _exchanged(seen)
    yield from _unrelated(seen, told)
    yield from suspected(maybe, loss_fits_targets, seen.reference)


_SHARES = "Labels of -1 and 1, or class ids? Make them 0 and 1, or use cross_entropy."
_MULTILABEL = "Several labels at once? Use binary_cross_entropy_with_logits."
_REACH = "Leave the last activation out, or scale the targets into its range."
_IDS = (
    "Classes have no order: use cross_entropy, with an output for each. A count, or a grade? [[tool.backburn.allow]]."
)
_LOST = "Labels multiplied by 0, cast or masked on the way to the loss? On purpose (MoCo): [[tool.backburn.allow]]."


def _several(one: Call) -> str:
    return f"cross_entropy got targets whose rows sum to up to {one.most_in_row:.3g}: no distribution over classes"


def _unreachable(one: Call) -> str:
    made = _SQUEEZES.get(one.made_by, one.made_by)
    return (
        f"{one.unreachable:.0%} of the targets of {one.name} ({one.lowest:.3g} to {one.highest:.3g}) are outside of"
        f" what {made} can return"
    )


def _are_ids(one: Call) -> bool:
    """Whole numbers from 0 on, of which none is left out, for one output each."""
    single = one.name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss") and one.input[1:] in ((), (1,))
    steps = one.highest - one.lowest
    whole = one.whole and one.lowest in (0, 1) and 2 <= steps < _FEW_CLASSES
    return single and whole and one.different >= 0.7 * (steps + 1)


def loss_pairs_outputs(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Row i of the outputs is held against row i of the targets."""
    told = seen.look("pairing", Pairing)
    leak = seen.probe.dependence.leak if seen.probe.dependence else None
    if leak and leak.mixes and seen.reference and seen.reference.settings.get("mixes") == "no":
        raise Skip("samples are mixed before the model (samples-are-independent)")
    for one in told.unpaired:
        message = (
            f"{one.name} holds a sample's targets against another's outputs: with sample 1 changed, row {one.target} of"
            f" the targets moved, and row {one.output} of the outputs"
        )
        hint = "A transpose, a view or a shuffle of one of the two before they are flattened?"
        yield at(Finding(message=message, hint=hint), one.where)


def targets_are_shifted(seen: Evidence, config: Any) -> Iterator[Finding]:
    """A language model's targets are the tokens that come next."""
    calls = [one for one in used_calls(seen) if one.shift is not None]
    if not calls:
        raise Skip("no targets that are the model's own tokens")
    if any(one.shift == 1 for one in calls):
        return
    for one in calls:
        said = {0: "the very tokens that the model is given", -1: "the tokens before", 2: "the tokens after next"}
        message = f"the targets of {one.name} are {said[one.shift or 0]}"
        hint = "Logits at position t predict token t + 1: logits[:, :-1] against tokens[:, 1:], once."
        finding = at(Finding(message=message, hint=hint), one.where)
        if one.causal:
            yield finding
        else:  # an autoencoder of tokens
            yield from suspected([finding], targets_are_shifted, seen.reference)


def _unrelated(seen: Evidence, told: LossCalls) -> Iterator[Finding]:
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


def _exchanged(seen: Evidence) -> Iterator[Finding]:
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
    if seen.reference.settings.get("loss targets") == _BATCH and told.taken not in ("", _BATCH):
        message = f"targets are {told.taken}, and were a part of the batch when it was reviewed"
        yield at(Finding(message=message, hint="Are the labels changed on the way to the loss?"), told.used[0].where)


CHECKS: tuple[Check, ...] = (
    loss_takes_logits,
    loss_takes_log_probabilities,
    loss_shapes_agree,
    loss_has_classes,
    loss_counts_targets,
    loss_fits_targets,
    loss_pairs_outputs,
    targets_are_shifted,
)
