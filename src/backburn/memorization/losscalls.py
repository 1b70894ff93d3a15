"""The loss: what its functions are given, what they are held against, and by which sign and factor it is returned.

Two readings say it: each call of torch's loss functions, with its arguments (research, mechanism A), and the loss's
graph, whose terms are seen where a loss is written by hand.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import Skip
from ..report import Check, Finding
from .judging import Where, at, suspected

if TYPE_CHECKING:
    from .seen import Evidence

_SQUEEZES = {"Softmax": "softmax", "Sigmoid": "sigmoid", "Tanh": "tanh", "Relu": "relu"}
_LINEAR = ("Addmm", "Mm", "Bmm", "Convolution", "Relu", "NativeBatchNorm", "NativeLayerNorm", "Sigmoid", "Tanh")
_BY_CLASS = ("cross_entropy", "nll_loss")
_BINARY = ("binary_cross_entropy", "binary_cross_entropy_with_logits")
_DISTANCES = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
_ENOUGH = 8  # targets below which a constant says nothing (research, section 4, row 1)
_IGNORED = 0.9  # of the targets (research, section 4, row 4)
_OUT_OF_REACH = 0.1  # of the targets: a few outliers beyond a tanh are common
_FEW_CLASSES = 20  # distinct whole numbers that look like class ids
_TINY, _LARGE = 1e-3, 10.0  # factor of a loss that is a mean (research, section 4, row 4)
_HIGH = 3.0  # times chance (row 5); healthy programs of the benchmark start below 2
_SQUARES_HIGH = 10.0  # times E[y^2] (row 5)
_ABSURD = 20.0  # times chance; tied embeddings reach 29 / 2.8 = 10 (research, section 3)
_SCALED = 50.0  # of inputs, in absolute value (research, section 4, row 1): what is beyond is their fault
_LOW = 0.05  # of chance (row 5)
_CHANGED = 6.0  # times the first loss that was reviewed: half or twice the batch doubles a sum, width 2 less than that
_SUNK = 10.0  # times below it: one start in 20 of a hinge loss is 5 times below another by chance


class Call(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One call of a loss function in the first pass, and its arguments `input` and `target`, where it had them.

    `weight` is the sum of |d loss / d call|, None where the loss does not depend on it; `sign` that of the derivative
    where it is one number for all elements. `made_by` is what the outputs went through last (`Softmax`, `Addmm`),
    `low`, `high`, `zeros` (a share) their values. `taken` says from where in the batch the targets are; `lowest`,
    `highest`, `different` (how many values), `whole` what they are; `counted` of `targets` are not ignored.
    `unreachable` is the share of targets outside the outputs' range, `no_shares` of those outside [0, 1]. `chance` is
    the call's value for outputs of 0. `shift`: by how many tokens the targets are ahead of the model's own tokens.
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

    @property
    def counts(self) -> bool:
        """Whether the loss depends on it."""
        return self.weight is not None and self.weight > 0


class Term(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A term of the loss: `kind` ("" if it is none that is known), `factor` (the sum of |d loss / d term|: 1 of a
    mean, `size` of a sum), `way` (the derivative's sign, 0 where it is not one) and `sign`: -1 where that is wrong.
    """

    kind: str
    factor: float
    size: int
    sign: int
    way: int = 0


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
    in the batch; `underflows`: what a logarithm is taken of as it is; `largest`: the largest absolute value that
    went into the model.
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


def _told(seen: Evidence) -> LossCalls:
    return seen.look("loss_calls", LossCalls)


def _calls(seen: Evidence) -> tuple[Call, ...]:
    """Raises Skip where the loss depends on no call of torch's loss functions."""
    used = _told(seen).used
    if not used:
        raise Skip("the loss depends on no call of torch's loss functions")
    return used


def _soft(found: Iterable[Finding], check: Check, seen: Evidence) -> Iterator[Finding]:
    yield from suspected(list(found), check, seen.reference)


def loss_takes_logits(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Losses that apply softmax or sigmoid themselves are given logits."""
    told = _told(seen)
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
    calls = [one for one in _calls(seen) if one.name in ("nll_loss", "kl_div") and one.trains]
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
                yield from _soft([finding], loss_takes_log_probabilities, seen)


def loss_shapes_agree(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Outputs and targets have one shape: nothing is broadcast in silence, and classes are on their axis."""
    told = _told(seen)
    for one in told.used:
        if one.other_axis:
            message = (
                f"cross_entropy takes axis 1 of {_shape(one.input)} for the classes; the targets sum to 1 on the last"
            )
            yield at(Finding(message=message, hint="Move the classes to axis 1 of both: .movedim(-1, 1)."), one.where)
        if (
            one.name in _DISTANCES
            and one.input != one.target
            and math.prod(one.target) > 1
            and math.prod(one.input) > 1
        ):
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
                yield from _soft([finding], loss_shapes_agree, seen)
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
    calls = [one for one in _calls(seen) if one.name in _BY_CLASS]
    if not calls:
        raise Skip("no loss over classes")
    for one in calls:
        if one.classes == 1:
            message = f"{one.name} got outputs of shape {_shape(one.input)}: of one class, its loss is always 0"
            hint = "One logit for yes and no? Use binary_cross_entropy_with_logits; else give each class an output."
            yield at(Finding(message=message, hint=hint), one.where)


def loss_counts_targets(seen: Evidence, config: Any) -> Iterator[Finding]:
    """The loss counts its targets: ignore_index and weights leave out no more than a part."""
    calls = [one for one in _calls(seen) if one.counted is not None and one.targets]
    if not calls:
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
        if counted < _told(seen).size / 2 and one.targets > _told(seen).size or not counted:
            yield finding
        else:
            yield from _soft([finding], loss_counts_targets, seen)


def loss_fits_targets(seen: Evidence, config: Any) -> Iterator[Finding]:
    """The loss is one for such targets, and the targets are the batch's own."""
    told = _told(seen)
    maybe = []
    for one in _calls(seen):
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
    yield from _soft(maybe, loss_fits_targets, seen)


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
    calls = [one for one in _calls(seen) if one.shift is not None]
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
            yield from _soft([finding], targets_are_shifted, seen)


def loss_sign(seen: Evidence, config: Any) -> Iterator[Finding]:
    """The loss falls as outputs come closer to their targets."""
    early, late = seen.probe.loss_calls or LossCalls(), seen.probe
    where = early.used[0].where if early.used else early.step
    if early.sign < 0 or late.sign < 0:
        message = f"training_step returned {early.functions or late.functions}: minimised with the wrong sign"
        return (yield at(Finding(message=message, hint=_SIGN), where))
    told = _told(seen)
    before = seen.reference.settings.get("loss ways", "").split() if seen.reference else []
    now, flipped = _ways(told), _ways(told, -1)
    first = seen.reference.runs("loss: first") if seen.reference else ()
    # The same written by hand may well be a product of two other signs; its value is the same then.
    if before and before == flipped != now and first and (told.value or 0.0) * first[0] < 0:
        message = f"each term of the loss ({told.value or 0:.4g}) has the other sign than when it was reviewed"
        return (yield at(Finding(message=message, hint=_SIGN), where))
    if first and _mirrored(seen, told.value or 0.0, first[0]):
        message = f"the first loss is {told.value:.4g}; when it was reviewed it was {first[0]:.4g}, and stayed above 0"
        return (yield at(Finding(message=message, hint=_SIGN), where))
    if not told.known:
        raise Skip("the loss has terms that are not known")
    terms = [one for one in told.terms if one.sign or one.kind != "weights"]
    if terms and all(one.sign < 0 for one in terms):
        kinds = ", ".join(dict.fromkeys(_KINDS[one.kind] for one in terms))
        message = f"the loss ({told.value or 0:.4g}) falls as {kinds}: minimised with the wrong sign"
        yield at(Finding(message=message, hint=_BY_HAND), where)


def _mirrored(seen: Evidence, value: float, first: float) -> bool:
    """Whether a loss that never came below 0 begins about as far below as it began above."""
    fell = seen.reference.runs("progress") if seen.reference else ()
    return bool(fell) and first > 0 and fell[0] <= 1 and abs(value + first) <= first / 2


def _ways(told: LossCalls, times: int = 1) -> list[str]:
    """`classes+ other-`: the terms whose derivative has one sign, and which."""
    return sorted(f"{one.kind or 'other'}{'+' if one.way * times > 0 else '-'}" for one in told.terms if one.way)


_SIGN = "Return the loss itself; an optimizer minimises."
_BY_HAND = "An optimizer minimises: of squares that is their mean, of probabilities the mean of -log p."
_KINDS = {
    "classes": "the right class gets less likely",
    "binary": "the right answer gets less likely",
    "squares": "squared errors grow",
    "distances": "errors grow",
    "hinges": "margins are violated more",
    "alignments": "the right alignment gets less likely",
    "weights": "weights grow",
}


def loss_scale(seen: Evidence, config: Any) -> Iterator[Finding]:
    """The loss depends on the outputs, by a factor that neither hides it nor blows it up."""
    told = _told(seen)
    terms = [one for one in told.terms if one.kind != "weights"]
    largest = max((one.factor for one in terms), default=1.0)
    where = told.used[0].where if told.used else told.step
    if largest == 0:
        if told.value:  # margins that are all kept have a loss of 0
            message = f"the loss is {told.value:.4g} and its gradient is 0: a clamp, or a factor of 0"
            yield at(Finding(message=message, hint="Clamp what goes into the logarithm, not the loss."), where)
    elif largest < _TINY:
        message = f"the loss enters by a factor of {largest:.2g}: its gradients drown in rounding and in Adam's eps"
        yield at(Finding(message=message, hint="Leave the factor out; a rate belongs to the optimizer."), where)
    else:
        yield from _soft(_out_of_scale(told, terms, where), loss_scale, seen)


def detached(seen: Evidence) -> Iterator[Finding]:
    """Outputs that do not reach the loss, where a penalty on the parameters lets each of them get a gradient."""
    told = seen.probe.loss_calls
    if told is None or not told.calls or not told.terms:
        return
    if all(one.kind == "weights" for one in told.terms):
        one = told.calls[0]
        message = f"the loss depends on the size of parameters alone; {one.name} gets outputs without a gradient"
        yield at(Finding(message=message, hint="Look for detach(), .data, no_grad() or .item()."), one.where)


def _out_of_scale(told: LossCalls, terms: Sequence[Term], where: Where) -> Iterator[Finding]:
    if terms and all(one.kind and one.factor > _LARGE * max(one.size, 1) for one in terms):
        message = f"the loss enters by a factor of {max(one.factor for one in terms):.3g}"
        yield at(Finding(message=message, hint="Is it multiplied up?"), where)
    for one in told.calls:
        if one.weight == 0 and one.value:
            message = f"{one.name} ({one.value:.4g}) enters the loss by a factor of 0"
            yield at(Finding(message=message, hint="A weight that begins at 0? [[tool.backburn.allow]]."), one.where)


def initial_loss(seen: Evidence, config: Any) -> Iterator[Finding]:
    """The first loss is about what chance gives."""
    if not math.isfinite(next(iter(seen.probe.losses), 0.0)):
        raise Skip("the first loss is no number")
    calls = [one for one in _calls(seen) if one.chance and one.chance > 0 and one.sign >= 0 and one.trains]
    if not calls:
        raise Skip("what chance gives is not known for this loss")
    for one in calls:
        times = one.value / (one.chance or 1.0)
        classes = one.name not in _DISTANCES
        if not times <= (_HIGH if classes else _SQUARES_HIGH):
            chance = f"the {one.chance:.4g} that outputs of 0 give"
            message = f"the first {one.name} is {one.value:.4g}, {times:.3g} times {chance}"
            finding = at(Finding(message=message, hint=_INITIAL), one.where)
            if classes and not times <= _ABSURD and not _told(seen).tied and _told(seen).largest <= _SCALED:
                yield finding
            elif not _was(seen, "initial", times):
                yield from _soft([finding], initial_loss, seen)


_INITIAL = "Inputs that are not scaled, weights initialised too large, or a scale factor before the loss?"


def _was(seen: Evidence, name: str, value: float) -> bool:
    """Whether the reviewed training had a value not far below."""
    before = seen.reference.runs(f"loss: {name}") if seen.reference else ()
    return bool(before) and value <= 2 * before[0]


def as_reviewed(seen: Evidence, config: Any) -> Iterator[Finding]:
    """The loss has the terms that were reviewed, and begins about where it did."""
    if seen.reference is None:
        raise Skip("there is no reference")
    told, (before, now) = _told(seen), _terms(seen)
    lost, new = set(before) - set(now), set(now) - set(before)
    fewer = any(before.count(one) > now.count(one) for one in now)
    idle = _idle(told) > int(seen.reference.settings.get("loss idle", "0") or 0)
    if before and ((lost and not new) or (fewer and idle)):
        terms = ", ".join(before), ", ".join(now) or "none"
        message = f"the terms of the loss were {terms[0]} when it was reviewed, and are {terms[1]} now"
        yield at(Finding(message=message, hint="A term with weight 0, or one that is not added any more?"), told.step)
    first = (seen.reference.runs("loss: first") or (0.0,))[0]
    if told.value and first > 0 and not 1 / _SUNK <= told.value / first <= _CHANGED:
        message = f"the first loss is {told.value:.4g}, and was {first:.4g} when it was reviewed"
        hint = "A factor, a sum instead of a mean, or inputs on another scale?"
        yield at(Finding(message=message, hint=hint), told.step)


def penalised(seen: Evidence) -> Iterator[Finding]:
    """A penalty on the weights that is new since the loss was reviewed, and the most of it."""
    told = seen.probe.loss_calls
    first = seen.reference.runs("loss: first") if seen.reference else ()
    if told is None or not first or told.value is None or not first[0] > 0:
        return
    before, now = _terms(seen)
    if "weights" in now and "weights" not in before and told.value > _CHANGED * first[0]:
        message = f"a penalty on the weights is new, and the first loss {told.value:.4g} where it was {first[0]:.4g}"
        yield at(Finding(message=message, hint="Lower its factor."), told.step)


def _terms(seen: Evidence) -> tuple[list[str], list[str]]:
    """Kinds of terms when it was reviewed, and now."""
    before = seen.reference.settings.get("loss terms", "") if seen.reference else ""
    return before.split(), _kinds(_told(seen))


def _exchanged(seen: Evidence) -> Iterator[Finding]:
    """Another loss, or other targets, than what was reviewed. What is written by hand may be the same written anew."""
    if seen.reference is None:
        return
    told, (before, now) = _told(seen), _terms(seen)
    lost, new = set(before) - set(now), set(now) - set(before)
    if lost and new and "other" not in lost | new:
        terms = ", ".join(sorted(lost)), ", ".join(sorted(new))
        message = f"the loss is one of {terms[1]}, and was one of {terms[0]} when it was reviewed"
        yield at(Finding(message=message, hint="Is this the loss for such targets?"), told.step)
    if seen.reference.settings.get("loss targets") == _BATCH and _targets(told) not in ("", _BATCH):
        message = f"targets are {_targets(told)}, and were a part of the batch when it was reviewed"
        yield at(Finding(message=message, hint="Are the labels changed on the way to the loss?"), told.used[0].where)


_BATCH = "a part of the batch"


def _kinds(told: LossCalls) -> list[str]:
    """The kinds of the terms that count, in order; unknown ones as `other`, once."""
    kinds = [one.kind for one in told.terms if one.factor > 0 and one.kind]
    return sorted(kinds) + ["other"] * any(not one.kind for one in told.terms)


def _targets(told: LossCalls) -> str:
    """From where the targets of all calls are: a part of the batch, if one of them is."""
    taken = [one.taken for one in told.used if one.targets]
    if any(one.startswith("batch") for one in taken):
        return _BATCH
    return next(iter(filter(None, taken)), "no part of the batch") if taken else ""


def _idle(told: LossCalls) -> int:
    """Calls that could be learned from, and are not: logged alone, or times 0."""
    return sum(one.trains and not one.counts for one in told.calls)


def kept(seen: Evidence) -> dict[str, str]:
    """What a reference notes of the loss: settings by name."""
    told = seen.probe.loss_calls
    if told is None:
        return {}
    terms = {"loss terms": " ".join(_kinds(told)), "loss ways": " ".join(_ways(told))}
    return terms | {"loss targets": _targets(told), "loss idle": str(_idle(told))}


def figures(seen: Evidence) -> dict[str, float]:
    """What a reference notes of the loss: numbers by name."""
    told = seen.probe.loss_calls
    if told is None:
        return {}
    times = [one.value / one.chance for one in told.used if one.chance]
    first = {"loss: first": told.value} if told.value is not None else {}
    return first | ({"loss: initial": max(times)} if times else {})


CHECKS: tuple[Check, ...] = (
    loss_takes_logits,
    loss_takes_log_probabilities,
    loss_shapes_agree,
    loss_has_classes,
    loss_counts_targets,
    loss_fits_targets,
    loss_pairs_outputs,
    targets_are_shifted,
    loss_sign,
    loss_scale,
    initial_loss,
)
