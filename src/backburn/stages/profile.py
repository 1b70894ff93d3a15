"""Does a training step cost what the reference says?

A few steps of the real training run twice: once counted, operation by operation, where one more than in the reviewed
reference is one more on any machine at any load, and once timed, where a difference is only a warning.
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
    """`[tool.backburn.profile]`. `steps` are counted, and timed after `warmup` others."""

    install: str = "auto"
    training: Training = Training()
    args: str | tuple[str, ...] = ()
    steps: int = 20
    timed: int = 50
    warmup: int = 10
    seed: int = 42
    timeout: Seconds = Seconds(1800)
    require_gpu: bool = False
    rehearsal: bool = False
    candidate: bool = False


class Told(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the probe saw in one pass. `ended`: profiled, cut (the training ended itself before), exception, no-gpu.

    `workload` says what is trained (steps, items, parameters), `operations` counts `<phase> <operation>` and `flops`
    floating-point operations by phase: whole numbers, of the counting pass. Of the timing pass are `steps`
    and `waits` (seconds of each step, and of waiting for its batch), `sections` (Lightning's SimpleProfiler: action ->
    calls, seconds) and `trace`, the name of a file beside the evidence. Memory is in bytes; `peak_memory` is CUDA's.
    """

    ended: str
    workload: dict[str, int] = {}
    operations: dict[str, int] = {}
    flops: dict[str, int] = {}
    compiled: bool = False
    steps: tuple[float, ...] = ()
    waits: tuple[float, ...] = ()
    sections: dict[str, tuple[int, float]] = {}
    trace: str = ""
    peak_memory: int = 0
    resident_memory: int = 0
    settings: dict[str, str] = {}
    device: str = ""
    machine: Machine | None = None
    kind: str = "profile-probe"
    schema: int = 1


class Evidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How each pass ended and what its probe told (None: it was never reached): counted, timed, and, where a reference
    is still to be made, counted once more. `found` is what it is held against.
    """

    ended: tuple[training.Ended, ...]
    told: tuple[Told | None, ...]
    found: Found = Found()
    rehearsed: bool = False
    kind: str = "profile"
    schema: int = 1


def gather(config: Config, root: Path, out: Path) -> Evidence:
    """Run the passes."""
    raise Unjudged("not there yet")


def training_ran(seen: Evidence, config: Config) -> Iterator[Finding]:
    """Every pass ran until it was stopped by the probe."""
    yield from ()


def measured(seen: Evidence) -> tuple[Figure | Curve, ...]:
    """The figures."""
    return ()


def candidate(seen: Evidence, config: Config) -> Reference | None:
    """What a reference would be made of; None where a pass is missing."""
    return None


def unfit(one: Reference, config: Config) -> Iterator[str]:
    """Why a candidate cannot become the reference, a sentence each."""
    yield from ()


CHECKS = (training_ran,)
