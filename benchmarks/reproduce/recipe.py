"""What a small training is made of: the knobs that a commit, sound or not, may turn. Also where the texts come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass
class Recipe:
    """One state of a program. `seed` is the author's; a run under another one adds to it."""

    program: str
    seed: int = 42
    # Data
    batch: int = 16
    order_seed: int = 0  # added to the seed, for the order of samples
    shuffled: bool = True
    reshuffled: bool = True  # in each epoch
    drop_last: bool = False
    split_seed: int = 7
    augmented: float = 1.0  # of the program's own strength
    augmented_until: int = 10**9  # epochs
    normalised: tuple[float, float] = (0.0, 1.0)  # taken off and divided by, after the program's own constants
    edits: list[Callable[[Any], None]] = field(default_factory=list)  # of the training samples (`.inputs`, `.targets`)
    validated: list[Callable[[Any], Any]] = field(default_factory=list)  # of the set that is validated on
    # Model
    dropout: float = 0.1
    norm_eps: float = 1e-5
    norm_momentum: float = 0.1
    activation: str = "erf"
    residual: float = 1.0
    tied: bool = True
    padding: bool = True
    offset: int = 0  # of positions
    causal: bool = True
    scaled: bool = True  # attention by 1/√d
    biased: bool = True  # the last layer
    by_hand: bool = False  # layers written out: another order of sums
    last: str = "head"  # the last layer's name
    built: list[Callable[[Any], None]] = field(default_factory=list)  # what a commit does to the module, once made
    # Loss
    smoothing: float = 0.05  # of labels; where it is a regression, the half width of its parabola is 1 + this
    reduction: str = "mean"
    loss_dtype: str = "float32"
    weights: bool = False  # of classes
    penalty: float = 0.0
    summed: bool = False  # and divided, in place of a mean
    # Optimizer
    optimizer: str = "AdamW"
    lr: float = 3e-3
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = 0.9
    nesterov: bool = True
    amsgrad: bool = False
    eps: float = 1e-8
    decay: float = 0.01
    fused: bool = True
    decay_all: bool = False  # biases and norms too
    head: float = 0.5  # of the learning rate, for the last layer
    clip: float | None = 0.5
    clip_by: str = "norm"
    # Schedule: warmup, then a cosine down to `floor`
    warmup: int = 10
    horizon: int = 200
    floor: float = 0.0
    per_epoch: bool = False
    shifted: int = 0
    halved: int = 0  # after so many steps
    # Loop
    accumulated: int = 1
    precision: str = "32-true"
    average_by_hand: bool = False
    averaged: float = 0.95  # decay of the weights' moving average, which is what is validated
    skipped: int = 0  # each so many-th step is not taken
    average_used: bool = True
    zeroed: bool = True  # gradients, before each step
    trainer: dict[str, Any] = field(default_factory=dict)
    collated: bool = False  # by a function of its own
    validated_at_once: int = 100  # samples
    # What validation_step does, by name: see `fit.Net`
    validation: str = "sound"


VISION = Recipe(program="vision", batch=48, optimizer="SGD", lr=0.1, decay=5e-4, clip=4.0, horizon=150, warmup=10)
TEXT = Recipe(program="text", batch=16, optimizer="AdamW", lr=1e-2, clip=1.5, horizon=154, warmup=12)
TABULAR = Recipe(program="tabular", batch=16, optimizer="AdamW", lr=1e-2, clip=2.1, horizon=154, warmup=8)
PROGRAMS = {one.program: one for one in (VISION, TEXT, TABULAR)}


def fresh(program: str) -> Recipe:
    """The recipe of a program as its author wrote it, with lists of its own."""
    one = PROGRAMS[program]
    return replace(one, edits=[], validated=[], built=[], trainer={})
