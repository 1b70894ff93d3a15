"""How a commit's knobs become the arguments of a program's classes."""

import torch
from lightning import seed_everything
from torch.optim.lr_scheduler import LambdaLR

ALL = frozenset({"seed", "width", "lr", "optimizer", "batch", "precision", "clip", "warmup", "dropout", "refactored"})


def fresh(knobs):
    """Seeds what draws the weights."""
    seed_everything(knobs.seed, verbose=False)


def wide(knobs, width, multiple=4):
    """The width of a hidden layer, a multiple of the number of heads or groups."""
    return max(multiple, round(width * knobs.width / multiple) * multiple)


def many(knobs, size):
    """The batch size."""
    return max(4, round(size * knobs.batch))


def trainer(knobs):
    """The Trainer's arguments."""
    chosen = {"precision": knobs.precision} if knobs.precision != "32-true" else {}
    return chosen | ({"gradient_clip_val": knobs.clip} if knobs.clip else {})


def hyper(knobs, lr, *, sgd=0.05, optimizer="adam"):
    """The hyperparameters of `optimized`; `sgd` is the rate that fits SGD with momentum."""
    chosen = knobs.optimizer or optimizer
    rate = sgd if chosen == "sgd" else lr
    return {"lr": rate * knobs.lr, "optimizer": chosen, "warmup": knobs.warmup}


def optimized(parameters, hparams, weight_decay=0.0):
    """What configure_optimizers returns: the optimizer, with a linear warm-up where one is asked for."""
    if hparams.optimizer == "sgd":
        optimizer = torch.optim.SGD(parameters, lr=hparams.lr, momentum=0.9, weight_decay=weight_decay)
    elif hparams.optimizer == "adamw":
        optimizer = torch.optim.AdamW(parameters, lr=hparams.lr, weight_decay=weight_decay or 0.01)
    else:
        optimizer = torch.optim.Adam(parameters, lr=hparams.lr, weight_decay=weight_decay)
    if not hparams.warmup:
        return optimizer
    ramp = LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / hparams.warmup))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": ramp, "interval": "step"}}
