"""The future, padding and order, in real fits of small models of sequences."""

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from . import fits as t

WORDS, LENGTH, SIZE = 12, 8, 16
F = nn.functional


def words(count=64):
    return torch.randint(1, WORDS, (count, LENGTH), generator=torch.Generator().manual_seed(3))


def mask():
    lengths = torch.arange(64) % 5 + 4
    return torch.arange(LENGTH) < lengths[:, None]


class Attention(t.pl.LightningModule):
    """One layer of attention; `ahead`, `padded` and `placed` are what it may see."""

    def __init__(self, ahead=False, padded=False, placed=True):
        super().__init__()
        self.embed, self.places = nn.Embedding(WORDS, SIZE), nn.Embedding(LENGTH, SIZE)
        self.attention = nn.MultiheadAttention(SIZE, 2, batch_first=True)
        self.head = nn.Linear(SIZE, WORDS)
        self.ahead, self.padded, self.placed = ahead, padded, placed

    def forward(self, x, real=None, causal=False):
        length = x.shape[1]
        h = self.embed(x)
        if self.placed:
            h = h + self.places(torch.arange(length))
        later = torch.ones(length, length, dtype=torch.bool).triu(1) if causal and not self.ahead else None
        hidden = None if real is None or self.padded else ~real
        return self.head(h + self.attention(h, h, h, attn_mask=later, key_padding_mask=hidden)[0])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


class Language(Attention):
    def training_step(self, batch, batch_idx):
        (x,) = batch
        return F.cross_entropy(self(x[:, :-1], causal=True).flatten(0, 1), x[:, 1:].flatten())


class Transposed(Attention):
    """As the Hub's models have it: classes on the second axis, and the shift inside."""

    def training_step(self, batch, batch_idx):
        (x,) = batch
        return F.cross_entropy(self(x, causal=True)[:, :-1].transpose(1, 2), x[:, 1:])


class Classes(Attention):
    def training_step(self, batch, batch_idx):
        x, real, y = batch
        hidden = self(x, real) * real[..., None]
        return F.cross_entropy(hidden.sum(1) / real.sum(1, keepdim=True), y)


class Tagger(Attention):
    def training_step(self, batch, batch_idx):
        x, real, y = batch
        losses = F.cross_entropy(self(x, real).flatten(0, 1), y.flatten(), reduction="none")
        return (losses * real.flatten()).sum() / real.sum()


def dependence_of(module, *parts):
    told = t.told(module, t.loader(TensorDataset(*parts)), steps=9)
    assert told.dependence is not None, told.untold
    return told.dependence


@pytest.mark.parametrize("of", [Language, Transposed])
def test_a_missing_mask_is_seen(of):
    assert dependence_of(of(), words()).future.far == 0
    told = dependence_of(of(ahead=True), words()).future
    assert told.far > 1e-3 and told.ways == 1


def test_other_targets_than_the_next_word_say_nothing_of_the_future():
    told = dependence_of(Classes(), words(), mask(), torch.arange(64) % WORDS)
    assert told.future is None and "shifted" in told.untold["future"]


@pytest.mark.parametrize("of, target", [(Classes, torch.arange(64) % WORDS), (Tagger, words())])
def test_padding_that_is_seen(of, target):
    x = words() * mask()
    assert dependence_of(of(), x, mask(), target).padding.far < 1e-4
    told = dependence_of(of(padded=True), x, mask(), target).padding
    assert told.far > 1e-3 and told.mask == "batch[1]"


class Continued(Attention):
    """A padded language model; its loss leaves out the last position, in whichever shape."""

    def __init__(self, shape):
        super().__init__()
        self.shape = shape

    def training_step(self, batch, batch_idx):
        x, real = batch
        put, wanted = self(x, real, causal=True)[:, :-1], x[:, 1:].masked_fill(~real[:, 1:], -100)
        return F.cross_entropy(*self.shape(put, wanted))


@pytest.mark.parametrize(
    "shape", [lambda put, y: (put.flatten(0, 1), y.flatten()), lambda put, y: (put.transpose(1, 2), y)]
)
def test_padding_is_told_from_real_positions_where_the_last_one_is_cut_off(shape):
    told = dependence_of(Continued(shape), words() * mask(), mask()).padding
    assert told.far < 1e-4 and told.mask == "batch[1]"


class Counted(Classes):
    def training_step(self, batch, batch_idx):
        x, lengths, y = batch
        return super().training_step((x, torch.arange(x.shape[1]) < lengths[:, None], y), batch_idx)


def test_lengths_say_where_padding_is():
    parts = words() * mask(), mask().sum(1), torch.arange(64) % WORDS
    assert dependence_of(Counted(), *parts).padding.far < 1e-4
    told = dependence_of(Counted(padded=True, placed=False), *parts)
    assert told.padding.far > 1e-3 and told.padding.mask == "batch[1]" and told.order.unmoved


class Lengths(t.Net):
    """Means of embeddings, over what is no padding, or over all."""

    def __init__(self, padded):
        super().__init__()
        self.embed, self.padded = nn.Embedding(WORDS, 32), padded

    def training_step(self, batch, batch_idx):
        x, y = batch
        real = torch.ones_like(x) if self.padded else (x != 0).long()
        return F.cross_entropy(self.head((self.embed(x) * real[..., None]).sum(1) / real.sum(1, keepdim=True)), y)


def test_without_a_mask_more_padding_is_appended():
    parts = words() * mask(), torch.arange(64) % t.CLASSES
    assert dependence_of(Lengths(False), *parts).padding.far < 1e-4
    told = dependence_of(Lengths(True), *parts).padding
    assert told.far > 1e-3 and told.value == 0


@pytest.mark.parametrize("placed", [True, False])
def test_positions_that_are_not_encoded_are_seen(placed):
    told = dependence_of(
        Classes(placed=placed), words(), torch.ones(64, LENGTH, dtype=torch.bool), torch.arange(64) % WORDS
    )
    assert told.order.unmoved is not placed
