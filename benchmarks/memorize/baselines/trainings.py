"""The rules that train and look at the loss, or at nothing: FSDL's, Lightning's overfit_batches and fast_dev_run."""

import itertools
import math
from dataclasses import dataclass
from typing import Any

BAD = 1e30  # a score that no finite loss reaches
STEPS = 300
EPOCHS = 200
LOGGED = ("ModelCheckpoint", "LearningRateMonitor", "DeviceStatsMonitor")  # want a logger or write files


def fsdl(_, task):
    """The last loss over the first, of a fixed number of steps on one batch that stays as it is.

    full-stack-deep-learning's training/tests/test_memorize_iam.sh: train on one batch, assert that the loss is small.
    """
    losses = _losses()
    data = on_one_batch(task.data, STEPS)
    fit(task, data, losses, max_epochs=1, max_steps=-1, limit_val_batches=0, num_sanity_val_steps=0)
    return {"score": losses.score()}


def overfit_batches(_, task):
    """The same of Lightning's own flag and its defaults: validation runs, callbacks stop, the scheduler steps."""
    losses = _losses()
    fit(task, task.data, losses, overfit_batches=1, max_epochs=EPOCHS, max_steps=-1)
    return {"score": losses.score()}


def fast_dev_run(_, task):
    """One batch of everything: it alarms by an exception, or not at all."""
    fit(task, task.data, fast_dev_run=True)
    return {"score": 0.0}


def on_one_batch(data, many):
    """The first batch of the user's own loader, `many` times in one epoch; of a DataModule, inside of it."""
    import lightning.pytorch as pl

    if not isinstance(data, pl.LightningDataModule):
        return Again(next(iter(data)), many)
    loader = data.train_dataloader
    data.train_dataloader = lambda: Again(next(iter(loader())), many)
    return data


@dataclass
class Again:
    """A loader of one batch, `many` times. (A list would be one loader for each of its elements.)"""

    batch: Any
    many: int

    def __iter__(self):
        """A pass over it."""
        return itertools.repeat(self.batch, self.many)

    def __len__(self):
        """Batches in an epoch."""
        return self.many


def fit(task, data, *callbacks, **given):
    """A `Trainer.fit` with the user's arguments but for `given`, without logger, files and bars."""
    import lightning.pytorch as pl

    own = [one for one in _several(task.trainer.get("callbacks")) if type(one).__name__ not in LOGGED]
    off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = pl.Trainer(**task.trainer | off | {"accelerator": "cpu", "callbacks": [*own, *callbacks]} | given)
    if isinstance(data, pl.LightningDataModule):
        return trainer.fit(task.module, datamodule=data)
    return trainer.fit(task.module, data)


def _several(callbacks):
    return callbacks if isinstance(callbacks, (list, tuple)) else [callbacks] if callbacks else []


def _losses():
    from lightning.pytorch import Callback

    class Losses(Callback):
        """The loss of each step: what `training_step` returned, or what was logged by a name that says loss."""

        def __init__(self):
            self.seen = []

        def on_train_batch_end(self, trainer, module, outputs, batch, index):
            """Keep it."""
            loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
            if loss is None:
                logged = [value for name, value in trainer.callback_metrics.items() if "loss" in name]
                loss = sum(map(float, logged)) if logged else None
            if loss is not None:
                self.seen.append(float(loss))

        def score(self):
            """Last over first, the last as the mean of ten; below zero, by how much of the first it moved."""
            if not self.seen:
                return 0.0  # nothing to look at: such a rule says nothing
            first, last = self.seen[0], self.seen[-10:]
            found = 1 + (sum(last) / len(last) - first) / (abs(first) or 1.0)
            return found if math.isfinite(found) else BAD

    return Losses()
