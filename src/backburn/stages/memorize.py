"""Can the model memorize one batch?

A network that cannot memorize a single batch has a defect in its data, its loss, its gradients or its optimizer; a
training takes hours to show the same. Each training's own command runs, held to its first batch (what Lightning calls
`overfit_batches`), until it has memorized it: on the hardware it finds, with no line of it changed.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

import msgspec

from .. import environment, evidence, references, training
from ..config import Seconds, Training
from ..errors import Skip, Unjudged
from ..memorization import (
    afterwards,
    alignment,
    batch,
    census,
    ctc,
    data,
    dependence,
    draws,
    falling,
    forward,
    gradients,
    lossoutputs,
    losstargets,
    lossterms,
    memory,
    modes,
    parameters,
    places,
    planted,
    pulls,
    standing,
    units,
    updates,
    upkeep,
)
from ..memorization.falling import loss_above_bound, loss_falls, loss_is_finite
from ..memorization.judging import ERRORS, FOUND, reviewed, trace
from ..memorization.seen import Evidence as Evidence
from ..memorization.seen import Told
from ..references import Machine, Reference
from ..report import Check, Curve, Figure, Finding, Level, Measured, Table, after, name_of

_HARDWARE = "any"  # a reference of memorize holds wherever it is run


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """`[tool.backburn.memorize]`; `steps`, `threshold` and `running` are from a study of 402 trainings (docs)."""

    install: str = "auto"  # how the project's environment is made (environment.md)
    training: Training = Training()
    args: str | tuple[str, ...] = ()  # behind the command, for this stage only
    steps: int = 300  # at most
    threshold: float = 0.25  # (loss - floor) / (first loss - floor) has to come below it
    running: int = 3  # steps in a row that are below it
    floor: float | None = None  # what the loss can come down to; left out: computed
    seed: int = 42  # set before the script starts; its own seeding wins
    frozen: tuple[str, ...] = ()  # parameters that are frozen on purpose, as patterns: "backbone.*"
    budget: Seconds = Seconds(300)  # of wall time, a warning
    timeout: Seconds = Seconds(900)  # of prepare and command together; the training's own counts where it is less
    require_gpu: bool = False  # without a GPU the stage is unjudged
    rehearsal: bool = False
    candidate: bool = False
    prove: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for what cannot hold."""
        if not 0 < self.threshold < 1:
            raise ValueError(f"threshold must lie between 0 and 1, got {self.threshold}")
        if not 1 <= self.running < self.steps:
            raise ValueError(f"steps ({self.steps}) must be more than running ({self.running}), and that at least 1")


def gather(config: Config, root: Path, out: Path) -> Evidence:
    """Run the training with the probe in it. Its output is in `out/output.txt`.

    Raises UserError for a reference that cannot be used, before anything runs.
    """
    known = references.known(root, "memorize", config.training.name)
    python = environment.prepare(root, config.install, out / "install.txt")
    names = ("steps", "threshold", "running", "floor", "seed", "require_gpu", "rehearsal", "prove")
    settings = {name: getattr(config, name) for name in names}
    ended = training.start(
        config.training,
        "memorize",
        settings,
        args=config.args,
        python=python,
        root=root,
        out=out,
        timeout=config.timeout,
        recorded=True,
    )
    answer = out / "probe.json"
    told = evidence.load(answer, Told) if answer.exists() else None
    fell_back = config.rehearsal and config.require_gpu and told is not None and told.device.startswith("cpu")
    return Evidence(ended=ended, told=told, reference=known.get(_HARDWARE), rehearsed=fell_back)


def against(seen: Evidence, config: Config, root: Path) -> Evidence:
    """Kept evidence, held against the reference that lies there now: none is looked at while it is measured.

    Raises UserError for a reference that cannot be used.
    """
    known = references.known(root, "memorize", config.training.name)
    return msgspec.structs.replace(seen, reference=known.get(_HARDWARE))


def training_ran(seen: Evidence, config: Config) -> Iterator[Finding]:
    """The training ran until the probe stopped it: no crash, no hang, no end of its own."""
    told = seen.told
    if told is not None and told.exhausted is not None:
        place = {"file": seen.ended.file, "line": seen.ended.line, "detail": seen.ended.tail}
        return (yield msgspec.structs.replace(memory.ran_out(told.exhausted), **place))
    whole = told is not None and told.ended not in ("exception", "cut")
    found = training.fault(seen.ended, reached=told is not None, whole=whole)
    if found:
        inside = told is not None and told.ended == "exception" and not found.hint
        yield msgspec.structs.replace(found, hint=_DIFFERENT) if inside else found
    elif told is not None and not whole:
        message = f"the training ended itself after {told.steps} of {config.steps} steps"
        hint = "Look for `should_stop`, or a loader that is empty."
        if told.ended == "exception":
            message = f"the fit raised an exception after {told.steps} steps, and the program hid it"
            hint = "Look for an `except` around the fit, and let it raise what it caught."
        yield Finding(message=message, hint=hint, detail=seen.ended.tail)


_DIFFERENT = (
    "Where the training alone does not stop here: memorize runs one epoch over one batch, without validation,"
    " checkpoints and loggers. Does this read `val_loss`, a checkpoint's path, or what a validation leaves?"
)


@after(training_ran)
def on_gpu(seen: Evidence, config: Config) -> Iterator[Finding]:
    """The training ran on a GPU, if one is required."""
    training.expect_gpu(seen.probe.ended, seen.probe.device, required=config.require_gpu, rehearsed=seen.rehearsed)
    yield from ()


@after(training_ran)
def within_budget(seen: Evidence, config: Config) -> Iterator[Finding]:
    """It took no longer than its budget."""
    if not seen.ended.seconds <= config.budget:
        message = f"the training took {seen.ended.seconds:.0f} s, more than the budget of {config.budget:.0f} s"
        yield Finding(message=message, level=Level.WARNING, hint="Give it less data to load, or fewer `steps`.")


def proof(seen: Evidence, config: Config) -> Iterator[Finding]:
    """Bugs that were planted into this training are caught."""
    if not config.prove:
        raise Skip("none were planted (`--prove`)")
    if not seen.probe.planted:
        raise Skip("none were planted: the training does not memorize its batch without them")
    yield from planted.concluded(planted.caught(seen, config, CHECKS))


def measured(seen: Evidence) -> tuple[Measured, ...]:
    """Steps first, then the losses, seconds, device and peak memory, the loss as a curve, and the environment."""
    told = seen.told
    if told is None or not told.steps:
        return (Figure(name="seconds", value=round(seen.ended.seconds, 2), unit="s"),)
    device = f"{told.device} (rehearsal)" if seen.rehearsed else told.device
    losses = [loss for loss in told.losses if math.isfinite(loss)]
    return (
        Figure(name="steps", value=told.steps),
        Figure(name="first loss", value=losses[0] if losses else None),
        Figure(name="best loss", value=min(losses, default=None)),
        Figure(name="seconds", value=round(seen.ended.seconds, 2), unit="s"),
        Figure(name="training seconds", value=round(told.seconds, 3), unit="s"),
        Figure(name="device", text=device),
        Figure(name="peak memory", value=told.peak_memory // 2**20, unit="MiB"),
        Curve(name="loss", values=told.losses),
        Table(name="environment", rows=(("device", told.device), *told.versions.items())),
    )


def candidate(seen: Evidence, config: Config) -> Reference | None:
    """What a reference would be made of, about 1 KB; None where the fit was not seen to its end."""
    told = seen.told
    if told is None or told.ended in ("cut", "exception", "no-gpu", "late"):
        return None
    alone = msgspec.structs.replace(seen, reference=None, told=msgspec.structs.replace(told, planted=()))
    numbers = {name: value for figures in _FIGURES for name, value in figures(alone).items()}
    return Reference(
        stage="memorize",
        training=config.training.name,
        machine=Machine(hardware=_HARDWARE),
        seeds=(config.seed,),
        figures={name: (value,) for name, value in numbers.items() if math.isfinite(value)},
        settings=_found(alone, config) | {name: text for kept in _KEPT for name, text in kept(alone).items()},
    )


# What each part of a training leaves for a reference, in numbers and in words.
_FIGURES = (alignment.figures, places.figures, lossterms.figures, falling.figures)
_KEPT = (
    data.kept,
    lossterms.kept,
    parameters.kept,
    modes.kept,
    pulls.kept,
    census.kept,
    gradients.kept,
    upkeep.kept,
    updates.kept,
    forward.kept,
    dependence.kept,
    draws.kept,
    afterwards.kept,
    standing.kept,
)


def _found(seen: Evidence, config: Config) -> dict[str, str]:
    """The checks that find something, however loud, and what tells their errors from others."""
    found, errors = [], []
    for check in CHECKS:
        with contextlib.suppress(Skip, Unjudged):
            findings = list(check(seen, config))
            found += [name_of(check)] if findings else []
            errors += [trace(check, one) for one in findings if one.level is Level.ERROR]
    return {FOUND: " ".join(found)} | ({ERRORS: " ".join(errors)} if errors else {})


def unfit(one: Reference, config: Config) -> Iterator[str]:
    """Why a candidate cannot become the reference, a sentence each."""
    if FOUND not in one.settings:
        yield "it does not say which checks found something"


CHECKS: tuple[Check, ...] = (
    training_ran,
    *map(
        after(training_ran),
        map(
            reviewed,
            (
                on_gpu,
                *batch.CHECKS,
                *data.CHECKS,
                *alignment.CHECKS,
                *places.CHECKS,
                *modes.CHECKS,
                *lossoutputs.CHECKS,
                *losstargets.CHECKS,
                *ctc.CHECKS,
                *lossterms.CHECKS,
                *parameters.CHECKS,
                *forward.CHECKS[:1],  # what forward writes over, no step can show
                loss_is_finite,
                loss_above_bound,
                *gradients.CHECKS,
                *updates.CHECKS,
                *upkeep.CHECKS,
                *units.CHECKS,
                *forward.CHECKS[1:],
                *draws.CHECKS,
                *dependence.CHECKS,
                *census.CHECKS,
                *standing.CHECKS,
                *map(after(loss_is_finite), (loss_falls, *afterwards.CHECKS)),
                lossterms.as_reviewed,
                within_budget,
                proof,
            ),
        ),
    ),
)
