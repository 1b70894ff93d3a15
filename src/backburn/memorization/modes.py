"""Modes: dropout and batch normalisation train while they are trained, and do not while they are validated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from ..report import Finding
from .judging import Where, at, listed, meant, suspected

if TYPE_CHECKING:
    from .seen import Evidence


_MOST = 24  # layers that a reference notes


class Modes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names of layers that behave differently in eval mode, by the mode in which they were called.

    `asleep`: in eval mode in training_step, within a part in eval mode most of which is trainable; `partly`: within
    one of which less than half is (an adapter in a frozen model). `fixed`: called without gradients alone (a teacher),
    and whether in eval mode. `awake`: in train mode in validation_step.
    """

    count: int = 0  # that training_step calls
    asleep: tuple[str, ...] = ()
    partly: tuple[str, ...] = ()
    fixed: dict[str, bool] = {}
    awake: tuple[str, ...] = ()
    step: Where = ("", 0)  # where training_step is defined
    validation: Where = ("", 0)


def trains_in_train_mode(seen: Evidence, config: Any) -> Iterator[Finding]:
    """What is trained is in train mode in training_step, and in eval mode in validation_step."""
    told = seen.look("modes", Modes)
    if told.asleep:
        message = f"{_listed(told.asleep, told)} are in eval mode in training_step, and so is what they are part of"
        yield at(Finding(message=message, hint=_ASLEEP), told.step)
    if told.partly:
        message = f"{_listed(told.partly, told)} are in eval mode in training_step, in a part that is trained in part"
        yield from suspected(
            [at(Finding(message=message, hint=_ASLEEP), told.step)], trains_in_train_mode, seen.reference
        )
    before = seen.reference.settings.get(_FIXED, "").split() if seen.reference else []
    if woken := tuple(name for name, asleep in told.fixed.items() if name in before and not asleep):
        message = f"{_listed(woken, told)}, called without gradients, are in train mode, and were not when reviewed"
        yield at(meant(Finding(message=message, hint=_WOKEN)), told.step)
    if told.awake:
        message = f"validation_step calls {_listed(told.awake, told)} in train mode"
        yield at(Finding(message=message, hint=_AWAKE), told.validation)


_FIXED = "asleep"  # the key in a reference's settings
_WOKEN = (
    "What a teacher says has dropout in it then, and its running statistics move: .eval() after fit has put all into"
    " train mode, in on_train_epoch_start."
)
_ASLEEP = (
    "They drop nothing, and normalise by old statistics. Lightning leaves modules as it finds them, and"
    " from_pretrained() returns them in eval mode: call .train() before fit. Only frozen statistics? Put each"
    " normalisation layer into eval mode, not the whole model."
)
_AWAKE = (
    "Its metrics are then those of a model with dropout, and batch normalisation learns from validation data: is there"
    " a .train() in validation_step, or in a hook before it?"
)


def _listed(names: tuple[str, ...], told: Modes) -> str:
    return listed(names, max(told.count, len(names)), "dropout and normalisation layers")


def kept(seen: Evidence) -> dict[str, str]:
    """What a reference notes: layers of what is not trained, in eval mode."""
    told = seen.probe.modes
    asleep = [name for name, asleep in told.fixed.items() if asleep] if told else []
    return {_FIXED: " ".join(asleep[:_MOST])} if asleep else {}


CHECKS = (trains_in_train_mode,)
