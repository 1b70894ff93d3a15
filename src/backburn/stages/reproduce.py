"""Does the full training still come out as the reference says?

The whole training runs, as its author wrote it, and its loss at fixed steps and its last metrics are held against a
reviewed reference: a training of the same commit under several seeds says how far apart sound trainings lie.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from .. import comparison, environment, evidence, references, training
from ..config import Seconds, Training
from ..errors import Skip, Unjudged
from ..references import Found, Machine, Reference
from ..report import Curve, Figure, Finding, Level, Measured, Table, after

_FINAL, _CURVE = 2 / 3, 1 / 3  # of alpha: final metrics are what a training is for
_SHOWN = 8  # final metrics among the figures


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """`[tool.backburn.reproduce]`. `alpha` is the share of sound nights that may be called changed: 0.003 is one a
    year. `seed` is for a script that sets none. `timeout` is for all runs of one training together.
    """

    install: str = "auto"  # how the project's environment is made (environment.md)
    training: Training = Training()
    args: str | tuple[str, ...] = ()  # behind the command, for this stage only
    seeds: int = 5  # runs that a reference is made of, at least 3
    alpha: float = 0.003  # the share of sound nights that may be called changed: one a year
    seed: int = 42  # for a script that sets none; its own seeding wins
    timeout: Seconds = Seconds(86400)  # of all runs of one training; its own counts for each run where it is less
    require_gpu: bool = False  # without a GPU the stage is unjudged
    rehearsal: bool = False
    candidate: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for what cannot hold."""
        if self.seeds < 3:
            raise ValueError(f"seeds must be at least 3, got {self.seeds}: two do not tell how far a third may lie")
        if not 0 < self.alpha < 0.5:
            raise ValueError(f"alpha must lie between 0 and 0.5, got {self.alpha}")


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

    @property
    def probe(self) -> Told:
        """What the probe told of the training itself. Raises Unjudged where there is nothing."""
        if self.told[0] is None:
            raise Unjudged("no Trainer.fit was seen")
        return self.told[0]

    def against(self) -> Reference:
        """What it is held against. Raises Unjudged, with the difference, where nothing can be compared with it."""
        if self.probe.machine is None:
            raise Unjudged("the probe did not tell the machine")
        one = references.comparable(self.found, self.probe.machine, "reproduce")
        if len(one.seeds) < 2:
            raise Unjudged("the reference holds a single run, which has no tolerance", hint="Bless it again.")
        return one

    @property
    def whole(self) -> tuple[Told, ...]:
        """The runs that came to their end."""
        return tuple(told for ended, told in zip(self.ended, self.told) if told and _is_whole(ended, told))


def _is_whole(ended: training.Ended, told: Told | None) -> bool:
    return told is not None and told.ended == "fit" and told.steps > 0 and not ended.code and not ended.timed_out


def gather(config: Config, root: Path, out: Path) -> Evidence:
    """Run the training; where there is nothing to hold it against, run it under other seeds too.

    Output and answer of the training itself are in `out`, those of the others in `out/seed-<i>`. Raises UserError for
    a reference that cannot be used, before anything runs.
    """
    known = references.known(root, "reproduce", config.training.name)
    python = environment.prepare(root, config.install, out / "install.txt")
    until = time.monotonic() + config.timeout
    ended, told = _run(config, 0, python, root, out, config.timeout)
    hardware = told.machine.hardware if told and told.machine else ""
    fell_back = config.rehearsal and config.require_gpu and told is not None and told.device.startswith("cpu")
    seen = Evidence(ended=(ended,), told=(told,), found=references.find(known, hardware), rehearsed=fell_back)
    for shift in range(1, config.seeds if _takes_seeds(seen, config) else 1):
        left = until - time.monotonic()
        if left < ended.seconds:
            break
        another = _run(config, shift, python, root, out / f"seed-{shift}", left)
        seen = msgspec.structs.replace(seen, ended=(*seen.ended, another[0]), told=(*seen.told, another[1]))
    return seen


def _run(
    config: Config, shift: int, python: environment.Environment, root: Path, out: Path, timeout: float
) -> tuple[training.Ended, Told | None]:
    ended = training.start(
        config.training,
        "reproduce",
        {"shift": shift} | {name: getattr(config, name) for name in ("seed", "require_gpu", "rehearsal")},
        args=config.args,
        python=python,
        root=root,
        out=out,
        timeout=timeout,
        prepared=shift > 0,
        label=f"{config.training.name}, seed {shift + 1} of {config.seeds}" if shift else "",
    )
    shutil.rmtree(out / "scratch", ignore_errors=True)  # checkpoints are not evidence: they would be uploaded
    answer = out / "probe.json"
    return ended, evidence.load(answer, Told) if answer.exists() else None


def _takes_seeds(seen: Evidence, config: Config) -> bool:
    """Whether other seeds are worth their hours: a reference is to be made, and this run could be part of it."""
    if not seen.whole or _not_finite(seen.probe):
        return False
    try:
        return config.candidate or not seen.against()
    except Unjudged:
        return True


def training_ran(seen: Evidence, config: Config) -> Iterator[Finding]:
    """The training ran to its end."""
    ended, told = seen.ended[0], seen.told[0]
    if ended.timed_out:
        hint = "An unfinished night is no verdict. Give it more time, or is it stuck where the output below ends?"
        raise Unjudged(f"unfinished: {_how_far(ended, told)} ({ended.limit})", hint=hint, detail=ended.tail)
    whole = _is_whole(ended, told) or (told is not None and told.ended == "no-gpu")
    found = training.fault(ended, reached=told is not None, whole=whole)
    if found:
        yield found
    elif not whole and told is not None:
        how, hint = _CUT_SHORT[told.ended]
        yield Finding(message=f"{how}: {_how_far(ended, told)}", hint=hint, detail=ended.tail)
    for shift, another in list(enumerate(zip(seen.ended, seen.told)))[1:]:
        if not _is_whole(*another):
            said = f"under its seed + {shift} it did not: {another[0].message or _how_far(*another)}"
            yield Finding(message=said, level=Level.WARNING, detail=another[0].tail)


_INSIDE = "Look for an `except` around the fit, or for sys.exit in a callback."
_CUT_SHORT = {  # how a fit ended -> what is said where the program called that a success
    "exception": ("the fit raised an exception, and the program hid it", _INSIDE),
    "running": ("it ended itself", _INSIDE),
    "fit": (
        "it trained nothing",
        "Did it go on from a checkpoint that an earlier run left? Remove that in `prepare`. Or is its data empty?",
    ),
}


def _how_far(ended: training.Ended, told: Told | None) -> str:
    if told is None:
        return f"{'`prepare`' if ended.prepare else 'no fit was seen; it'} took {ended.seconds:.0f} s"
    of_planned = f" of {told.planned}" if told.planned > 0 else ""
    came = {"fit": "the fit ended at", "running": "reached at least"}  # that one was told up to 30 s before
    return f"{came.get(told.ended, 'reached')} step {told.steps}{of_planned}"


@after(training_ran)
def on_gpu(seen: Evidence, config: Config) -> Iterator[Finding]:
    """The training ran on a GPU, if one is required."""
    training.expect_gpu(seen.probe.ended, seen.probe.device, required=config.require_gpu, rehearsed=seen.rehearsed)
    yield from ()


@after(on_gpu)
def loss_is_finite(seen: Evidence, config: Config) -> Iterator[Finding]:
    """The loss and every metric are finite numbers at every step."""
    told = seen.probe
    if not told.losses and not told.metrics:
        hint = 'Return the loss from training_step, or log it: self.log("loss", loss).'
        raise Unjudged("neither a loss nor a metric was seen", hint=hint)
    if message := _not_finite(told):
        yield Finding(
            message=message, hint="Too high a learning rate, a logarithm, a root, a division, or NaN in data?"
        )


def _not_finite(told: Told) -> str:
    """What is first no finite number, and when; empty where all are."""
    several = {"the loss": told.losses, "the mean loss since half that step": told.means} | told.validations
    points = [(step, value, name) for name, many in several.items() for step, value in many if not math.isfinite(value)]
    if points:
        step, value, name = min(points, key=lambda point: point[0])
        return f"{name} is {value} at step {step} of {told.steps}"
    return next((f"{name} is {one} at the end" for name, one in told.metrics.items() if not math.isfinite(one)), "")


@after(loss_is_finite)
def reference_is_comparable(seen: Evidence, config: Config) -> Iterator[Finding]:
    """It is held against a reference of this hardware and environment."""
    seen.against()
    yield from ()


@after(reference_is_comparable)
def same_training(seen: Evidence, config: Config) -> Iterator[Finding]:
    """It is the training that was blessed: the same settings and the same data, or the same to the last bit."""
    same = comparison.is_identical(seen.against(), _figures(seen.probe))
    for said, level, changed in _differences(seen, config):
        if changed and not (same and level is Level.NOTICE):  # it explains nothing
            message = f"{said} than the reference's: {_listed(changed)}"
            hint = _MEANT if level is Level.ERROR else ""
            level = Level.NOTICE if same else level  # a setting that changes nothing
            yield Finding(message=message, level=level, hint=hint, detail="\n".join(changed))


_MEANT = "Is it meant? Then make this the reference: backburn bless reproduce."


def _differences(seen: Evidence, config: Config) -> tuple[comparison.Difference, ...]:
    told = seen.probe
    soft = told.machine.soft if told.machine else {}
    return comparison.differences(seen.against(), told.settings, told.data, _seed(told, config.seed), soft)


def _listed(lines: tuple[str, ...]) -> str:
    return "; ".join(lines[:3]) + (f" and {len(lines) - 3} more" if len(lines) > 3 else "")


@after(same_training)
def final_metrics_hold(seen: Evidence, config: Config) -> Iterator[Finding]:
    """The metrics at the end are within what seeds do."""
    tonight, reference = _figures(seen.probe), seen.against()
    steps, names = set(reference.runs("steps")), comparison.finals(reference)
    if len(steps) == 1 and tonight["steps"] not in steps:
        message = f"it took {tonight['steps']} training steps; the reference took {steps.pop()}"
        yield Finding(message=message, hint=_cause(seen, config))
    for name in names:
        if name not in tonight:
            message = f"{name.removeprefix(comparison.FINAL)} is in the reference, and was not measured"
            yield Finding(message=message, hint="Is it no longer logged, or did its validation or test not run?")
    if len(steps) > 1:  # it stops early, at a step that depends on the seed
        names.append("steps")
    for name in comparison.beyond(reference, tonight, names, config.alpha * _FINAL):
        yield Finding(message=comparison.sentence(reference, tonight, name), hint=_cause(seen, config))
    fresh = [name.removeprefix(comparison.FINAL) for name in tonight if name.startswith(comparison.FINAL)]
    if fresh := [name for name in fresh if comparison.FINAL + name not in names]:
        yield Finding(message=f"not in the reference yet: {', '.join(fresh)}", level=Level.NOTICE)


@after(same_training)
def curve_holds(seen: Evidence, config: Config) -> Iterator[Finding]:
    """The loss is within what seeds do all the way."""
    tonight, reference = _figures(seen.probe), seen.against()
    octaves = comparison.octaves(reference)
    if not octaves:
        raise Skip("the reference holds no loss")
    for name in comparison.beyond(reference, tonight, octaves, config.alpha * _CURVE)[:1]:
        return (yield Finding(message=comparison.sentence(reference, tonight, name), hint=_cause(seen, config)))
    if first := comparison.first_difference(reference, tonight):
        hint = "A commit changed the training, or it does not repeat on this machine (Trainer(deterministic=True)?)."
        yield Finding(message=f"within what seeds do, but not the same {first}", level=Level.NOTICE, hint=hint)


def _cause(seen: Evidence, config: Config) -> str:
    """What is likely to have moved it, and since when."""
    changed = [f"{said} ({_listed(lines)})" for said, _, lines in _differences(seen, config) if lines]
    likely = "; ".join(changed) or "the code, as settings, data and machine are the reference's"
    first = comparison.first_difference(seen.against(), _figures(seen.probe))
    where = f"The curve differs {first}." if first else "The curve is the same: only the evaluation differs."
    reference = f"The reference is of {_commit(seen.against())}; if the change is meant: backburn bless reproduce."
    return f"Likely: {likely}. {where} {reference}"


def _commit(reference: Reference) -> str:
    short = reference.commit[:7] + "+" * reference.commit.endswith("+")
    return f"{short or 'no commit'} {reference.date}".rstrip()


def _seed(told: Told, otherwise: int) -> int:
    """The seed that a run had: the first that its script asked for, or the one that was set for it."""
    return (told.seeded[0] if told.seeded else otherwise) + told.shift


def _figures(told: Told) -> dict[str, float | int]:
    """What is compared, by the names that it has in a reference."""
    points = {"loss": told.losses, "mean loss": told.means, "rate": told.rates, "norm": told.norms}
    at_steps = {f"{name}@{step}": value for name, many in points.items() for step, value in many}
    final = {f"final {name}": value for name, value in told.metrics.items() if not comparison.is_clock(name)}
    return {"steps": told.steps, "samples": told.samples, **final, **at_steps}


def measured(seen: Evidence) -> tuple[Measured, ...]:
    """Steps first, then the metrics at the end, seconds, device and memory, and how far it is from the reference."""
    told, seconds = seen.told[0], Figure(name="seconds", value=round(seen.ended[0].seconds, 2), unit="s")
    if told is None or not told.steps:
        return (seconds,)
    finite = [(name, value) for name, value in told.metrics.items() if math.isfinite(value)]
    figures = (
        Figure(name="steps", value=told.steps),
        *(Figure(name=f"final {name}", value=value) for name, value in finite[:_SHOWN]),
        seconds,
        Figure(name="training seconds", value=round(told.seconds, 3), unit="s"),
        Figure(name="seeds", value=len(seen.whole)),
        Figure(name="device", text=f"{told.device} (rehearsal)" if seen.rehearsed else told.device),
        Figure(name="peak memory", value=told.peak_memory // 2**20, unit="MiB"),
    )
    return (*figures, *_held(seen), _curve("loss", told.losses), *_tables(seen))


def _curve(name: str, points: Iterable[tuple[int, float]]) -> Curve:
    steps, values = tuple(zip(*points)) or ((), ())
    return Curve(name=name, values=values, steps=steps)


def _held(seen: Evidence) -> Iterator[Figure | Curve]:
    """How far the training is from the reference; nothing where there is none to compare with."""
    try:
        reference, tonight = seen.against(), _figures(seen.probe)
    except Unjudged:
        return
    same = comparison.is_identical(reference, tonight)
    yield Figure(name="worst deviation", value=comparison.worst(reference, tonight), unit="sd")
    yield Figure(name="identical", text="to the last bit" if same else "no")
    yield Figure(name="reference", text=_commit(reference))
    runs = [(step, reference.runs(f"loss@{step}")) for step, _ in seen.probe.losses]
    yield _curve("reference loss", ((step, math.fsum(one) / len(one)) for step, one in runs if one))


def _tables(seen: Evidence) -> Iterator[Table]:
    if seen.probe.machine:
        yield Table(name="environment", rows=(("device", seen.probe.device), *seen.probe.machine.words))
    if seen.found.reference:
        yield Table(name="reference", rows=references.beside(seen.found.reference, _figures(seen.probe)))


def candidate(seen: Evidence, config: Config) -> Reference | None:
    """What a reference would be made of; None where no run came to its end."""
    runs = seen.whole
    if not runs or runs[0].machine is None:
        return None
    return Reference(
        stage="reproduce",
        training=config.training.name,
        machine=runs[0].machine,
        seeds=tuple(_seed(told, config.seed) for told in runs),
        figures=comparison.merged([_figures(told) for told in runs]),
        settings=comparison.steady([told.settings for told in runs]),
        data=comparison.steady([told.data for told in runs]),
    )


def unfit(one: Reference, config: Config) -> Iterator[str]:
    """Why a candidate cannot become the reference, a sentence each."""
    if len(one.seeds) < config.seeds:
        yield (
            f"{len(one.seeds)} of {config.seeds} seeds; too few for what `seeds` in [tool.backburn.reproduce] claims"
            " (`backburn reproduce` says what became of the others)"
        )
    runs = comparison.outcomes(one)
    if not any(runs):
        yield "it holds neither a loss nor a metric"
    elif len(set(runs)) < len(runs):
        yield "two seeds came out the same to the last bit: the script sets its seed where backburn cannot reach"


CHECKS = (
    training_ran,
    on_gpu,
    loss_is_finite,
    reference_is_comparable,
    same_training,
    final_metrics_hold,
    curve_holds,
)
