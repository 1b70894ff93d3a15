"""Does the full training still come out as the reference says?

The whole training runs, as its author wrote it, and its loss at fixed steps and its last metrics are held against a
reviewed reference: a training of the same commit under several seeds says how far apart sound trainings lie.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from .. import training
from ..config import Seconds, Training
from ..errors import Unjudged
from ..references import Found, Machine, Reference
from ..report import Curve, Figure, Finding


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """`[tool.backburn.reproduce]`. `alpha` is the share of sound nights that may be called changed: 0.003 is one a
    year. `seed` is for a script that sets none. `timeout` is for all runs of one training together.
    """

    install: str = "auto"
    training: Training = Training()
    args: str | tuple[str, ...] = ()
    seeds: int = 5
    alpha: float = 0.003
    seed: int = 42
    timeout: Seconds = Seconds(86400)
    require_gpu: bool = False
    rehearsal: bool = False
    candidate: bool = False


Points = tuple[tuple[int, float], ...]  # (training batches since the start, value), steps ascending


class Told(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the probe saw of one run. `ended`: running, fit (the last fit came to its end), exception or no-gpu.

    `shift` was added to the seeds that the script asked for (`seeded`). `losses`, `rates` (learning rate) and `norms`
    (of the whole gradient, before clipping) are at the steps of one fixed grid; a mean is over the steps since half of
    its own, (s/2, s], the last one's may be shorter. `metrics` are those at the end, tests included; `validations`
    those of each validation. `samples` is how many one validation saw. Memory is in bytes.
    """

    ended: str
    shift: int = 0
    seeded: tuple[int, ...] = ()
    steps: int = 0
    planned: int = 0
    epochs: int = 0
    seconds: float = 0.0
    losses: Points = ()
    means: Points = ()
    rates: Points = ()
    norms: Points = ()
    metrics: dict[str, float] = {}
    validations: dict[str, Points] = {}
    samples: int = 0
    settings: dict[str, str] = {}
    data: dict[str, str] = {}
    device: str = ""
    machine: Machine | None = None
    peak_memory: int = 0
    kind: str = "reproduce-probe"
    schema: int = 1


class Evidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How each run ended and what its probe told (None: it was never reached): first the training itself, then, where
    a reference is still to be made, those under other seeds. `found` is what it is held against.
    """

    ended: tuple[training.Ended, ...]
    told: tuple[Told | None, ...]
    found: Found = Found()
    rehearsed: bool = False
    kind: str = "reproduce"
    schema: int = 1


def gather(config: Config, root: Path, out: Path) -> Evidence:
    """Run the training; where there is nothing to hold it against, run it under other seeds too."""
    raise Unjudged("not there yet")


def training_ran(seen: Evidence, config: Config) -> Iterator[Finding]:
    """The training ran to its end."""
    yield from ()


def measured(seen: Evidence) -> tuple[Figure | Curve, ...]:
    """The figures."""
    return ()


def candidate(seen: Evidence, config: Config) -> Reference | None:
    """What a reference would be made of; None where no run came to its end."""
    return None


def unfit(one: Reference, config: Config) -> Iterator[str]:
    """Why a candidate cannot become the reference, a sentence each."""
    yield from ()


CHECKS = (training_ran,)
