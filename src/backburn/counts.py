"""What was counted in a training, against what a reference counted: whole numbers, where one more is one more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .references import Reference, natural

RECORDED = "with gradient"  # no operation: how many of a phase's autograd recorded
UNSTEADY = "unsteady"  # the word among a reference's settings: figures that it leaves out
_NAMED = 5  # named in one line; the rest are counted

Counts = Sequence[Mapping[str, int]]  # of each count of the same steps, its figures: `<kind> <name>` -> value


class Change(NamedTuple):
    """A figure that every count has otherwise than the reference; `now` is of the count nearest to it.

    >>> print(Change("operations", "aten.mm", 20, 40))
    mm 20 → 40 (+20)
    """

    kind: str
    name: str
    before: int
    now: int

    @property
    def rise(self) -> int:
        """How much more; below 0: less."""
        return self.now - self.before

    def __str__(self) -> str:
        """The figure, before and now, as a finding names it."""
        return f"{self.name.replace('aten.', '')} {self.before:,} → {self.now:,} ({self.rise:+,})"


def changes(counts: Counts, reference: Reference, *kinds: str) -> list[Change]:
    """The differences of these kinds, the largest rise first. What is not there is 0. What the reference calls
    unsteady, or lies within two counts, is no difference.
    """
    names = {name for one in (reference.figures, *counts) for name in one} - left_out(reference)
    found = []
    for kind, _, name in (one.partition(" ") for one in names):
        before = int((reference.runs(f"{kind} {name}") or (0,))[0])
        now = [one.get(f"{kind} {name}", 0) for one in counts]
        if kind in kinds and not min(now) <= before <= max(now):
            found.append(Change(kind, name, before, min(now) if min(now) > before else max(now)))
    return sorted(found, key=lambda one: (one.name.endswith(RECORDED), -one.rise, natural(one.name)))


def unsteady(counts: Counts) -> list[str]:
    """The figures that differ between counts of the same steps, as people sort."""
    names = {name for one in counts for name in one}
    return sorted((name for name in names if len({one.get(name, 0) for one in counts}) > 1), key=natural)


def left_out(reference: Reference) -> set[str]:
    """The figures that differed between the reference's own counts."""
    return set(filter(None, reference.settings.get(UNSTEADY, "").split(", ")))


def listed(some: Sequence[object]) -> str:
    """The first few of a line, the rest counted.

    >>> listed("abcdefg")
    'a, b, c, d, e and 2 more'
    """
    rest = f" and {len(some) - _NAMED} more" if len(some) > _NAMED else ""
    return ", ".join(map(str, some[:_NAMED])) + rest


def in_full(some: Sequence[object]) -> str:
    """A line for each, where `listed` names only some of them."""
    return "\n".join(map(str, some)) if len(some) > _NAMED else ""
