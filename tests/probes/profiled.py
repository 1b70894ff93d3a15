"""Fits in this process with the profile probe, and nets that are worth counting."""

import contextlib

import lightning.pytorch as pl
import torch
from torch import nn

from backburn import evidence
from backburn.probes import channel, profile as probe
from backburn.stages import profile

from . import trainings as t

SETTINGS = {"pass": "count", "steps": 8, "timed": 6, "warmup": 3, "seed": 42, "shift": 0, "trace": ""}
SETTINGS |= {"require_gpu": False, "rehearsal": False}
QUIET = {"accelerator": "cpu", "max_epochs": 5, "enable_progress_bar": False}


class Net(pl.LightningModule):
    """Convolution, dropout, Adam; both losses are logged."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Unflatten(1, (1, 8)), nn.Conv1d(1, 4, 3), nn.ReLU(), nn.Dropout(0.1), nn.Flatten(), nn.Linear(24, 4)
        )

    def forward(self, x):
        return self.layers(x)

    def loss(self, x, y):
        return nn.functional.cross_entropy(self(x), y)

    def training_step(self, batch, batch_idx):
        loss = self.loss(*batch)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.loss(*batch))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)


def told(path, module=None, data=None, validation=None, *, trainer=None, callbacks=(), ckpt_path=None, **settings):
    """What the probe wrote of one pass, read as the stage reads it. `validation` may be () for none."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # that wait for each other on a busy machine make a step of 2 ms one of 400
    try:
        _fit(path, module, data, validation, trainer or {}, callbacks, ckpt_path, settings)
    finally:
        torch.set_num_threads(threads)
    return evidence.load(path / "probe.json", profile.Told)


def _fit(path, module, data, validation, trainer, callbacks, ckpt_path, settings):
    path.mkdir(exist_ok=True)
    answer = path / "probe.json"
    answer.unlink(missing_ok=True)
    asked = channel.Asked("profile", SETTINGS | {"scratch": str(path)} | settings, str(answer))
    probe.seed_all(asked)
    given = probe.overridden(asked, QUIET | trainer)
    with contextlib.suppress(SystemExit):  # which ends the process of a training that answered
        one = pl.Trainer(**given, callbacks=[*callbacks, probe.callback(asked, "lightning.pytorch")])
        probe.adjust(asked, one)
        validation = t.loader(shuffle=False) if validation is None else None if validation == () else validation
        one.fit(module or Net(), t.loader() if data is None else data, validation, ckpt_path=ckpt_path)
