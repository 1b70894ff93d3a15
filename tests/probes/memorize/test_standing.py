"""What is not trained, in real small fits: averages, targets, queues and statistics move, or stand still."""

import copy

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from backburn.probes.memorize import standing

from . import fits as t


class Averaged(t.Net):
    """An exponential average of the weights, a queue, statistics, and a table that is fixed."""

    def __init__(self):
        super().__init__()
        self.encoder.append(nn.BatchNorm1d(32))
        self.ema = copy.deepcopy(self.head).requires_grad_(False)
        self.register_buffer("table", torch.arange(4.0))
        self.register_buffer("queue", torch.zeros(64, 4))

    @torch.no_grad()
    def on_train_batch_end(self, outputs, batch, batch_idx):
        for one, other in zip(self.ema.parameters(), self.head.parameters()):
            one.lerp_(other, 0.1)
        self.queue = torch.cat([self.queue[1:], torch.ones(1, 4)])  # another tensor


class Stopped(Averaged):
    def on_train_batch_end(self, outputs, batch, batch_idx):
        pass


class Target(t.Net):
    """A target network that nobody froze, is in the optimizer, and gets no gradient."""

    def __init__(self, every=5):
        super().__init__()
        self.target, self.every = copy.deepcopy(self.encoder), every

    def on_train_batch_start(self, batch, batch_idx):
        if self.every and batch_idx % self.every == self.every - 1:
            self.target.load_state_dict(self.encoder.state_dict())


class Shadow:
    """As torch_ema: a list of tensors in a plain object."""

    def __init__(self, parameters):
        self.parameters = list(parameters)
        self.shadow_params = [one.detach().clone() for one in self.parameters]

    def update(self):
        for one, other in zip(self.shadow_params, self.parameters):
            one.lerp_(other.detach(), 0.1)


class Shadowed(t.Net):
    def __init__(self, update=True):
        super().__init__()
        self.shadow, self.update = Shadow(self.parameters()), update

    def on_before_zero_grad(self, optimizer):
        if self.update:
            self.shadow.update()


class Copying(Callback):
    """An average as a plain copy."""

    def on_fit_start(self, trainer, pl_module):
        self.copy = copy.deepcopy(pl_module.head)

    @torch.no_grad()
    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.copy.weight.lerp_(pl_module.head.weight, 0.1)


class Averaging(Callback):
    """As lightning's WeightAveraging: a module of the callback's own."""

    def __init__(self, update=True):
        self.update, self.average = update, None

    def on_fit_start(self, trainer, pl_module):
        self.average = torch.optim.swa_utils.AveragedModel(pl_module)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if self.update:
            self.average.update_parameters(pl_module)


def seen(module, **trainer):
    told = t.told(module, steps=12, **trainer)
    assert "standing_last" not in told.untold
    return told.standing_last


def test_averages_statistics_and_queues_move_and_a_table_stands_still():
    told = seen(Averaged())
    assert set(told.moved) == {"ema.*", "encoder.*.running_mean", "encoder.*.running_var", "queue"}
    assert set(told.moved.values()) == {8} and told.still == ("table",) and told.steps > 8


def test_what_is_never_updated_stands_still():
    told = seen(Stopped())
    assert set(told.still) == {"ema.*", "table", "queue"} and len(told.moved) == 2


def test_a_target_that_an_optimizer_holds_in_vain_is_not_trained():
    assert seen(Target()).moved == {"target.*": 8} == seen(Target(), precision="bf16-mixed").moved
    later = seen(Target(every=10))
    assert later.moved == {"target.*": later.steps} != {"target.*": 8}
    assert seen(Target(every=0)).still == ("target.*",)


@pytest.mark.parametrize("update", [True, False])
def test_what_lies_in_plain_objects_and_callbacks_is_seen_too(update):
    told = seen(Shadowed(update)), seen(t.Net(), callbacks=[Averaging(update)])
    names = ["shadow.shadow_params.*", "Averaging.average.*"]
    assert [list(one.moved) for one in told] == ([[one] for one in names] if update else [[], []])
    assert [list(one.still) for one in told] == ([[], []] if update else [[one] for one in names])


def test_a_copy_is_one_group():
    assert seen(t.Net(), callbacks=[Copying()]).moved == {"Copying.copy.*": 8}


def test_lightnings_own_average_is_seen():
    averaging = pytest.importorskip("lightning.pytorch.callbacks.weight_averaging").EMAWeightAveraging
    assert list(seen(t.Net(), callbacks=[averaging()]).moved) == ["EMAWeightAveraging._average_model.*"]


def test_data_metrics_and_counters_are_no_state():
    class Held(t.Net):
        def __init__(self):
            super().__init__()
            self.data, self.seen, self.history = t.loader().dataset, torch.tensor(0), [1.0, "two", None]

        def training_step(self, batch, batch_idx):
            self.seen += 1
            return super().training_step(batch, batch_idx)

    told = seen(Held())
    assert (told.moved, told.still) == ({}, ())


def test_of_what_is_large_a_sample_is_compared(monkeypatch):
    now, own = torch.zeros(1000), torch.zeros(1000)
    now[1] = 1
    assert standing._differs(now, own, 10**6) and standing._differs(torch.zeros(2), own, 10**6)
    monkeypatch.setattr(standing, "_SAMPLE", 100)
    assert not standing._differs(now, own, 10) and standing._differs(now + 1, own, 10)


def test_more_than_can_be_kept_is_left_alone(monkeypatch):
    monkeypatch.setattr(standing, "_COPIED", 10)
    told = seen(Shadowed())
    assert list(told.moved) == ["shadow.shadow_params.*"]  # by the bias of the head, of 4 numbers


def test_how_far_an_average_is_behind_is_told():
    told = t.told(Averaged(), steps=20)
    assert told.standing_moved.lags["ema.*"] == pytest.approx(0.7, abs=0.15)
    assert t.told(Stopped(), steps=20).standing_moved.lags["ema.*"] == 1


class Hasty(Averaged):
    @torch.no_grad()
    def on_train_batch_end(self, outputs, batch, batch_idx):
        for one, other in zip(self.ema.parameters(), self.head.parameters()):
            one.lerp_(other, 0.9)


def test_an_average_with_its_decay_swapped_is_hardly_behind():
    assert t.told(Hasty(), steps=20).standing_moved.lags["ema.*"] < 0.25
