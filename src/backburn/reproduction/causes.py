"""What is likely to have moved a night away from its reference: settings, data, machine, and where the curve parts."""

from __future__ import annotations

from .. import comparison
from ..references import Reference
from .told import Told, figures, seed


def differences(one: Reference, told: Told, otherwise: int) -> tuple[comparison.Difference, ...]:
    """What is not as it was, by kind; `otherwise` is the seed of a script that sets none."""
    soft = told.machine.soft if told.machine else {}
    return comparison.differences(one, told.settings, told.data, seed(told, otherwise), soft)


def listed(lines: tuple[str, ...]) -> str:
    """As many as a sentence holds.

    >>> listed(("a: 1 → 2", "b: 1 → 2", "c: 1 → 2", "d: 1 → 2"))
    'a: 1 → 2; b: 1 → 2; c: 1 → 2 and 1 more'
    """
    return "; ".join(lines[:3]) + (f" and {len(lines) - 3} more" if len(lines) > 3 else "")


def likely(one: Reference, told: Told, otherwise: int) -> str:
    """What is likely to have moved it, and since when."""
    changed = [f"{said} ({listed(lines)})" for said, _, lines in differences(one, told, otherwise) if lines]
    cause = "; ".join(changed) or "the code, as settings, data and machine are the reference's"
    first = comparison.first_difference(one, figures(told))
    where = f"The curve differs {first}." if first else "The curve is the same: only the evaluation differs."
    reference = f"The reference is of {commit(one)}; if the change is meant: backburn bless reproduce."
    return f"Likely: {cause}. {where} {reference}"


def commit(one: Reference) -> str:
    """`0123456 2026-11-20`."""
    short = one.commit[:7] + "+" * one.commit.endswith("+")
    return f"{short or 'no commit'} {one.date}".rstrip()
