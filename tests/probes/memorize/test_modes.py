"""Which layers are seen in the wrong mode, in real fits."""

import pytest
import torch
from torch import nn

from . import fits as t


class Net(t.Net):
    def __init__(self, then=None):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1))
        if then:
            then(self)


class InStep(Net):
    def training_step(self, batch, batch_idx):
        self.eval()
        return super().training_step(batch, batch_idx)


class Validated(Net):
    wakes = True

    def validation_step(self, batch, batch_idx):
        self.train(self.wakes)
        self.log("val_loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))


class Sound(Validated):
    wakes = False


def frozen(net):
    net.encoder.requires_grad_(False).eval()


def modes_of(module):
    return t.told(module, steps=9).modes


def test_a_whole_net_in_eval_mode_is_seen_before_the_fit_and_in_the_step():
    both = ("encoder.1", "encoder.3")
    assert modes_of(Net(lambda net: net.encoder.eval())).asleep == both
    assert modes_of(InStep()).asleep == both


@pytest.mark.parametrize("then", [None, lambda net: net.encoder[1].eval(), frozen])
def test_frozen_statistics_and_a_frozen_backbone_are_sound(then):
    told = modes_of(Net(then))
    assert told.asleep == told.partly == told.awake == ()


def test_an_adapter_in_a_frozen_model_is_told_apart():
    def adapted(net):
        frozen(net)
        net.encoder[1].requires_grad_(True)

    told = modes_of(Net(adapted))
    assert (told.asleep, told.partly) == ((), ("encoder.1", "encoder.3"))


def test_a_validation_in_train_mode_is_seen():
    assert modes_of(Validated()).awake == ("encoder.1", "encoder.3")
    assert modes_of(Sound()).awake == ()


def test_without_such_layers_there_is_nothing_to_tell():
    told = t.told(steps=9)
    assert told.modes is None and "eval mode" in told.untold["modes"]


class Awake(Validated):
    """Each in a hook that Lightning calls before validation_step."""

    wakes = False

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))


class InModelEval(Awake):
    def on_validation_model_eval(self):
        pass


class InEpochStart(Awake):
    def on_validation_epoch_start(self):
        self.train()


class More(Awake):
    def on_validation_model_eval(self):
        super().on_validation_model_eval()
        self.scale = 1.0


@pytest.mark.parametrize(("module", "awake"), [(InModelEval, True), (InEpochStart, True), (More, False)])
def test_hooks_before_validation_say_in_which_mode_it_runs(module, awake):
    assert bool(modes_of(module()).awake) is awake


class Taught(Net):
    """Its teacher is frozen, and in the mode that it is told."""

    def __init__(self, asleep):
        super().__init__()
        self.asleep, self.teacher = asleep, nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 4)).requires_grad_(False)

    def training_step(self, batch, batch_idx):
        self.teacher.train(not self.asleep)
        with torch.no_grad():
            wanted = self.teacher(batch[0]).softmax(1)
        return nn.functional.cross_entropy(self(batch[0]), wanted)


@pytest.mark.parametrize("asleep", [True, False])
def test_the_mode_of_what_is_not_trained_is_told(asleep):
    assert modes_of(Taught(asleep)).fixed == {"teacher.0": asleep}
