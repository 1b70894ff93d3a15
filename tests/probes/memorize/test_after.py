"""What is told once a batch is memorized."""

import pytest
import torch
import torchmetrics
from torch import nn

from backburn.memorization import afterwards

from ...memorization.evidence import found, seen
from . import fits as t
from .test_metrics import Measured


def after(module, **given):
    return t.told(module, **given).after


class Forgetful(t.Net):
    """Holds a scale that it learns outside of what a checkpoint holds."""

    def __init__(self):
        super().__init__()
        self.seen = torch.zeros(8)

    def forward(self, x):
        if self.training:
            self.seen = 0.9 * self.seen + 0.1 * x.detach().mean(0)
        return super().forward(x + 20 * self.seen)


class Buffered(Forgetful):
    def __init__(self):
        super().__init__()
        del self.seen
        self.register_buffer("seen", torch.zeros(8))


def test_a_checkpoint_that_lacks_something_is_seen():
    assert found([afterwards.checkpoint_restores], seen(after=after(Buffered()))) == {}
    (finding,) = found([afterwards.checkpoint_restores], seen(after=after(Forgetful())))["checkpoint-restores"]
    assert "instead of" in finding.message


class Tokens(t.Net):
    """A mean over the tokens that count, of which the samples have different numbers."""

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = nn.functional.cross_entropy(self(x), y, reduction="none") * self.weights(x)
        return loss.sum() / self.weights(x).sum()

    def weights(self, x):
        return torch.arange(1.0, len(x) + 1) ** 2


class Even(Tokens):
    def weights(self, x):
        return torch.ones(len(x))


@pytest.mark.parametrize(("module", "names"), [(Even, []), (t.Net, [])])
def test_accumulated_means_of_equal_parts_are_the_whole(module, names):
    told = after(module(), accumulate_grad_batches=4)
    assert told.accumulation.times == 4
    assert list(found([afterwards.accumulation_agrees], seen(after=told))) == names


class Padded(t.Net):
    """Tokens of the samples are counted, and the first half has more of them."""

    def training_step(self, batch, batch_idx):
        x, y = batch
        count = (y >= 2).float() + 0.1
        loss = nn.functional.cross_entropy(self(x), y, reduction="none") * count
        return loss.sum() / count.sum()


def test_accumulated_means_of_unequal_parts_are_not():
    x, y = t.samples(16)
    order = y.argsort()
    batch = [(x[order], y[order])]
    told = after(Padded(), data=batch, accumulate_grad_batches=2)
    assert list(found([afterwards.accumulation_agrees], seen(after=told))) == ["accumulation-agrees"]
    told = after(Padded(), data=batch)
    assert told.untold["accumulation"] == "no gradients are accumulated"


class Counted(Measured):
    """Logs the metric itself, as torchmetrics says."""

    def __init__(self):
        super().__init__()
        self.acc = torchmetrics.Accuracy("multiclass", num_classes=t.CLASSES)

    def step(self, batch, name):
        scores = self(batch[0])
        self.acc(scores, batch[1])
        self.log(f"{name}_acc", self.acc)
        loss = nn.functional.cross_entropy(scores, batch[1])
        self.log(f"{name}_loss", loss)
        return loss


class Unscaled(Counted):
    """Validates on inputs that are scaled otherwise."""

    def validation_step(self, batch, batch_idx):
        return self.step([batch[0] * 9, batch[1]], "val")


def test_a_metric_object_tells_its_value_of_this_batch():
    told = after(Counted())
    assert [one.value for one in told.metrics] == [pytest.approx(one.right) for one in told.metrics]
    assert found([afterwards.metric_agrees], seen(after=told)) == {}
    assert told.validated.losses[0] == pytest.approx(told.validated.losses[1]) and told.validated.alike
    apart = after(Unscaled()).validated
    assert apart.losses[0] != pytest.approx(told.validated.losses[1], rel=0.05) and not apart.alike


class Averaged(Counted):
    """Validates with averaged weights, which lag behind."""

    def on_validation_epoch_start(self):
        with torch.no_grad():
            for one in self.parameters():
                one.mul_(0.1)


def test_validation_with_other_weights_is_not_compared():
    told = after(Averaged())
    assert told.validated is None and list(told.logged) == ["training_step/train_acc"]
    assert told.untold["validated"] == "it is validated with other weights"
