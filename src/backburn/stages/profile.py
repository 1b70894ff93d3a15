"""Does a training step cost what the reference says?

A few steps of the real training run twice: once counted, operation by operation, where one more than in the reviewed
reference is one more on any machine at any load, and once timed, where a difference is only a warning.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from .. import comparison, counts, environment, evidence, references, timings, training
from ..config import Seconds, Training, words
from ..errors import Skip, Unjudged
from ..references import Found, Machine, Reference
from ..report import Curve, Figure, Finding, Level, Measured, Table, after

_PASSES = {"count": "counting", "time": "timing", "again": "counting again"}


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """`[tool.backburn.profile]`. `steps` are counted, and timed after `warmup` others."""

    install: str = "auto"  # how the project's environment is made (environment.md)
    training: Training = Training()
    args: str | tuple[str, ...] = ()  # behind the command, for this stage only
    steps: int = 20  # training batches that are counted, in two short epochs
    timed: int = 50  # training batches that are timed …
    warmup: int = 10  # … after these
    seed: int = 42  # set before the script starts; its own seeding wins
    timeout: Seconds = Seconds(1800)  # of prepare and all passes; the training's own counts for each where it is less
    require_gpu: bool = False  # without a GPU the stage is unjudged
    rehearsal: bool = False
    candidate: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for what cannot hold."""
        if self.steps < 2 or self.timed < 1 or self.warmup < 0:
            raise ValueError("steps must be at least 2 (two short epochs), timed at least 1 and warmup at least 0")


class Told(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the probe saw in one pass. `ended`: profiled, cut (the training ended itself before), exception, no-gpu.

    `workload` says what is trained (steps, items, parameters), `operations` counts `<phase> <operation>` and `flops`
    floating-point operations by phase: whole numbers, of the counting pass. Of the timing pass are `steps`, `busy` and
    `waits` (seconds of each step, of the main thread's work in it, and of waiting for its batch), `sections`
    (Lightning's SimpleProfiler: action -> calls, seconds) and `trace`, the name of a file beside the evidence. Memory
    is in bytes; `peak_memory` is CUDA's.
    """

    ended: str
    workload: dict[str, int] = {}
    operations: dict[str, int] = {}
    flops: dict[str, int] = {}
    compiled: bool = False
    steps: tuple[float, ...] = ()
    busy: tuple[float, ...] = ()
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

    @property
    def counted(self) -> tuple[Told, ...]:
        """What was told of each counting pass that came to its end: one or two."""
        return tuple(one for one in (*self.told[:1], *self.told[2:]) if one and one.ended == "profiled")

    @property
    def timed(self) -> Told | None:
        """What was told of the timing pass, if it came to its end."""
        return next((one for one in self.told[1:2] if one and one.ended == "profiled"), None)

    @property
    def settings(self) -> dict[str, str]:
        """What was set, word by word; what another pass has otherwise, a run's own name say, is not held."""
        return comparison.steady([one.settings for one in self.told if one and one.settings] or [{}])

    @property
    def figures(self) -> list[dict[str, int]]:
        """What each pass counted, under the names that a reference has."""
        counted = [{kind: getattr(one, kind) for kind in counts.KINDS} for one in self.counted]
        return [{f"{kind} {name}": one[kind][name] for kind in one for name in one[kind]} for one in counted]

    @property
    def times(self) -> dict[str, float]:
        """The figures of the timing pass; none where no step was timed. What a busy machine changes least of a step is,
        on a CPU, what the main thread worked.
        """
        told = self.timed
        if told is None or not told.steps:
            return {}
        least = told.busy if told.device.startswith("cpu") else told.steps
        memory = {"peak memory": told.peak_memory, "resident memory": told.resident_memory}
        return timings.figures(told.steps, told.waits, least) | memory


def gather(config: Config, root: Path, out: Path) -> Evidence:
    """Run the passes, each in a process of its own, its output in `out/<pass>/output.txt`. `timeout` is for all."""
    known = references.known(root, "profile", config.training.name)
    python = environment.prepare(root, config.install, out / "install.txt")
    until = time.monotonic() + config.timeout
    seen = Evidence(ended=(), told=())
    for name in _PASSES:
        left = max(1.0, until - time.monotonic())
        if seen.ended and not _is_next(seen, config, left):
            break
        ended, told = _run(name, config, python, root, out, left)
        seen = msgspec.structs.replace(seen, ended=(*seen.ended, ended), told=(*seen.told, told))
        if told and told.machine:
            seen = msgspec.structs.replace(seen, found=references.find(known, told.machine.hardware))
    if seen.timed:
        (out / "sections.txt").write_text(timings.table(seen.timed.sections), encoding="utf-8")
    on_cpu = any(one and one.device.startswith("cpu") for one in seen.told)
    return msgspec.structs.replace(seen, rehearsed=config.rehearsal and config.require_gpu and on_cpu)


def _run(
    name: str, config: Config, python: environment.Environment, root: Path, out: Path, left: float
) -> tuple[training.Ended, Told | None]:
    """One pass; its scratch folder is gone afterwards."""
    settings = {one: getattr(config, one) for one in ("steps", "timed", "warmup", "seed", "require_gpu", "rehearsal")}
    trace = str(out / "trace.json.gz") if name == "time" else ""
    own = {"pass": "time" if trace else "count", "trace": trace, "shift": int(name == "again")}
    try:
        ended = training.start(
            config.training,
            "profile",
            settings | own,
            args=config.args,
            python=python,
            root=root,
            out=out / name,
            timeout=left,
            prepared=name != "count",
            recorded=True,
            label=f"{config.training.name} {_PASSES[name]}",
        )
    finally:
        shutil.rmtree(out / name / "scratch", ignore_errors=True)
    answer = out / name / "probe.json"
    return ended, evidence.load(answer, Told) if answer.exists() else None


def _is_next(seen: Evidence, config: Config, left: float) -> bool:
    """Whether the last pass came to its end and another is wanted: the timing always, a second count where a reference
    may be made of it (there is none to hold it against, or it differs) and there is time for two of the first.
    """
    last = seen.told[-1]
    if last is None or last.ended != "profiled":
        return False
    if len(seen.ended) == 1:
        return True
    try:
        differs = bool(_changes(seen, config, *counts.KINDS))
    except Unjudged:
        differs = True
    return (config.candidate or differs) and left >= 2 * seen.ended[0].seconds


def training_ran(seen: Evidence, config: Config) -> Iterator[Finding]:
    """Every pass ran until it was stopped by the probe."""
    for doing, ended, told in zip(_PASSES.values(), seen.ended, seen.told):
        try:
            found = _fault(ended, told)
        except Unjudged as error:
            raise Unjudged(f"while {doing}: {error}", hint=error.hint, detail=error.detail) from error
        if found:
            yield msgspec.structs.replace(found, message=f"while {doing}: {found.message}")


def _fault(ended: training.Ended, told: Told | None) -> Finding | None:
    whole = told is not None and told.ended not in ("exception", "cut")
    found = training.fault(ended, reached=told is not None, whole=whole)
    if told is None or whole:
        return found
    message, hint = "the training ended itself before all steps were seen", "Look for `should_stop`, an empty loader."
    if told.ended == "exception":
        message, hint = "the fit raised an exception, and the program hid it", _DIFFERENT
    found = found or Finding(message=message, detail=ended.tail)
    return msgspec.structs.replace(found, hint=found.hint or hint)


_DIFFERENT = (
    "Where the training alone does not stop here: profile runs two short epochs without checkpoints and loggers. Does"
    " this read what one of them leaves?"
)


@after(training_ran)
def on_gpu(seen: Evidence, config: Config) -> Iterator[Finding]:
    """The training ran on a GPU, if one is required."""
    told = next(iter(seen.told), None)
    if told is None:
        raise Unjudged("no Trainer.fit was seen")
    training.expect_gpu(told.ended, told.device, required=config.require_gpu, rehearsed=seen.rehearsed)
    yield from ()


@after(on_gpu)
def counts_are_steady(seen: Evidence, config: Config) -> Iterator[Finding]:
    """The same steps under another seed give the same numbers."""
    if len(seen.counted) < 2:
        raise Skip("counted once")
    before = seen.found.reference.figures if seen.found.reference else {}
    known = {name for name, runs in before.items() if len({*runs}) > 1}
    if moved := [name for name in counts.varying(seen.figures) if name not in known]:
        message = f"another seed gives other counts: {counts.listed(moved)}"
        hint = "Texts of any length, random branches? Of these only what is half as much again is held to be a rise."
        yield Finding(message=message, level=Level.NOTICE, hint=hint, detail=counts.in_full(moved))


@after(on_gpu)
def reference_is_comparable(seen: Evidence, config: Config) -> Iterator[Finding]:
    """There is a reference for this hardware, counted in this environment."""
    if changed := _causes(seen, _reference(seen, config), but=_UNTOLD):
        message = f"not all is as it was for the reference: {counts.listed(changed)}"
        yield Finding(message=message, level=Level.NOTICE, detail=counts.in_full(changed))


_UNTOLD = ("kernel", "processor", "memory")  # a hosted runner has others each night; no count depends on them


def _reference(seen: Evidence, config: Config) -> Reference:
    """What this may be held against. Raises Unjudged where there is nothing."""
    machine = seen.counted[0].machine if seen.counted else None
    if machine is None:
        raise Unjudged("the probe told nothing of the machine")
    reference = references.comparable(seen.found, machine, "profile")
    before = {key: reference.settings.get(key, "") for key in _asked(config)}
    if changed := references.differences(before, _asked(config)):
        hint = "Where the new value is meant: backburn profile --candidate, then backburn bless profile."
        raise Unjudged(f"the reference was counted otherwise: {'; '.join(changed)}", hint=hint)
    return reference


def _asked(config: Config) -> dict[str, str]:
    """What of the Config decides what is counted."""
    return {"profile.steps": str(config.steps), "profile.args": " ".join(words(config.args))}


def _changes(seen: Evidence, config: Config, *kinds: str) -> list[counts.Change]:
    return counts.changes(seen.figures, _reference(seen, config), *kinds)


def _causes(seen: Evidence, reference: Reference, but: tuple[str, ...] = ()) -> tuple[str, ...]:
    """What may explain a difference: the training's settings first, then what is soft of the machine."""
    told, machine = seen.settings, seen.counted[0].machine
    other = comparison.differences(reference, told, {}, reference.seeds[0], machine.soft if machine else {})
    lines = [line for one in other if "setting" in one.said or "machine" in one.said for line in one.lines]
    return tuple(line for line in lines if line[:8] != "profile." and line.partition(":")[0] not in but)


def _explained(seen: Evidence, config: Config, *findings: Finding | None) -> Iterator[Finding]:
    """The findings, and in their hints the likely cause and the way out where a difference is meant."""
    changed = _causes(seen, _reference(seen, config))
    cause = (f"Likely: {counts.listed(changed)}.",) if changed else ()
    for one in filter(None, findings):
        hint = " ".join((one.hint, *cause, "If it is meant: backburn bless profile."))
        yield msgspec.structs.replace(one, hint=hint)


_SET = ("batch size", "accumulate", "epochs", "trainable parameters")  # by hand: the other figures follow from them


@after(reference_is_comparable)
def workload_is_the_same(seen: Evidence, config: Config) -> Iterator[Finding]:
    """As many steps, items and parameters are trained as in the reference."""
    if changed := sorted(_changes(seen, config, "workload"), key=lambda one: one.name not in _SET):
        message = f"what is trained differs: {counts.listed(changed)}"
        hint = "A loader, a batch size, a frozen layer, an argument of the Trainer?"
        yield from _explained(seen, config, Finding(message=message, hint=hint, detail=counts.in_full(changed)))


@after(workload_is_the_same)
def operations_do_not_rise(seen: Evidence, config: Config) -> Iterator[Finding]:
    """No phase of the training takes more operations than in the reference."""
    changed = _changes(seen, config, "operations")
    if not all(one.operations for one in seen.counted):
        raise Unjudged("no operation was counted")
    if any(one.compiled for one in seen.counted):
        message = "this training is compiled; its operations were counted without compilation"
        yield Finding(message=message, level=Level.NOTICE)
    did = seen.counted[0].workload
    steps = {"": did.get("training batches", 1), "validation": did.get("validation steps", 1)}
    yield from _explained(seen, config, *counts.rises(changed, steps))
    yield from counts.falls("operations", changed)


@after(workload_is_the_same)
def flops_do_not_rise(seen: Evidence, config: Config) -> Iterator[Finding]:
    """No phase of the training takes more floating-point operations than in the reference."""
    changed = _changes(seen, config, "flops")
    if rises := [one for one in changed if one.rise > 0]:
        message = f"more floating-point operations: {counts.listed(rises)}"
        hint = "More padding, larger layers, a second forward, activations computed again?"
        yield from _explained(seen, config, Finding(message=message, hint=hint, detail=counts.in_full(rises)))
    yield from counts.falls("floating-point operations", changed)


@after(workload_is_the_same)
def memory_does_not_rise(seen: Evidence, config: Config) -> Iterator[Finding]:
    """The GPU's peak memory is at most 2 % over the reference's."""
    if _pair(seen, config, "peak memory") == (0, 0):
        raise Skip("no CUDA memory was used")
    yield from _limited(seen, config, timings.PEAK)


@after(workload_is_the_same)
def step_time(seen: Evidence, config: Config) -> Iterator[Finding]:
    """The quickest step takes at most twice the time of the reference's, or five times by the clock."""
    yield from [*_limited(seen, config, timings.STEP), *_limited(seen, config, timings.CLOCK)][:1]


@after(workload_is_the_same)
def waiting_share(seen: Evidence, config: Config) -> Iterator[Finding]:
    """The share of time between steps is at most 0.2 over the reference's."""
    yield from _limited(seen, config, timings.WAITING)


@after(workload_is_the_same)
def resident_memory(seen: Evidence, config: Config) -> Iterator[Finding]:
    """The process's own memory is at most 1.25 times the reference's."""
    yield from _limited(seen, config, timings.RESIDENT)


def _limited(seen: Evidence, config: Config, limit: timings.Limit) -> Iterator[Finding]:
    yield from _explained(seen, config, limit.finding(*_pair(seen, config, limit.figure)))


def _pair(seen: Evidence, config: Config, name: str) -> tuple[float, float]:
    """A figure of the timing pass, before and now. Raises Unjudged where one is missing."""
    before, now = _reference(seen, config).runs(name), seen.times.get(name)
    if not before or now is None or (name == "peak memory" and before[0] and not now):
        where = "reference" if now and not before else "timing pass"
        raise Unjudged(f"no {name} in the {where}", hint="An older reference? Then: backburn bless profile.")
    return before[0], now


def measured(seen: Evidence) -> tuple[Measured, ...]:
    """The median step first, then what was counted, memory, seconds, device and reference, and the steps as a curve."""
    seconds = Figure(name="seconds", value=round(sum(one.seconds for one in seen.ended), 2), unit="s")
    if not seen.counted or seen.timed is None or not seen.timed.steps:
        return (seconds,)
    told, times, found = seen.counted[0], seen.times, seen.found.reference
    workload = ("trainable parameters", "optimizer steps", "validation steps", "loader items")
    operations = sum(value for name, value in told.operations.items() if not name.endswith(counts.RECORDED))
    device = f"{told.device} (rehearsal)" if seen.rehearsed else told.device
    peak = seen.timed.peak_memory // 2**20
    return (
        Figure(name="step time", value=round(1000 * times["step seconds"], 3), unit="ms"),
        Figure(name="waiting share", value=round(100 * times["waiting share"], 1), unit="%"),
        Figure(name="operations", value=operations),
        Figure(name="flops", value=sum(told.flops.values())),
        *(Figure(name=name, value=told.workload.get(name)) for name in workload),
        *([Figure(name="peak memory", value=peak, unit="MiB")] if peak else []),
        Figure(name="resident memory", value=seen.timed.resident_memory // 2**20, unit="MiB"),
        seconds,
        Figure(name="device", text=device),
        *([Figure(name="reference", text=f"{found.commit[:7]} {found.date}")] if found else []),
        Curve(name="step seconds", values=seen.timed.steps),
        *_tables(seen),
    )


def _tables(seen: Evidence) -> Iterator[Table]:
    told, found = seen.counted[0], seen.found.reference
    if told.machine:
        yield Table(name="environment", rows=(("device", told.device), *told.machine.words))
    if found:
        yield Table(name="reference", rows=references.beside(found, seen.figures[0] | seen.times))


def candidate(seen: Evidence, config: Config) -> Reference | None:
    """What a reference would be made of; None where nothing was counted. What was timed once stands there for each
    count.
    """
    machine = seen.counted[0].machine if seen.counted else None
    if machine is None:
        return None
    names = {name for one in seen.figures for name in one}
    timed = {name: (value,) * len(seen.counted) for name, value in seen.times.items()}
    return Reference(
        stage="profile",
        training=config.training.name,
        machine=machine,
        seeds=tuple(config.seed + shift for shift in range(len(seen.counted))),
        figures={name: tuple(one.get(name, 0) for one in seen.figures) for name in names} | timed,
        settings=seen.settings | _asked(config),
    )


def unfit(one: Reference, config: Config) -> Iterator[str]:
    """Why a candidate cannot become the reference, a sentence each."""
    if len(one.seeds) < 2:
        yield "counted once: run with --candidate"
    if not one.runs("step seconds"):
        yield "no step was timed"


CHECKS = (
    training_ran,
    on_gpu,
    counts_are_steady,
    reference_is_comparable,
    workload_is_the_same,
    operations_do_not_rise,
    flops_do_not_rise,
    memory_does_not_rise,
    step_time,
    waiting_share,
    resident_memory,
)
