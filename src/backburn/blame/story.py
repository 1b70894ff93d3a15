"""From what a search found to what is told of it: the step, the class, the module and the op. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ..reproduction import divergence, operations
from ..reproduction.divergence import Divergence
from ..reproduction.rerun import Apart, Ran

_BY_OP = ("forward", "backward")  # classes in which an op can be named


@dataclass(frozen=True, kw_only=True)
class Story:
    """What differs first. `names` are words that its diff may speak of, `found` is what they were taken from."""

    step: int
    cause: str = ""
    module: str = ""
    said: str = ""
    names: tuple[str, ...] = ()
    found: Divergence | None = None

    @property
    def has_op(self) -> bool:
        """Whether it lies in a step's arithmetic."""
        return self.cause in _BY_OP


def of(at: Apart, before: Ran, after: Ran) -> Story:
    """What two trainings that part there recorded around it."""
    if at.ended:
        said = f"it ends after {at.last} steps" if not at.late else "only metrics at the end differ"
        return Story(step=at.step, cause="evaluation" if at.late else "", said=said)
    steps = ([one for one in ran.steps if one.step <= at.step + at.late] for ran in (before, after))
    found = divergence.first(*steps)
    return Story(step=at.step) if found is None else _of(found, late=at.late)


def placed(told: Story, parting: operations.Parting | None) -> Story:
    """The same in the module whose own code did it, where the first operation that differs is known."""
    return told if told.found is None else _of(operations.placed(told.found, parting), late=False)


def _of(found: Divergence, *, late: bool) -> Story:
    return Story(
        step=found.step,
        cause=found.kind.value if found.kind else "evaluation" if late else "",
        module=found.module or found.name,
        said=found.said,
        names=tuple(filter(None, (found.module, found.name, found.part))),
        found=found,
    )
