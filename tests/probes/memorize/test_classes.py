"""What a loss over classes weighs, and on which axis its targets are distributions."""

import pytest
import torch
from torch.nn import functional as F

from . import fits as t


def first(loss):
    module = type("Lossy", (t.Net,), {"training_step": lambda self, batch, batch_idx: loss(self(batch[0]), batch[1])})
    (call,) = t.told(module(), steps=12).loss_calls.calls
    return call


def test_weights_of_classes_are_told():
    weights = torch.tensor([1.0, 2.0, 0.5, 4.0])
    assert first(lambda z, y: F.cross_entropy(z, y, weight=weights)).weights == (1.0, 2.0, 0.5, 4.0)
    wanted = {"pos_weight": torch.tensor([9.0])}
    assert first(lambda z, y: F.binary_cross_entropy_with_logits(z, F.one_hot(y, 4).float(), **wanted)).weights == (
        9.0,
    )
    assert first(F.cross_entropy).weights == ()


@pytest.mark.parametrize("axis", [0, 1])
def test_distributions_over_samples_are_told(axis):
    soft = torch.randn(16, 4).softmax(axis)
    divergence = first(lambda z, y: F.kl_div(z.log_softmax(1), soft, reduction="batchmean"))
    logarithms = first(lambda z, y: F.kl_div(z.log_softmax(1), soft.log(), reduction="batchmean", log_target=True))
    assert {divergence.other_axis, logarithms.other_axis} == {axis == 0}
    assert first(lambda z, y: F.cross_entropy(z, soft)).other_axis == (axis == 0)
