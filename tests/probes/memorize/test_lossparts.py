"""How targets and inputs follow from the batch, in real fits."""

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from .fits import Net, loader, samples, told


class Flow(Net):
    """A velocity from noise to data, by hand, of which `turned` is the sign."""

    def __init__(self, turned):
        super().__init__()
        self.turned, self.field = turned, nn.Linear(8, 8)

    def training_step(self, batch, batch_idx):
        x, _ = batch
        noise = torch.randn_like(x)
        return (self.field((x + noise) / 2) - self.turned * (x - noise)).pow(2).mean()


class Made(Flow):
    """The same target, given to a function of torch's; nothing of the batch's is mixed into what the model sees."""

    def training_step(self, batch, batch_idx):
        return torch.nn.functional.mse_loss(self.field(batch[0]), self.turned * batch[0])


def test_a_target_of_a_loss_call_is_read_from_it():
    for sign in (1, -1):
        related = told(Made(sign), loader(TensorDataset(*samples())), steps=2).loss_calls.related
        assert related == {"target:batch[0]": pytest.approx(sign), "input:batch[0]": pytest.approx(1.0)}


def test_a_target_that_is_made_on_the_way_is_known_by_its_correlation():
    wide = lambda: loader(TensorDataset(*samples()), batch_size=128)  # noqa: E731
    for sign in (1, -1):
        related = told(Flow(sign), wide(), steps=2).loss_calls.related
        assert related == {
            "target:batch[0]": pytest.approx(sign * 0.7, abs=0.1),
            "input:batch[0]": pytest.approx(0.7, abs=0.1),
        }
