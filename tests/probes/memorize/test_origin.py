"""Where a loss that is no number comes from."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import backburn

from .. import trainings as t
from .fits import told


class Root(nn.Module):
    def forward(self, x):
        return x.sqrt()


class Inside(t.Net):
    def __init__(self):
        super().__init__()
        self.middle = nn.Sequential(nn.Identity(), Root())

    def forward(self, x):
        return self.head(self.encoder(self.middle(-x.abs())))


class Called(t.Net):
    def loss(self, x, y):
        return F.mse_loss(self(x)[:, 0], y * math.inf)


class Own(t.Net):
    def loss(self, x, y):
        return super().loss(x, y) + torch.zeros(()).log()


class Weights(t.Net):
    def __init__(self):
        super().__init__()
        nn.init.constant_(self.head.bias, math.nan)


@pytest.mark.parametrize(
    ("module", "kind", "name"),
    [
        (Inside, "forward", "middle.1"),
        (Called, "loss", "mse_loss"),
        (Own, "step", "training_step"),
        (Weights, "parameter", "head.bias"),
    ],
)
def test_the_first_that_is_none_is_named(module, kind, name):
    origin = told(module()).origin
    assert (origin.kind, origin.name) == (kind, name)
    assert kind != "loss" or origin.where[0] == __file__
    assert kind != "forward" or (origin.type == "Root" and origin.largest > 0)


def test_a_batch_that_is_none_is_named():
    x, y = t.samples(16)
    x[3, 2] = math.nan
    origin = told(t.Net(), [(x, y)]).origin
    assert (origin.kind, origin.name) == ("batch", "batch[0]")


def test_a_sound_training_has_none():
    assert told(t.Net()).origin is None
    assert backburn.memorize(t.Net(), t.loader()).cause is None
