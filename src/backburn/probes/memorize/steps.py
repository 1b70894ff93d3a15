"""The first optimizer steps, watched through the user's own hooks: gradients before and after, what moved, and how far."""

from __future__ import annotations

from typing import Any

from .session import Session

STEPS = 8  # of the training; six tell a zero gradient from a first step's, and warm-ups begin at 0


class Steps:
    """`before` and `after` each step of the training; `record` once `after` says that enough was seen."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.seen: list[dict[str, Any]] = []

    def before(self, step: int) -> None:
        """A step begins (from 0)."""

    def after(self, step: int) -> bool:
        """A step ended (`step` are done); whether enough was seen."""
        return step >= STEPS

    def stop(self) -> None:
        """Leave no hook behind."""

    def record(self) -> dict[str, Any]:
        """Plain data, as `backburn.memorization.optimizing.Optimizing` says."""
        return {"count": STEPS}
