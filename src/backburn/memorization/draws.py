"""Draws: the noise, time steps, negatives and mixtures that a training is made of are those that were reviewed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import Skip
from ..report import Finding
from .judging import Where, at, meant

if TYPE_CHECKING:
    from .seen import Evidence

_FEW = 3  # draws that are counted: the noise of the input and of the target are two; more are told from none
_OUTSIDE = {"numpy", "python"}  # drawn from or not; what is drawn there may as well be drawn by torch


class Draws(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Kind -> how often training_step draws it, dropouts left out.

    `used`: those that the loss follows from; `drawn`: these, and those that nothing follows from (but for a sample
    that is drawn without gradients, to be logged). `loose`: kinds that mean nothing by their number, as it is above 8
    or differs from pass to pass. `single`: kinds of which each draw is one number. `size`: samples in the batch.
    """

    used: dict[str, int] = {}
    drawn: dict[str, int] = {}
    loose: tuple[str, ...] = ()
    single: tuple[str, ...] = ()
    size: int = 0
    step: Where = ("", 0)


def noise_is_as_reviewed(seen: Evidence, config: Any) -> Iterator[Finding]:
    """training_step draws the noise, the time steps and the negatives that it drew when it was reviewed."""
    if seen.reference is None:
        raise Skip("there is no reference")
    if _KEY not in seen.reference.settings:
        raise Skip("the reference does not say what was drawn")
    told = seen.look("draws", Draws)
    before = _parsed(seen.reference.settings[_KEY])
    for kind, count in before.items():
        message = "" if kind in told.loose else _said(told, before, kind, count)
        if message:
            yield at(meant(Finding(message=message, hint=_HINTS.get(kind, _GONE))), told.step)
    for kind in seen.reference.settings.get(_MANY, "").split():
        # One for each sample may be drawn one after the other.
        if kind in told.single and kind not in told.loose and told.drawn.get(kind, 0) < told.size:
            message = f"training_step draws {_NAMES[kind]} one at a time, and drew many at once when it was reviewed"
            yield at(meant(Finding(message=message, hint="One for each sample, not one for all of them?")), told.step)


def _said(told: Draws, before: dict[str, int], kind: str, count: int) -> str:
    """What is another now; nothing where it is the same, or may be."""
    drawn, times = told.drawn.get(kind, 0), "once" if count == 1 else f"{count} times"
    if not told.used.get(kind):
        if _is_rewritten(told, before, kind):
            return ""
        if drawn:
            return f"training_step draws {_NAMES[kind]} that its loss does not follow from; it did when reviewed"
        also = "" if kind in _OUTSIDE else f" {times}"
        return (
            f"training_step draws no {_NAMES[kind]}, and drew them{also} when it was reviewed{_instead(told, before)}"
        )
    # One for each sample grows with the batch.
    if count <= _FEW and drawn > count and drawn != told.size and kind not in _OUTSIDE:
        return f"training_step draws {_NAMES[kind]} {drawn} times, and drew them {times} when it was reviewed"
    return ""


def _new(told: Draws, before: dict[str, int]) -> list[str]:
    return [kind for kind in (*told.drawn, *told.loose) if kind not in before]


def _is_rewritten(told: Draws, before: dict[str, int], kind: str) -> bool:
    """Whether the same numbers may well come from another generator now."""
    new = _new(told, before)
    return not told.drawn.get(kind) and bool(new if kind in _OUTSIDE else _OUTSIDE.intersection(new))


def _instead(told: Draws, before: dict[str, int]) -> str:
    new = _new(told, before)
    return f"; there are {_NAMES[new[0]]} instead" if new else ""


def _parsed(text: str) -> dict[str, int]:
    return {kind: int(count) for kind, _, count in (word.partition("=") for word in text.split())}


def draws_anew(seen: Evidence) -> bool:
    """Whether training_step draws what it did not draw when it was reviewed: a mixup, noise on its inputs."""
    told = seen.probe.draws
    if told is None or seen.reference is None or _KEY not in seen.reference.settings:
        return False
    return bool(_new(told, _parsed(seen.reference.settings[_KEY])))


_KEY, _MANY = "draws", "draws many"
_NAMES = {
    "normal": "normal numbers",
    "uniform": "uniform numbers",
    "integers": "random integers",
    "orders": "random orders",
    "choices": "random choices",
    "gammas": "random shares",
    "numpy": "random numbers of numpy's",
    "python": "random numbers of Python's",
}
_GONE = "Is what was drawn a constant now, or not used any more?"
_HINTS = {
    "normal": "Is the noise gone, drawn by another function, or drawn anew where the same was meant?",
    "orders": "Is a mixup or a shuffling of negatives gone?",
}


def kept(seen: Evidence) -> dict[str, str]:
    """What a reference notes: `integers=1 normal=1`; only what the loss follows from, as often each time."""
    told = seen.probe.draws
    if told is None:
        return {}
    meant = {kind: told.drawn.get(kind, 0) for kind in told.used if kind not in told.loose}
    noted = {_KEY: " ".join(f"{kind}={count}" for kind, count in sorted(meant.items()) if count)}
    many = [kind for kind in meant if kind not in (*told.single, *_OUTSIDE)]
    return noted | ({_MANY: " ".join(sorted(many))} if many and told.size > 1 else {})


CHECKS = (noise_is_as_reviewed,)
