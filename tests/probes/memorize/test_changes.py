"""The inputs that are changed, and how."""

import torch

from backburn.probes.memorize.changes import Changes, noisy, spread


def test_noise_is_for_real_numbers():
    assert noisy(torch.tensor([0.5, 1.0])) and not noisy(torch.tensor([0.0, 1.0])) and not noisy(torch.tensor([3]))


def test_the_spread_is_never_zero():
    assert spread(torch.tensor([1.0, 4.0, 7.0])) == 3
    assert (spread(torch.tensor([4.0, 4.0])), spread(torch.tensor([0.0]))) == (4.0, 1.0)


def test_numbers_in_another_order_are_never_the_same():
    changes = object.__new__(Changes)
    changes.generator = torch.Generator().manual_seed(0)
    for one in (torch.tensor([0, 1]), torch.tensor([False, True, False])):
        assert not any(changes.mixed(one).equal(one) for _ in range(20))
