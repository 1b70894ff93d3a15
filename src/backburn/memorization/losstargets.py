"""The targets that loss functions are given: they count, suit the loss, belong to their outputs, and come next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import Skip
from ..report import Check, Finding
from .judging import at, suspected
from .losscalls import SQUEEZES, Call, Pairing, told_loss, used_calls
from .lossreviewed import counted_otherwise, exchanged, unrelated, weighed_otherwise

if TYPE_CHECKING:
    from .seen import Evidence

_ENOUGH = 8  # targets below which a constant says nothing (research, section 4, row 1)
_IGNORED = 0.9  # of the targets (research, section 4, row 4)
_OUT_OF_REACH = 0.1  # of the targets: a few outliers beyond a tanh are common
_FEW_CLASSES = 20  # distinct whole numbers that look like class ids
_LOW = 0.05  # of chance (row 5)


def loss_counts_targets(seen: Evidence, config: Any) -> Iterator[Finding]:
    """The loss counts its targets: ignore_index and weights leave out no more than a part."""
    told = told_loss(seen)
    if told.missing:
        message = (
            f"the loss learns from {told.missing} targets that are missing: NaN in the batch, something else later"
        )
        finding = at(Finding(message=message, hint=_MISSING), told.step)
        yield from suspected([finding], loss_counts_targets, seen.reference)
    changed = list(counted_otherwise(seen, told)) or list(weighed_otherwise(seen, told))
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
    yield from exchanged(seen)
    yield from unrelated(seen, told)
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
    made = SQUEEZES.get(one.made_by, one.made_by)
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


CHECKS: tuple[Check, ...] = (
    loss_counts_targets,
    loss_fits_targets,
    loss_pairs_outputs,
    targets_are_shifted,
)
