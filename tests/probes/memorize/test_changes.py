"""The inputs that are changed, and how."""

import torch

from backburn.probes.memorize.changes import noisy, spread


def test_noise_is_for_real_numbers():
    assert noisy(torch.tensor([0.5, 1.0])) and not noisy(torch.tensor([0.0, 1.0])) and not noisy(torch.tensor([3]))


def test_the_spread_is_never_zero():
    assert spread(torch.tensor([1.0, 4.0, 7.0])) == 3
    assert (spread(torch.tensor([4.0, 4.0])), spread(torch.tensor([0.0]))) == (4.0, 1.0)
