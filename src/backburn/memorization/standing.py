"""State that no gradient trains: averaged weights, target networks, queues, codebooks, running statistics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import Skip
from ..report import Check, Finding
from .judging import meant

if TYPE_CHECKING:
    from .seen import Evidence

_KEPT = 12  # groups that a reference notes
_ENOUGH = 0.8  # of the steps after which it had moved when it was reviewed: another seed memorizes a little sooner
_NAMED = 3


class Standing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Groups of tensors (`ema.*`, `net.*.running_mean`) by what became of them in `steps` steps.

    `moved`: with the number of steps after which it was seen. `still`: no number of them is another one.
    """

    steps: int = 0
    moved: dict[str, int] = {}
    still: tuple[str, ...] = ()


def state_moves_as_reviewed(seen: Evidence, config: Any) -> Iterator[Finding]:
    """What is not trained and moved when it was reviewed (averaged weights, targets, statistics) still moves."""
    if seen.reference is None:
        raise Skip("there is no reference")
    now, before = _last(seen), _parsed(seen.reference.settings.get("moves", ""))
    stopped = [one for one in now.still if one in before and now.steps >= _ENOUGH * before[one]]
    # A part of which other state is gone was made anew: a codebook that gradients train now keeps no averages.
    rebuilt = {_part(one) for one in before if one not in now.moved and one not in now.still}
    stopped = [one for one in stopped if _part(one) not in rebuilt and (_part(one) == one or _part(one) not in stopped)]
    if stopped:
        more = f" and {len(stopped) - _NAMED} more" if len(stopped) > _NAMED else ""
        what = "what they were" if len(stopped) > 1 else "what it was"
        message = f"{', '.join(stopped[:_NAMED])}{more} stayed {what} in {now.steps} steps"
        yield meant(Finding(message=f"{message}, and moved when it was reviewed", hint=_STOPPED))


_STOPPED = (
    "Is what updates it still called (a hook by its exact name, in train mode), more often than each so many steps?"
)


def _part(group: str) -> str:
    """`ema.*` of `ema.*.running_mean`; the group itself of all parameters of a part, `ema.*`."""
    return group if group.endswith("*") else group.rpartition(".")[0] or group


def _last(seen: Evidence) -> Standing:
    """At the end, or where that was not seen, after the first few steps."""
    return seen.probe.standing_last or seen.probe.standing_moved or seen.look("standing", Standing)


def _parsed(text: str) -> dict[str, int]:
    return {group: int(steps) for group, _, steps in (word.rpartition("=") for word in text.split())}


def kept(seen: Evidence) -> dict[str, str]:
    """What a reference notes: `ema.*=8 net.*.running_mean=8`, with the steps after which it was seen to move."""
    told = seen.probe.standing_last or seen.probe.standing_moved
    moved = {group: steps for group, steps in told.moved.items() if " " not in group} if told else {}
    return {"moves": " ".join(f"{group}={steps}" for group, steps in list(moved.items())[:_KEPT])} if moved else {}


CHECKS: tuple[Check, ...] = (state_moves_as_reviewed,)
