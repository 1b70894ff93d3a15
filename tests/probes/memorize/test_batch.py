"""What is told of real batches, fetched twice."""

import pytest
import torch
from torch import nn
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


def test_parts_are_of_more_samples_than_the_batch_has():
    given, labels = batch_of(Rows()).parts
    assert (given.rows, labels.rows, given.fractions, labels.low) == (128, 128, 1.0, 0.0)
    assert given.mean == pytest.approx(0, abs=0.2) and given.tail == pytest.approx(3, abs=0.6)
    assert sum(labels.counts.values()) == 128


class Boxes(Rows):
    def __getitem__(self, index):
        return self.x[index], {"boxes": self.x[index][None].expand(1 + index % 3, 8), "label": self.y[index]}


class Detector(t.Net):
    def training_step(self, batch, batch_idx):
        if not self.training:
            raise AttributeError("a detector has no loss in eval mode")
        return super().training_step([torch.stack(batch[0]), torch.stack([one["label"] for one in batch[1]])], 0)


def test_what_is_told_of_each_sample_is_one_part():
    loader = t.loader(Boxes(), collate_fn=lambda rows: tuple(zip(*rows)))
    told = t.told(Detector(), loader, steps=12).batch
    assert {one.path for one in told.parts} == {"batch[0][]", "batch[1][]['boxes']", "batch[1][]['label']"}
    assert {one.rows for one in told.parts} == {128}


class Scores(t.Net):
    """Queries and documents, held against each other, and a time that the loss only sorts by."""

    def training_step(self, batch, batch_idx):
        query, document, times = batch
        scores = self.encoder(query) @ self.encoder(document).T
        return torch.nn.functional.cross_entropy(scores[times.argsort()], times.argsort())


def triples(shuffled=False, leaking=False):
    x, _ = t.samples()
    times = x[:, 0].exp()
    other = x + 0.3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    other = other[torch.randperm(len(x), generator=torch.Generator().manual_seed(2))] if shuffled else other
    x = torch.cat([x[:, :7], times[:, None] / 10], 1) if leaking else x
    return TensorDataset(x, other, times)


def test_a_time_among_the_inputs_leaks():
    leaks = t.told(Scores(), t.loader(triples(leaking=True)), steps=12).batch.leaks
    assert [(one.path, one.column, one.target) for one in leaks if one.correlation > 0.999] == [
        ("batch[0]", 7, "batch[2]")
    ]
    assert not [one for one in t.told(Scores(), t.loader(triples()), steps=12).batch.leaks if one.correlation > 0.999]


class Fields(t.Net):
    def forward(self, x):
        return super().forward(x.float())


@pytest.mark.parametrize(("leaking", "value"), [("label", None), ("class", 2), ("", None)])
def test_a_label_among_integers_leaks(leaking, value):
    x, y = t.samples()
    x = (3 * x).long()
    if leaking:
        x[:, 5] = y if leaking == "label" else 4 * (y == 2)
    (leak,) = t.told(Fields(), t.loader(TensorDataset(x, y)), steps=12).batch.leaks
    assert ((leak.correlation > 0.999), leak.value) == (bool(leaking), value)


class Views(t.Net):
    def training_step(self, batch, batch_idx):
        x, other, y = batch
        return nn.functional.cross_entropy(self(x) + self(other), y)


def test_parts_that_are_one():
    x, y = t.samples()

    def copies(other):
        return t.told(Views(), data=t.loader(TensorDataset(x, other, y)), steps=12).batch.copies

    assert copies(x.clone()) == ("batch[0]=batch[1]",)
    assert copies(x + 1) == ()
