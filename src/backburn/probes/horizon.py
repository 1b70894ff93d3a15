"""How long a training is: the batches that are planned, those behind its checkpoint, and where it is asked to end."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from typing import Any

_AGREED = 8  # steps between two questions whether the time is up, where several processes have to agree


def planned(trainer: Any, done: int) -> int:
    """Training batches until the end, as far as its Trainer can tell; 0 where it cannot."""
    limits = []
    if trainer.max_epochs is not None and trainer.max_epochs >= 0:
        limits.append((trainer.max_epochs - trainer.current_epoch) * trainer.num_training_batches)
    if trainer.max_steps >= 0:
        automatic = trainer.lightning_module.automatic_optimization
        left = (trainer.max_steps - trainer.global_step) * trainer.accumulate_grad_batches
        limits.append(left if automatic else math.inf)  # one that steps itself counts each optimizer
    fewest = min(limits, default=math.inf)
    return done + int(fewest) if fewest < math.inf else 0


def before(trainer: Any) -> int:
    """Training batches that the checkpoint has behind it which this fit goes on from; 0 without one.

    Those that were processed: one that a crash cut short is trained again.
    """
    with contextlib.suppress(AttributeError):  # semi-private, and another in each minor version of Lightning
        return int(trainer.fit_loop.epoch_loop.batch_progress.total.processed)
    return 0


class End:
    """Where a training is to end before its own end; its schedules go by the whole of it."""

    def __init__(self, until: int, seconds: float) -> None:
        self.until, self.seconds = until, seconds

    def reached(self, trainer: Any, steps: int, seconds: float) -> str:
        """The word for it: until, budget, or "" where the training goes on. All ranks get the same one."""
        if self.until and steps >= self.until:
            return "until"
        if not self.seconds or (trainer.world_size > 1 and steps % _AGREED):
            return ""
        is_over = seconds >= self.seconds
        if trainer.world_size > 1:
            is_over = bool(trainer.strategy.broadcast(is_over))
        return "budget" if is_over else ""


def end(settings: Mapping[str, Any]) -> End | None:
    """What the probe's settings ask for; None where they ask for none."""
    until, seconds = int(settings.get("until", 0)), float(settings.get("seconds", 0.0))
    return End(until, seconds) if until or seconds else None


def leave(trainer: Any) -> None:
    """End the process, as a program does that is done.

    One that a launcher spawned would leave its parent waiting for what it returns: there the fit ends as fits do.
    """
    if "MultiProcessing" not in type(trainer.strategy.launcher).__name__:
        raise SystemExit(0)
    trainer.fit_loop.min_epochs, trainer.fit_loop.epoch_loop.min_steps = 0, None
    trainer.should_stop = True
