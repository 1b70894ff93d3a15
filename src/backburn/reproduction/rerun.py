"""Train the first steps of a commit again, and say where two such trainings first come to something else.

Only what a training comes to is compared (loss, gradients, optimizer, parameters, buffers, validations), by value: a
module that got another name, one more buffer or metric, or a random number drawn for nothing are no difference.
"""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from .. import comparison, config, environment, evidence, reach, training
from ..references import Machine
from . import operations
from .operations import Operation
from .steps import FILE, Step, load

PARTS = ("gradients", "optimizer", "parameters", "buffers")
_NO_GPU = "a GPU is required, and this process saw none"
_UNSEEN = ("module", "program", "lost")  # words of reached.txt behind which files are read that nobody notes


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One training of a commit: its first `until` batches, 0 for all.

    `detail` are the first and the last of the steps to be recorded in detail, `operations` is one to be recorded op by
    op, 0 for none. `shift` is added to its seeds. `without` are commits that are taken out of it, newest first. `again`
    numbers further trainings of the same kind. `onto` is a commit that it is merged into first, if any.
    """

    commit: str
    until: int = 0
    detail: tuple[int, int] = (0, 0)
    operations: int = 0
    shift: int = 0
    without: tuple[str, ...] = ()
    again: int = 0
    onto: str = ""

    @property
    def settings(self) -> dict[str, object]:
        """Those of the probe."""
        detail = [*self.detail] if self.detail[1] else []
        return {"until": self.until, "detail": detail, "operations": self.operations, "shift": self.shift}


class Touched(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a training read of its worktree: paths relative to that, the names that it tried to import among them.

    `unseen` says why that is not all.
    """

    files: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()
    modules: frozenset[str] = frozenset()
    sought: frozenset[str] = frozenset()
    unseen: str = ""

    def __or__(self, other: Touched) -> Touched:
        """Both together."""
        names = ("files", "folders", "modules", "sought")
        both = {name: getattr(self, name) | getattr(other, name) for name in names}
        return Touched(**both, unseen=self.unseen or other.unseen)


class Ran(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What such a training came to: `done` batches of the `planned`, `whole` where it went on to its end.

    `failed` says why it did not do what it was asked for; then nothing of it counts.
    """

    done: int = 0
    planned: int = 0
    whole: bool = False
    steps: tuple[Step, ...] = ()
    operations: tuple[Operation, ...] = ()
    metrics: dict[str, float] = {}
    failed: str = ""
    lacking: bool = False
    machine: Machine | None = None
    touched: Touched = Touched()
    astray: str = ""
    seconds: float = 0.0
    kind: str = "rerun"
    schema: int = 1


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """Of the probe's answer what matters here."""

    ended: str
    steps: int = 0
    planned: int = 0
    metrics: dict[str, float] = {}
    device: str = ""
    machine: Machine | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a training is run: its command in this commit, the `args` behind it and the settings of the stage.

    `root` is the project's folder in the worktree `top`, `home` the user's own repository, which it must not read.
    """

    one: config.Training
    root: Path
    top: Path
    home: Path
    install: str = "auto"
    args: str | tuple[str, ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)


def train(plan: Plan, ask: Ask, out: Path, *, timeout: float, label: str) -> Ran:
    """Train in the worktree as it stands; output and evidence are in `out`, which is emptied first.

    Raises UserError for a command that cannot be meant, Interrupted as `process.run` does.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    python = environment.prepare(plan.root, plan.install, out / "install.txt")
    ended = training.start(
        _homed(plan),
        "reproduce",
        {**plan.settings, **ask.settings},
        args=plan.args,
        python=python,
        root=plan.root,
        out=out,
        timeout=timeout,
        recorded=True,
        label=label,
    )
    shutil.rmtree(out / "scratch", ignore_errors=True)
    touched, astray = _touched(out / reach.FILE, plan)
    ran = _ran(ended, ask, out)
    return msgspec.structs.replace(ran, touched=touched, astray=astray, seconds=ended.seconds)


def _homed(plan: Plan) -> config.Training:
    """The training; in an environment that is found as it is, this worktree's modules come before installed ones."""
    if plan.install != "none":
        return plan.one
    folders = [plan.root / "src"] if (plan.root / "src").is_dir() else [plan.root]
    given = [one for one in plan.one.env.get("PYTHONPATH", "").split(":") if one]
    path = ":".join([*map(str, folders), *given])
    return msgspec.structs.replace(plan.one, env=plan.one.env | {"PYTHONPATH": path})


def _ran(ended: training.Ended, ask: Ask, out: Path) -> Ran:
    answer = out / "probe.json"
    told = evidence.convert(_plain(answer), _Told, str(answer)) if answer.exists() else None
    if told is None:
        return Ran(failed=ended.message or "no Trainer.fit was seen", lacking=bool(ended.lacking))
    steps = load(out / FILE) if (out / FILE).exists() else ()
    made = out / operations.FILE
    whole = told.ended == "fit" and not ended.code
    reached = whole or told.ended == "until" or (ask.until and told.steps >= ask.until)
    late = _NO_GPU if told.ended == "no-gpu" else ended.message or f"the fit ended as {told.ended!r}"
    late = ended.limit if ended.timed_out else late
    return Ran(
        done=told.steps,
        planned=told.planned,
        whole=whole,
        steps=tuple(one for one in steps if not ask.until or one.step <= ask.until),
        operations=operations.load(made) if ask.operations and made.exists() else (),
        metrics={name: value for name, value in told.metrics.items() if not comparison.is_clock(name)},
        failed="" if reached else late,
        lacking=bool(ended.lacking) or ended.timed_out or late == _NO_GPU,
        machine=told.machine,
    )


def _plain(path: Path) -> object:
    return msgspec.json.decode(path.read_bytes())


def _touched(file: Path, plan: Plan) -> tuple[Touched, str]:
    """What was read of the worktree, and one file of the user's own repository that was, if any."""
    noted: dict[str, set[str]] = {}
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        return Touched(unseen="its recorder gave up"), ""
    for before, line in zip(["", *lines], lines):
        word, _, what = line.partition(" ")
        if word == "program" and before.startswith("began "):
            continue  # another Python than the environment's, whose own recorder says so: its packages are no commit's
        noted.setdefault(word, set()).add(what)
    unseen = next((f"it used the {word} {min(noted[word])}" for word in _UNSEEN if word in noted), "")
    files = noted.get("read", set()) | noted.get("missed", set()) | noted.get("asked", set())
    touched = Touched(
        files=frozenset(_inside(files, plan.top)),
        folders=frozenset(_inside(noted.get("listed", set()), plan.top)),
        modules=frozenset(_inside(noted.get("searched", set()), plan.top)),
        sought=frozenset(noted.get("sought", set())),
        unseen=unseen,
    )
    return touched, min(_astray(noted.get("read", set()), plan), default="")


def _inside(paths: set[str], top: Path) -> Iterator[str]:
    for path in paths:
        if Path(path).is_relative_to(top):
            yield Path(path).relative_to(top).as_posix()


def _astray(paths: set[str], plan: Plan) -> Iterator[str]:
    """Python's files in the user's repository: those of another commit than the one that is looked at."""
    for path in paths:
        if path.endswith(".py") and Path(path).is_relative_to(plan.home) and not Path(path).is_relative_to(plan.top):
            yield path


# Where two of them part


@dataclass(frozen=True, kw_only=True)
class Apart:
    """Where two trainings first come to something else: after `last` they were the same, at `step` they are not.

    `late` is set where only the validation behind that step differs. `step` is one more than the last where all steps
    are the same and one training has no more of them.
    """

    last: int
    step: int
    late: bool = False
    ended: bool = False


def apart(one: Ran, other: Ran, upto: int = 0) -> Apart | None:
    """Where they part, of the steps that both recorded, up to `upto` (0: all). None where they do not."""
    ours, theirs = ({step.step: step for step in ran.steps if not upto or step.step <= upto} for ran in (one, other))
    last = 0
    for number in sorted({*ours} & {*theirs}):
        if _differ(ours[number], theirs[number]):
            return Apart(last=last, step=number)
        if _validated(ours[number], theirs[number]):
            return Apart(last=last, step=number, late=True)
        last = number if _both(ours[number], theirs[number], "parameters") else last  # else it is but a validation's
    done = [min(ran.done, upto) if upto else ran.done for ran in (one, other)]
    if done[0] != done[1]:
        return Apart(last=min(done), step=min(done) + 1, ended=True)
    if not upto and one.whole and other.whole and not _same_numbers(one.metrics, other.metrics):
        return Apart(last=last, step=min(done), late=True, ended=True)
    return None


def _differ(one: Step, other: Step) -> bool:
    return one.loss != other.loss and _both(one, other, "loss") or any(map(_unlike, _tables(one), _tables(other)))


def _tables(step: Step) -> tuple[dict[str, str], ...]:
    return tuple(getattr(step, part) for part in PARTS)


def _unlike(one: dict[str, str], other: dict[str, str]) -> bool:
    """Whether each holds a digest that the other lacks: one more tensor is no difference, nor is another name."""
    ours, theirs = Counter(one.values()), Counter(other.values())
    return bool(ours - theirs) and bool(theirs - ours)


def _both(one: Step, other: Step, part: str) -> bool:
    """Whether both recorded it: what could not be read, or is not there yet, is empty."""
    return bool(getattr(one, part)) and bool(getattr(other, part))


def _validated(one: Step, other: Step) -> bool:
    """Whether a metric that both logged differs; where they share no name, whether any value does."""
    ours, theirs = ({k: v for k, v in step.validation.items() if not comparison.is_clock(k)} for step in (one, other))
    if not ours or not theirs:
        return False
    shared = {*ours} & {*theirs}
    if not shared:
        return sorted(ours.values()) != sorted(theirs.values())
    return any(ours[name] != theirs[name] for name in shared)


def _same_numbers(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    shared = {*one} & {*other}
    return all(one[name] == other[name] or math.isnan(one[name]) and math.isnan(other[name]) for name in shared)
