"""What follows the parts of a model that no optimizer trains, in real small fits."""

import copy

import torch
from torch.nn import functional as F

from . import fits as t


class Taught(t.Net):
    """A teacher in the loss, an average in validation."""

    def __init__(self):
        super().__init__()
        self.teacher = copy.deepcopy(self.head).requires_grad_(False)
        self.ema = copy.deepcopy(self.head).requires_grad_(False)

    def wanted(self, h):
        return self.teacher(h)

    def training_step(self, batch, batch_idx):
        h = self.encoder(batch[0])
        return F.cross_entropy(self.head(h), batch[1]) + 0.1 * F.mse_loss(self.head(h), self.wanted(h).detach())

    def validation_step(self, batch, batch_idx):
        self.log("val_acc", (self.ema(self.encoder(batch[0])).argmax(1) == batch[1]).float().mean())


class Untaught(Taught):
    def wanted(self, h):
        return self.head(h)

    def validation_step(self, batch, batch_idx):
        self.log("val_acc", (self(batch[0]).argmax(1) == batch[1]).float().mean())


def test_what_follows_a_part_is_told():
    told = t.told(Taught()).untrained
    assert (set(told.parts), told.loss, told.validation) == ({"teacher.*", "ema.*"}, ("teacher.*",), ("ema.*",))
    told = t.told(Untaught()).untrained
    assert (set(told.parts), told.loss, told.validation) == ({"teacher.*", "ema.*"}, (), ())


def test_nothing_of_it_stays():
    module = Taught()
    before = [one.clone() for one in module.teacher.parameters()]
    t.told(module)
    assert all(torch.equal(one, other) for one, other in zip(before, module.teacher.parameters()))


def test_a_model_that_is_trained_throughout_is_passed_over():
    told = t.told()
    assert told.untrained is None and told.untold["untrained"] == "every part of the model is trained"


class Newton(t.Net):
    def configure_optimizers(self):
        return torch.optim.LBFGS(self.parameters(), lr=0.2, max_iter=4)


def test_what_an_optimizer_keeps_no_state_of_is_trained_all_the_same():
    assert t.told(Newton(), steps=20).untrained is None
