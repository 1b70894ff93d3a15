"""The first optimizer steps of real small fits: each planted defect is named, its sound twin is not."""

import copy
import functools

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, TensorDataset

import backburn


class Net(pl.LightningModule):
    """Sound: two layers, 4 classes, Adam."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))

    def loss(self, batch):
        return F.cross_entropy(self.net(batch[0]), batch[1])

    def training_step(self, batch, batch_idx):
        return self.loss(batch)

    def optimizer(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)

    def configure_optimizers(self):
        return self.optimizer()


class Manual(Net):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self.loss(batch))
        optimizer.step()


def by(make):
    """A net whose optimizer is what `make` makes of its parameters."""
    return type("Made", (Net,), {"optimizer": lambda self: make(self.parameters())})


def scheduled(schedule, interval="step", rate=1e-2):
    def configure(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=rate)
        return [optimizer], [{"scheduler": schedule(optimizer), "interval": interval}]

    return type("Scheduled", (Net,), {"configure_optimizers": configure})


def batches():
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(32, 8, generator=draw)
    return [(x, (x @ torch.randn(8, 4, generator=draw)).argmax(1))]


def told(kind, **given):
    torch.manual_seed(0)
    return backburn.memorize(kind(), DataLoader(TensorDataset(*batches()[0]), 32), **given)


# Sound


class TwoOptimizers(Manual):
    """Each backward reaches both parts, as a GAN's does; one part is stepped less often."""

    def training_step(self, batch, batch_idx):
        first, second = self.optimizers()
        for optimizer in (first, second) if batch_idx % 2 else (first,):
            optimizer.zero_grad()
            self.manual_backward(self.loss(batch))
            optimizer.step()

    def configure_optimizers(self):
        return [torch.optim.Adam(part.parameters(), lr=1e-2) for part in (self.net[0], self.net[2])]


class Accumulating(Manual):
    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        self.manual_backward(self.loss(batch) / 4)
        if batch_idx % 4 == 3:
            optimizer.step()
            optimizer.zero_grad()


class Sharpness(Manual):
    """Two backwards a step, as in SAM."""

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        self.manual_backward(self.loss(batch))
        steps = [0.05 * one.grad for one in self.parameters()]
        with torch.no_grad():
            for one, step in zip(self.parameters(), steps):
                one.add_(step)
        optimizer.zero_grad()
        self.manual_backward(self.loss(batch))
        with torch.no_grad():
            for one, step in zip(self.parameters(), steps):
                one.sub_(step)
        optimizer.step()
        optimizer.zero_grad()


class Gated(Net):
    """A branch that starts at 0: its gradient does so too, in the first step."""

    def __init__(self):
        super().__init__()
        self.branch, self.gate = nn.Linear(8, 4), nn.Parameter(torch.zeros(()))

    def loss(self, batch):
        return F.cross_entropy(self.net(batch[0]) + self.gate * self.branch(batch[0]), batch[1])


class Sparse(Net):
    def __init__(self):
        super().__init__()
        self.table = nn.EmbeddingBag(50, 8, sparse=True, mode="sum")

    def loss(self, batch):
        return F.cross_entropy(self.net(batch[0] + self.table(batch[1][:, None])), batch[1])

    def optimizer(self):
        return torch.optim.SGD(self.parameters(), lr=0.3)


class SmallInit(Net):
    def __init__(self):
        super().__init__()
        nn.init.zeros_(self.net[2].weight)


SOUND = {
    "Adam": Net,
    "SGD": by(functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=5e-4)),
    "AdamW": by(functools.partial(torch.optim.AdamW, lr=3e-3, weight_decay=0.1)),
    "fused": by(functools.partial(torch.optim.Adam, lr=1e-2, fused=True)),
    "RMSprop": by(functools.partial(torch.optim.RMSprop, lr=3e-3)),
    "LBFGS": by(functools.partial(torch.optim.LBFGS, lr=0.5)),
    "manual": Manual,
    "two optimizers": TwoOptimizers,
    "accumulating": Accumulating,
    "SAM": Sharpness,
    "gated": Gated,
    "sparse": Sparse,
    "a head that starts at 0": SmallInit,
    "a warm-up": scheduled(lambda one: lr_scheduler.LambdaLR(one, lambda step: min(1, step / 500))),
    "a cosine": scheduled(lambda one: lr_scheduler.CosineAnnealingLR(one, 1000)),
    "one cycle": scheduled(lambda one: lr_scheduler.OneCycleLR(one, 1e-2, 1000)),
    "falls by epoch": scheduled(lambda one: lr_scheduler.StepLR(one, 30, 0.1), interval="epoch"),
}


@pytest.mark.parametrize("name", SOUND)
def test_what_is_sound_says_nothing(name):
    report = told(SOUND[name])
    mine = {"gradients", "optimizer", "parameters", "updates", "learning", "precision", "decay"}
    loud = [f for one in report.outcomes if one.check.split("/")[1].split("-")[0] in mine for f in one.findings]
    assert [one.message for one in loud if one.level != "notice"] == []


# Defects


class NeverEmptied(Net):
    def optimizer_zero_grad(self, *args):
        pass


class NeverEmptiedByHand(Manual):
    def training_step(self, batch, batch_idx):
        self.manual_backward(self.loss(batch))
        self.optimizers().step()


class HalfEmptied(Net):
    def optimizer_zero_grad(self, *args):
        self.net[0].zero_grad()


class Wiped(Net):
    def on_before_optimizer_step(self, optimizer):
        optimizer.zero_grad()


class WipedByHand(Manual):
    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        self.manual_backward(self.loss(batch))
        optimizer.zero_grad()
        optimizer.step()


class NoStep(Manual):
    def training_step(self, batch, batch_idx):
        self.optimizers().zero_grad()
        self.manual_backward(self.loss(batch))


class Rebuilt(Manual):
    def training_step(self, batch, batch_idx):
        optimizer = self.optimizer()
        optimizer.zero_grad()
        self.manual_backward(self.loss(batch))
        optimizer.step()


class RebuiltByHook(Net):
    def on_train_batch_start(self, batch, batch_idx):
        self.trainer.strategy.optimizers = [self.optimizer()]


class Cleared(Net):
    def on_train_batch_end(self, *args):
        self.trainer.optimizers[0].state.clear()


class Turned(Net):
    def on_after_backward(self):
        for one in self.parameters():
            one.grad.neg_()


class Penalty(Net):
    def loss(self, batch):
        return super().loss(batch) + sum(one.pow(2).sum() for one in self.parameters())


class Zeroed(Net):
    def __init__(self):
        super().__init__()
        for one in self.parameters():
            nn.init.zeros_(one)


class Multiplied(Net):
    """A branch times 0."""

    def __init__(self):
        super().__init__()
        self.branch = nn.Linear(8, 4)

    def loss(self, batch):
        return F.cross_entropy(self.net(batch[0]) + 0 * self.branch(batch[0]), batch[1])


class Half(Net):
    rate = 1e-5

    def __init__(self):
        super().__init__()
        self.net.bfloat16()

    def loss(self, batch):
        return F.cross_entropy(self.net(batch[0].bfloat16()).float(), batch[1])

    def optimizer(self):
        return torch.optim.SGD(self.parameters(), lr=1e-4)


DEFECTS = {
    "zero_grad is missing": (NeverEmptied, "gradients-are-fresh"),
    "zero_grad is missing by hand": (NeverEmptiedByHand, "gradients-are-fresh"),
    "zero_grad of half the model": (HalfEmptied, "gradients-are-fresh"),
    "zero_grad before the step": (Wiped, "gradients-are-kept"),
    "zero_grad before the step by hand": (WipedByHand, "gradients-are-kept"),
    "weights that start at 0": (Zeroed, "gradients-reach"),
    "maximize": (by(functools.partial(torch.optim.Adam, lr=1e-2, maximize=True)), "optimizer-descends"),
    "turned gradients": (Turned, "optimizer-descends"),
    "no step": (NoStep, "parameters-move"),
    "tiny steps": (by(functools.partial(torch.optim.Adam, lr=1e-7)), "updates-are-sized"),
    "tiny steps of SGD": (by(functools.partial(torch.optim.SGD, lr=1e-5)), "updates-are-sized"),
    "huge steps": (by(functools.partial(torch.optim.Adam, lr=30.0)), "updates-are-sized"),
    "swapped betas": (by(functools.partial(torch.optim.Adam, lr=1e-2, betas=(0.999, 0.9))), "updates-are-sized"),
    "a rate of 0": (by(functools.partial(torch.optim.Adam, lr=0.0)), "learning-rate-holds"),
    "a schedule of 0": (scheduled(lambda one: lr_scheduler.LambdaLR(one, lambda step: 0.0)), "learning-rate-holds"),
    "a schedule by step": (scheduled(lambda one: lr_scheduler.StepLR(one, 5, 0.1)), "learning-rate-holds"),
    "an optimizer made anew": (Rebuilt, "optimizer-keeps-state"),
    "an optimizer made anew by a hook": (RebuiltByHook, "optimizer-keeps-state"),
    "a state that is cleared": (Cleared, "optimizer-keeps-state"),
    "updates lost in bfloat16": (Half, "precision-keeps-updates"),
    "a large decay": (by(functools.partial(torch.optim.AdamW, lr=1e-3, weight_decay=100)), "decay-is-small"),
    "a large coupled decay": (by(functools.partial(torch.optim.SGD, lr=1e-4, weight_decay=100)), "decay-is-small"),
    "a penalty on the weights": (Penalty, "decay-is-small"),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_the_cause(name):
    kind, check = DEFECTS[name]
    assert told(kind).cause == f"memorize/{check}"


class Exchanged(Net):
    """The groups with and without decay, exchanged."""

    def configure_optimizers(self):
        groups = [{"params": [one], "weight_decay": 0.1 * (one.dim() < 2)} for one in self.parameters()]
        return torch.optim.AdamW(groups, lr=1e-2)


def test_a_decay_of_all_but_matrices_is_told():
    words = [one.message for many in told(Exchanged).outcomes for one in many.findings]
    assert words == ["AdamW decays biases and gains (0.1), and no matrix of weights"]


def test_a_clip_to_nothing():
    assert told(Net, trainer={"gradient_clip_val": 1e-6}).cause == "memorize/gradients-are-kept"
    assert told(Net, trainer={"gradient_clip_val": 1e-2}).cause is None


class Summed(Net):
    """Its gradients are a million times what the clip leaves of them."""

    def loss(self, batch):
        return 1e6 * F.mse_loss(self.net(batch[0]), F.one_hot(batch[1], 4).float(), reduction="sum")


def test_a_clip_of_1_of_a_large_gradient_is_none_to_nothing():
    told_checks = [one.check for one in told(Summed, trainer={"gradient_clip_val": 1.0}).outcomes if one.findings]
    assert "memorize/gradients-are-kept" not in told_checks


class Attacked(Net):
    """Adversarial training: an optimizer of its own makes the loss larger by the inputs."""

    def loss(self, batch):
        x, y = batch
        more = torch.zeros_like(x, requires_grad=True)
        attack = torch.optim.Adam([more], 0.05)
        for _ in range(3):
            attack.zero_grad()
            (-F.cross_entropy(self.net(x + more), y)).backward(inputs=[more])
            attack.step()
        return F.cross_entropy(self.net(x + more.detach()), y)


def test_an_attack_on_the_inputs_is_not_the_training():
    assert told(Attacked).cause is None


def test_a_training_without_a_plan_has_a_number_of_steps_for_its_schedule():
    class Cycle(Net):
        def configure_optimizers(self):
            one = torch.optim.AdamW(self.parameters(), 3e-3)
            cycle = lr_scheduler.OneCycleLR(one, 3e-3, total_steps=self.trainer.estimated_stepping_batches)
            return [one], [{"scheduler": cycle, "interval": "step"}]

    assert told(Cycle).cause is None
    by_epoch = scheduled(lambda one: lr_scheduler.StepLR(one, 1, 0.7), "epoch")
    assert told(by_epoch).cause is None


def test_a_branch_that_is_multiplied_by_0_is_suspected_and_new_against_a_reference():
    (finding,) = [f for one in told(Multiplied).outcomes for f in one.findings if "always 0" in f.message]
    assert finding.level == "warning"
    assert told(Multiplied, reference=told(Gated)).cause == "memorize/gradients-reach"


def test_a_rate_a_thousandth_of_the_reviewed_one():
    reference = told(Net)
    slow = by(functools.partial(torch.optim.Adam, lr=1e-4))
    assert told(slow, reference=reference).cause == "memorize/updates-are-sized"
    assert told(by(functools.partial(torch.optim.Adam, lr=3e-3)), reference=reference).cause is None


def test_a_short_plan_may_end_at_a_rate_of_0():
    falling = scheduled(lambda one: lr_scheduler.LinearLR(one, 1.0, 0.0, total_iters=60))
    assert told(falling, trainer={"max_epochs": 60}).cause is None
    assert told(falling, trainer={"max_epochs": 5000}).cause == "memorize/learning-rate-holds"


def test_nothing_is_left_behind():
    backward = torch.autograd.backward
    from torch.optim import optimizer

    hooks = copy.copy(optimizer._global_optimizer_pre_hooks), copy.copy(optimizer._global_optimizer_post_hooks)

    class Crashing(Net):
        def training_step(self, batch, batch_idx):
            if batch_idx == 3:
                raise RuntimeError("ouch")
            return self.loss(batch)

    for kind in (Net, Crashing):
        told(kind)
        assert torch.autograd.backward is backward
        assert (optimizer._global_optimizer_pre_hooks, optimizer._global_optimizer_post_hooks) == hooks


class Two(Net):
    """Its head has an optimizer of its own."""

    steps = True

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def configure_optimizers(self):
        return [torch.optim.Adam(self.net[0].parameters(), lr=1e-2), torch.optim.SGD(self.net[2].parameters(), lr=0.1)]

    def training_step(self, batch, batch_idx):
        for optimizer in self.optimizers():
            optimizer.zero_grad()
        loss = self.loss(batch)
        self.manual_backward(loss)
        for optimizer in self.optimizers()[: 2 if self.steps else 1]:
            optimizer.step()
        self.log("loss", loss)


class OneOfTwo(Two):
    steps = False


def test_an_optimizer_that_never_steps_is_named():
    data = DataLoader(TensorDataset(torch.randn(16, 8), torch.randint(4, (16,))), batch_size=16)
    sound = backburn.memorize(Two(), data)
    assert sound.verdict == "pass"
    report = backburn.memorize(OneOfTwo(), data, reference=sound)
    (finding,) = next(one for one in report.outcomes if one.check == report.cause).findings
    assert report.cause == "memorize/parameters-move" and "SGD, one of 2 optimizers, took no step" in finding.message


class Parts(Net):
    """Gradients of two halves, added up by hand; `empty` before `each` half or once, one `step` or two."""

    each = stepped = False

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        optimizer, losses = self.optimizers(), []
        optimizer.zero_grad()
        for half in zip(*(one.chunk(2) for one in batch)):
            if self.each:
                optimizer.zero_grad()
            losses.append(self.loss(half) / 2)
            self.manual_backward(losses[-1])
            if self.stepped:
                optimizer.step()
        if not self.stepped:
            optimizer.step()
        self.log("loss", sum(losses))


@pytest.mark.parametrize(("change", "check"), [("each", "gradients-are-kept"), ("stepped", "gradients-are-fresh")])
def test_gradients_that_are_added_up_by_hand(change, check):
    sound = told(Parts)
    assert sound.verdict == "pass" and not any(one.findings for one in sound.outcomes)
    broken = type("Broken", (Parts,), {change: True})
    assert told(broken).verdict == "pass" and told(broken, reference=sound).cause == f"memorize/{check}"
