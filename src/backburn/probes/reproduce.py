"""The reproduce probe: watch a whole training to its end and write down what it came to, without changing it.

It draws no random number, overrides nothing where no seed is shifted, and reads a loss without waiting for the GPU
except at the steps of the grid. Of a training on several devices rank 0 tells its own part.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from . import channel, horizon, machine
from .batches import digest, leaves, size
from .gradients import squared_norm
from .grid import Grid, Thinned
from .loaders import sizes
from .losses import of_step
from .perturbation import perturb
from .seen import blank, seeds_of, seen_of, ulp
from .tensors import ours
from .trainer import expect_gpu, is_here, on_one_device

ENDS = False  # the process: a full training is followed by its tests
_ASKED = ("until", "budget")  # how it ends where it is asked to
_EVERY = 30  # seconds between two answers while it runs
_BATCHES = 3  # training batches whose digest is told
_AGAIN = ("shift", "ulp", "until", "detail", "operations")  # not the training itself: what it keeps is no one's
# Lightning skips what is not callable, and saves 4 microseconds for each of these in a step.
_UNUSED = ("on_before_zero_grad", "on_before_backward", "on_after_backward")
_PER_VALIDATION_BATCH = ("on_validation_batch_start", "on_validation_batch_end")


def callback(asked: channel.Asked, package: str) -> Any:
    """The probe as a Callback of `package` ("lightning.pytorch" or "pytorch_lightning")."""
    base = importlib.import_module(f"{package}.callbacks").Callback
    return type("ReproduceProbe", (Recorder, base), dict.fromkeys(_UNUSED))(asked, package)


def watched(asked: channel.Asked) -> Mapping[str, Callable[[Any], None]]:
    """Modules to wrap as they are loaded: those that seed."""
    return seeds_of(asked).homes


def seed_all(asked: channel.Asked) -> None:
    """Seed a script that has seeded nothing so far; its own seed, if it comes later, counts."""
    if not seeds_of(asked).asked:
        seeds_of(asked).seed_all(int(asked.settings["seed"]))


def overridden(asked: channel.Asked, given: dict[str, Any]) -> dict[str, Any]:
    """The Trainer's own arguments; of a run beside the training itself, under another seed or of a few steps,
    what it keeps by default goes to the scratch folder.

    A logger or checkpoint with a folder of its own still writes there. Ends the process where no GPU is seen.
    """
    expect_gpu(asked, blank("no-gpu"))
    scratch = str(asked.settings["scratch"])
    if asked.settings["rehearsal"] and not is_here(given.get("accelerator", "auto")):
        return on_one_device(given, scratch)
    return given | {"default_root_dir": scratch} if any(map(asked.settings.get, _AGAIN)) else given


def adjust(asked: channel.Asked, trainer: Any) -> None:
    """Nothing is taken out of a full training."""


class Recorder:
    """The callback."""

    def __init__(self, asked: channel.Asked, package: str) -> None:
        self.asked, self.package = asked, package
        self.seen = seen_of(asked)
        self.squares: dict[int, float] = {}  # of the gradient's norm, by optimizer, in a step where it is due
        self.norm_due = self.recorded = False  # the next gradient's, the step that comes or runs
        self.counting = 0
        self.listening = True

    def __reduce__(self) -> Any:
        """To a process that a strategy spawns; what was seen stays in each."""
        return callback, (self.asked, self.package)

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Expect a GPU, where one is required."""
        if stage == "fit":
            expect_gpu(self.asked, blank("no-gpu"))
            self.seen.ended = "running"

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Note what is trained on what."""
        seen = self.seen
        if not seen.about:
            told = {"machine": machine.machine(trainer, pl_module), "settings": machine.settings(trainer, pl_module)}
            seen.about = told | {"device": machine.device(pl_module)}
            seen.data |= sizes(trainer)
        seen.planned = horizon.planned(trainer, seen.steps)
        if not seen.steps:
            self._begin(trainer, pl_module)
        seen.recorded.open(trainer)
        seen.started = time.perf_counter()
        self._listen()

    def _begin(self, trainer: Any, pl_module: Any) -> None:
        """The first fit of all: from where it goes on, and with which weights."""
        self.seen.start = horizon.before(trainer)
        self.seen.grid = Grid(self.seen.start)
        if number := ulp(self.asked):
            perturb(pl_module, number)

    # Each step

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Before a step of the grid: its learning rate, and the first batches as they are served."""
        seen, step = self.seen, self.seen.steps + 1
        if step == seen.grid.next:
            if len(seen.batches) < _BATCHES:
                seen.batches.append(digest(leaves(batch)))
            if trainer.optimizers:
                seen.rates[step] = float(trainer.optimizers[0].param_groups[0]["lr"])
        if self.recorded:
            seen.recorded.begin(trainer, pl_module, batch, step)

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """The first gradient since a step of the grid: where gradients are accumulated, that is some steps later."""
        if self.norm_due and id(optimizer) not in self.squares:  # LBFGS comes more than once
            with ours():
                square = squared_norm(optimizer)
            if square is not None:
                self.squares[id(optimizer)] = square
        if self.recorded:
            self.seen.recorded.stepping(optimizer)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """The loss; at a step of the grid it is read."""
        seen = self.seen
        seen.steps = step = seen.steps + 1
        loss = of_step(trainer, pl_module, outputs, seen.validations)
        turn = seen.means.add(loss)
        if self.squares:
            seen.norms[step] = math.sqrt(sum(self.squares.values()))
            self.squares, self.norm_due = {}, False
        if seen.recorded.waiting:
            self._record(trainer, pl_module, loss)
        reached = seen.grid.reached(step)
        if reached:
            turn = True
            if loss is not None:
                seen.losses[step] = float(loss)
        if step == 1:
            seen.first = seen.trained
        if reached or self.listening or step + 1 == seen.grid.next or step + 1 in seen.recorded.begins:
            self._listen()
        if seen.end and (how := seen.end.reached(trainer, step, seen.trained)):
            self._leave(trainer, pl_module, how)
        if turn:
            self._answer_now_and_then(trainer, pl_module)

    def _record(self, trainer: Any, pl_module: Any, loss: Any) -> None:
        """The step that ended, or the one before it, which waits for what a validation logs."""
        if self.recorded and self.seen.recorded.recording:
            self.seen.recorded.end(trainer, pl_module, loss)
        else:
            self.seen.recorded.flush()

    def _listen(self) -> None:
        """Have Lightning call what is for steps of the grid, or recorded ones, only if the next step is one."""
        seen, step = self.seen, self.seen.steps + 1
        on_grid = step == seen.grid.next
        self.norm_due = self.norm_due or on_grid
        self.recorded = seen.recorded.due(step, on_grid, seen.trained, seen.expected)
        self._call("on_train_batch_start", on_grid or self.recorded)
        self._call("on_before_optimizer_step", self.norm_due or self.recorded)
        self.listening = on_grid or self.norm_due or self.recorded

    def _call(self, name: str, wanted: bool) -> None:
        if wanted:
            vars(self).pop(name, None)
        else:
            vars(self)[name] = None  # as _UNUSED

    def _leave(self, trainer: Any, pl_module: Any, how: str) -> None:
        """It was asked to end here."""
        self._stop_the_clock()
        self.seen.ended = how
        self._answer(trainer, pl_module)
        horizon.leave(trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Count them."""
        self.seen.epochs += 1

    # Each validation

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Look at the batches of the first one."""
        self.counting = 0
        for name in _PER_VALIDATION_BATCH:
            if self.seen.samples:
                vars(self)[name] = None

    def on_validation_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """The first batch as it is served."""
        if _is_validation(trainer) and "validation batch" not in self.seen.data:
            self.seen.data["validation batch"] = digest(leaves(batch))

    def on_validation_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Its samples."""
        self.counting += size(batch)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """What it logged."""
        if not _is_validation(trainer):
            return
        seen = self.seen
        seen.samples = seen.samples or self.counting * trainer.world_size
        # callback_metrics would hold the last training step's as well.
        metrics = _numbers(trainer._logger_connector.metrics["callback"])
        for name, value in metrics.items():
            seen.validations.setdefault(name, Thinned()).add(seen.steps, value)
        seen.recorded.validated(seen.steps, metrics)
        self._answer_now_and_then(trainer, pl_module)

    # The end

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Take the time."""
        self._stop_the_clock()

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Answer."""
        self.seen.ended = self.seen.ended if self.seen.ended in _ASKED else "fit"
        self.seen.metrics |= _numbers(trainer.callback_metrics)
        self._answer(trainer, pl_module)

    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        """Answer again: a test has metrics of its own."""
        if self.seen.ended == "fit":
            self.seen.metrics |= _numbers(trainer.callback_metrics)
            self._answer(trainer, pl_module)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Answer with what was seen until then."""
        if not self.seen.about or self.seen.ended in _ASKED:
            return
        self._stop_the_clock()
        self.seen.ended = "exception"
        with contextlib.suppress(Exception):  # a GPU that is lost reads no sum; the first exception is the one to see
            self._answer(trainer, pl_module)

    def _stop_the_clock(self) -> None:
        self.seen.recorded.close()
        if self.seen.started is not None:
            self.seen.seconds += time.perf_counter() - self.seen.started
            self.seen.started = None

    def _answer_now_and_then(self, trainer: Any, pl_module: Any) -> None:
        if time.monotonic() - self.seen.told >= _EVERY:
            self._answer(trainer, pl_module)

    def _answer(self, trainer: Any, pl_module: Any) -> None:
        if trainer.is_global_zero:
            self.seen.told = time.monotonic()
            peak = {"peak_memory": machine.peak_memory(pl_module)}
            channel.answer(self.asked, self.seen.record(self.asked) | peak)


def _is_validation(trainer: Any) -> bool:
    """Of a fit; neither its sanity check, nor a validation that a script asks for before or after."""
    return trainer.state.fn == "fit" and not trainer.sanity_checking


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Those that are one number."""
    found = {}
    for name, value in metrics.items():
        if not hasattr(value, "numel") or value.numel() == 1:
            with contextlib.suppress(TypeError, ValueError):
                found[str(name)] = float(value)
    return found
