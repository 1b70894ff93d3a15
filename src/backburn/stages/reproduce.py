"""Does the full training still come out as the reference says?

The whole training runs, as its author wrote it, and is held against a reviewed reference: to the bit, to a rounding,
and by what several seeds of the same commit came to. What looks worse is confirmed under fresh seeds first.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path

import msgspec

from .. import comparison, environment, references, training
from ..config import Seconds, Training
from ..errors import Skip, Unjudged
from ..references import Found, Reference
from ..report import Curve, Figure, Finding, Level, Measured, Table, after
from ..reproduction import alarm, beside, candidates, causes, ladder, lane, sliding
from ..reproduction.beside import Beside, Limits
from ..reproduction.ladder import Night, Rung
from ..reproduction.lane import FIXED, SLIDING
from ..reproduction.runs import Runs
from ..reproduction.sliding import Lane, Point
from ..reproduction.told import Told, coverage, figures, how_far, is_whole, not_finite

_SHOWN = 8  # final metrics among the figures


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """`[tool.backburn.reproduce]`. `alpha` is the share of sound nights that may be called worse or better: 0.003 is
    one a year. `seed` is for a script that sets none. `timeout` is for all runs of one training together.
    """

    install: str = "auto"  # how the project's environment is made (environment.md)
    training: Training = Training()
    args: str | tuple[str, ...] = ()  # behind the command, for this stage only
    seeds: int = 5  # runs that a reference is made of, at least 3
    alpha: float = 0.003  # the share of sound nights that may be called regressed
    self_steps: int = 20  # of a second run of the same commit and seed: does it repeat? 0: never asked
    ulps: int = 8  # runs of a new reference with rounded weights, of half its steps, a quarter …; 0: none
    fresh: int = 2  # fresh seeds before anyone is alarmed; 0: the night alone decides
    lane: str = FIXED  # or sliding: the data are those of the last days, and its nights are held against each other
    beside: str = ""  # of a sliding lane: a training of the fixed one, declared before it, to tell code from data
    hours: float = 0  # a run ends after so many, and what it reached is compared; 0: at its own end
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
        if self.lane not in (FIXED, SLIDING):
            raise ValueError(f"lane must be {FIXED} or {SLIDING}, got {self.lane!r}")
        for name in ("self_steps", "ulps", "fresh", "hours"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name.replace('_', '-')} must not be negative, got {getattr(self, name)}")


class Evidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How each run ended and what its probe told (None: it was never reached): first the training itself, then, where
    a reference is still to be made, those under other seeds. `found` is what it is held against.

    `roots` are those of the recorded steps of the training itself, `again` and `repeated` the answer and the roots of
    the same run a second time, `fresh` runs under seeds that the reference has not, `rounded` those with rounded
    weights. `aside` says what became of those of them that did not end. `alpha`, `wanted` (fresh seeds) and `seed` are
    what was asked for. `lane` are the nights of a sliding lane and `tonight` this one, in place of all that.
    """

    ended: tuple[training.Ended, ...]
    told: tuple[Told | None, ...]
    found: Found = Found()
    rehearsed: bool = False
    roots: dict[str, str] = {}
    again: Told | None = None
    repeated: dict[str, str] = {}
    fresh: tuple[Told, ...] = ()
    rounded: tuple[Told, ...] = ()
    aside: tuple[str, ...] = ()
    alpha: float = 0.003
    wanted: int = 2
    seed: int = 42
    lane: Lane | None = None
    tonight: Point | None = None
    kind: str = "reproduce"
    schema: int = 1

    @property
    def probe(self) -> Told:
        """What the probe told of the training itself. Raises Unjudged where there is nothing."""
        if self.told[0] is None:
            raise Unjudged("no Trainer.fit was seen")
        return self.told[0]

    def against(self) -> Reference:
        """What it is held against, as far as it came. Raises Unjudged, with the difference, where nothing can be
        compared with it, and Skip in a sliding lane.
        """
        if self.lane is not None:
            raise Skip("the lane is sliding: its nights are held against each other")
        if self.probe.machine is None:
            raise Unjudged("the probe did not tell the machine")
        one = references.comparable(self.found, self.probe.machine, "reproduce")
        if len(one.seeds) < 2:
            raise Unjudged("the reference holds a single run, which has no tolerance", hint="Bless it again.")
        told = self.probe
        if told.start != next(iter(one.runs("start")), 0):
            one = comparison.resumed(one, told.start)
        return comparison.prefix(one, told.start + told.steps) if told.ended == "budget" else one

    @property
    def whole(self) -> tuple[Told, ...]:
        """The runs that came to their end."""
        return tuple(told for ended, told in zip(self.ended, self.told) if told and is_whole(ended, told))

    @property
    def night(self) -> Night:
        """What the ladder is asked about."""
        more = Beside(again=self.again, repeated=self.repeated, fresh=self.fresh)
        return beside.night(self.probe, self.roots, more, seed=self.seed, wanted=self.wanted)


def gather(config: Config, root: Path, out: Path) -> Evidence:
    """Run the training; where there is nothing to hold it against, run it under other seeds too; where it came out
    otherwise, once more, and where it came out worse, under fresh seeds.

    Output and answer of the training itself are in `out`, those of the others in folders there (`again`, `seed-1`,
    `fresh-1`, `ulp-1`). Raises UserError for a reference that cannot be used, before anything runs.
    """
    known = references.known(root, "reproduce", config.training.name)
    python = environment.prepare(root, config.install, out / "install.txt")
    settings = {name: getattr(config, name) for name in ("seed", "require_gpu", "rehearsal")}
    runs = Runs(
        one=config.training,
        args=config.args,
        settings=settings | {"seconds": config.hours * 3600},
        python=python,
        root=root,
        out=out,
        deadline=time.monotonic() + config.timeout,
    )
    first = runs.night()
    told = first.told
    hardware = told.machine.hardware if told and told.machine else ""
    fell_back = config.rehearsal and config.require_gpu and told is not None and told.device.startswith("cpu")
    found = references.find(known, hardware)
    limits = Limits(**{field.name: getattr(config, field.name) for field in fields(Limits)})
    seen = Evidence(
        ended=(first.ended,),
        told=(told,),
        found=found,
        rehearsed=fell_back,
        roots=first.roots,
        alpha=config.alpha,
        wanted=beside.wanted(limits),
        seed=config.seed,
    )
    if config.lane == SLIDING:
        nights = lane.read(root, config.training.name, config.beside, hardware)
        now = lane.tonight(told.metrics if told else {}, out, config.beside)
        return msgspec.structs.replace(seen, lane=nights, tonight=now)
    if told is None or not seen.whole or not_finite(told):
        return seen
    more = beside.gather(first, told, _comparable(seen), limits, runs)
    several = {"ended": (first.ended, *more.ended), "told": (told, *more.told)}
    names = ("again", "repeated", "fresh", "rounded", "aside")
    return msgspec.structs.replace(seen, **several, **{name: getattr(more, name) for name in names})


def _comparable(seen: Evidence) -> Reference | None:
    try:
        return seen.against()
    except (Unjudged, Skip):
        return None


def training_ran(seen: Evidence, config: Config) -> Iterator[Finding]:
    """The training ran to its end."""
    ended, told = seen.ended[0], seen.told[0]
    if ended.timed_out:
        hint = "An unfinished night is no verdict. Give it more time, or is it stuck where the output below ends?"
        raise Unjudged(f"unfinished: {how_far(ended, told)} ({ended.limit})", hint=hint, detail=ended.tail)
    whole = is_whole(ended, told) or (told is not None and told.ended == "no-gpu")
    found = training.fault(ended, reached=told is not None, whole=whole)
    if found:
        yield found
    elif not whole and told is not None:
        how, hint = _CUT_SHORT.get(told.ended, _CUT_SHORT["fit"])
        yield Finding(message=f"{how}: {how_far(ended, told)}", hint=hint, detail=ended.tail)
    for shift, another in list(enumerate(zip(seen.ended, seen.told)))[1:]:
        if not is_whole(*another):
            said = f"under its seed + {shift} it did not: {another[0].message or how_far(*another)}"
            yield Finding(message=said, level=Level.WARNING, detail=another[0].tail)
    yield from (Finding(message=said, level=Level.WARNING) for said in seen.aside)
    if told is not None and told.unrecorded:
        message = f"its steps were not recorded to the end ({told.unrecorded}): only figures are compared from there on"
        yield Finding(message=message, level=Level.WARNING, hint="Is there space on the disk?")
    if told is not None and _comparable(seen) is None and (where := ladder.unsteady(seen.night)):
        hint = f"{candidates.HOW}; or self-steps = 0, and only seeds tell."
        message = f"{candidates.twice(where)}: it was run under no other seed, since it could not be blessed"
        yield Finding(message=message, level=Level.WARNING, hint=hint)


_INSIDE = "Look for an `except` around the fit, or for sys.exit in a callback."
_CUT_SHORT = {  # how a fit ended -> what is said where the program called that a success
    "exception": ("the fit raised an exception, and the program hid it", _INSIDE),
    "running": ("it ended itself", _INSIDE),
    "fit": (
        "it trained nothing",
        "Did it go on from a checkpoint that an earlier run left? Remove that in `prepare`. Or is its data empty?",
    ),
}


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
    if message := not_finite(told):
        yield Finding(
            message=message, hint="Too high a learning rate, a logarithm, a root, a division, or NaN in data?"
        )


@after(loss_is_finite)
def reference_is_comparable(seen: Evidence, config: Config) -> Iterator[Finding]:
    """It is held against a reference of this hardware and environment."""
    seen.against()
    yield from ()


@after(reference_is_comparable)
def same_training(seen: Evidence, config: Config) -> Iterator[Finding]:
    """It is the training that was blessed: the same settings and the same data, or the same to a rounding."""
    same = ladder.is_identical(seen.against(), figures(seen.probe), seen.roots)
    alike = ladder.is_close(seen.against(), seen.night, seen.alpha)
    for said, level, changed in causes.differences(seen.against(), seen.probe, config.seed):
        if changed and not (same and level is Level.NOTICE):  # it explains nothing
            message = f"{said} than the reference's: {causes.listed(changed)}"
            hint = _MEANT if level is Level.ERROR else ""
            if alike and level is Level.ERROR:  # a setting that changes nothing
                level = Level.NOTICE if same else Level.WARNING
            yield Finding(message=message, level=level, hint=hint, detail="\n".join(changed))


_MEANT = "Is it meant? Then make this the reference: backburn bless reproduce."


@after(same_training)
def final_metrics_hold(seen: Evidence, config: Config) -> Iterator[Finding]:
    """The metrics at the end are within what seeds do; in a sliding lane, within what its nights do."""
    if seen.lane is not None and seen.tonight is not None:
        said = lane.judged(seen.lane, seen.tonight, seen.alpha)
        return (yield from (Finding(message=one, hint=_SLID) for one in said))
    if short := coverage(seen.probe):
        raise Skip(f"its hours ended it at {short}, before there were any")
    tonight, reference = figures(seen.probe), seen.against()
    yield from _decided([*_ended_otherwise(seen, config), *_alarmed(seen, config, alarm.finals(reference))])
    known = comparison.finals(reference)
    fresh = [name for name in tonight if name.startswith(comparison.FINAL) and name not in known]
    if fresh:
        names = ", ".join(name.removeprefix(comparison.FINAL) for name in fresh)
        yield Finding(message=f"not in the reference yet: {names}", level=Level.NOTICE)


def _ended_otherwise(seen: Evidence, config: Config) -> Iterator[Finding]:
    """Another number of steps, where the reference's runs all took the same; a metric that is gone."""
    tonight, reference = figures(seen.probe), seen.against()
    steps = set(reference.runs("steps"))
    if len(steps) == 1 and tonight["steps"] not in steps:
        message = f"it took {tonight['steps']} training steps; the reference took {steps.pop()}"
        yield Finding(message=message, hint=_cause(seen, config))
    for name in comparison.finals(reference):
        if name not in tonight:
            message = f"{name.removeprefix(comparison.FINAL)} is in the reference, and was not measured"
            yield Finding(message=message, hint="Is it no longer logged, or did its validation or test not run?")


_SLID = "Is a shard missing, or is a source another one? Where the code did it, the fixed lane says so too."


@after(same_training)
def curve_holds(seen: Evidence, config: Config) -> Iterator[Finding]:
    """The loss is within what seeds do all the way."""
    octaves = comparison.octaves(seen.against())
    if not octaves:
        raise Skip("the reference holds no loss")
    yield from _decided([*_alarmed(seen, config, octaves)][:1])


def _alarmed(seen: Evidence, config: Config, names: list[str]) -> Iterator[Finding]:
    """An error for each figure that is off, and is with fresh seeds; a notice for a suspicion that these cleared, and a
    warning for one that is open, as they could not be run and the night alone does not decide.
    """
    one, night = seen.against(), seen.night
    for found in sorted(ladder.alarms(one, night, config.alpha), key=lambda found: not found.confirmed):
        if found.name not in names:
            continue
        said = comparison.sentence(one, night.figures, found.name)
        several = [fresh[found.name] for fresh in night.fresh if found.name in fresh]
        if several:
            mean = math.fsum([night.figures[found.name], *several]) / (1 + len(several))
            said += f"; with {len(several)} fresh seeds it is {mean:.6g} on average"
        if found.confirmed:
            yield Finding(message=said, hint=_cause(seen, config))
        elif several:
            yield Finding(message=f"suspicious, and cleared: {said}", level=Level.NOTICE)
        else:
            yield Finding(message=f"{_OPEN}: {said}", level=Level.WARNING)


_OPEN = "suspicious, and no fresh seed could be run"


def _decided(findings: list[Finding]) -> list[Finding]:
    """All of them; an open suspicion beside an error is a warning. Raises Unjudged where no error is beside it."""
    opened = [one.message for one in findings if one.message.startswith(_OPEN)]
    if opened and not any(one.level is Level.ERROR for one in findings):
        raise Unjudged(opened[0], hint="Give it a longer `timeout`.")
    return findings


@after(same_training, final_metrics_hold, curve_holds)
def unchanged(seen: Evidence, config: Config) -> Iterator[Finding]:
    """The training is the one that was blessed, to the bit or to a rounding."""
    one, night = seen.against(), seen.night
    if ladder.is_identical(one, night.figures, night.roots):
        return
    if not config.self_steps:
        raise Skip("self-steps = 0: whether it repeats is not known")
    if where := ladder.unsteady(night):
        said = candidates.twice(where)
        if not one.repeated:
            raise Skip(f"it does not repeat on this machine: {said}")
        message = f"it repeated when it was blessed, and does not any more: {said}"
        return (yield Finding(message=message, hint=f"{candidates.HOW}."))
    if not (why := ladder.rounding(one, night)):
        return
    if not ladder.proven(night, one):
        raise Unjudged(
            f"it came out otherwise ({why}), and was not run a second time as far as that",
            hint="Give it a longer `timeout`.",
        )
    first = ladder.first(one, night)
    message = f"within what seeds do, and yet another training{f', {first}' if first else ''}: {why}"
    yield Finding(message=message, hint=f"{_cause(seen, config)} Or accept it: [[tool.backburn.allow]].")


def _cause(seen: Evidence, config: Config) -> str:
    return causes.likely(seen.against(), seen.probe, config.seed)


def measured(seen: Evidence) -> tuple[Measured, ...]:
    """Steps first, then the metrics at the end, seconds, device and memory, and how far it is from the reference."""
    told, seconds = seen.told[0], Figure(name="seconds", value=round(seen.ended[0].seconds, 2), unit="s")
    if told is None or not told.steps:
        return (seconds,)
    finite = [(name, value) for name, value in told.metrics.items() if math.isfinite(value)]
    headline = (
        Figure(name="steps", value=told.steps),
        *(Figure(name=f"final {name}", value=value) for name, value in finite[:_SHOWN]),
        seconds,
        Figure(name="training seconds", value=round(told.seconds, 3), unit="s"),
        Figure(name="seeds", value=len(seen.whole)),
        Figure(name="device", text=f"{told.device} (rehearsal)" if seen.rehearsed else told.device),
        Figure(name="peak memory", value=told.peak_memory // 2**20, unit="MiB"),
    )
    return (*headline, *_held(seen), _curve("loss", told.losses), *_tables(seen))


def _curve(name: str, points: Iterable[tuple[int, float]]) -> Curve:
    steps, values = tuple(zip(*points)) or ((), ())
    return Curve(name=name, values=values, steps=steps)


def _held(seen: Evidence) -> Iterator[Figure | Curve]:
    """How far the training is from the reference; nothing where there is none to compare with."""
    one = _comparable(seen)
    if one is None:
        return
    night = seen.night
    same = ladder.is_identical(one, night.figures, night.roots)
    rung = Rung.REGRESSED if not_finite(seen.probe) else ladder.rung(one, night, seen.alpha)
    yield Figure(name="worst deviation", value=comparison.worst(one, night.figures), unit="sd")
    yield Figure(name="identical", text="to the last bit" if same else "no")
    yield Figure(name="class", text=rung.value)
    yield Figure(name="false alarms", text=alarm.budget(seen.alpha, seen.wanted))
    yield Figure(name="reference", text=causes.commit(one))
    if short := coverage(seen.probe):
        yield Figure(name="coverage", text=short)
    runs = [(step, one.runs(f"loss@{step}")) for step, _ in seen.probe.losses]
    yield _curve("reference loss", ((step, math.fsum(many) / len(many)) for step, many in runs if many))


def _tables(seen: Evidence) -> Iterator[Table]:
    if seen.lane and seen.tonight and (done := list(sliding.effects(seen.lane, seen.tonight))):
        yield Table(name="since the last night", rows=tuple((one.name, str(one)) for one in done))
    if seen.probe.machine:
        yield Table(name="environment", rows=(("device", seen.probe.device), *seen.probe.machine.words))
    if seen.found.reference:
        yield Table(name="reference", rows=references.beside(seen.found.reference, figures(seen.probe)))
    if one := _comparable(seen):
        seen_by = alarm.sights(one, figures(seen.probe), seen.alpha, seen.wanted)
        yield Table(name="smallest change seen in 4 of 5 nights", rows=tuple((it.name, str(it)) for it in seen_by))


def candidate(seen: Evidence, config: Config) -> Reference | None:
    """What a reference would be made of; None where no run came to its end."""
    runs = seen.whole
    if not runs or runs[0].machine is None:
        return None
    return candidates.of(config.training.name, runs[0].machine, runs, seen.night, seen.rounded)


def unfit(one: Reference, config: Config) -> Iterator[str]:
    """Why a candidate cannot become the reference, a sentence each."""
    if config.lane == SLIDING:
        return iter(["its lane is sliding: its data are others each night, and only the fixed lane is blessed"])
    return candidates.unfit(one, config.seeds, repeats=config.self_steps > 0)


CHECKS = (
    training_ran,
    on_gpu,
    loss_is_finite,
    reference_is_comparable,
    same_training,
    final_metrics_hold,
    curve_holds,
    unchanged,
)
