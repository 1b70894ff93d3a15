"""What is told of real batches, fetched twice."""

import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from . import fits as t


class Rows(Dataset):
    """The samples; `broken` draws of its own."""

    def __init__(self):
        self.x, self.y = t.samples()
        self.served = 0

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        self.served += 1
        return self.x[index], self.y[index]


class Mispaired(Rows):
    def __getitem__(self, index):
        return self.x[index], self.y[torch.randint(len(self.y), ())]


class Noisy(Rows):
    def __getitem__(self, index):
        return self.x[index] + 20 * torch.randn(8), self.y[index]


class Augmented(Rows):
    def __getitem__(self, index):
        return self.x[index] + 0.3 * torch.randn(8), self.y[index]


def batch_of(dataset, **given):
    return t.told(data=t.loader(dataset, **given), steps=12).batch


def test_a_sound_batch():
    told = batch_of(Rows())
    assert [(one.path, one.roles, one.distinct) for one in told.leaves] == [
        ("batch[0]", ("input",), 16),
        ("batch[1]", ("target",), len(told.leaves[1].counts)),
    ]
    assert (told.rows, told.asked, told.again.inputs, told.again.targets) == (16, 16, (), ())
    assert told.alignment.p < 0.01 and told.leaks[0].correlation < 0.999


def test_labels_that_are_drawn_are_seen_and_augmentation_is_told_apart():
    assert batch_of(Mispaired()).again.targets == ("batch[1]",)
    assert batch_of(Mispaired()).again.inputs == ()
    mild, wild = batch_of(Augmented()).again, batch_of(Noisy()).again
    assert mild.inputs == wild.inputs == ("batch[0]",) and not mild.targets
    assert mild.likeness > 0.8 > 0.1 > wild.likeness


def test_labels_of_other_inputs_do_not_match():
    x, y = t.samples()
    assert (
        batch_of(TensorDataset(x, y[torch.randperm(len(y), generator=torch.Generator().manual_seed(3))])).alignment.p
        > 0.05
    )


def test_a_label_among_the_inputs_leaks():
    x, y = t.samples()
    x[:, 5] = y
    (leak,) = batch_of(TensorDataset(x, y)).leaks
    assert (leak.path, leak.column, round(leak.correlation, 3)) == ("batch[0]", 5, 1.0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_first_row_that_is_no_number_is_named(value):
    x, y = t.samples(16)
    x[3, 2] = value
    leaf = batch_of(TensorDataset(x, y), shuffle=False).leaves[0]
    assert (leaf.not_finite, leaf.first_row) == (1, 3)


def test_what_a_data_set_counts_is_put_back():
    """A batch of 16 was loaded for the training; what was fetched to look at left no trace."""
    dataset = Rows()
    batch_of(dataset)
    assert dataset.served == 16


def test_a_stream_and_a_list_are_not_fetched_again():
    batches = list(t.loader())
    assert t.told(data=batches, steps=12).batch.again is None
