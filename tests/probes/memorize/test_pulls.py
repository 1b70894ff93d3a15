"""Where the loss pulls outputs, and which parts its terms reach, in real fits."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from . import fits as t


def pulls_of(module, *parts):
    told = t.told(module, t.loader(TensorDataset(*parts)), steps=6)
    assert told.pulls is not None, told.untold
    return told.pulls


class Critic(t.pl.LightningModule):
    """A Wasserstein GAN; `signs` are those of its three terms."""

    def __init__(self, signs=(-1, 1, -1), detached=True):
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.critic = nn.Linear(4, 8), nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
        self.signs, self.detached = signs, detached

    def training_step(self, batch, batch_idx):
        (x,) = batch
        real, fake, fooled = self.signs
        first, second = self.optimizers()
        made = self.generator(torch.randn(len(x), 4))
        loss = real * self.critic(x).mean() + fake * self.critic(made.detach() if self.detached else made).mean()
        first.zero_grad()
        self.manual_backward(loss)
        first.step()
        loss = fooled * self.critic(self.generator(torch.randn(len(x), 4))).mean()
        second.zero_grad()
        self.manual_backward(loss)
        second.step()

    def configure_optimizers(self):
        return [torch.optim.SGD(one.parameters(), lr=1e-3) for one in (self.critic, self.generator)]


@pytest.mark.parametrize("signs", [(-1, 1, -1), (1, 1, -1), (-1, 1, 1)])
def test_a_critic_is_pulled_by_three_terms(signs):
    real, fake, fooled = signs
    told = pulls_of(Critic(signs), torch.randn(64, 8))
    assert told.ways == {"critic of batch[0]": real, "critic of generator": fake, "critic of generator+": fooled}
    assert told.reach == {}


def test_what_is_pulled_both_ways_says_nothing():
    assert pulls_of(Critic(detached=False), torch.randn(64, 8)).ways == {"critic of batch[0]": -1}


class Policy(t.Net):
    def training_step(self, batch, batch_idx):
        x, action, advantage = batch
        hidden = self.encoder(x)
        chosen = self.head(hidden).log_softmax(1).gather(1, action[:, None])[:, 0]
        return -(chosen * advantage).mean() + hidden.square().mean()


def test_a_policy_is_pulled_to_what_was_rewarded():
    told = pulls_of(Policy(), torch.randn(64, 8), torch.arange(64) % t.CLASSES, torch.randn(64))
    assert list(told.ways) == ["head @ batch[1] ~ batch[2]"] and told.ways["head @ batch[1] ~ batch[2]"] < -0.7
    assert told.reach == {"classes": {"": 1, "encoder": 1, "head": 1}, "squares": {"": 1, "encoder": 1}}


class Value(t.Net):
    def __init__(self, cut):
        super().__init__()
        self.value, self.cut = nn.Linear(32, 1), cut

    def training_step(self, batch, batch_idx):
        x, y, worth = batch
        hidden = self.encoder(x)
        value = self.value(hidden.detach() if self.cut else hidden)[:, 0]
        return F.cross_entropy(self.head(hidden), y) + F.mse_loss(value, worth)


def test_a_term_that_is_cut_off_reaches_less():
    parts = torch.randn(64, 8), torch.arange(64) % t.CLASSES, torch.randn(64)
    whole, cut = pulls_of(Value(False), *parts), pulls_of(Value(True), *parts)
    assert whole.reach["squares"] == {"": 1, "encoder": 1, "value": 1}
    assert cut.reach["squares"] == {"": 1, "value": 1}
    assert whole.ways["value ~ batch[2]"] < -0.9
