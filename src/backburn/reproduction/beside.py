"""Which runs a night needs beside its own: the same once more, other seeds and rounded weights for a reference that is
to be made, fresh seeds where it looks worse than the one there is.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .. import training
from ..references import Reference
from . import alarm, envelope, ladder
from .ladder import Night, Repeat
from .runs import NEVER, Ran, Runs
from .told import Told, figures, how_far
from .told import seed as seed_of


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a stage's Config says of it, by the same names."""

    seeds: int
    alpha: float
    self_steps: int
    ulps: int
    fresh: int
    seed: int
    candidate: bool


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What ran beside the night: under the other seeds of a reference (`ended`, `told`), once more (`again`, its roots
    in `repeated`), under `fresh` seeds, with `rounded` weights; `aside` says what became of those that did not end.
    """

    ended: tuple[training.Ended, ...] = ()
    told: tuple[Told | None, ...] = ()
    again: Told | None = None
    repeated: dict[str, str] = field(default_factory=dict)
    fresh: tuple[Told, ...] = ()
    rounded: tuple[Told, ...] = ()
    aside: tuple[str, ...] = ()

    def without(self, said: str) -> Beside:
        """And one that did not end."""
        return replace(self, aside=(*self.aside, said))


def night(told: Told, roots: dict[str, str], beside: Beside, *, seed: int, wanted: int) -> Night:
    """What the ladder is asked about. `seed` is that of a script that sets none, `wanted` the number of fresh seeds."""
    repeat = None
    if beside.again is not None:
        same = told.seeded[: len(beside.again.seeded)] == beside.again.seeded
        repeat = Repeat(
            figures=figures(beside.again),
            roots=beside.repeated,
            steps=beside.again.start + beside.again.steps,
            seed=same,
        )
    fresh = tuple(map(figures, beside.fresh))
    return Night(
        figures=figures(told), roots=roots, repeat=repeat, fresh=fresh, wanted=wanted, seed=seed_of(told, seed)
    )


def wanted(limits: Limits) -> int:
    """How many fresh seeds a suspicion is confirmed by; where a new reference is asked for, none."""
    return 0 if limits.candidate else limits.fresh


def _night(first: Ran, told: Told, found: Beside, limits: Limits) -> Night:
    return night(told, first.roots, found, seed=limits.seed, wanted=wanted(limits))


def gather(first: Ran, told: Told, one: Reference | None, limits: Limits, runs: Runs) -> Beside:
    """Run what is needed beside the `first` run, which is sound; `one` is what it can be held against, if anything."""
    found = _once_more(first, told, one, limits, runs)
    if one is None or limits.candidate:
        return _as_reference(first, told, found, limits, runs)
    seen = _night(first, told, found, limits)
    if ladder.is_identical(one, seen.figures, seen.roots) or not ladder.alarms(one, seen, limits.alpha):
        return found
    for number, shift in enumerate(alarm.with_seeds(one, limits.fresh), 1):
        if runs.has(first.ended.seconds):
            ran = runs.aside(f"fresh-{number}", f"fresh seed {number} of {limits.fresh}", shift=shift)
            found = _more(found, "fresh", ran, f"under its seed + {shift}")
    return found


def _once_more(first: Ran, told: Told, one: Reference | None, limits: Limits, runs: Runs) -> Beside:
    """As far as it takes to know whether what differs from the reference repeats; an identical night proves itself."""
    until, found = limits.self_steps, Beside()
    if until and one is not None:
        seen = _night(first, told, found, limits)
        if not ladder.is_identical(one, seen.figures, seen.roots):
            until = max(
                until, (ladder.differs_from(one, seen.figures, seen.roots) or told.start + told.steps) - told.start
            )
        elif not limits.candidate:
            return found
    if not until or not runs.has(first.ended.seconds * min(1.0, until / told.steps)):
        return found
    ran = runs.aside("again", "once more", until=until if until < told.steps else NEVER)
    if ran.told is None or not ran.told.steps:
        return found.without(f"once more, it did not: {_why(ran)}")
    return replace(found, again=ran.told, repeated=ran.roots)


def _as_reference(first: Ran, told: Told, found: Beside, limits: Limits, runs: Runs) -> Beside:
    """Under other seeds, and with rounded weights."""
    if ladder.unsteady(_night(first, told, found, limits)):
        return found  # it would be refused, and each seed takes a night
    for shift in range(1, limits.seeds):
        if not runs.has(first.ended.seconds):
            return found
        ran = runs.aside(f"seed-{shift}", f"seed {shift + 1} of {limits.seeds}", shift=shift)
        found = replace(found, ended=(*found.ended, ran.ended), told=(*found.told, ran.told))
    for ulp in range(1, limits.ulps + 1):
        until = envelope.steps_of(told.steps, ulp, limits.self_steps)
        if runs.has(first.ended.seconds * until / told.steps):
            ran = runs.aside(f"ulp-{ulp}", f"rounding {ulp} of {limits.ulps}", ulp=ulp, until=until)
            found = _more(found, "rounded", ran, f"with rounded weights ({ulp})")
    return found


def _more(found: Beside, where: str, ran: Ran, which: str) -> Beside:
    told, ended = ran.told, ran.ended
    if told is None or ended.code or ended.timed_out or told.ended not in ("fit", "until", "budget"):
        return found.without(f"{which} it did not: {_why(ran)}")
    several = (*getattr(found, where), told)
    return replace(found, fresh=several) if where == "fresh" else replace(found, rounded=several)


def _why(ran: Ran) -> str:
    return ran.ended.message or how_far(ran.ended, ran.told)
