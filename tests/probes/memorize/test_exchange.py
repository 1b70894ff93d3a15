"""One sample in the place of another, before they are collated: bags of points, of which no tensor has a row each."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from backburn.memorization.alignment import labels_match_inputs
from backburn.memorization.dependence import samples_are_independent
from backburn.memorization.losstargets import loss_pairs_outputs

from ...memorization.evidence import found, seen
from . import fits as t


@dataclasses.dataclass(slots=True)
class Bags:
    """As libraries of graphs collate: all points in a row, and to which sample each belongs."""

    points: torch.Tensor
    owner: torch.Tensor


def bags(count=96, shuffled=False):
    """(points of 4 numbers, class): the class is where most of the points lie."""
    draw = torch.Generator().manual_seed(3)
    labels = torch.randint(t.CLASSES, (count,), generator=draw)
    sizes = torch.randint(3, 7, (count,), generator=draw)
    points = [2 * F.one_hot(y, 4) + 0.3 * torch.randn(int(n), 4, generator=draw) for y, n in zip(labels, sizes)]
    return list(zip(points, labels[torch.randperm(count, generator=draw)] if shuffled else labels))


def collate(samples, order=lambda points: points):
    points = order([one for one, _ in samples])
    owner = torch.repeat_interleave(torch.arange(len(points)), torch.tensor([len(one) for one in points]))
    return Bags(torch.cat(points), owner), torch.stack([label for _, label in samples])


def by_size(points):
    return sorted(points, key=len)


def rolled(points):
    return points[1:] + points[:1]


class Pooling(t.Net):
    def __init__(self, mixes=False):
        super().__init__()
        self.encoder, self.mixes = nn.Sequential(nn.Linear(4, 32), nn.ReLU()), mixes

    def training_step(self, batch, batch_idx):
        bag, y = batch
        hidden = self.encoder(bag.points)
        pooled = hidden.new_zeros(len(y), 32).index_add(0, bag.owner, hidden)
        return F.cross_entropy(self.head(pooled + pooled.mean(0) if self.mixes else pooled), y)


def told(module, data, order=lambda points: points):
    torch.manual_seed(0)
    loader = DataLoader(data, batch_size=16, shuffle=True, collate_fn=lambda one: collate(one, order))
    return t.told(module, loader)


def test_sound_bags_are_silent_and_their_labels_belong_to_them():
    one = told(Pooling(), bags())
    assert (one.dependence.leak.far, one.dependence.leak.output) == (0.0, "cross_entropy")
    assert one.pairing.unpaired == () and one.batch.alignment.by_model and one.batch.alignment.clear > 6
    checks = [samples_are_independent, loss_pairs_outputs, labels_match_inputs]
    assert found(checks, seen(dependence=one.dependence, pairing=one.pairing, batch=one.batch)) == {}


def test_a_mean_over_the_batch_reaches_other_samples():
    one = told(Pooling(mixes=True), bags())
    assert one.dependence.leak.far > 0.01
    assert list(found([samples_are_independent], seen(dependence=one.dependence))) == ["samples-are-independent"]


@pytest.mark.parametrize(("order", "unpaired"), [(rolled, True), (by_size, False)])
def test_bags_in_another_order_than_their_labels(order, unpaired):
    """Sorted by size, a sample moves all between its places, its own among them: that is seen as a leak alone."""
    one = told(Pooling(), bags(), order)
    assert bool(found([loss_pairs_outputs], seen(pairing=one.pairing))) is unpaired
    assert list(found([samples_are_independent], seen(dependence=one.dependence))) == ["samples-are-independent"]


def test_labels_of_other_bags_are_no_clearer_than_chance():
    assert told(Pooling(), bags(shuffled=True)).batch.alignment.clear < 3


class Drawn(list):
    """Its samples come out otherwise each time."""

    def __getitem__(self, index):
        points, label = super().__getitem__(index)
        return points + torch.randn(()), label


def test_what_is_drawn_anew_cannot_be_exchanged():
    assert "drawn anew" in told(Pooling(), Drawn(bags())).dependence.untold["leak"]


@pytest.mark.parametrize("data", [[(torch.randn(3, 4), torch.tensor(1))] * 3])
def test_a_few_samples_are_too_few(data):
    assert "fewer than 4" in told(Pooling(), data).dependence.untold["leak"]
