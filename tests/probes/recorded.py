"""Fits in this process with the reproduce probe, and what they wrote down of their steps."""

import contextlib
import json
import random

import lightning.pytorch as pl
import numpy
import torch
from torch import nn

from backburn import evidence
from backburn.probes import channel, reproduce as probe
from backburn.reproduction import steps
from backburn.stages import reproduce

from . import trainings as t

SETTINGS = {
    "seed": 42,
    "shift": 0,
    "require_gpu": False,
    "rehearsal": False,
    "share": 1e9,
}  # all of the grid, however short
QUIET = {"accelerator": "cpu", "max_epochs": 3, "deterministic": True}
QUIET |= dict.fromkeys(("logger", "enable_progress_bar", "enable_checkpointing", "enable_model_summary"), False)


class Net(t.Net):
    """Draws random numbers in each step, holds a buffer, and validates."""

    def __init__(self):
        super().__init__()
        self.encoder.extend([nn.BatchNorm1d(32), nn.Dropout(0.2)])

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.loss(*batch))


def seed():
    random.seed(1)
    numpy.random.seed(1)
    torch.manual_seed(1)


def asking(path, **settings):
    path.mkdir(exist_ok=True)
    return channel.Asked("reproduce", SETTINGS | {"scratch": str(path)} | settings, str(path / "probe.json"))


def fitted(path, module=Net, train=t.loader, validation=None, callbacks=(), trainer=None, ckpt_path=None, **settings):
    """(the module, what comes next of each generator) of a fit from one seed; settings None: without the probe."""
    seed()
    module = module()
    if settings != {"probed": False}:
        callbacks = [*callbacks, probe.callback(asking(path, **settings), "lightning.pytorch")]
    path.mkdir(exist_ok=True)
    one = pl.Trainer(**QUIET | {"default_root_dir": path} | (trainer or {}), callbacks=callbacks)
    with contextlib.suppress(SystemExit):  # which ends a process that was asked to end
        one.fit(module, train(), validation() if validation else None, ckpt_path=ckpt_path)
    return module, (torch.rand(1).item(), random.random(), numpy.random.random())


def uneven():
    return t.loader(batch_size=24, shuffle=False)


def told(path):
    return evidence.load(path / "probe.json", reproduce.Told)


def read(path):
    """Step -> what was written of it."""
    return {one.step: one for one in steps.load(path / "steps.jsonl")}


def operations(path):
    """The header, and the lines behind it."""
    header, *lines = (path / "operations.jsonl").read_text().splitlines()
    return json.loads(header), [json.loads(line) for line in lines]


def same(one, other):
    """Whether two modules hold the same bits."""
    return all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))
