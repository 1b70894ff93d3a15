"""Targets that are places lie where their own picture has edges, as clearly as when they were reviewed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import Skip
from ..report import Check, Finding
from .judging import meant

if TYPE_CHECKING:
    from .seen import Evidence

_PLACE = "place: "  # what a figure of a reference begins with
_CLEAR = 0.9  # rank of a target's own outlines that a reference notes: of segments of photographs it is 0.94
# Share of what a rank is above chance that has to be left. Half of the pictures mirrored leaves 0.49 to 0.66; noise of
# 25 / 255, blur, posterizing, erasing up to a fifth of each picture leave 0.82 and more.
_LEFT = 0.7
_ERRORS = 4.0  # standard errors that it fell by; 1 / sqrt(12) is the deviation of a rank by chance


class Places(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`batch[0] ~ batch[1]['boxes'] as xyxy` -> the mean rank of a sample's own outlines among those of all samples, by
    how strong the edges of its picture are below them: 1/2 by chance, 1 at best. `samples`: of how many.
    """

    ranks: dict[str, float] = {}
    samples: int = 0


def targets_are_in_place(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Masks, maps, boxes and points lie on their own pictures as they did when they were reviewed."""
    figures = seen.reference.figures if seen.reference else {}
    before = {name[len(_PLACE) :]: float(of[0]) for name, of in figures.items() if name.startswith(_PLACE)}
    told = seen.probe.batch.places if seen.probe.batch else Places()
    both = [name for name in before if name in told.ranks]
    if not both:
        raise Skip("no target that is a place was reviewed")
    for name in sorted(both, key=lambda one: told.ranks[one] - before[one])[:1]:
        now, was = told.ranks[name] - 0.5, before[name] - 0.5
        if now < _LEFT * was and was - now > _ERRORS / math.sqrt(12 * max(told.samples, 1)):
            picture, _, rest = name.partition(" ~ ")
            message = (
                f"{rest} lies no longer where {picture} has edges: better than those of {told.ranks[name]:.0%} of the"
                f" other samples (by chance 50%, {before[name]:.0%} when reviewed)"
            )
            yield meant(Finding(message=message, hint=_HINT))


_HINT = (
    "Is one of the two flipped, cropped, resized or shuffled without the other? Are boxes x, y, width, height where"
    " corners are asked for, or x and y exchanged?"
)


def figures(seen: Evidence) -> dict[str, float]:
    """What a reference notes: of each target what it is most clearly."""
    told = seen.probe.batch.places if seen.probe.batch else Places()
    best: dict[str, str] = {}
    for name in sorted(told.ranks, key=lambda one: told.ranks[one]):
        best[name.rpartition(" as ")[0]] = name
    return {f"{_PLACE}{name}": told.ranks[name] for name in best.values() if told.ranks[name] >= _CLEAR}


CHECKS: tuple[Check, ...] = (targets_are_in_place,)
