"""What the trainings of one team share: how a size, an optimizer and the Trainer's arguments follow from settings."""

from dataclasses import dataclass

import torch
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import LambdaLR


@dataclass(frozen=True)
class Recipe:
    """How the parameters of a training are updated; `warmup` in steps."""

    lr: float
    optimizer: str = "adam"
    weight_decay: float = 0.0
    warmup: int = 0

    def configure(self, parameters):
        """What configure_optimizers returns."""
        optimizer = self.optimizer_of(parameters)
        if not self.warmup:
            return optimizer
        scheduler = LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / self.warmup))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def optimizer_of(self, parameters):
        """The optimizer alone."""
        if self.optimizer == "sgd":
            return SGD(parameters, lr=self.lr, momentum=0.9, weight_decay=self.weight_decay)
        if self.optimizer == "adamw":
            return AdamW(parameters, lr=self.lr, weight_decay=self.weight_decay or 0.01)
        return Adam(parameters, lr=self.lr, weight_decay=self.weight_decay)


def recipe(knobs, lr, *, optimizer="adam", sgd=0.05, warmup=0, weight_decay=0.0):
    """`lr` is the program's own rate; `sgd` is the one for SGD with momentum."""
    chosen = knobs.optimizer or optimizer
    rate = sgd if chosen == "sgd" else lr
    return Recipe(rate * knobs.lr, chosen, weight_decay, knobs.warmup or warmup)


def hidden(knobs, size):
    """A hidden size, in multiples of 8 (heads divide it)."""
    return max(8, 8 * round(size * knobs.width / 8))


def rows(knobs, size):
    """How many samples a batch has."""
    return max(4, round(size * knobs.batch))


def arguments(knobs, **own):
    """The Trainer's arguments, without those at their defaults."""
    if knobs.precision != "32-true":
        own["precision"] = knobs.precision
    if knobs.clip:
        own["gradient_clip_val"] = knobs.clip
    return own


def seeded(build):
    """Everything drawn in `build` comes from its seed."""

    def drawn(knobs):
        torch.manual_seed(knobs.seed)
        return build(knobs)

    return drawn
