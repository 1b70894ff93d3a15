"""Styles of healthy projects: what looks like a defect of a usual training is none here."""

import time

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

import backburn
from backburn import api
from backburn.config import Seconds
from backburn.stages import memorize

from . import fits as t

X, Y = t.samples()


class Diffusion(t.Net):
    """Predicts noise; the labels of its images, all in one folder, are of no use."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(32, 8)

    def training_step(self, batch, batch_idx):
        noise = torch.randn_like(batch[0])
        return F.mse_loss(self(batch[0] + noise), noise)


class Adversary(t.Net):
    """Its zeros and ones are its own, and not the labels that the data set has as well."""

    def training_step(self, batch, batch_idx):
        scores = self(torch.cat([batch[0], torch.randn_like(batch[0])]))[:, 0]
        real, drawn = scores.chunk(2)
        loss = F.binary_cross_entropy_with_logits
        return loss(real, torch.ones(len(real))) + loss(drawn, torch.zeros(len(real)))


class Drawing(t.Net):
    """Draws its own samples; the data set only counts the steps."""

    def training_step(self, batch, batch_idx):
        x = torch.rand(64, 8)
        return F.mse_loss(self(x)[:, 0], x.sum(1))


class Averaged(t.Net):
    """A codebook that is a moving average of what is sent to it (VQ-VAE), and not learned by gradients."""

    def __init__(self):
        super().__init__()
        self.book, self.head = nn.Embedding(8, 32), nn.Linear(32, 8)

    def training_step(self, batch, batch_idx):
        code = self.encoder(batch[0])
        sent = F.one_hot(torch.cdist(code, self.book.weight).argmin(1), 8).float()
        found = sent @ self.book.weight
        mean = sent.t() @ code.detach() / sent.sum(0).clamp_min(1).unsqueeze(1)
        known = (sent.sum(0) > 0).unsqueeze(1)
        self.book.weight = nn.Parameter(torch.where(known, 0.9 * self.book.weight + 0.1 * mean, self.book.weight))
        through = code + (found - code).detach()
        return F.mse_loss(self.head(through), batch[0]) + 0.25 * F.mse_loss(code, found.detach())


class Stubborn(nn.Dropout):
    def train(self, mode=True):
        return super().train(True)


class Validated(t.Net):
    def validation_step(self, batch, batch_idx):
        self.log("val_loss", F.cross_entropy(self(batch[0]), batch[1]))


class MonteCarlo(Validated):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), Stubborn(0.1))


class Meta(Validated):
    """Learns to learn: it trains on a part of what it is validated by."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU())

    @torch.enable_grad()
    def validation_step(self, batch, batch_idx):
        self.train()
        super().validation_step(batch, batch_idx)


class Own(t.Net):
    """Its optimizer is its own affair, as in a script of plain torch."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.optimizer = torch.optim.Adam(self.parameters(), lr=1e-2)

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.log("loss", loss)

    def configure_optimizers(self):
        return None


class Proxies(t.Net):
    """A margin to points of each class: most of them begin far beyond it."""

    def __init__(self):
        super().__init__()
        self.points = nn.Parameter(4 * torch.randn(20, 4))

    def training_step(self, batch, batch_idx):
        far = torch.cdist(self(batch[0]), self.points)
        return far.gather(1, batch[1][:, None]).square().mean() + F.relu(1 - far).square().mean()


class Masked(t.Net):
    """Labels of -1 are not known, and weigh nothing."""

    def training_step(self, batch, batch_idx):
        return F.binary_cross_entropy_with_logits(self(batch[0]), batch[1], weight=(batch[1] >= 0).float())


def of(*tensors):
    return t.loader(TensorDataset(*tensors))


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (Diffusion, of(X, torch.zeros(128, dtype=torch.long))),
        (Adversary, of(X, torch.zeros(128, dtype=torch.long))),
        (Drawing, of(torch.zeros(128, 1))),
        (MonteCarlo, of(X, Y)),
        (Meta, of(X, Y)),
        (Own, of(X, Y)),
        (Proxies, of(X, Y)),
        (Masked, of(X, torch.where(torch.arange(4) == Y[:, None] - 1, -1.0, F.one_hot(Y, 4).float()))),
        (lambda: torch.compile(t.Net(), backend="eager"), of(X, Y)),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_it_is_sound(kind, data):
    torch.manual_seed(0)
    report = backburn.memorize(kind(), data)
    assert report.cause is None, [finding.message for one in report.outcomes for finding in one.findings]


def test_a_codebook_that_is_averaged_is_not_cut_off():
    report = backburn.memorize(Averaged(), of(X))
    assert not [one for one in report.outcomes if one.findings and one.check == "memorize/parameters-are-connected"]


def test_unread_labels_are_told_from_labels_that_are_all_the_same():
    same = torch.zeros(128, dtype=torch.long)
    assert backburn.memorize(t.Net(), of(X, same)).cause == "memorize/labels-vary"


def test_a_metric_of_torchmetrics_is_that_of_its_last_call():
    metrics = pytest.importorskip("torchmetrics")

    class Measured(t.Net):
        def __init__(self):
            super().__init__()
            self.accuracy = metrics.Accuracy(task="multiclass", num_classes=4)

        def training_step(self, batch, batch_idx):
            self.accuracy(self(batch[0]), batch[1])
            self.log("train_acc", self.accuracy)
            return super().training_step(batch, batch_idx)

    (metric,) = t.told(Measured()).after.metrics
    assert metric.value == pytest.approx(metric.right)


class Slow(t.Net):
    def training_step(self, batch, batch_idx):
        time.sleep(0.02)
        return super().training_step(batch, batch_idx)


def test_a_slow_training_ends_within_its_budget_and_says_so():
    config = memorize.Config(seed=0, budget=Seconds(0.5))
    seen = api.gather(Slow(), of(X, Y), config, {})
    assert seen.told.ended == "late" and 0 < seen.told.steps < 30
    report = api._report(seen, config, ())
    assert report.verdict == "unjudged"
    assert "no time" in next(one.unjudged for one in report.outcomes if one.check == "memorize/loss-falls")
