"""Which parts of the batch matter, whether the order of samples does, and what sequences see, in real fits."""

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from . import fits as t
from .test_tokens import Attention, Tagger, mask, words

F = nn.functional


def dependence_of(module, *parts, **given):
    data = t.loader(TensorDataset(*parts), **given) if parts else None
    told = t.told(module, data, steps=9)
    assert told.dependence is not None, told.untold
    return told.dependence


class Weighted(t.Net):
    """Samples with weights, a flag that counts them or not, and a number that nobody reads."""

    def __init__(self, reads=True):
        super().__init__()
        self.reads = reads

    def training_step(self, batch, batch_idx):
        x, y, weights, counts, number = batch
        loss = F.cross_entropy(self(x), y, reduction="none")
        if self.reads:
            loss = loss * weights * counts
        return loss.mean()


def weighted():
    x, y = t.samples()
    return x, y, torch.linspace(0.5, 1.5, len(x)), torch.arange(len(x)) % 9 != 0, torch.arange(len(x))


@pytest.mark.parametrize("reads", [True, False])
def test_weights_and_flags_that_are_not_read_are_seen(reads):
    told = dependence_of(Weighted(reads), *weighted()).parts
    counted = {"batch[2]", "batch[3]"}
    assert set(told.followed) == {"batch[0]", "batch[1]"} | (counted if reads else set())
    assert set(told.unfollowed) == {"batch[4]"} | (set() if reads else counted)


class Own(t.Net):
    """A loss of the project's own; `late` is what is done behind the last module."""

    def __init__(self, late=lambda x: x):
        super().__init__()
        self.late = late

    def training_step(self, batch, batch_idx):
        x, y = batch
        return (self.late(self(x)) - F.one_hot(y, t.CLASSES)).abs().mean()


@pytest.mark.parametrize(
    "late, far",
    [
        (lambda x: x, False),
        (lambda x: x - x.mean(0), False),
        (lambda x: x.t().reshape(x.shape), True),
        (lambda x: x + torch.arange(len(x))[:, None] / len(x), True),
    ],
)
def test_rows_that_are_mixed_behind_the_last_module_are_seen(late, far):
    assert (dependence_of(Own(late)).reordered.far > 1e-3) is far


def test_random_numbers_by_row_say_nothing_of_the_order():
    told = dependence_of(Own(lambda x: x + torch.randn_like(x)))
    assert told.reordered is None and "random" in told.untold["reordered"]


class Pairs(t.Net):
    """Two views of each sample, held against each other's."""

    def __init__(self, over):
        super().__init__()
        self.over = over

    def training_step(self, batch, batch_idx):
        one, other = (F.normalize(self(batch[0] + view), dim=self.over) for view in (0, 0.1))
        return F.cross_entropy(one @ other.t() * 5, torch.arange(len(one)))


def test_similarities_follow_the_two_that_are_held_against_each_other():
    assert dependence_of(Pairs(1)).leak.far < 1e-5
    assert dependence_of(Pairs(0)).leak.far > 1e-2


class Next(Attention):
    """What comes next is told by a product, as in a recommender: no loss is given tokens."""

    def training_step(self, batch, batch_idx):
        x, wanted = batch
        return -F.logsigmoid((self(x, causal=True) * self.places(wanted % 8)[..., :12].mean()).sum(-1)).mean()


def test_sequences_say_what_they_see():
    x = words()
    assert dependence_of(Next(), x, x.roll(-1, 1)).sees["batch[0]"] == 0
    assert dependence_of(Next(ahead=True), x, x.roll(-1, 1)).sees["batch[0]"] == -1


class Teaching(Tagger):
    def training_step(self, batch, batch_idx):
        x, real, y = batch
        return F.cross_entropy(self(x, real).flatten(0, 1), y.flatten())


def test_targets_in_padding_that_are_taught_are_seen():
    parts = words() * mask(), mask(), words().flip(0)
    assert dependence_of(Tagger(), *parts).padding.taught is False
    assert dependence_of(Teaching(), *parts).padding.taught is True


class Library(torch.Tensor):
    """A tensor of a library's own, as MetaTensor."""


class Scaled(t.Net):
    """Inputs that are made others on the way, and a loss module of the project's own that is given the labels."""

    class Loss(nn.Module):
        def forward(self, logits, labels):
            return logits.logsumexp(1).mean() - logits.gather(1, labels).mean()

    def __init__(self):
        super().__init__()
        self.loss = self.Loss()

    def training_step(self, batch, batch_idx):
        x, y = batch
        return self.loss(self(x / 3), y[:, None])


def as_library(batch):
    return [torch.stack(one).as_subclass(Library) for one in zip(*batch)]


def test_inputs_of_a_library_that_are_scaled_on_the_way_are_followed():
    told = dependence_of(Scaled(), *t.samples(), collate_fn=as_library)
    assert told.use is None or not told.use.all
    assert set(told.parts.followed) == {"batch[0]", "batch[1]"}
