"""What a night comes to beside its reference: the first of a few classes that holds, the cheapest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from .. import comparison
from ..references import Reference
from . import alarm, digests, envelope
from .alarm import Alarm
from .digests import Apart


class Rung(StrEnum):
    """IDENTICAL: to the last bit. ULP_EQUIVALENT: no further off than roundings drive it. CHANGED: within what seeds
    do, and yet another training. REGRESSED: beyond what seeds do. NOT_REPEATABLE: the same commit and seed do not come
    out the same twice, so that only seeds tell.
    """

    IDENTICAL = "identical"
    ULP_EQUIVALENT = "ulp-equivalent"
    CHANGED = "changed"
    REGRESSED = "regressed"
    NOT_REPEATABLE = "does not repeat"


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """The same commit and seed once more: the figures that both runs have, and their roots; how many steps it took.

    `seed` is false where the second run asked for another seed than the first: its script draws one.
    """

    figures: comparison.Figures
    roots: digests.Roots
    steps: int
    seed: bool = True


@dataclass(frozen=True, kw_only=True)
class Night:
    """A run to be judged, and what was run beside it; `wanted` is how many fresh seeds there should be for a suspicion.

    `repeat` is None where it was not run again.
    """

    figures: comparison.Figures
    roots: digests.Roots = field(default_factory=dict)
    repeat: Repeat | None = None
    fresh: Sequence[comparison.Figures] = ()
    wanted: int = 0
    seed: int = 0


def is_identical(one: Reference, figures: comparison.Figures, roots: digests.Roots) -> bool:
    """Every figure is that of the reference's first run, and so is every recorded tensor at the steps of both."""
    return comparison.is_identical(one, figures) and digests.apart(one.hashes, roots) is None


def differs_from(one: Reference, figures: comparison.Figures, roots: digests.Roots) -> int:
    """By which step it is known to be another training than the reference's first run; 0: by its end alone."""
    apart = digests.apart(one.hashes, roots)
    known = [comparison.step_of(name) for name, values in one.figures.items() if _is_off(name, values[0], figures)]
    return min([*known, apart.step] if apart else known, default=0)


def _is_off(name: str, before: float, figures: comparison.Figures) -> bool:
    return "@" in name and name[:6] != comparison.FINAL and name in figures and figures[name] != before


def unsteady(night: Night) -> str:
    """Where the second run of the same commit and seed left the first, and why; empty where it did not."""
    if night.repeat is None:
        return ""
    if not night.repeat.seed:
        return "it draws another seed each time (rng)"
    apart = digests.apart(night.roots, night.repeat.roots)
    if apart:
        return str(apart)
    off = [name for name, value in night.repeat.figures.items() if not _same(night.figures.get(name, value), value)]
    if not off:
        return ""
    steps = sorted((comparison.step_of(name), name) for name in off if "@" in name and name[:6] != comparison.FINAL)
    return f"at or before step {steps[0][0]}: {steps[0][1].rpartition('@')[0]}" if steps else _evaluation(off)


def _same(before: float, now: float) -> bool:
    """A gradient's norm may be no number in both: scaled float16 gradients overflow."""
    return before == now or (before != before and now != now)


def _evaluation(names: Sequence[str]) -> str:
    return (
        f"in its evaluation alone: {', '.join(name.removeprefix(comparison.FINAL) for name in names[:3])} (evaluation)"
    )


def proven(night: Night, one: Reference) -> bool:
    """Whether the second run was long enough to show that what differs from the reference repeats."""
    if night.repeat is None:
        return False
    until = differs_from(one, night.figures, night.roots)
    return night.repeat.steps >= until if until else _has_end(night.repeat.figures, one)


def _has_end(figures: comparison.Figures, one: Reference) -> bool:
    return all(name in figures for name in one.figures if "@" not in name or name[:6] == comparison.FINAL)


def alarms(one: Reference, night: Night, alpha: float) -> list[Alarm]:
    """What is suspicious, and whether it is confirmed."""
    return alarm.alarms(one, night.figures, night.fresh, alpha, night.wanted)


def rounding(one: Reference, night: Night) -> str:
    """Why it is more than a rounding away from the reference; empty where it is not."""
    if night.seed != one.seeds[0]:
        return f"another seed: {one.seeds[0]} → {night.seed}"
    aside = digests.only_buffers(one.hashes, night.roots)
    if aside and not _is_evaluated(one):
        return "buffers differ where nothing else does, and nothing is evaluated that would tell how far"
    moved = envelope.drift(one, night.figures) > 0 or not aside and first(one, night) is not None
    return envelope.leaves(one, night.figures, moved=moved)


def _is_evaluated(one: Reference) -> bool:
    """Whether metrics are held where a validation is run: buffers that matter move them."""
    return any(one.runs("samples")) and any(name.startswith(comparison.FINAL) for name in one.figures)


def is_close(one: Reference, night: Night, alpha: float) -> bool:
    """Whether it is the same to the last bit, or repeats and comes to the same but for 1e-5 of each figure."""
    found = rung(one, night, alpha)
    return found is Rung.IDENTICAL or found is Rung.ULP_EQUIVALENT and envelope.is_close(one, night.figures)


def rung(one: Reference, night: Night, alpha: float) -> Rung:
    """The first class that holds, from the cheapest to the dearest."""
    if is_identical(one, night.figures, night.roots):
        return Rung.IDENTICAL
    if any(found.confirmed for found in alarms(one, night, alpha)):
        return Rung.REGRESSED
    if unsteady(night):
        return Rung.NOT_REPEATABLE
    return Rung.CHANGED if rounding(one, night) else Rung.ULP_EQUIVALENT


def first(one: Reference, night: Night) -> Apart | None:
    """Where the recorded state leaves that of the reference, as far as the reference's hashes tell."""
    return digests.apart(one.hashes, night.roots)
