"""Dependence: an output follows its own sample's inputs: all of them, no other's, and nothing that comes later."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import Skip
from ..report import Finding
from .judging import Where, at, meant, suspected

if TYPE_CHECKING:
    from .seen import Evidence

# Of an output's spread. The research (section 4, row 11) says 1e-3; rows of one batch are computed apart to the bit in
# eval mode (0 in all programs of the benchmark), and a softmax over a batch moved others by 7e-4.
LEAK = 1e-4
_AHEAD = 1e-5  # of an output's spread (research, likewise)
_PADDING = 1e-3  # a mean over another number of positions rounds differently
_BENT = 1e-4  # research, section 4, row 12


class Leak(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far other samples' rows of `output` moved, as a share of its spread; `supervised`: a target is held to it.
    `mixes`: what the model is given has other samples in it already.
    """

    output: str
    far: float
    supervised: bool = False
    mixes: bool = False
    where: Where = ("", 0)


class Use(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parts of the batch, by path, that the outputs follow (`used`) and that go into a module for nothing (`ignored`);
    `all`: they follow none at all. `supervised`: targets are held against them.
    """

    used: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    all: bool = False
    supervised: bool = False


class Ahead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far outputs before `position` (of `length`) moved when inputs from there on did; by how many `ways` the
    inputs go into the model: with more than one, an encoder may see them all.
    """

    far: float
    position: int
    length: int
    ways: int = 1
    where: Where = ("", 0)


class Padding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far real positions moved when padding did. `mask` is the path of what says where it is, `given` whether a
    module gets that; `value` fills the ends of rows where nothing says so.
    """

    far: float
    mask: str
    given: bool = False
    value: int | None = None


class Linear(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far `output` is from linear, as a share of how far it moves; `matrices`: trainable ones in the model."""

    output: str
    bend: float
    matrices: int = 0


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`unmoved`: tokens in another order give the same outputs, in that order."""

    unmoved: bool = False


class Dependence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changes of the inputs did to the outputs, in eval mode, after the first steps; `untold`: why nothing."""

    leak: Leak | None = None
    use: Use | None = None
    future: Ahead | None = None
    padding: Padding | None = None
    linear: Linear | None = None
    order: Order | None = None
    step: Where = ("", 0)
    untold: dict[str, str] = {}


def _part(seen: Evidence, name: str) -> tuple[Dependence, Any]:
    told = seen.look("dependence", Dependence)
    one = getattr(told, name)
    if one is None:
        raise Skip(told.untold.get(name, "it was not seen"))
    return told, one


def samples_are_independent(seen: Evidence, config: Any) -> Iterator[Finding]:
    """What the model says of one sample does not follow from other samples in the batch."""
    told, one = _part(seen, "leak")
    if not one.far <= LEAK:
        what = f"what {one.output} is given" if one.where[0] else f"what {one.output} returns"
        message = (
            f"other inputs of one sample move {what} for other samples, in eval mode, by {one.far:.2g} of its spread"
        )
        finding = at(Finding(message=message, hint=_MIXED), one.where if one.where[0] else told.step)
        # A discriminator's minibatch statistics have a healthy reading, as have weights that a step moves itself before
        # it looks again (SAM); a label's prediction has none.
        sure = one.supervised and not seen.probe.manual
        yield from [finding] if sure else suspected([finding], samples_are_independent, seen.reference)
    elif one.mixes and seen.reference is not None and seen.reference.settings.get("mixes") == "no":
        message = "the model is given inputs of one sample in the rows of others, and was not when it was reviewed"
        yield at(Finding(message=message, hint=_MIXED), told.step)


_MIXED = (
    "Look for softmax(dim=0), mean(0), view or reshape instead of permute, and batch_first=False with batches first:"
    " the model sees samples that it will not have when it predicts."
)


def inputs_are_used(seen: Evidence, config: Any) -> Iterator[Finding]:
    """The outputs follow the inputs."""
    told, one = _part(seen, "use")
    if one.all:
        message = "with all inputs replaced, the outputs are the same: the model ignores what it is given"
        finding = at(Finding(message=message, hint=_IGNORED), told.step)
        yield from [finding] if one.supervised else suspected([finding], inputs_are_used, seen.reference)
        return
    before = seen.reference.settings.get("used", "").split(" ") if seen.reference else []
    lost = [path for path in before if path in told.use.ignored] if told.use else []
    if lost:
        message = f"the outputs no longer follow {', '.join(lost)}, as they did when it was reviewed"
        yield at(meant(Finding(message=message, hint=_IGNORED)), told.step)
    elif one.ignored:
        finding = Finding(
            message=f"a module is given {', '.join(one.ignored)}, and no output follows it", hint=_IGNORED
        )
        yield from suspected([at(finding, told.step)], inputs_are_used, seen.reference)


_IGNORED = "Is it overwritten, multiplied by 0 or left out on the way? Is a variable of the same name used instead?"


def future_is_hidden(seen: Evidence, config: Any) -> Iterator[Finding]:
    """A model that predicts the next element does not see it."""
    _, one = _part(seen, "future")
    if not one.far <= _AHEAD:
        message = (
            f"other inputs from position {one.position} of {one.length} on move the outputs before it by {one.far:.2g}"
            " of their spread, and the targets are the inputs, shifted by one"
        )
        finding = at(Finding(message=message, hint=_AHEAD_HINT), one.where)
        yield from [finding] if one.ways == 1 else suspected([finding], future_is_hidden, seen.reference)


_AHEAD_HINT = "The loss falls, as the answer is in the input: look at attn_mask, is_causal, padding of convolutions."


def padding_is_ignored(seen: Evidence, config: Any) -> Iterator[Finding]:
    """What stands in padded positions does not reach the outputs at real ones."""
    told, one = _part(seen, "padding")
    if one.far <= _PADDING:
        return
    if one.value is None:
        message = f"other inputs where {one.mask} says padding move outputs at real positions by {one.far:.2g}"
        hint = _PADDED if one.given else f"No module is given {one.mask}. {_PADDED}"
        finding = at(Finding(message=f"{message} of their spread", hint=hint), told.step)
        yield from suspected([finding], padding_is_ignored, seen.reference)
    elif seen.reference is not None and seen.reference.settings.get("padding") == "ignored":
        message = f"more padding ({one.value} in {one.mask}) moves the outputs by {one.far:.2g} of their spread"
        finding = Finding(message=f"{message}, and did not when it was reviewed", hint=_PADDED)
        yield at(meant(finding), told.step)


_PADDED = (
    "Is the mask given, and the right way round? key_padding_mask is True at padding, attention_mask is 1 elsewhere."
)


def order_matters(seen: Evidence, config: Any) -> Iterator[Finding]:
    """A model of sequences tells one order of its tokens from another."""
    told, one = _part(seen, "order")
    if one.unmoved:
        message = "tokens in another order give the same outputs: attention without positions is one of bags of words"
        finding = at(Finding(message=message, hint="Is the encoding of positions added, and used?"), told.step)
        yield from suspected([finding], order_matters, seen.reference)


def model_is_nonlinear(seen: Evidence, config: Any) -> Iterator[Finding]:
    """A model of several layers is more than one of a single layer."""
    told, one = _part(seen, "linear")
    if one.bend < _BENT:
        message = (
            f"what {one.output} returns is linear in its inputs, for all of its {one.matrices} matrices of weights"
        )
        finding = at(Finding(message=message, hint="Are the activations between its layers called?"), told.step)
        yield from suspected([finding], model_is_nonlinear, seen.reference)


def kept(seen: Evidence) -> dict[str, str]:
    """What a reference notes of this look: settings by name."""
    told = seen.probe.dependence
    if told is None:
        return {}
    noted = {"used": " ".join(told.use.used)} if told.use else {}
    if told.leak is not None:
        noted["mixes"] = "yes" if told.leak.mixes else "no"
    if told.padding is not None:
        noted["padding"] = "ignored" if told.padding.far <= _PADDING else "seen"
    return noted


CHECKS = (
    samples_are_independent,
    inputs_are_used,
    future_is_hidden,
    padding_is_ignored,
    order_matters,
    model_is_nonlinear,
)
