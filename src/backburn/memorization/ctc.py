"""Connectionist temporal classification: logarithms of probabilities, labels without blanks, and lengths that fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from ..report import Finding
from .judging import Where, at, suspected

if TYPE_CHECKING:
    from .seen import Evidence


class Aligned(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One call of ctc_loss. `normalised`: rows of its scores are logarithms of probabilities; `other_axis`: along
    another axis than the last they are. `blanks` of its `targets` labels are the blank; `short` of its `samples` have
    fewer frames than their labels need (Graves et al. 2006: one each, and one between two that are the same).
    """

    where: Where = ("", 0)
    value: float = 0.0
    normalised: bool = True
    other_axis: bool = False
    targets: int = 0
    blank: int = 0
    blanks: int = 0
    samples: int = 0
    short: int = 0


class Ctc(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The calls of ctc_loss in the first pass."""

    calls: tuple[Aligned, ...] = ()


def ctc_fits_targets(seen: Evidence, config: Any) -> Iterator[Finding]:
    """A CTC loss gets logarithms of probabilities, labels without the blank, and enough frames for them."""
    for one in seen.look("ctc", Ctc).calls:
        if not one.normalised:
            axis = ", but along another axis than the last" if one.other_axis else ""
            message = f"ctc_loss got scores whose rows are no logarithms of probabilities{axis}: its loss has no bound"
            yield at(Finding(message=message, hint="Use log_softmax(-1) on (frames, samples, classes)."), one.where)
        if one.blanks:
            message = f"{one.blanks} of {one.targets} labels of ctc_loss are {one.blank}, its blank"
            yield at(Finding(message=message, hint=_BLANK), one.where)
        if one.short:
            message = f"{one.short} of {one.samples} samples have fewer frames than their labels need"
            finding = at(
                Finding(message=f"{message}: an infinite loss, or none by zero_infinity", hint=_SHORT), one.where
            )
            yield from [finding] if one.short == one.samples else suspected([finding], ctc_fits_targets, seen.reference)


_BLANK = "Do target_lengths count the padding, or does a letter have the number of the blank? Let letters begin at 1."
_SHORT = "Are input_lengths those after subsampling, and target_lengths the labels' own?"


CHECKS = (ctc_fits_targets,)
