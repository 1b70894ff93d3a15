"""Where to look first: what a night told of where it left its reference. Pure."""

from __future__ import annotations

from ..comparison import step_of
from ..references import Reference
from ..reproduction import digests, ladder
from ..reproduction.told import Told, figures


def between(one: Reference, told: Told, roots: digests.Roots) -> tuple[int, int]:
    """(the last step that both recorded and at which they are the same, the first at which they are known to differ),
    counted since the process began.

    Where nothing but what it came to in the end differs, an evaluation is looked for, behind the step of the first
    validation. (0, 0) where nothing differs, or where nothing tells when.
    """
    now = figures(told)
    if ladder.is_identical(one, now, roots):
        return 0, 0
    step = ladder.differs_from(one, now, roots)
    if not step:
        first = min((step for points in told.validations.values() for step, _ in points), default=0)
        return (first, first + 1) if first else (0, 0)
    both = {*map(step_of, one.hashes)} & {*map(step_of, roots)}
    last = max((known for known in both if known < step), default=told.start)
    return max(0, last - told.start), step - told.start
