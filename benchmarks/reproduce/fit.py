"""A small training by the real Lightning: module, optimizer, schedule, and a witness of each step."""

import math
from dataclasses import replace

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback

from . import data, networks

OFF = dict.fromkeys(("logger", "enable_progress_bar", "enable_checkpointing", "enable_model_summary"), False)
FIXED = {"accelerator": "cpu", "devices": 1, "deterministic": True, "num_sanity_val_steps": 0, "max_epochs": -1}


class Net(pl.LightningModule):
    """The module of all three: network, loss, optimizer, schedule, and the moving average that is validated."""

    def __init__(self, recipe):
        super().__init__()
        self.recipe, self.taken = recipe, 0
        self.net = networks.network(recipe)
        if recipe.program == "vision":
            self.criterion = networks.Smoothed(recipe)
        self.names = [name for name, _ in self.net.named_parameters()]
        for name, one in self.net.named_parameters():
            self.register_buffer(_average(name), one.detach().clone())

    # The step

    def training_step(self, batch, batch_idx):
        """The loss of a batch."""
        inputs, targets = batch
        loss = self.loss(self.net(inputs), targets)
        if self.recipe.penalty:
            loss = loss + self.recipe.penalty * sum(one.square().sum() for one in self.net.parameters())
        return loss

    def loss(self, found, targets):
        """Cross entropy; of a regression, Huber's."""
        recipe = self.recipe
        found = found.to(getattr(torch, recipe.loss_dtype))
        if recipe.program == "vision":
            loss = self.criterion(found, targets)
        elif recipe.program == "text":
            given = {"label_smoothing": recipe.smoothing, "reduction": recipe.reduction}
            loss = F.cross_entropy(found, targets, **given)
        else:
            loss = F.huber_loss(found, targets.to(found.dtype), reduction=recipe.reduction, delta=1 + recipe.smoothing)
        return loss.float() / (targets.numel() if recipe.summed else 1)

    def optimizer_zero_grad(self, epoch, batch_idx, optimizer):
        """Lightning's, unless it was lost."""
        if self.recipe.zeroed:
            optimizer.zero_grad()

    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure=None):
        """Lightning's, then the moving average."""
        self.taken += 1
        if self.recipe.skipped and self.taken % self.recipe.skipped == 0:
            optimizer_closure()
        else:
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        averages, now = [*self.averages.values()], [self.net.get_parameter(name) for name in self.names]
        with torch.no_grad():
            if self.recipe.average_by_hand:
                torch._foreach_mul_(averages, self.recipe.averaged)
                torch._foreach_add_(averages, now, alpha=1 - self.recipe.averaged)
            else:
                torch._foreach_lerp_(averages, now, 1 - self.recipe.averaged)

    @property
    def averages(self):
        """By the parameter's name."""
        return {name: self._buffers[_average(name)] for name in self.names}

    def configure_optimizers(self):
        """Weights that decay, those that do not, and the last layer's, each a group; a rate per step."""
        recipe, groups = self.recipe, ([], [], [])
        last = {id(one) for one in self.net.get_submodule(recipe.last).parameters()}
        for one in self.net.parameters():
            groups[2 if id(one) in last else 1 if one.ndim < 2 else 0].append(one)
        rates = (recipe.lr, recipe.lr, recipe.lr * recipe.head)
        decays = (recipe.decay, recipe.decay if recipe.decay_all else 0.0, recipe.decay)
        made = [{"params": own, "lr": rate, "weight_decay": by} for own, rate, by in zip(groups, rates, decays) if own]
        optimizer = _optimizer(recipe, made)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: rate(recipe, done))
        every = "epoch" if recipe.per_epoch else "step"
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": every}}

    # The validation, of the moving average

    def on_validation_start(self):
        """Sums over the batches."""
        self.sums = {"loss": 0.0, "score": 0.0, "samples": 0}
        if self.recipe.validation == "training mode":
            self.net.train()

    def validation_step(self, batch, batch_idx):
        """Loss and score: accuracy, or 1 less the mean error of a regression."""
        inputs, targets = batch
        weights = self.averages if self.recipe.average_used else {}
        found = torch.func.functional_call(self.net, weights, (inputs,), tie_weights=True)
        loss, many = self.loss(found, targets), len(targets)
        if self.recipe.validation == "misaligned":
            targets = targets.roll(1, 0)
        if self.recipe.program == "tabular":
            score = 1 - (found - targets).abs().mean()
        else:
            score = (found.argmax(1) == targets).float().mean()
        self.sums["loss"] += loss.item() * many
        self.sums["score"] += score.item() * many
        self.sums["samples"] += many

    def on_validation_epoch_end(self):
        """Log them."""
        for name in ("loss", "score"):
            self.log(f"val_{name}", self.sums[name] / self.sums["samples"])


def _average(name):
    return "average_" + name.replace(".", "_")


def _optimizer(recipe, groups):
    given = {"lr": recipe.lr, "fused": recipe.fused}
    if recipe.optimizer == "SGD":
        return torch.optim.SGD(groups, momentum=recipe.momentum, nesterov=recipe.nesterov, **given)
    given |= {"betas": recipe.betas, "eps": recipe.eps, "amsgrad": recipe.amsgrad}
    return getattr(torch.optim, recipe.optimizer)(groups, **given)


def rate(recipe, done):
    """The share of the learning rate after so many steps."""
    if recipe.halved and done >= recipe.halved:
        return rate(replace(recipe, halved=0), done) / 2
    done += recipe.shifted
    if done < recipe.warmup:
        return (done + 1) / (recipe.warmup + 1)
    share = min(1.0, (done - recipe.warmup) / (recipe.horizon - recipe.warmup))
    return recipe.floor + (1 - recipe.floor) * (1 + math.cos(math.pi * share)) / 2


class Witness(Callback):
    """Each step's loss, the norm of its gradient and its largest part, seen without the probe."""

    def __init__(self):
        self.losses, self.norms, self.largest = [], [], []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        """Before clipping."""
        own = [one.grad for one in pl_module.parameters() if one.grad is not None]
        self.norms.append(torch.cat([one.flatten() for one in own]).norm().item())
        self.largest.append(max(one.abs().max().item() for one in own))

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        """As training_step returned it."""
        self.losses.append(outputs["loss"].item() * trainer.accumulate_grad_batches)


def train(recipe, long, shift=0, callbacks=()):
    """The training itself, and the module that it leaves."""
    seed = recipe.seed + shift
    training, validation = data.loaders(recipe, seed)
    torch.manual_seed(seed)
    module = Net(recipe)
    for change in recipe.built:
        change(module)
    given = FIXED | OFF | {"max_steps": long, "accumulate_grad_batches": recipe.accumulated}
    given |= {
        "gradient_clip_val": recipe.clip,
        "gradient_clip_algorithm": recipe.clip_by,
        "precision": recipe.precision,
    }
    given |= recipe.trainer | {"callbacks": [*recipe.trainer.get("callbacks", ()), *callbacks]}
    pl.Trainer(**given).fit(module, training, validation)
    return module
