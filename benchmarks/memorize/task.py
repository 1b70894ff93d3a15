"""What the benchmark is made of: healthy programs, benign changes of them, and mutants (defects put into them).

A program is a small Lightning training on real or synthetic data, written as its users write theirs. A benign change
is a set of `Knobs`: a commit that nobody should be warned about. A mutant is one defect, put into what a program
built; a pair is a program and a mutant that applies to it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """One benign commit; the defaults are the program as its author wrote it."""

    seed: int = 0
    width: float = 1.0  # of the hidden layers, 0.5 to 2
    lr: float = 1.0  # times the program's own learning rate, 1/3 to 3
    optimizer: str = ""  # "sgd" (with momentum and a fitting rate), "adamw"; "": the program's own
    batch: float = 1.0  # times the program's own batch size, 0.5 to 2
    precision: str = "32-true"  # or "bf16-mixed"
    clip: float = 0.0  # gradient_clip_val of the Trainer
    warmup: int = 0  # steps of a linear warm-up, interval "step"
    dropout: float = 0.0  # behind the hidden activations
    refactored: bool = False  # the same, written otherwise (names, a helper method, nn loss module instead of F)


@dataclass(kw_only=True)
class Task:
    """What is handed to `backburn.memorize`: built fresh each time, with all of its random numbers from `seed`."""

    module: Any  # a LightningModule
    data: Any  # a LightningDataModule, or an iterable of batches
    trainer: dict[str, Any] = field(default_factory=dict)
    frozen: tuple[str, ...] = ()  # patterns of parameters that its author froze on purpose
    allow: tuple[str, ...] = ()  # check ids that its author allows: at most one


@dataclass(frozen=True, kw_only=True)
class Program:
    """One healthy training.

    `traits` say what mutants may count on: "classes" (integer labels, cross entropy), "binary", "multilabel",
    "regression", "autoencoder", "images", "tabular", "tokens", "causal" (a language model: targets are inputs shifted
    by one), "sequence", "padding", "graph", "manual" (manual optimization), "batchnorm", "dropout", "relu",
    "hidden" (at least one hidden layer), "schedule", "frozen" (parts on purpose), "contrastive", "noise" (the loss
    draws random numbers), "unbounded" (the loss has no lower bound), "datamodule", "iterable".
    """

    name: str
    family: str  # of section 3 of the research: "mlp", "vae", "gan" …
    build: Callable[[Knobs], Task]
    traits: frozenset[str] = frozenset()
    knobs: frozenset[str] = frozenset()  # the fields of Knobs that it answers to


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One defect. `apply` changes a task in place (or returns another); `applies` says to which programs it can be
    put at all. `causes` are the checks (`memorize/<name>` without the stage) that name it rightly.
    """

    name: str  # the id of the research, where it has one: "L01-sign"
    title: str  # what was done wrong, in one sentence
    causes: tuple[str, ...]
    applies: Callable[[Program], bool]
    apply: Callable[[Task], Task | None]
    source: str = ""  # where it was seen: a corpus's id, an issue, a paper
