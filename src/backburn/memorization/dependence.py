"""Dependence: an output follows its own sample's inputs: all of them, no other's, and nothing that comes later."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import Skip
from ..report import Finding, Level
from .judging import Where, at, meant, suspected

if TYPE_CHECKING:
    from .seen import Evidence

# Of an output's spread. The research (section 4, row 11) says 1e-3; rows of one batch are computed apart to the bit in
# eval mode (0 in all programs of the benchmark), and a softmax over a batch moved others by 7e-4.
LEAK = 1e-4
_FEW, _MANY = 0.25, 0.5  # share of the other samples that one is mixed into
_AHEAD = 1e-5  # of an output's spread (research, likewise)
_PADDING = 1e-3  # a mean over another number of positions rounds differently
_ORDER = 1e-4  # of the loss: a sum in another order moves it by 1e-6
_BENT = 1e-4  # research, section 4, row 12


class Leak(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far other samples' rows of `output` moved, as a share of its spread; `supervised`: a target is held to it.
    `mixes`: what the model is given has other samples in it already, one sample in the rows of this `share` of them,
    and `both`: the targets have, too (a mixup).
    """

    output: str
    far: float
    supervised: bool = False
    mixes: bool = False
    both: bool = False
    share: float = 0.0
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
    module gets that; `value` fills the ends of rows where nothing says so. `taught`: the loss follows targets there.
    """

    far: float
    mask: str
    given: bool = False
    value: int | None = None
    taught: bool | None = None


class Linear(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far `output` is from linear, as a share of how far it moves; `matrices`: trainable ones in the model."""

    output: str
    bend: float
    matrices: int = 0


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`unmoved`: tokens in another order give the same outputs, in that order."""

    unmoved: bool = False


class Parts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Paths of all parts of the batch that the loss or any output follows, and of those that none does."""

    followed: tuple[str, ...] = ()
    unfollowed: tuple[str, ...] = ()


class Reordered(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The loss before and after its samples were put into another order, and how `far` it moved, as a share of it."""

    before: float
    after: float | None = None
    far: float = 0.0


class Dependence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changes of the inputs did to the outputs, in eval mode, after the first steps; `untold`: why nothing."""

    leak: Leak | None = None
    use: Use | None = None
    future: Ahead | None = None
    padding: Padding | None = None
    linear: Linear | None = None
    order: Order | None = None
    parts: Parts | None = None
    reordered: Reordered | None = None
    sees: dict[str, int] | None = None  # by path: where outputs move first when a sequence does from a position on
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
    told = seen.look("dependence", Dependence)
    one = told.leak
    if one is None and told.reordered is None:
        raise Skip(told.untold.get("leak", "it was not seen"))
    found = list(_leaks(seen, told, one)) if one is not None else []
    yield from found or _in_order(seen, told)


def _leaks(seen: Evidence, told: Dependence, one: Leak) -> Iterator[Finding]:
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
    elif one.mixes and not one.both and seen.reference is not None and seen.reference.settings.get("mixes") == "no":
        message = "the model is given inputs of one sample in the rows of others, and was not when it was reviewed"
        yield at(Finding(message=message, hint=_MIXED), told.step)
    elif one.share >= _MANY and seen.reference is not None and seen.reference.settings.get("mixed") == "few":
        message = f"the model is given inputs of one sample in the rows of {one.share:.0%} of the others"
        yield at(Finding(message=f"{message}, and in those of few when it was reviewed", hint=_MIXED), told.step)


def _in_order(seen: Evidence, told: Dependence) -> Iterator[Finding]:
    """A batch that is a sequence, and a mixup with the next row, have a healthy reading; what was reviewed without them
    has none.
    """
    one, before = told.reordered, seen.reference.settings.get("order") if seen.reference else None
    if one is None or one.far <= _ORDER or (seen.reference is not None and before is None):
        return
    after = "NaN" if one.after is None else f"{one.after:.4g}"
    message = f"the same samples in another order have a loss of {after} instead of {one.before:.4g}, in eval mode"
    if before == "free":
        finding = Finding(message=f"{message}, and had the same one when it was reviewed", hint=_ORDERED)
        yield at(meant(finding), told.step)
    elif before is None:
        finding = at(Finding(message=message, hint=_ORDERED), told.step)
        yield from suspected([finding], samples_are_independent, None)


_ORDERED = (
    "Something goes by the row that a sample stands in: look for reshape or view in place of a transpose, batch_first,"
    " and positions that are counted along the batch."
)
_MIXED = (
    "Look for softmax(dim=0), mean(0), view or reshape instead of permute, and batch_first=False with batches first:"
    " the model sees samples that it will not have when it predicts."
)


def inputs_are_used(seen: Evidence, config: Any) -> Iterator[Finding]:
    """The outputs follow the inputs."""
    told = seen.look("dependence", Dependence)
    one = told.use
    if one is None and told.parts is None:
        raise Skip(told.untold.get("use", "it was not seen"))
    found = list(_unused(seen, told, one)) if one is not None else []
    yield from found if any(finding.level is Level.ERROR for finding in found) else [*_unfollowed(seen, told), *found]


def _unfollowed(seen: Evidence, told: Dependence) -> Iterator[Finding]:
    """Parts of the batch that mattered when it was reviewed: masks, weights, lengths, flags, another tower's input."""
    before = seen.reference.settings.get("followed", "").split(" ") if seen.reference else []
    lost = [path for path in before if told.parts and path in told.parts.unfollowed]
    if told.padding and not told.padding.far <= _PADDING:  # padding-is-ignored says what follows from it
        lost = [path for path in lost if path != told.padding.mask]
    if lost:
        message = f"neither the loss nor any output follows {', '.join(lost)} any more, as when it was reviewed"
        yield at(meant(Finding(message=message, hint=_LOST)), told.step)


_LOST = "Is it left out of a call, or another part given in its place? Changed alone, it changes nothing."


def _unused(seen: Evidence, told: Dependence, one: Use) -> Iterator[Finding]:
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
    told = seen.look("dependence", Dependence)
    if told.future is None and told.sees is None:
        raise Skip(told.untold.get("future", "it was not seen"))
    found = list(_ahead(seen, told.future)) if told.future else []
    yield from found or _sees_more(seen, told)


def _sees_more(seen: Evidence, told: Dependence) -> Iterator[Finding]:
    """Without a reference nobody knows what a model of sequences may see."""
    words = seen.reference.settings.get("sees", "").split(" ") if seen.reference else []
    before = {path: int(lag) for path, _, lag in (one.rpartition(":") for one in words) if path}
    for path, lag in (told.sees or {}).items():
        if lag < before.get(path, -1):
            what = "come before others" if lag < 0 else "stand at a position"
            which = "follow what comes later" if lag < 0 else "follow what is there"
            message = f"outputs that {what} {which} in {path}, and did not when it was reviewed"
            yield at(meant(Finding(message=message, hint=_AHEAD_HINT)), told.step)
            return


def _ahead(seen: Evidence, one: Ahead) -> Iterator[Finding]:
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
    if one.taught and seen.reference is not None and seen.reference.settings.get("padded-targets") == "left-out":
        message = f"the loss follows targets where {one.mask} says padding, and did not when it was reviewed"
        yield at(meant(Finding(message=message, hint=_TAUGHT)), told.step)
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


_TAUGHT = "Is the mask given to the loss, or ignore_index what targets are padded with?"
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
        if 0 < told.leak.share <= _FEW:  # a mixup gives each sample one other
            noted["mixed"] = "few"
    if told.padding is not None:
        noted["padding"] = "ignored" if told.padding.far <= _PADDING else "seen"
        if told.padding.taught is not None:
            noted["padded-targets"] = "taught" if told.padding.taught else "left-out"
    if told.parts is not None:
        noted["followed"] = " ".join(told.parts.followed)
    if told.reordered is not None:
        noted["order"] = "free" if told.reordered.far <= _ORDER else "matters"
    if told.sees is not None:
        noted["sees"] = " ".join(f"{path}:{lag}" for path, lag in told.sees.items() if lag >= 0)
    return noted


CHECKS = (
    samples_are_independent,
    inputs_are_used,
    future_is_hidden,
    padding_is_ignored,
    order_matters,
    model_is_nonlinear,
)
