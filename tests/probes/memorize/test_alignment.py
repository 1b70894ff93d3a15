"""Whether parts of real batches belong together."""

import pytest
import torch
from torch.utils.data import TensorDataset

from . import fits as t
from .test_batch import Rows, Scores, batch_of, triples


def test_labels_of_other_inputs_do_not_match():
    x, y = t.samples()
    assert (
        batch_of(TensorDataset(x, y[torch.randperm(len(y), generator=torch.Generator().manual_seed(3))])).alignment.p
        > 0.05
    )


def pairs_of(dataset):
    return t.told(Scores(), t.loader(dataset), steps=12).batch.pairs


def test_pairs_that_belong_together_are_told_from_shuffled_ones():
    sound, shuffled = pairs_of(triples()), pairs_of(triples(shuffled=True))
    assert set(sound) == set(shuffled) == {"batch[0] ~ batch[1]", "batch[0] ~ batch[2]", "batch[1] ~ batch[2]"}
    assert min(sound.values()) > 6 and abs(shuffled["batch[0] ~ batch[1]"]) < 3 < 6 < shuffled["batch[0] ~ batch[2]"]


class Chunked:
    """Rows that are padded to the longest of their batch, and documents that are shuffled in it."""

    def __init__(self, shuffled):
        self.shuffled = shuffled

    def __call__(self, rows):
        x, y = (torch.stack(one) for one in zip(*rows))
        width = int(torch.randint(20, 40, ()))
        one, other = ((5 * x).long().abs(), (5 * x).long().abs() + 1)
        other = other[torch.randperm(len(y))] if self.shuffled else other
        return [torch.nn.functional.pad(each, (0, width - 8)) for each in (one, other)] + [x, y]


class Unread(t.Net):
    def training_step(self, batch, batch_idx):
        return super().training_step(batch[2:], batch_idx)


@pytest.mark.parametrize(("shuffled", "together"), [(False, True), (True, False)])
def test_a_shuffle_inside_of_a_batch_is_seen_through_its_padding(shuffled, together):
    told = t.told(Unread(), t.loader(Rows(), collate_fn=Chunked(shuffled)), steps=12).batch
    assert (told.pairs["batch[0] ~ batch[1]"] > 6) is together
    assert (told.pairs["batch[0] ~ batch[1]"] < 4) is not together
