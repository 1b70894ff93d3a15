"""State that no gradient trains: averaged weights, target networks, queues, codebooks, running statistics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
_STATISTICS = (".running_mean", ".running_var")
# After the first 8 steps an average by 0.9 is 0.7 behind, by 0.99 it is 0.96; by 0.1, as a swapped 0.9, it is 0.1.
_BEHIND, _CLOSE = 0.6, 0.25


class Standing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Groups of tensors (`ema.*`, `net.*.running_mean`) by what became of them in `steps` steps.

    `moved`: with the number of steps after which it was seen. `still`: no number of them is another one. `lags`: how
    far what began as a copy of something trained is behind it, as a share of the way that this went.
    """

    steps: int = 0
    moved: dict[str, int] = {}
    still: tuple[str, ...] = ()
    lags: dict[str, float] = {}


class Untrained(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parts that no optimizer trains (`teacher.*`), and which of them the loss, or validation_step, follows."""

    parts: tuple[str, ...] = ()
    loss: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()


def state_moves_as_reviewed(seen: Evidence, config: Any) -> Iterator[Finding]:
    """What is not trained (averaged weights, targets, statistics) moves, and counts, as when it was reviewed."""
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
    yield from _set_going(now, seen.reference.settings.get("stands", "").split())
    yield from _no_longer_behind(seen, seen.reference.settings.get("behind", "").split())
    yield from _without_effect(seen)


def _set_going(now: Standing, before: Sequence[str]) -> Iterator[Finding]:
    """Running statistics, which the first step in train mode moves, of what was in eval mode."""
    if moved := [one for one in now.moved if one in before]:
        message = f"{', '.join(moved[:_NAMED])} moved, and stayed what they were when it was reviewed"
        yield meant(Finding(message=message, hint="Is what is frozen put back into eval mode after train()?"))


def _no_longer_behind(seen: Evidence, before: Sequence[str]) -> Iterator[Finding]:
    early = seen.probe.standing_moved
    if early is None:
        return
    for group, lag in early.lags.items():
        if group in before and lag <= _CLOSE:
            message = f"{group} is what it averages but for {lag:.0%} of the way that this went in {early.steps} steps"
            hint = "A decay that is swapped with 1 - decay? An average keeps most of what it was at each step."
            yield meant(Finding(message=f"{message}, and stayed behind when it was reviewed", hint=hint))


def _without_effect(seen: Evidence) -> Iterator[Finding]:
    told = seen.probe.untrained
    if told is None:
        return
    for what, now in (("loss", told.loss), ("validation", told.validation)):
        before = seen.reference.settings.get(f"{what} follows", "").split() if seen.reference else []
        if lost := [one for one in told.parts if one in before and one not in now]:
            which = "the loss" if what == "loss" else "what validation_step makes"
            message = f"{which} follows {', '.join(lost[:_NAMED])} no more, as it did when it was reviewed"
            yield meant(Finding(message=message, hint="Is another model called in its place?"))


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
    """What a reference notes: `ema.*=8 net.*.running_mean=8`, with the steps after which it was seen to move; what
    stands still or stays behind that should, and what follows which part.
    """
    told, early = seen.probe.standing_last or seen.probe.standing_moved, seen.probe.standing_moved
    moved = {group: steps for group, steps in told.moved.items() if " " not in group} if told else {}
    noted = {"moves": " ".join(f"{group}={steps}" for group, steps in list(moved.items())[:_KEPT])}
    if told:
        noted["stands"] = " ".join([one for one in told.still if one.endswith(_STATISTICS) and " " not in one][:_KEPT])
    if early:
        behind = [one for one, lag in early.lags.items() if lag >= _BEHIND and " " not in one]
        noted["behind"] = " ".join(behind[:_KEPT])
    if parts := seen.probe.untrained:
        noted |= {"loss follows": " ".join(parts.loss), "validation follows": " ".join(parts.validation)}
    return {name: text for name, text in noted.items() if text}


CHECKS: tuple[Check, ...] = (state_moves_as_reviewed,)
