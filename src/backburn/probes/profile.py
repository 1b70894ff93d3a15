"""The profile probe: let a few steps of a training be counted or timed, and end it there."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from . import channel, machine, seeds
from .counting import Counting
from .timing import Timing
from .trainer import UNWANTED, UNWANTED_IN_FIT, expect_gpu, on_one_device, take_out

ENDS = True  # the process, once the answer is there


def watched(asked: channel.Asked) -> dict[str, Callable[[Any], None]]:
    """What sets seeds, where the same steps are counted under others."""
    return seeds.of(_shift(asked)).homes if _shift(asked) else {}


def _shift(asked: channel.Asked) -> int:
    return int(asked.settings["shift"])


def callback(asked: channel.Asked, package: str) -> Any:
    """The probe as a Callback of `package` ("lightning.pytorch" or "pytorch_lightning")."""
    base = importlib.import_module(f"{package}.callbacks").Callback
    return type("ProfileProbe", (Profiling, base), {})(asked, package)


def seed_all(asked: channel.Asked) -> None:
    """Seed what draws random numbers, so that a count does not depend on luck; a script's own seed comes later."""
    seeds.of(_shift(asked)).seed_all(int(asked.settings["seed"]))


def overridden(asked: channel.Asked, given: dict[str, Any]) -> dict[str, Any]:
    """The arguments that the user's Trainer is made with instead of `given`. Ends the process where no GPU is seen."""
    expect_gpu(asked, _told("no-gpu"))
    return on_one_device(given, str(asked.settings["scratch"])) | {"max_time": None, "profiler": None}


def adjust(asked: channel.Asked, trainer: Any) -> None:
    """Take out what a new Trainer brought along and this stage does not want; the rest waits for its fit."""
    take_out(trainer, UNWANTED)


def _told(ended: str) -> dict[str, Any]:
    return {"kind": "profile-probe", "schema": 1, "ended": ended}


class Profiling:
    """The callback. One of two passes works when the fit has begun; when it ends the answer is written."""

    def __init__(self, asked: channel.Asked, package: str) -> None:
        self.asked, self.settings, self.package = asked, asked.settings, package
        self.work: Counting | Timing | None = None
        self.about: dict[str, Any] = {}
        self.validated: int | float = 0  # the script's own limit_val_batches, where it validated before its fit

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Leave out what surrounds the steps; a script that validates before it fits does so on one batch."""
        if stage != "fit":
            self.validated = self.validated or trainer.limit_val_batches
            trainer.limit_val_batches = trainer.limit_test_batches = trainer.limit_predict_batches = 1
            return
        trainer.limit_val_batches = self.validated or trainer.limit_val_batches
        expect_gpu(self.asked, _told("no-gpu"))
        take_out(trainer, UNWANTED | UNWANTED_IN_FIT)
        trainer.num_sanity_val_steps = trainer.reload_dataloaders_every_n_epochs = 0
        # Weights of a resumed checkpoint are taken; its count of steps would end the fit before it starts.
        trainer._checkpoint_connector.restore_loops = lambda: None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Note what is trained, on what; then let the pass limit it, and begin."""
        self.about = {
            "settings": machine.settings(trainer, pl_module),
            "device": machine.device(pl_module),
            "machine": machine.machine(trainer, pl_module),
        }
        one = self.settings
        if one["pass"] == "count":
            self.work = Counting(trainer, pl_module, self.package, int(one["steps"]))
        else:
            warmup, timed = int(one["warmup"]), int(one["timed"])
            self.work = Timing(trainer, pl_module, self.package, warmup=warmup, timed=timed, trace=str(one["trace"]))
        loop = trainer.fit_loop
        loop.min_epochs = loop.epoch_loop.min_steps = None
        loop.epoch_loop.max_steps = -1  # it counts what optimizers do, several in a step of a GAN

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """A step begins."""
        if self.work is not None:
            self.work.before_step(batch)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """It is over."""
        if self.work is not None:
            self.work.after_step()

    def on_validation_batch_start(self, trainer: Any, pl_module: Any, batch: Any, *where: int) -> None:
        """A validation step begins."""
        if self.work is not None:
            self.work.validated(batch)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """An epoch is over, with its validation."""
        if self.work is not None:
            self.work.epoch_over()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """What follows is not the training's steps."""
        if self.work is not None:
            self.work.close()

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Answer, and end the process: what follows a fit is not for one of a few steps."""
        self._answer("profiled" if self.work is not None and self.work.done else "cut")
        raise SystemExit(0)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Answer that the training crashed or left, if it did before it was stopped; the traceback is in its output."""
        if self.work is not None and not self.asked.answered:
            self.work.close()
            self._answer("exception")

    def _answer(self, ended: str) -> None:
        measured = self.work.record() if self.work is not None else {}
        channel.answer(self.asked, _told(ended) | self.about | measured)
