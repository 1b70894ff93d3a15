"""The calls of loss functions: the record of what each is given, and of the terms that the loss is made of.

Each call of torch's loss functions is read with its arguments (research, mechanism A). `lossoutputs` and `losstargets`
judge the two of them by themselves, `lossreviewed` against the reference; `lossterms` what the loss is made of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ..errors import Skip
from .judging import Where

if TYPE_CHECKING:
    from .seen import Evidence

SQUEEZES = {"Softmax": "softmax", "Sigmoid": "sigmoid", "Tanh": "tanh", "Relu": "relu"}
BATCH = "a part of the batch"  # where targets are from
_BINARY = ("binary_cross_entropy", "binary_cross_entropy_with_logits")
DISTANCES = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
_HELD = ("classes", "binary", "squares", "distances")  # terms with a target for each element
NOTED = 0.3  # of a correlation: below it a batch of 100 says nothing


class Call(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One call of a loss function in the first pass, and its arguments `input` and `target`, where it had them.

    `weight` is the sum of |d loss / d call|, None where the loss does not depend on it; `sign` that of the derivative
    where it is one number for all elements. `made_by` is what the outputs went through last (`Softmax`, `Addmm`),
    `low`, `high`, `zeros` (a share) their values; `options`: arguments that make another loss of it. `taken` says from
    where in the batch the targets are; `lowest`, `highest`, `different` (how many values), `whole` what they are;
    `counted` of `targets` are not ignored. `unreachable` is the share of targets outside the outputs' range,
    `no_shares` of those outside [0, 1]. `chance` is the call's value for outputs of 0. `shift`: by how many tokens the
    targets are ahead of the model's own tokens.
    `share` of the targets counts, of those that there were before a mask; `ignored` are values of those that do not;
    `never` and `always`: tokens at whose places none, or each, counts. `fed`: a constant target's outputs follow the
    batch. `weights`: what each class weighs, where that was given. `other_axis`: targets are distributions over the
    last axis (`target` of more than two), or over the samples. `unreached`: parameters that get a gradient of other
    terms of the loss, and none of this one.
    """

    name: str
    where: Where = ("", 0)
    value: float = 0.0
    weight: float | None = None
    sign: int = 0
    made_by: str = ""
    trains: bool = False
    reduction: str | None = ""
    options: tuple[str, ...] = ()
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
    weights: tuple[float, ...] = ()
    unreached: int = 0

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
    def unused(self) -> tuple[Call, ...]:
        """The calls that the loss does not depend on."""
        return tuple(one for one in self.calls if not one.counts)

    @property
    def others(self) -> int:
        """How many terms count that are of no known kind."""
        return sum(one.factor > 0 and not one.kind for one in self.terms)

    @property
    def spelled(self) -> str:
        """`cross_entropy(label_smoothing)*1 classes`: the calls with their options and factors, and the terms."""
        calls = [f"{one.name}({','.join(one.options)})*{one.weight or 0:.2g}" for one in self.used]
        return " ".join(sorted(calls) + self.kinds)

    @property
    def taken(self) -> str:
        """From where the targets of all calls are: a part of the batch, if one of them is."""
        taken = [one.taken for one in self.used if one.targets]
        if any(one.startswith("batch") for one in taken):
            return BATCH
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
        return list(dict.fromkeys(token(one, value) for one in self.used for value in one.never))

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


def token(call: Call, value: int) -> str:
    """A token as a reference notes it: `next:0` where targets are the tokens that come next."""
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
