"""Hold the figures of one run against a reference's: within what its seeds do, or from where on they differ."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from . import references, tolerance
from .references import Reference
from .report import Level

FINAL = "final "  # before the name of a metric at the end
MEAN = "mean loss"
BATCHES = "train batches"  # of the data: the first run's, though they depend on the seed
FILE = "file "  # before the path of what the data were read from
VARIES = "another in each run"  # in place of a value that does: nothing is held to it
_SHIFTS = 1000  # seeds of a reference lie closer: each is the script's own and how often it ran before
# What is another one each night: a date, a time of day, seconds since 1970, a UUID.
_TIME = re.compile(
    r"\bdatetime\.\w+\([^)]*\)|(?:19|20)\d\d([-_./]?)[01]\d\1[0-3]\d|[0-2]\d([-_:.])[0-5]\d\2[0-5]\d"
    r"|(?<=[-_T])[0-2]\d[0-5]\d[0-5]\d|\b1\d{9}(?:\.\d+)?\b|\b[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}\b"
)
_DIGEST = re.compile(r"\b([0-9a-f]{8})[0-9a-f]{24}\b")
_FOLDER = re.compile(r"(?<![\w.:/])(?:~?/|[A-Za-z]:\\)\w")  # an absolute one: each machine and runner has its own
# `<family>@<step>`, as people call them; of two that differ first at the same step the cause comes first.
_FAMILIES = {"rate": "learning rate", "loss": "loss", "norm": "gradient norm", MEAN: MEAN}

_CLOCKS = {
    "time", "seconds", "second", "secs", "sec", "ms", "elapsed", "duration", "throughput", "fps", "mem", "memory",
    "vram", "utilization",
}  # fmt: skip
_ERRORS = {"loss", "error", "mae", "mse", "rmse", "mape", "acc", "accuracy", "score", "auc", "f"}  # f1 is f here

Figures = Mapping[str, float | int]
Words = Mapping[str, str]


class Difference(NamedTuple):
    """One kind of thing that is not as it was for the reference: `torch: 2.12.0 → 2.13.0`, a line each."""

    said: str
    level: Level
    lines: tuple[str, ...]


def merged(runs: Sequence[Figures]) -> dict[str, tuple[float | int, ...]]:
    """What all of one run or more have, a value per run.

    A gradient's norm that is infinite somewhere is left out: scaled float16 gradients overflow as a matter of course.
    """
    shared = {name: tuple(run[name] for run in runs) for name in runs[0] if all(name in run for run in runs)}
    return {name: values for name, values in shared.items() if name[:5] != "norm@" or all(map(math.isfinite, values))}


def outcomes(one: Reference) -> list[tuple[float | int, ...]]:
    """What came out, losses and metrics: a tuple per run, empty ones where there is nothing."""
    came_out = (FINAL, f"{MEAN}@", "loss@")
    names = [name for name in one.figures if name.startswith(came_out)]
    return [tuple(one.figures[name][run] for name in names) for run in range(len(one.seeds))]


def prefix(one: Reference, steps: int) -> Reference:
    """Of its figures those that a run of so many steps can have: at steps up to there, and nothing of the end."""
    figures = {name: many for name, many in one.figures.items() if _is_of_a_step(name)}
    return msgspec.structs.replace(
        one, figures={name: many for name, many in figures.items() if step_of(name) <= steps}
    )


def resumed(one: Reference, start: int) -> Reference:
    """As a training that went on from a checkpoint can be held against one that began elsewhere: what comes after
    `start` steps, without means, which are over the steps of a process.
    """
    figures = {
        name: many
        for name, many in one.figures.items()
        if name != "start" and not name.startswith(f"{MEAN}@") and (not _is_of_a_step(name) or step_of(name) > start)
    }
    return msgspec.structs.replace(one, figures=figures)


def _is_of_a_step(name: str) -> bool:
    return "@" in name and not name.startswith(FINAL)


def octaves(one: Reference) -> list[str]:
    """The names of its mean losses, the first step's first."""
    return sorted((name for name in one.figures if name.startswith(f"{MEAN}@")), key=step_of)


def is_clock(metric: str) -> bool:
    """Whether its name says that it measures the machine, which is for `profile` to judge, and not the model.

    >>> [is_clock(name) for name in ("epoch_time", "train/samples_per_sec", "gpu_mem", "time_loss", "val_acc")]
    [True, True, True, False, False]
    """
    words = {*re.split(r"[^a-z]+", metric.lower())}
    return bool(words & _CLOCKS) and not words & _ERRORS


def finals(one: Reference) -> list[str]:
    """The names of its metrics at the end."""
    return [name for name in one.figures if name.startswith(FINAL)]


def beyond(one: Reference, tonight: Figures, names: Iterable[str], alpha: float) -> list[str]:
    """Those of `names` that are further off than another seed would be.

    A sound run has none in a share of at least 1 - `alpha` of all cases (Bonferroni: whatever depends on what).
    """
    there = [name for name in names if name in tonight]
    return [name for name in there if not spread(one, name).holds(tonight[name], alpha / len(there))]


def moved(one: Reference, nights: Sequence[Figures], names: Iterable[str], alpha: float) -> list[str]:
    """Those of `names` whose mean over several runs lies further off than that of as many under other seeds would.

    `alpha` is shared out as in `beyond`. A run that lacks the figure is none of its runs.
    """
    there = {name: [night[name] for night in nights if name in night] for name in names}
    there = {name: values for name, values in there.items() if values}
    return [name for name, values in there.items() if spread(one, name).moved(values, alpha / len(there))]


def worst(one: Reference, tonight: Figures) -> float | None:
    """The largest deviation, in standard deviations of the reference's runs; None where nothing can be compared."""
    there = [name for name in (*finals(one), *octaves(one)) if name in tonight]
    return max((spread(one, name).deviation(tonight[name]) for name in there), default=None)


def spread(one: Reference, name: str) -> tolerance.Spread:
    """A metric that is a share is one of as many samples as a validation saw."""
    samples = int(max(one.runs("samples"), default=0)) if name.startswith(FINAL) else 0
    return tolerance.of(name, one.runs(name), samples)


def sentence(one: Reference, tonight: Figures, name: str) -> str:
    """One figure of tonight beside the reference's.

    `mean loss of steps 65-128 is 0.9; under 5 seeds it was 0.41 to 0.44: 31 standard deviations off`
    """
    runs, off = one.runs(name), spread(one, name).deviation(tonight[name])
    where = (
        name.removeprefix(FINAL) if name.startswith(FINAL) or "@" not in name else f"{MEAN} of {_steps(step_of(name))}"
    )
    return (
        f"{where} is {tonight[name]:.6g}; under {len(runs)} seeds it was {min(runs):.6g} to {max(runs):.6g}:"
        f" {off:.3g} standard deviations off"
    )


def first_difference(one: Reference, tonight: Figures) -> str:
    """Where the curve leaves that of the reference's first run; empty where it is the same to the last bit."""
    found = []
    for order, (family, word) in enumerate(_FAMILIES.items()):
        for name, (before, *_) in one.figures.items():
            if name.startswith(f"{family}@") and name in tonight and tonight[name] != before:
                found.append((step_of(name), order, f"{word} {_change(before, tonight[name])}"))
    step, _, said = min(found, default=(0, 0, ""))
    return f"from step {step} on: {said}" if said else ""


def is_identical(one: Reference, tonight: Figures) -> bool:
    """Whether every figure is that of the reference's first run, to the last bit."""
    return all(tonight.get(name) == values[0] for name, values in one.figures.items())


def differences(one: Reference, settings: Words, data: Words, seed: int, soft: Words) -> tuple[Difference, ...]:
    """What is not as it was, from the likeliest cause of another curve to the least likely.

    What only one of the two has is no error: a new hyperparameter may be one that changes nothing. Nor are other
    training batches: a training that draws them otherwise each night is for its curve to judge; nor files, of which it
    may have read but a part. Those of a reference that knows none are not told.
    """
    known = {key for key in one.data if key.startswith(FILE)}
    files = known | {key for key in data if key.startswith(FILE)}
    both = {key for key in settings if one.settings.get(key, VARIES) != VARIES}
    passing = {key for key in both if _passes(one.settings[key], settings[key])}
    more = {*settings} ^ {*one.settings}
    kept = {key for key in data if one.data.get(key, VARIES) != VARIES} - {BATCHES} - files
    batches = ({BATCHES} | {*data} ^ {*one.data}) - files
    drawn = not 0 <= one.seeds[-1] - one.seeds[0] < _SHIFTS  # by the script itself, another one each night
    seeds = () if drawn else references.differences({"seed": str(one.seeds[0])}, {"seed": str(seed)})
    return (
        Difference("other settings", Level.ERROR, _changed(one.settings, settings, both - passing)),
        Difference("other data", Level.ERROR, _shortened(_changed(one.data, data, kept))),
        Difference("other files", Level.NOTICE, _shortened(_changed(one.data, data, files if known else ()))),
        Difference("another seed", Level.WARNING, seeds),
        Difference("other batches", Level.NOTICE, _shortened(_changed(one.data, data, batches))),
        Difference("more or fewer settings", Level.WARNING, _changed(one.settings, settings, more)),
        Difference("other folders or times", Level.NOTICE, _changed(one.settings, settings, passing)),
        Difference("a slightly other machine", Level.NOTICE, references.differences(one.machine.soft, soft)),
    )


def steady(runs: Sequence[Words]) -> dict[str, str]:
    """The first run's words, `VARIES` where another run has other ones: its own name or folder is no setting to hold,
    a split by the seed no data.
    """
    return {
        key: value if key == BATCHES or key.startswith(FILE) or all(one.get(key) == value for one in runs) else VARIES
        for key, value in runs[0].items()
    }


def _passes(before: str, now: str) -> bool:
    """Whether two words differ in nothing but a time, or in where on a machine something is."""
    return _TIME.sub("", before) == _TIME.sub("", now) or bool(_FOLDER.search(before) and _FOLDER.search(now))


def _changed(before: Words, now: Words, keys: Collection[str]) -> tuple[str, ...]:
    return references.differences(_only(before, keys), _only(now, keys))


def _shortened(lines: tuple[str, ...]) -> tuple[str, ...]:
    """Digests as people quote them: that they differ is all there is to read."""
    return tuple(_DIGEST.sub(r"\1…", line) for line in lines)


def _only(words: Words, keys: Collection[str]) -> dict[str, str]:
    return {key: value for key, value in words.items() if key in keys}


def step_of(name: str) -> int:
    """The step of a figure: 13 of `loss@13`."""
    return int(name.rpartition("@")[2])


def _steps(last: int) -> str:
    """The octave that ends at `last`: a mean is over the steps since the power of two before it.

    >>> [_steps(last) for last in (1, 2, 4, 128, 150)]
    ['step 1', 'step 2', 'steps 3-4', 'steps 65-128', 'steps 129-150']
    """
    first = 1 + (2 ** ((last - 1).bit_length() - 1) if last > 1 else 0)
    return f"steps {first}-{last}" if first < last else f"step {last}"


def _change(before: float, now: float) -> str:
    """`0.003 → 0.03 (by 900 %)`; what is a rounding apart shows only in the relative change."""
    percent = 100 * (now - before) / abs(before) if before else 0.0
    relative = f" (by {percent:{'.2g' if abs(percent) < 10 else ',.0f'}} %)" if before else ""
    return f"{before:.6g} → {now:.6g}{relative}"
