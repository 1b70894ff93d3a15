"""Units: they are on for some sample, and not at the end of their range for nearly all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from ..report import Finding
from .judging import Where, at, spelled, suspected

if TYPE_CHECKING:
    from .seen import Evidence

_DEAD = 0.9  # research, section 4, row 9
_SATURATED = 0.8  # research, section 4, row 9
_ALL = 0.97  # beyond this no gate, no attention and no bounded output was seen to be, before the first step


class Activation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One call of an activation function: `dead` is the share of its units that are off for every sample, `saturated`
    the share of its outputs at an end of their range. `name` is the module that calls it.
    """

    name: str
    kind: str
    units: int = 0
    dead: float = 0.0
    saturated: float = 0.0
    where: Where = ("", 0)


class Units(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The activations of one training_step, in the order of their calls."""

    seen: tuple[Activation, ...] = ()


def units_are_alive(seen: Evidence, config: Any) -> Iterator[Finding]:
    """In every layer, most units are on for some sample of the batch."""
    first, moved = _both(seen)
    dead = [one for one in moved if one.dead > _DEAD]
    before = {_key(one) for one in first if one.dead > _DEAD}
    for one in dead:
        message = f"{one.dead:.0%} of the {one.units} units of {_called(one)} are off for every sample"
        if _key(one) in before:
            yield at(Finding(message=message, hint=_OFF), one.where)
        else:
            finding = at(Finding(message=f"{message} after the first steps", hint=_DIED), one.where)
            yield from suspected([finding], units_are_alive, seen.reference)


_OFF = "No gradient passes them, from the first step on: look at the initial bias, and at what comes in."
_DIED = "They were on before the first step: the learning rate may be too high."


def units_are_not_saturated(seen: Evidence, config: Any) -> Iterator[Finding]:
    """No activation is at the end of its range for nearly every unit and sample."""
    first, moved = _both(seen)
    before = {_key(one): one.saturated for one in first}
    for one in moved:
        if not one.saturated > _SATURATED:
            continue
        message = f"{one.saturated:.0%} of what {_called(one)} returns is at the end of its range"
        finding = at(Finding(message=message, hint=_SATURATES), one.where)
        if min(one.saturated, before.get(_key(one), 0.0)) > _ALL:
            yield finding
        else:
            yield from suspected([finding], units_are_not_saturated, seen.reference)


_SATURATES = "Its gradient is 0 there: what comes in is too large (a missing normalisation, a factor, the weights)."


def _both(seen: Evidence) -> tuple[tuple[Activation, ...], tuple[Activation, ...]]:
    first = seen.look("units", Units).seen
    later = seen.probe.units_moved
    return first, later.seen if later is not None else first


def _key(one: Activation) -> tuple[str, str, Where]:
    return one.name, one.kind, one.where


def _called(one: Activation) -> str:
    return f"{one.kind} in {one.name or 'the module'}{spelled(one.where)}"


CHECKS = (units_are_alive, units_are_not_saturated)
