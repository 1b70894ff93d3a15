"""Where to look first: what a night told of where it left its reference. Pure."""

from __future__ import annotations

from ..comparison import step_of
from ..reproduction import digests, ladder
from ..references import Reference
from ..reproduction.told import Told, figures


def between(one: Reference, told: Told, roots: digests.Roots) -> tuple[int, int]:
    """(the last step that both recorded and at which they are the same, the first at which they are known to differ).

    Where nothing but what it came to in the end differs, an evaluation is looked for, behind the step of the first
    validation. (0, 0) where nothing differs, or where nothing tells when.
    """
    now = figures(told)
    if ladder.is_identical(one, now, roots):
        return 0, 0
    validations = (step + 1 for points in told.validations.values() for step, _ in points)
    step = ladder.differs_from(one, now, roots) or min(validations, default=0)
    return (
        max((known for known in {*map(step_of, one.hashes)} & {*map(step_of, roots)} if known < step), default=0),
        step,
    )
