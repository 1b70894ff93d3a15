"""What the steps log of a memorized batch, beside the share of their predictions that is right."""

import pytest
import torch
from torch import nn

from backburn.memorization import afterwards

from ...memorization.evidence import found, reference, seen
from . import fits as t


def after(module, **given):
    return t.told(module, **given).after


class Measured(t.Net):
    """Logs its accuracy over the axis that it is told."""

    axis = 1

    def step(self, batch, name):
        x, y = batch
        scores = self(x)
        right = (scores.argmax(self.axis)[: len(y)] == y[: len(scores.argmax(self.axis))]).float().mean()
        self.log(f"{name}_acc", right)
        return nn.functional.cross_entropy(scores, y)

    def training_step(self, batch, batch_idx):
        return self.step(batch, "train")

    def validation_step(self, batch, batch_idx):
        return self.step(batch, "val")


class Wrong(Measured):
    axis = 0


def test_a_metric_of_right_predictions_says_so():
    told = after(Measured())
    assert [one.name for one in told.metrics] == ["train_acc", "val_acc"]
    assert all(one.value == pytest.approx(one.right) for one in told.metrics)
    assert found([afterwards.metric_agrees], seen(after=told)) == {}
    findings = found([afterwards.metric_agrees], seen(after=after(Wrong())))["metric-agrees"]
    assert "train_acc" in findings[0].message and len(findings) == 2


class YesNo(t.Net):
    limit = 0.0

    def training_step(self, batch, batch_idx):
        scores, y = self(batch[0])[:, 0], (batch[1] > 1).float()
        self.log("train_acc", ((scores > self.limit) == (y > 0.5)).float().mean())
        return nn.functional.binary_cross_entropy_with_logits(scores, y)


class Thresholded(YesNo):
    """As if logits were probabilities, of which each is below 9."""

    limit = 9.0


def test_yes_and_no_have_right_answers_too():
    assert found([afterwards.metric_agrees], seen(after=after(YesNo()))) == {}
    assert list(found([afterwards.metric_agrees], seen(after=after(Thresholded())))) == ["metric-agrees"]


class Soft(YesNo):
    """Its Dice is one of probabilities: 0.9 where all are right."""

    def training_step(self, batch, batch_idx):
        scores, y = self(batch[0])[:, 0], (batch[1] > 1).float()
        p = scores.sigmoid()
        self.log("train_dice", 2 * (p * y).sum() / (p.sum() + y.sum()))
        return nn.functional.binary_cross_entropy_with_logits(scores, y)


def test_a_soft_metric_is_not_that_of_right_answers():
    told = after(Soft())
    assert told.metrics == () and told.logged["training_step/train_dice"] < 0.98


def test_the_share_of_right_predictions_is_told_of_each_step():
    told = after(Measured())
    assert told.right == {one.hook: one.right for one in told.metrics} and len(told.right) == 2
    assert list(after(YesNo()).right) == ["training_step"]


class Silent(Measured):
    """Validates without a loss, by the weights that it was given or by others."""

    moved = 0.0

    def validation_step(self, batch, batch_idx):
        self.log("val_acc", (self(batch[0] + self.moved).argmax(self.axis) == batch[1]).float().mean())


def test_a_step_without_a_loss_has_the_right_answers_of_training_where_the_model_says_the_same():
    told = after(Silent())
    (one,) = [one for one in told.metrics if one.hook == "validation_step"]
    assert one.borrowed and one.value == one.right > 0.5
    other = Silent()
    other.moved = 1.0
    assert [one.hook for one in after(other).metrics] == ["training_step"]
    assert (told.alike, after(other).alike) == (True, False)
    assert [after(one).alike for one in (Measured(), Noisy(), Apart(), t.Net())] == [None] * 4


class Noisy(Silent):
    def training_step(self, batch, batch_idx):
        return super().training_step((batch[0] + 0.01 * torch.randn_like(batch[0]), batch[1]), batch_idx)


class Apart(Silent):
    """The same, by the layers of its encoder."""

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self.head(self.encoder[1](self.encoder[0](batch[0]))), batch[1])


class Generous(Measured):
    """Finds all of one class right, whatever was said of it."""

    def step(self, batch, name):
        x, y = batch
        scores = self(x)
        self.log(f"{name}_acc", ((scores.argmax(1) == y) | (y < 2)).float().mean())
        return nn.functional.cross_entropy(scores, y)


def test_a_metric_is_seen_before_all_is_right():
    told = t.told(Measured())
    shares = [one for look in (told.metrics_first, told.metrics_moved) for one in look.metrics]
    assert len(shares) == 4 and all(one.value == pytest.approx(one.right) and 0 < one.right < 1 for one in shares)
    healthy = reference(afterwards, seen(**looked(told)))
    assert found([afterwards.metric_agrees], seen(**looked(told), reference=healthy)) == {}
    generous = seen(**looked(t.told(Generous())), reference=healthy)
    assert list(found([afterwards.metric_agrees], generous)) == ["metric-agrees"]


def looked(told):
    return {name: getattr(told, name) for name in ("after", "metrics_first", "metrics_moved")}
