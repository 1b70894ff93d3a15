"""What each planted bug does to a module, by itself."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from backburn.probes.memorize import bugs
from backburn.probes.memorize.session import Untold

from ..trainings import Net, loader


def ground(module=None, data=None, **given):
    """A bug's ground without a fit: what plants look at, nothing else."""
    module = module or Net()
    made = object.__new__(bugs.Ground)
    layers = [one for one in module.modules() if isinstance(one, nn.Linear)]
    vars(made).update(module=module, size=16, data=data, layers=layers, returns_loss=True, modes={})
    vars(made).update({"called": {"cross_entropy"}, "targets": ["batch[1]"]} | given)
    return made


def plant(name, made):
    bugs.BUGS[name][1](made)
    return made.module


BATCH = next(iter(loader()))


@pytest.mark.parametrize("as_dict", [False, True])
def test_the_sign_is_turned(as_dict):
    class Told(Net):
        def training_step(self, batch, batch_idx):
            loss = super().training_step(batch, batch_idx)
            return {"loss": loss, "other": 1} if as_dict else loss

    module = Told()
    sound = module.training_step(BATCH, 0)
    turned = plant("sign", ground(module)).training_step(BATCH, 0)
    sound, turned = (sound["loss"], turned["loss"]) if as_dict else (sound, turned)
    assert float(sound) == -float(turned) > 0


def test_softmax_reaches_the_loss_however_it_is_called():
    class Named(Net):
        def loss(self, x, y):
            return nn.functional.cross_entropy(target=y, input=self(x)) + nn.CrossEntropyLoss()(self(x), y)

    module = Named()
    with torch.no_grad():
        module.head.weight.mul_(100)
        expected = 2 * nn.functional.cross_entropy(module(BATCH[0]).softmax(1), BATCH[1])
    assert float(plant("softmax", ground(module)).training_step(BATCH, 0)) == pytest.approx(float(expected), abs=1e-5)


def test_labels_are_drawn_anew_by_each_loader_of_whatever_data():
    one, other = loader(shuffle=False), loader(shuffle=False)
    plant("shuffled", ground(data={"a": one, "b": [other]}))
    for each in (one, other):
        x, y = next(iter(each))
        first = next(iter(loader(shuffle=False)))
        assert x.equal(first[0]) and not y.equal(first[1]) and sorted(y.tolist()) == sorted(first[1].tolist())


def test_labels_are_drawn_anew_where_the_module_makes_its_own_loader():
    class Own(Net):
        def train_dataloader(self):
            return loader(shuffle=False)

    made = plant("shuffled", ground(Own())).train_dataloader()
    assert isinstance(made, DataLoader) and not next(iter(made))[1].equal(next(iter(loader(shuffle=False)))[1])


class Scheduled(Net):
    def configure_optimizers(self):
        own = torch.optim.SGD(self.parameters(), lr=1.0)
        schedule = torch.optim.lr_scheduler.LambdaLR(own, lambda step: 1.0)
        return {"optimizer": own, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def test_the_rate_is_small_and_stays_so():
    made = plant("slowed", ground(Scheduled())).configure_optimizers()
    own = made["optimizer"]
    own.step()
    made["lr_scheduler"]["scheduler"].step()
    assert own.param_groups[0]["lr"] == pytest.approx(1e-4)


def test_the_head_is_left_out_of_the_optimizer():
    module = plant("forgotten", ground(Scheduled()))
    held = {id(one) for one in module.configure_optimizers()["optimizer"].param_groups[0]["params"]}
    assert held == {id(one) for one in module.encoder.parameters()}


def test_the_first_layer_is_cut_off_mixed_or_frozen():
    x = BATCH[0]
    plant("detached", made := ground()).training_step(BATCH, 0).backward()
    assert made.module.encoder[0].weight.grad is None and made.module.head.weight.grad is not None
    sound = Net()
    expected = sound.encoder[0](x)
    mixed = plant("mixed", ground(sound)).encoder[0](x)
    assert mixed[1].equal((expected[1] + expected[0]) / 2)
    assert not any(one.requires_grad for one in plant("frozen", ground()).encoder.parameters())


@pytest.mark.parametrize(
    ("name", "given", "reason"),
    [
        ("sign", {"returns_loss": False}, "returns no loss"),
        ("softmax", {"called": {"mse_loss"}}, "takes no logits"),
        ("shuffled", {"targets": []}, "target is not known"),
        ("shuffled", {"size": 2}, "fewer than four samples"),
        ("mixed", {"size": 1}, "one sample"),
        ("nan", {"layers": []}, "no layer with trainable parameters"),
        ("evaluated", {"modes": {"drop": 1.0}}, "behaves differently"),
        ("detached", {"layers": [nn.Linear(1, 1)]}, "fewer than two layers"),
    ],
)
def test_what_cannot_be_planted(name, given, reason):
    with pytest.raises(Untold, match=reason):
        plant(name, ground(**given))
