"""Any samples of the data set that a batch came from, collated as the loader does it, and no trace of that."""

import random
import types

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from backburn.probes.memorize import datasets


class Counting(Dataset):
    """Counts what it was asked for, and draws."""

    def __init__(self):
        self.asked = 0

    def __len__(self):
        return 8

    def __getitem__(self, index):
        self.asked += 1
        return torch.tensor(float(index)), torch.rand(())


class Stream(IterableDataset):
    def __iter__(self):
        yield torch.zeros(2)


def session(*loaders):
    combined = types.SimpleNamespace(flattened=list(loaders))
    return types.SimpleNamespace(
        trainer=types.SimpleNamespace(fit_loop=types.SimpleNamespace(_combined_loader=combined))
    )


def test_the_one_loader_of_a_data_set_that_has_samples_by_number():
    one = DataLoader(Counting(), batch_size=4)
    assert datasets.loader_of(session(one)) is one
    for others in ((), (one, one), (DataLoader(Stream()),), ([torch.zeros(2)],)):
        assert datasets.loader_of(session(*others)) is None


def test_samples_are_collated_as_the_loader_does_by_given_numbers():
    loader = DataLoader(Counting(), batch_size=4)
    one, same, other = (datasets.collated(loader, [2, 5], seed) for seed in (1, 1, 2))
    assert one[0].tolist() == [2.0, 5.0]
    assert torch.equal(one[1], same[1]) and not torch.equal(one[1], other[1])


def test_the_data_set_its_sampler_and_its_generator_see_none_of_it():
    loader = DataLoader(Counting(), batch_size=4, shuffle=True, generator=torch.Generator().manual_seed(5))
    state = loader.generator.get_state()
    with datasets.recollected(loader):
        datasets.collated(loader, list(next(iter(loader.batch_sampler))), random.randrange(9))
        assert loader.dataset.asked
    assert loader.dataset.asked == 0 and torch.equal(loader.generator.get_state(), state)
