import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

from backburn.probes.memorize import looks, pairing

from .fits import Net, loader, told


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """The other looks cost more than this one."""
    monkeypatch.setattr(looks, "FIRST", {})
    monkeypatch.setattr(looks, "MOVED", {"pairing": pairing})
    monkeypatch.setattr(looks, "LAST", {})


class Lossy(Net):
    def __init__(self, loss):
        super().__init__()
        self.loss = loss
        nn.init.zeros_(self.head.weight)  # at first no output moves, whatever goes in

    def training_step(self, batch, batch_idx):
        x, y = batch
        return self.loss(self(x), y)


@pytest.mark.parametrize(
    ("loss", "count"),
    [
        (lambda z, y: F.cross_entropy(z, y), 0),
        (lambda z, y: F.mse_loss(z[:, 0], y.float()), 0),
        (lambda z, y: 0.7 * F.cross_entropy(z, y) + 0.3 * F.cross_entropy(z, y.flip(0)), 0),
        (lambda z, y: F.mse_loss(z[:, 0], (y - y.float().mean()) / y.float().std()), 0),
        (lambda z, y: F.cross_entropy(z, y.roll(1)), 1),
        (lambda z, y: F.mse_loss(z.flip(0)[:, 0], y.float()), 1),
    ],
)
def test_rows_are_paired_or_not(loss, count):
    seen = told(Lossy(loss), steps=12)
    assert seen.untold.get("pairing") is None
    assert len(seen.pairing.unpaired) == count
    assert all(one.where[0].endswith("test_pairing.py") for one in seen.pairing.unpaired)


class Tokens(Net):
    """A language model that sees one token."""

    def __init__(self, transposed):
        super().__init__()
        self.encoder = nn.Sequential(nn.Embedding(12, 16), nn.ReLU())
        self.head, self.transposed = nn.Linear(16, 12), transposed

    def training_step(self, batch, batch_idx):
        (tokens,) = batch
        logits = self(tokens)[:, :-1]
        logits = logits.transpose(0, 1) if self.transposed else logits
        return F.cross_entropy(logits.reshape(-1, 12), tokens[:, 1:].reshape(-1))


@pytest.mark.parametrize("transposed", [False, True])
def test_tokens_flattened_time_first(transposed):
    tokens = torch.randint(0, 12, (64, 9), generator=torch.Generator().manual_seed(3))
    seen = told(Tokens(transposed), loader(TensorDataset(tokens)), steps=12)
    assert bool(seen.pairing.unpaired) == transposed


def test_where_rows_cannot_be_told():
    seen = told(Lossy(lambda z, y: z.log_softmax(1).gather(1, y[:, None]).mean().neg()), steps=12)
    assert "row by row" in seen.untold["pairing"]
