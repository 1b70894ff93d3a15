"""What the model does with a batch."""

import math

import torch
from torch import nn

from {{ cookiecutter.package_name }}.model import Classifier


def test_a_fresh_model_knows_nothing() -> None:
    torch.manual_seed(0)
    scores = Classifier()(torch.rand(256, 1, 8, 8))
    loss = nn.functional.cross_entropy(scores, torch.arange(256) % 10)
    assert abs(loss.item() - math.log(10)) < 0.2  # as good as guessing one of ten


def test_samples_of_a_batch_do_not_see_each_other() -> None:
    model, images = Classifier().eval(), torch.rand(4, 1, 8, 8)
    torch.testing.assert_close(model(images)[:1], model(images[:1]))


def test_every_weight_gets_a_gradient() -> None:
    model = Classifier()
    nn.functional.cross_entropy(model(torch.rand(8, 1, 8, 8)), torch.arange(8)).backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None and weight.grad.abs().sum() > 0, name
