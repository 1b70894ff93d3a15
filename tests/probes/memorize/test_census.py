import torch
from torch import nn

from . import fits as t


class Functional(t.Net):
    def forward(self, x):
        return self.head(nn.functional.relu(self.encoder[0](x)))


class Linear(t.Net):
    def forward(self, x):
        return self.head(self.encoder[0](x))


class Normed(t.Net):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(8, 32), nn.LayerNorm(32), nn.GELU(), nn.Dropout(0.1))


def test_layers_are_counted_however_they_are_written():
    plain = t.told(steps=12).census.kinds
    assert plain["activations"] == 1 and t.told(Functional(), steps=12).census.kinds == plain
    assert "activations" not in t.told(Linear(), steps=12).census.kinds
    torch.manual_seed(0)
    assert t.told(Normed(), steps=12).census.kinds["normalisations"] == 1


class Tied(t.Net):
    """A layer that has the weights of another."""

    def __init__(self):
        super().__init__()
        self.block, self.twin = nn.Linear(32, 32), nn.Linear(32, 32)
        self.twin.weight = self.block.weight

    def forward(self, x):
        return self.head(self.twin(self.block(self.encoder(x)).relu()))


def test_ties_are_counted():
    kinds = [t.told(one, steps=12).census.kinds for one in (Tied(), t.Net())]
    assert [one.get("ties", 0) for one in kinds] == [1, 0]
