"""The memorize probe: fetch one batch, look at what a training makes of it, memorize it, and end the training there.

`memorizer` is the callback; `session` lets a look run the training's own step without a trace; `looks` lists the looks.
A look is a module with `look(session) -> record`, plain data that a check of `backburn.memorization` judges.
"""

from __future__ import annotations

import importlib
import platform
from typing import Any

from .. import channel, seeds
from ..trainer import UNWANTED, expect_gpu, on_one_device, take_out
from .memorizer import Memorizer

ENDS = True  # the process, once the answer is there
# Called each step, and by us not needed: Lightning skips what is not callable, and saves 4 microseconds for each.
_UNUSED = ("on_train_epoch_start", "on_before_zero_grad", "on_after_backward")


def callback(asked: channel.Asked, package: str) -> Any:
    """The probe as a Callback of `package` ("lightning.pytorch" or "pytorch_lightning")."""
    base = importlib.import_module(f"{package}.callbacks").Callback
    return type("MemorizeProbe", (Memorizer, base), dict.fromkeys(_UNUSED))(asked)


def seed_all(asked: channel.Asked) -> None:
    """Seed what draws random numbers, so that a verdict does not depend on luck; a script's own seed comes later."""
    seeds.seed_all(int(asked.settings["seed"]))


def overridden(asked: channel.Asked, given: dict[str, Any]) -> dict[str, Any]:
    """The arguments that the user's Trainer is made with instead of `given`. Ends the process where no GPU is seen."""
    expect_gpu(asked, blank("no-gpu"))
    if asked.settings.get("prove"):
        # Lightning puts the probe into the very list that the script gave.
        callbacks = given.get("callbacks")
        asked.settings["trainer"] = given | {"callbacks": [*callbacks] if isinstance(callbacks, list) else callbacks}
    asked.settings["accumulated"] = given.get("accumulate_grad_batches", 1)
    return on_one_device(given, str(asked.settings["scratch"])) | {"accumulate_grad_batches": 1, "max_time": None}


def adjust(asked: channel.Asked, trainer: Any) -> None:
    """Take out what a new Trainer brought along and this stage does not want; the rest waits for its fit."""
    take_out(trainer, UNWANTED)


def blank(ended: str) -> dict[str, Any]:
    """A record that says only how it ended, and by which versions."""
    import torch

    versions = {"python": platform.python_version(), "torch": str(torch.__version__)}
    return {"kind": "memorize-probe", "schema": 2, "ended": ended, "versions": versions}
