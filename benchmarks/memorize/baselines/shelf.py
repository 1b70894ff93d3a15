"""The two libraries of one-step checks, inside the user's own training: torchtest and torcheck."""

import functools
from fnmatch import fnmatch

from benchmarks.memorize.baselines import trainings
from benchmarks.memorize.task import Knobs


class Done(BaseException):
    """What was to be seen is seen; no loop goes on."""


def torchtest(item, task):
    """Its suite (variables change, no NaN, no infinity) on the loss of `training_step` and the first optimizer.

    Where the suite cannot run on the healthy program (manual optimization gives it no loss), nothing is said.
    """
    reason = _unfit(item.program)
    return {"score": None, "message": reason} if reason else {"score": _suite(task)}


@functools.cache
def _unfit(program):
    from torchtest.torchtest import NaNTensorException, InfTensorException, VariablesChangeException

    try:
        _suite(program.build(Knobs()))
    except (NaNTensorException, InfTensorException, VariablesChangeException):
        pass
    except Exception as error:
        return type(error).__name__
    return ""


def _suite(task):
    import torch
    from torchtest.torchtest import test_suite

    class Model(torch.nn.Module):
        """The training step as a function of its batch, which is what the suite can call."""

        def __init__(self, module, batch):
            super().__init__()
            self.module, self.batch = module, batch

        def forward(self, _):
            found = self.module.training_step(self.batch, 0)
            return found["loss"] if isinstance(found, dict) else found

    def look(trainer, module, batch):
        nothing = torch.zeros(())
        given = {"train_vars": _not_frozen(task), "test_nan_vals": True, "test_inf_vals": True}
        test_suite(Model(module, batch), lambda loss, _: loss, trainer.optimizers[0], (nothing, nothing), **given)
        raise Done

    _first(task, look)
    return 0.0


def torcheck(_, task):
    """Every parameter that is not frozen on purpose changes at each of three steps; it and each layer stay finite."""
    import torch
    from torcheck.registry import Registry

    registry, layers = Registry(), (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d)

    def look(trainer, module, _):
        for optimizer in trainer.optimizers:
            registry.register(optimizer)
        for name, one in _not_frozen(task):
            registry.add_tensor(one, name, changing=True, check_nan=True, check_inf=True)
        for one in module.modules():
            if isinstance(one, layers):
                registry._add_output_check(one, check_nan=True, check_inf=True)

    _first(task, look, max_steps=3)
    return {"score": 0.0}


def _not_frozen(task):
    """What is there to be trained: who uses these libraries tells them what is frozen on purpose, as we are told."""
    named = task.module.named_parameters()
    return [(name, one) for name, one in named if not any(fnmatch(name, pattern) for pattern in task.frozen)]


def _first(task, look, max_steps=1):
    """A fit on one batch, with `look(trainer, module, batch)` before the first step."""
    from lightning.pytorch import Callback

    class First(Callback):
        """Calls it once."""

        def on_train_batch_start(self, trainer, module, batch, index):
            """With the batch as it comes to `training_step`."""
            if index == 0 and trainer.current_epoch == 0:
                look(trainer, module, batch)

    data = trainings.on_one_batch(task.data, trainings.STEPS)
    given = {"max_epochs": 1, "max_steps": max_steps, "limit_val_batches": 0, "num_sanity_val_steps": 0}
    try:
        trainings.fit(task, data, First(), **given)
    except Done:
        pass
