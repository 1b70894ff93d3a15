"""Write down what a training does at the steps of the grid, into `steps.jsonl`, within a share of its time.

`backburn.reproduction.steps` says what a line holds. A line is written when the next step ends, or a fit: what a
validation behind its step logged belongs to it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from . import states, tensors
from .budget import SHARE, Budget
from .channel import Asked
from .detail import Detail
from .lines import Lines
from .operations import FILE as OPERATIONS
from .operations import operations
from .served import Served

FILE = "steps.jsonl"  # beside probe.json
_CHEAP = 0.005  # seconds: what the chain over all batches may take in any training
_VALIDATIONS = 1000  # lines for validations alone: one may follow each step


class Steps:
    """The steps of all fits of this process; in one that does not write (another rank's, in-process) nothing is done.

    Where single steps are asked for (`until`, `detail`, `operations`) no time is saved: each step of the grid is there.
    """

    def __init__(self, asked: Asked) -> None:
        given = asked.settings.get
        self.folder = os.path.dirname(asked.evidence) if asked.evidence else ""
        self.first, self.last = map(int, given("detail") or (0, 0))
        self.operated = int(given("operations", 0))
        self.begins = {self.first, self.operated} - {0}  # the first of the steps that are asked for
        unbounded = bool(self.last or self.operated or given("until", 0))
        self.budget = Budget(float("inf") if unbounded else float(given("share", SHARE)))
        self.served = Served()
        self.lines: Lines | None = None
        self.others: Lines | None = None  # of the one step op by op
        self.waiting: dict[str, Any] = {}  # the line that is not written yet
        self.validations = 0
        self.recording = False  # the step that runs
        self.inside: Detail | None = None
        self.mode: Any = None

    # Around a fit

    def open(self, trainer: Any) -> None:
        """A fit begins; only rank 0 writes."""
        if self.folder and self.budget.share and trainer.is_global_zero:
            self.lines = self.lines or Lines(os.path.join(self.folder, FILE), "steps")
            with self.budget.paid():
                self.served.listen(trainer)

    def flush(self) -> None:
        """Write the line that waits."""
        if self.waiting and self.lines is not None:
            with self.budget.paid():
                self.lines.write(self.waiting)
        self.waiting = {}

    def close(self) -> None:
        """The fit is over, in whichever way."""
        self.leave()
        self.served.stop()
        self.flush()

    @property
    def seconds(self) -> float:
        """Spent on all this."""
        return self.budget.spent + self.served.seconds

    @property
    def failed(self) -> str:
        """Why nothing more was written; "" where it was."""
        return next((one.failed for one in (self.lines, self.others) if one is not None and one.failed), "")

    # Which steps

    def due(self, step: int, on_grid: bool, trained: float, planned: float) -> bool:
        """Whether the step that comes next is recorded: asked for, or on the grid and paid for."""
        if self.lines is None or self.lines.failed:
            return False
        if self.asked(step):
            return True
        if not on_grid:
            return False
        if self.served.seconds > max(_CHEAP, self.budget.allowed(trained, planned) / 2):
            self.served.end()
        chain = self.served.seconds * max(1.0, planned / trained if trained else 1.0)  # it goes on with each batch
        return self.budget.affords(trained, planned, chain)

    def asked(self, step: int) -> bool:
        """Whether this step was asked for, whatever it costs."""
        return self.is_detailed(step) or (step == self.operated and step > 0)

    def is_detailed(self, step: int) -> bool:
        """Whether the inside of this step was asked for."""
        return self.first <= step <= self.last

    # The step that is recorded, in this order

    def begin(self, trainer: Any, module: Any, batch: Any, step: int) -> None:
        """Its batch, and the state that it finds."""
        self.flush()
        with self.budget.paid():
            self.recording, self.named = True, states.names(module)
            self.waiting = {"step": step, "batch": tensors.nested(batch), "served": self.served.digest}
            self.waiting |= {"rng": states.rng(), "settings": states.settings(trainer.optimizers)}
            self.gradients: tensors.Table = {}
            if self.is_detailed(step):
                self.waiting["before"] = tensors.parameters(module) | tensors.buffers(module)
                self.inside = Detail(module, trainer.optimizers, self.named)
        if step == self.operated:
            self.others = Lines(os.path.join(self.folder, OPERATIONS), "operations")
            self.mode = operations(self.others, module, trainer.optimizers)
            self.mode.__enter__()

    def stepping(self, optimizer: Any) -> None:
        """An optimizer is about to step, and clips after this; what it takes twice in one step counts once."""
        if self.mode is not None:
            self.mode.optimize()
        if self.recording:
            with self.budget.paid():
                self._take(optimizer)

    def _take(self, optimizer: Any) -> None:
        fresh = (one for one in states.gradients(optimizer, self.named) if one[0] not in self.gradients)
        self.gradients |= tensors.table(fresh)

    def end(self, trainer: Any, module: Any, loss: Any) -> None:
        """What has become of it."""
        inside = self.inside
        self.leave()
        with self.budget.paid():
            if not self.gradients:  # they are accumulated, or a script steps itself
                for optimizer in trainer.optimizers:
                    self._take(optimizer)
            found: dict[str, Any] = {"loss": states.number(loss) if loss is not None else ""}
            found |= {"gradients": self.gradients, "optimizer": states.kept(trainer.optimizers, self.named)}
            found |= {"parameters": tensors.parameters(module), "buffers": tensors.buffers(module)}
            found["norms"] = tensors.norms(module)
            if inside is not None:
                found |= {"forward": inside.forward, "clipped": inside.clipped}
            self.waiting |= found
        self.budget.over()

    def leave(self) -> None:
        """No step runs any more: what watched its inside goes."""
        self.recording = False
        if self.mode is not None:
            self.mode.__exit__(None, None, None)
            self.mode.close()
        if self.inside is not None:
            self.inside.close()
        self.mode = self.inside = None

    # Validations

    def validated(self, step: int, metrics: Mapping[str, float]) -> None:
        """What one logged, behind `step`; a line of its own where that step was not recorded."""
        if self.lines is None or not metrics:
            return
        if self.waiting.get("step") != step:
            self.validations += 1
            if self.validations > _VALIDATIONS:
                return
            self.flush()
            self.waiting = {"step": step}
        with self.budget.paid():
            found = {name: states.number(value) for name, value in metrics.items()}
            self.waiting["validation"] = self.waiting.get("validation", {}) | found
