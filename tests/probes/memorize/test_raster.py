"""Pixels in the order of reading, in real fits of small models of images."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from . import fits as t

LEVELS = 4


class Masked(nn.Conv2d):
    """Each pixel sees those before it, and itself where `own`."""

    def __init__(self, *sizes, own):
        super().__init__(*sizes, 3, padding=1)
        mask = torch.ones(3, 3)
        mask[1, 1 + own :], mask[2] = 0, 0
        self.register_buffer("mask", mask)

    def forward(self, x):
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=1)


class Pixels(t.Net):
    def __init__(self, first, second, flat=False):
        super().__init__()
        self.encoder, self.head, self.flat = nn.Sequential(first, nn.ReLU(), second), nn.Identity(), flat

    def training_step(self, batch, batch_idx):
        (x,) = batch
        levels, put = (x[:, 0] * LEVELS).long(), self(x)
        return (
            F.cross_entropy(put.movedim(1, -1).flatten(0, 2), levels.flatten())
            if self.flat
            else F.cross_entropy(put, levels)
        )


def sees(*layers, **given):
    told = t.told(Pixels(*layers, **given), t.loader(TensorDataset(torch.rand(64, 1, 6, 6))), steps=9)
    return told.dependence.sees


@pytest.mark.parametrize("flat", [False, True])
def test_pixels_that_see_only_those_before_them(flat):
    assert sees(Masked(1, 8, own=False), Masked(8, LEVELS, own=True), flat=flat) == {"batch[0]": 1}
    assert sees(Masked(1, 8, own=True), Masked(8, LEVELS, own=True), flat=flat) == {"batch[0]": 0}


def test_pixels_that_see_all_around_them():
    assert sees(Masked(1, 8, own=False), nn.Conv2d(8, LEVELS, 3, padding=1)) == {"batch[0]": -1}
    whole = sees(nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, LEVELS, 1))
    assert whole == {"batch[0]": -1}
