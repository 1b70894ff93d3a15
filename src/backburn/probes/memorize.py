"""The memorize probe: hold a training to its first batch, watch it memorize that, and end it there."""

from __future__ import annotations

import contextlib
import functools
import importlib
import math
import platform
import time
from collections.abc import Iterator
from typing import Any

from . import channel, machine, seeds
from .batches import Batch, digest, leaves
from .floor import Relation, recorder
from .loaders import described, hold_to_one_batch, without_workers
from .losses import logged, returned
from .movement import Movement
from .schedules import Schedules
from .trainer import UNWANTED, UNWANTED_IN_FIT, expect_gpu, on_one_device, take_out

ENDS = True  # the process, once the answer is there
_LOOKS = 2  # steps whose loss calls are looked at: two, as a factor may follow a schedule
# Called each step, and by us not needed: Lightning skips what is not callable, and saves 4 microseconds for each.
_UNUSED = ("on_train_epoch_start", "on_before_zero_grad", "on_before_backward", "on_after_backward")
_TOLERANCE = 0.01  # of the way from the first loss to the bound: bfloat16 keeps 8 bits


def callback(asked: channel.Asked, package: str) -> Any:
    """The probe as a Callback of `package` ("lightning.pytorch" or "pytorch_lightning")."""
    base = importlib.import_module(f"{package}.callbacks").Callback
    return type("MemorizeProbe", (Memorizer, base), dict.fromkeys(_UNUSED))(asked)


def seed_all(asked: channel.Asked) -> None:
    """Seed what draws random numbers, so that a verdict does not depend on luck; a script's own seed comes later."""
    seeds.seed_all(int(asked.settings["seed"]))


def overridden(asked: channel.Asked, given: dict[str, Any]) -> dict[str, Any]:
    """The arguments that the user's Trainer is made with instead of `given`. Ends the process where no GPU is seen."""
    expect_gpu(asked, _blank("no-gpu"))
    return on_one_device(given, str(asked.settings["scratch"])) | {"accumulate_grad_batches": 1, "max_time": None}


def adjust(asked: channel.Asked, trainer: Any) -> None:
    """Take out what a new Trainer brought along and this stage does not want; the rest waits for its fit."""
    take_out(trainer, UNWANTED)


def _blank(ended: str) -> dict[str, Any]:
    import torch

    versions = {"python": platform.python_version(), "torch": str(torch.__version__)}
    return {"kind": "memorize-probe", "schema": 1, "ended": ended, "versions": versions}


class Memorizer:
    """The callback. It writes its evidence when the fit ends, in whichever way, and then ends the process."""

    def __init__(self, asked: channel.Asked) -> None:
        self.asked, self.settings = asked, asked.settings
        self._forget()

    def _forget(self) -> None:
        self.losses: list[float] = []
        self.source = "training_step"
        self.batch: Batch | None = None
        self.digests: list[str] = []
        self.differs = ""
        self.relations: list[Relation] = []
        self.looks = _LOOKS
        self.movement: Movement | None = None
        self.schedules: Schedules | None = None
        self.ended = ""
        self.started = self.seconds = 0.0
        self.noise: Any = None
        vars(self).pop("on_before_optimizer_step", None)
        self.loss: float | None = None
        self.steps = 0
        self.again = 0  # the step of a third look
        self.mark = self.lowest = -math.inf
        self.running = int(self.settings["running"])

    # Before the first step

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Hold the fit to one batch; a script that validates before it fits does so on one batch."""
        if stage != "fit":
            trainer.limit_val_batches = trainer.limit_test_batches = trainer.limit_predict_batches = 1
            return
        expect_gpu(self.asked, _blank("no-gpu"))
        self._forget()
        take_out(trainer, UNWANTED | UNWANTED_IN_FIT)
        hold_to_one_batch(trainer, int(self.settings["steps"]))

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Note what should move, and keep schedules of the learning rate out of it."""
        self.movement = Movement(pl_module)
        self.schedules = Schedules(trainer, int(self.settings["steps"]))
        without_workers(trainer)
        # It counts what optimizers do, several in a step of a GAN. Schedules were made by now, and read it before.
        trainer.fit_loop.epoch_loop.max_steps = -1
        self.started = time.perf_counter()

    # Each step

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Hold this batch against the first, and give the step the random numbers that the first one had."""
        if self.batch is None:
            self.batch = Batch(batch)
            self.noise = _Noise()
        elif not self.differs:
            self.differs = self.batch.differs(batch)
            self.digests = [digest(leaves(batch))] if self.differs else []
        self.noise.begin()
        if self.schedules is not None and self.schedules.ways:
            self.schedules.before_step(self.steps)
        if len(self.relations) < self.looks and getattr(pl_module, "_compiler_ctx", None) is None:
            self._watch_step(pl_module)

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Look at the gradients that this step is going to use."""
        if self.movement is not None:
            self.movement.before_step()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Note the loss, and what moved."""
        self.noise.end()
        loss = returned(outputs)
        self.loss = None if loss is None else float(loss.item())
        if self.movement is not None and self.movement.unmoved:
            self.movement.after_step()
            if not self.movement.unmoved:
                vars(self)["on_before_optimizer_step"] = None  # as _UNUSED

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Conclude the step; a loss that was only logged is there now, and one batch is one epoch."""
        self.steps += 1
        if self.loss is None:
            self.source, self.loss = logged(trainer)
        if self.loss is not None:
            self.losses.append(self.loss)
        reason = self._reason_to_stop()
        if reason:
            self.ended, trainer.should_stop = reason, True

    def _watch_step(self, pl_module: Any) -> None:
        """Wrap this module's training_step for one call, to see the loss functions that it uses."""
        own, step = vars(pl_module).get("training_step"), pl_module.training_step

        @functools.wraps(step)
        def watched(*args: Any, **given: Any) -> Any:
            if own is None:
                del pl_module.training_step
            else:
                pl_module.training_step = own
            with recorder() as seen:
                returned = step(*args, **given)
            loss = returned.get("loss") if isinstance(returned, dict) else returned
            if hasattr(loss, "detach"):
                self.relations.append(Relation(loss, seen.calls))
            return returned

        pl_module.training_step = watched

    # When to stop

    @property
    def relation(self) -> Relation | None:
        """How the returned loss follows from known loss functions, where the first and the last look agree on it."""
        if len(self.relations) < self.looks or not self.relations[0].agrees(self.relations[-1]):
            return None
        return self.relations[-1]

    def _reason_to_stop(self) -> str:
        if self.differs:
            return "verdict"
        if not self.losses or self.steps < _LOOKS:
            return ""
        if self.steps == _LOOKS or self.steps == self.again:
            self._set_marks()
        # One comparison in most steps: of a small model's step, 5 % is 70 microseconds. NaN is below no mark.
        if self.lowest <= self.losses[-1] < math.inf and self.losses[-1] >= self.mark:
            return ""
        if not math.isfinite(self.losses[-1]) or self.lowest == math.inf:
            return "verdict"
        if self.losses[-1] < self.lowest:
            return self._below()
        still = self.movement is not None and self.movement.pending
        fallen = len(self.losses) > self.running and max(self.losses[-self.running :]) < self.mark
        return "memorized" if fallen and not still else ""

    def _below(self) -> str:
        """Below the bound: look once more, as the bound itself may have fallen (targets that a teacher gives)."""
        if self.again:
            return "verdict" if self.steps >= self.again else ""
        self.looks, self.again = _LOOKS + 1, self.steps + 1
        return ""

    def _set_marks(self) -> None:
        """The loss to get below, and the one that nothing sound gets below, as far as two steps can tell."""
        known, first = self.relation, self.losses[0]
        bound = known.floor if known else None
        configured = self.settings["floor"]
        floor = float(configured) if configured is not None else bound or 0.0
        threshold = float(self.settings["threshold"])
        way = first - floor
        if known and known.constant is not None and way <= threshold * (known.constant - floor):
            way = known.constant - floor  # it began where others end: it need only stay there
        self.mark = floor + threshold * way if way > 0 else -math.inf
        self.lowest = -math.inf if bound is None else bound - _TOLERANCE * abs(first - bound)
        if known and known.sign < 0:
            self.lowest = math.inf

    # The end

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Take the time."""
        self.seconds = time.perf_counter() - self.started

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Answer, and end the process: what follows a fit is not for a memorized toy."""
        self._answer(trainer, pl_module, "cut")
        raise SystemExit(0)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Answer with what was seen until the training crashed or left; the traceback is in its output."""
        if trainer.state.fn == "fit" and self.started and not self.asked.answered:
            self.seconds = self.seconds or time.perf_counter() - self.started
            self._answer(trainer, pl_module, "exception")

    def _answer(self, trainer: Any, pl_module: Any, otherwise: str) -> None:
        """Tell all. What follows a verdict (its on_train_end may read a checkpoint, say) does not change it."""
        ended = self.ended or ("steps" if self.steps >= int(self.settings["steps"]) else otherwise)
        record = _blank(ended) | self._about_loss() | self._about_data(trainer)
        record["versions"]["lightning"] = " ".join(machine.lightning(trainer))
        record |= {"device": machine.device(pl_module), "peak_memory": machine.peak_memory(pl_module)}
        record |= {"steps": self.steps, "seconds": self.seconds, "optimizers": len(trainer.optimizers)}
        record["manual"] = not pl_module.automatic_optimization
        if self.movement is not None:
            record |= self.movement.record()
        channel.answer(self.asked, record)

    def _about_loss(self) -> dict[str, Any]:
        seen = self.relations[-1] if self.relations else None
        known = self.relation
        return {
            "losses": self.losses,
            "source": self.source,
            "functions": seen.names if seen else "",
            "sign": known.sign if known else 0,
            "bound": known.floor if known else None,
            "constant": known.constant if known else None,
        }

    def _about_data(self, trainer: Any) -> dict[str, Any]:
        first = [self.batch.digest] if self.batch else []
        return {"batches": first + self.digests, "differs": self.differs, "loaders": described(trainer)}


class _Noise:
    """The random numbers of a step: those of the first step each time, and those of the world outside in between."""

    def __init__(self) -> None:
        import torch

        on_gpu = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        here = [torch.cuda.default_generators[torch.cuda.current_device()]] if on_gpu else []
        # The generators themselves: torch.get_rng_state() asks for the device each time, 6 microseconds of a step.
        self.generators = [torch.default_generator, *here]
        self.first = [one.get_state() for one in self.generators]
        self.outside: list[Any] = []

    def begin(self) -> None:
        self.outside = [one.get_state() for one in self.generators]
        for one, state in zip(self.generators, self.first):
            one.set_state(state)

    def end(self) -> None:
        for one, state in zip(self.generators, self.outside):
            one.set_state(state)


@contextlib.contextmanager
def memorizing(asked: channel.Asked) -> Iterator[None]:
    """In process (a test, a notebook): the SystemExit that ends a memorized training ends only this block."""
    try:
        yield
    except SystemExit:
        if not asked.answered:
            raise
