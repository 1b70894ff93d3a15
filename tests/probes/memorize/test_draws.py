import random

import numpy
import pytest
import torch
from torch import nn

from . import fits as t


def drawn(step, **given):
    """What a Net with this training_step draws: used, drawn, loose."""
    module = type("Drawing", (t.Net,), {"training_step": step} | given)()
    told = t.told(module, steps=12).draws
    return told.used, told.drawn, told.loose


def loss(self, x, y):
    return nn.functional.cross_entropy(self(x), y)


def denoising(noise=torch.randn_like, target=None, times=None):
    def step(self, batch, batch_idx):
        x, _ = batch
        eps = noise(x)
        t = torch.randint(1, 9, (len(x), 1)) if times is None else times
        return ((self.decode(self.encoder(x + t / 9 * eps)) - (eps if target is None else target(x))) ** 2).mean()

    return step


def denoised(*args):
    def made(self):
        t.Net.__init__(self)
        self.decode = nn.Linear(32, 8)

    return drawn(denoising(*args), __init__=made)[0]


def test_noise_and_times_are_counted():
    assert denoised() == {"normal": 1, "integers": 1}
    assert denoised(torch.rand_like) == {"uniform": 1, "integers": 1}
    assert denoised(torch.randn_like, torch.randn_like) == {"normal": 2, "integers": 1}
    assert denoised(torch.randn_like, None, 3) == {"normal": 1}
    assert denoised(lambda x: torch.distributions.Normal(0.0, 1.0).rsample(x.shape), None, 3) == {"normal": 1}
    assert denoised(lambda x: torch.empty_like(x).normal_(), None, 3) == {"normal": 1}


def test_noise_that_is_not_used_is_told_from_a_sample_to_look_at():
    def unused(self, batch, batch_idx):
        torch.randn_like(batch[0]) * 2  # as a VAE's noise that is left out of the sum
        return loss(self, *batch)

    def logged(self, batch, batch_idx):
        with torch.no_grad():
            self(torch.randn_like(batch[0]))
        return loss(self, *batch)

    assert drawn(unused) == ({}, {"normal": 1}, ())
    assert drawn(logged) == ({}, {}, ())


@pytest.mark.parametrize(
    "masks",
    [
        lambda n: torch.rand(n, 1) > 0.01,
        lambda n: torch.empty(n, 1).uniform_(2, 3) > 2.01,
        lambda n: torch.randint(0, 99, (n, 1)) > 0,
        lambda n: torch.randint_like(torch.zeros(n, 1), high=99) > 0,
    ],
)
def test_a_mask_is_used_where_it_happens_to_cover_nothing(masks):
    used, _, loose = drawn(lambda self, batch, batch_idx: loss(self, batch[0] * masks(len(batch[0])), batch[1]))
    assert list(used.values()) == [1] and not loose


def test_jitter_that_the_loss_rounds_away_is_used():
    def jittered(self, batch, batch_idx):
        return loss(self, batch[0] + 1e-6 * torch.randn_like(batch[0]), batch[1])

    assert drawn(jittered)[0] == {"normal": 1}


def test_dropout_is_not_meant():
    class DropPath(nn.Module):
        def forward(self, x):
            return x * (torch.rand(len(x), 1) > 0.1)

    def drop_some(x):
        return nn.functional.dropout(x, 0.1) * torch.empty(len(x), 1).uniform_().gt(0.1)

    def made(self):
        t.Net.__init__(self)
        self.encoder = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Dropout(0.1), DropPath())

    assert drawn(lambda self, batch, batch_idx: loss(self, drop_some(batch[0]), batch[1]), __init__=made)[1] == {}
    assert drawn(t.Net.training_step) == ({}, {}, ())


def mixed(tossed=None, share=lambda: float(numpy.random.beta(1, 1))):
    def step(self, batch, batch_idx):
        x, y = batch
        if tossed is not None and random.random() > tossed:
            return loss(self, x, y)
        lam, order = share(), torch.randperm(len(x))
        x = lam * x + (1 - lam) * x[order]
        return lam * loss(self, x, y) + (1 - lam) * loss(self, x, y[order])

    return drawn(step)


def test_a_mixup_is_counted_and_not_where_it_is_tossed_for():
    assert mixed()[0] == {"orders": 1, "numpy": 1}
    beta = torch.distributions.Beta(1.0, 1.0)
    assert mixed(share=lambda: beta.sample().item())[0] == {"orders": 1, "gammas": 1}
    assert set(mixed(0.5)[2]) == {"orders", "numpy"}


def test_one_number_for_all_samples_is_told_from_one_for_each():
    def step(times):
        return type("Timed", (t.Net,), {"training_step": denoising(times=times), "decode": lambda self, h: h[:, :8]})

    assert t.told(step(None)(), steps=12).draws.single == ()
    assert t.told(step(Once())(), steps=12).draws.single == ("integers",)


class Once:
    """A time that is drawn anew in each step, and is one for all samples."""

    def __truediv__(self, other):
        return torch.randint(1, 9, (1,)) / other
