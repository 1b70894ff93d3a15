"""What was counted in a training, against what a reference counted: whole numbers, where one more is one more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from .references import Reference, natural
from .report import Finding, Level

RECORDED = "with gradient"  # no operation: how many of a phase's autograd recorded
KINDS = ("workload", "operations", "flops")
_NAMED = 5  # named in one line; the rest are counted
# What another seed changes is a sum of random sizes. Of 20 batches of 16 texts 3 other seeds had 14, 16 and 23 % more
# floating-point operations than the first; padding all texts to the longest had 110 %.
_VARIES = 1.5

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
    """The differences of these kinds, the largest rise first. What is not there is 0.

    What lies within two counts is no difference, nor, where the reference's own counts differ (they have two seeds),
    what is less than half as much again as the larger one.
    """
    names = {name for one in (reference.figures, *counts) for name in one}
    found = []
    for kind, _, name in (one.partition(" ") for one in names):
        before = [int(value) for value in reference.runs(f"{kind} {name}") or (0,)]
        now = [one.get(f"{kind} {name}", 0) for one in counts]
        factor = _VARIES if len({*before}) > 1 else 1
        if kind in kinds and min(now) > factor * max(before):
            found.append(Change(kind, name, max(before), min(now)))
        elif kind in kinds and max(now) < min(before) / factor:
            found.append(Change(kind, name, min(before), max(now)))
    return sorted(found, key=lambda one: (one.name.endswith(RECORDED), -one.rise, natural(one.name)))


def varying(counts: Counts) -> list[str]:
    """The figures that differ between counts, as people sort."""
    names = {name for one in counts for name in one}
    return sorted((name for name in names if len({one.get(name, 0) for one in counts}) > 1), key=natural)


def rises(changed: Sequence[Change], steps: Mapping[str, int]) -> Iterator[Finding]:
    """A finding for each phase with more operations, its largest rises first; the hint is what to look for.

    Fewer than one in each of the phase's steps (`steps[""]` where it has no number of its own) is a notice: a callback
    that works once an epoch, say.
    """
    for phase, some in groupby(sorted((one for one in changed if one.rise > 0), key=_phase), key=_phase):
        lines = [one._replace(name=one.name.partition(" ")[2]) for one in some]
        recorded = sum(one.rise for one in lines if one.name == RECORDED)
        often = max(recorded, sum(one.rise for one in lines) - recorded) >= steps.get(phase, steps[""])
        hint = " ".join(_looks(phase, {one.name: one.before for one in lines}))
        level = Level.ERROR if often else Level.NOTICE
        yield Finding(message=f"{phase}: {listed(lines)}", level=level, hint=hint, detail=in_full(lines))


def _phase(one: Change) -> str:
    return one.name.partition(" ")[0]


def _looks(phase: str, before: Mapping[str, int]) -> Iterator[str]:
    """What to look for, where the operations that rose say it."""
    if phase == "validation" and before.get(RECORDED) == 0:
        yield "no_grad is lost in validation: look for enable_grad() and inference_mode=False."
    if "aten._local_scalar_dense" in before:
        yield "_local_scalar_dense is .item(), float() or a branch on a tensor: each waits for the GPU."
    yield "trace.json.gz shows what calls them."


def falls(what: str, changed: Sequence[Change]) -> Iterator[Finding]:
    """A win is told once, and is never an error. Beside a rise it is none: foreach is lost, a layer is another one."""
    fewer = [one for one in reversed(changed) if one.rise < 0]
    if fewer and len(fewer) == len(changed):
        message = f"fewer {what} than in the reference: {listed(fewer)}"
        hint = "A win: bless it, so that it is not lost again unseen."
        yield Finding(message=message, level=Level.NOTICE, hint=hint, detail=in_full(fewer))


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
