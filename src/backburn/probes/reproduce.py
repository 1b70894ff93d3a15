"""The reproduce probe: watch a whole training to its end and write down what it came to, without changing it.

It draws no random number, overrides nothing where no seed is shifted, and reads a loss without waiting for the GPU
except at the steps of the grid. Of a training on several devices rank 0 tells its own part.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import math
import time
from collections.abc import Callable, Container, Mapping
from typing import Any

from . import channel, machine, seeds
from .batches import digest, leaves, size
from .gradients import squared_norm
from .grid import Grid, Octaves, Thinned
from .loaders import sizes
from .losses import logged, returned
from .trainer import expect_gpu, is_here, on_one_device

ENDS = False  # the process: a full training is followed by its tests
_EVERY = 30  # seconds between two answers while it runs
_BATCHES = 3  # training batches whose digest is told
# Lightning skips what is not callable, and saves 4 microseconds for each of these in a step.
_UNUSED = ("on_before_zero_grad", "on_before_backward", "on_after_backward")
_AT_GRID = ("on_train_batch_start", "on_before_optimizer_step")
_PER_VALIDATION_BATCH = ("on_validation_batch_start", "on_validation_batch_end")


def callback(asked: channel.Asked, package: str) -> Any:
    """The probe as a Callback of `package` ("lightning.pytorch" or "pytorch_lightning")."""
    base = importlib.import_module(f"{package}.callbacks").Callback
    return type("ReproduceProbe", (Recorder, base), dict.fromkeys(_UNUSED))(asked, package)


def watched(asked: channel.Asked) -> Mapping[str, Callable[[Any], None]]:
    """Modules to wrap as they are loaded: those that seed."""
    return _seeds(asked).homes


def seed_all(asked: channel.Asked) -> None:
    """Seed a script that has seeded nothing so far; its own seed, if it comes later, counts."""
    if not _seeds(asked).asked:
        _seeds(asked).seed_all(int(asked.settings["seed"]))


def overridden(asked: channel.Asked, given: dict[str, Any]) -> dict[str, Any]:
    """The Trainer's own arguments; under another seed what it keeps by default goes to the scratch folder.

    A logger or checkpoint with a folder of its own still writes there. Ends the process where no GPU is seen.
    """
    expect_gpu(asked, _blank("no-gpu"))
    scratch = str(asked.settings["scratch"])
    if asked.settings["rehearsal"] and not is_here(given.get("accelerator", "auto")):
        return on_one_device(given, scratch)
    return given | {"default_root_dir": scratch} if asked.settings["shift"] else given


def adjust(asked: channel.Asked, trainer: Any) -> None:
    """Nothing is taken out of a full training."""


def _seeds(asked: channel.Asked) -> seeds.Seeds:
    return seeds.of(int(asked.settings["shift"]))


def _blank(ended: str) -> dict[str, Any]:
    return {"kind": "reproduce-probe", "schema": 1, "ended": ended}


class Seen:
    """What this process has seen so far, over all of its Trainers."""

    def __init__(self) -> None:
        self.ended = "running"
        self.steps = self.planned = self.epochs = self.samples = 0
        self.seconds = 0.0
        self.started: float | None = None  # of the fit that runs
        self.told = -math.inf  # when
        self.grid, self.means = Grid(), Octaves()
        self.losses: dict[int, float] = {}
        self.rates: dict[int, float] = {}
        self.norms: dict[int, float] = {}
        self.metrics: dict[str, float] = {}
        self.validations: dict[str, Thinned] = {}
        self.batches: list[str] = []
        self.about: dict[str, Any] = {}  # machine, settings, device: as they were when the first fit began
        self.data: dict[str, str] = {}

    def record(self, asked: channel.Asked) -> dict[str, Any]:
        """`Told` of the stage, as plain data."""
        running = time.perf_counter() - self.started if self.started is not None else 0.0
        batches = {"train batches": " ".join(self.batches)} if self.batches else {}
        curves = {name: sorted(getattr(self, name).items()) for name in ("losses", "rates", "norms")}
        names = ("steps", "planned", "epochs", "metrics", "samples")
        return (
            _blank(self.ended)
            | {"shift": int(asked.settings["shift"]), "seeded": _seeds(asked).asked}
            | {name: getattr(self, name) for name in names}
            | {"seconds": self.seconds + running, "means": self.means.points, "data": self.data | batches}
            | {"validations": {name: one.points for name, one in self.validations.items()}}
            | curves
            | self.about
        )


@functools.cache
def _seen(evidence: str) -> Seen:
    """One for each file that is answered to: a second Trainer goes on where the first one stopped."""
    return Seen()


class Recorder:
    """The callback."""

    def __init__(self, asked: channel.Asked, package: str) -> None:
        self.asked, self.package = asked, package
        self.seen = _seen(asked.evidence)
        self.squares: dict[int, float] = {}  # of the gradient's norm, by optimizer, in a step where it is due
        self.counting = 0

    def __reduce__(self) -> Any:
        """To a process that a strategy spawns; what was seen stays in each."""
        return callback, (self.asked, self.package)

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Expect a GPU, where one is required."""
        if stage == "fit":
            expect_gpu(self.asked, _blank("no-gpu"))
            self.seen.ended = "running"

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Note what is trained on what."""
        seen = self.seen
        if not seen.about:
            told = {"machine": machine.machine(trainer, pl_module), "settings": machine.settings(trainer, pl_module)}
            seen.about = told | {"device": machine.device(pl_module)}
            seen.data |= sizes(trainer)
        seen.planned = _planned(trainer, seen.steps)
        self._listen()
        seen.started = time.perf_counter()

    # Each step

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Before a step of the grid: its learning rate, and the first batches as they are served."""
        step = self.seen.steps + 1
        if len(self.seen.batches) < _BATCHES:
            self.seen.batches.append(digest(leaves(batch)))
        if trainer.optimizers:
            self.seen.rates[step] = float(trainer.optimizers[0].param_groups[0]["lr"])

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """The first gradient since a step of the grid: where gradients are accumulated, that is some steps later."""
        square = None if id(optimizer) in self.squares else squared_norm(optimizer)  # LBFGS comes more than once
        if square is not None:
            self.squares[id(optimizer)] = square

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """The loss; at a step of the grid it is read."""
        seen = self.seen
        seen.steps = step = seen.steps + 1
        loss = _loss(trainer, pl_module, outputs, seen.validations)
        turn = seen.means.add(loss)
        if self.squares:
            seen.norms[step] = math.sqrt(sum(self.squares.values()))
            self.squares = {}
            vars(self)["on_before_optimizer_step"] = None  # as _UNUSED
        if seen.grid.reached(step):
            turn = True
            if loss is not None:
                seen.losses[step] = float(loss)
            vars(self)["on_train_batch_start"] = None
        if step + 1 == seen.grid.next:
            self._listen()
        if turn:
            self._answer_now_and_then(trainer, pl_module)

    def _listen(self) -> None:
        """Have Lightning call what is for steps of the grid only if the next step is one."""
        for name in _AT_GRID:
            if self.seen.steps + 1 == self.seen.grid.next:
                vars(self).pop(name, None)
            else:
                vars(self)[name] = None

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
        for name, value in _numbers(trainer._logger_connector.metrics["callback"]).items():
            seen.validations.setdefault(name, Thinned()).add(seen.steps, value)
        self._answer_now_and_then(trainer, pl_module)

    # The end

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Take the time."""
        self._stop_the_clock()

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Answer."""
        self.seen.ended = "fit"
        self.seen.metrics |= _numbers(trainer.callback_metrics)
        self._answer(trainer, pl_module)

    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        """Answer again: a test has metrics of its own."""
        if self.seen.ended == "fit":
            self.seen.metrics |= _numbers(trainer.callback_metrics)
            self._answer(trainer, pl_module)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Answer with what was seen until then."""
        if not self.seen.about:
            return
        self._stop_the_clock()
        self.seen.ended = "exception"
        with contextlib.suppress(Exception):  # a GPU that is lost reads no sum; the first exception is the one to see
            self._answer(trainer, pl_module)

    def _stop_the_clock(self) -> None:
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


def _loss(trainer: Any, pl_module: Any, outputs: Any, validated: Container[str]) -> Any:
    """What training_step returned, or logged: a float where reading it costs nothing, else a tensor on its device; or
    None. What a validation logged (`validated`) is none of the step's.
    """
    loss = returned(outputs)
    if not pl_module.automatic_optimization:
        return logged(trainer, _read, validated)[1] if loss is None else _read(loss)
    # Lightning has divided it by the steps that are accumulated.
    return None if loss is None else _read(loss) * trainer.accumulate_grad_batches


def _read(loss: Any) -> Any:
    if loss.device.type == "cpu":
        return loss.item()
    return loss.float() if loss.device.type == "mps" else loss.double()  # Apple's GPUs have no float64


def _planned(trainer: Any, done: int) -> int:
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


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Those that are one number."""
    found = {}
    for name, value in metrics.items():
        if not hasattr(value, "numel") or value.numel() == 1:
            with contextlib.suppress(TypeError, ValueError):
                found[str(name)] = float(value)
    return found
