"""The only road: config -> gather -> judge -> Report -> build/backburn/<stage>/report.json."""

from __future__ import annotations

import datetime
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from . import catalog, config, evidence, git, kept, references
from .errors import Interrupted, Skip, Unjudged, UserError
from .report import (
    Check,
    Curve,
    Figure,
    Finding,
    Generated,
    Level,
    Measured,
    Outcome,
    Report,
    Table,
    Verdict,
    name_of,
    overall,
)

FOLDER = Path("build", "backburn")
CANDIDATE = "candidate.json"
_TO_TRAIN = ("candidate", "prove")  # fields of a Config


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a door asks for: where, which trainings (none named: all), and the Config fields given on the way.

    `force` trains although nothing changed; `say` hears why a training is started that there is evidence of.
    """

    folder: Path
    trainings: tuple[str, ...] = ()
    given: Mapping[str, Any] = field(default_factory=dict)
    force: bool = False
    say: Callable[[str], None] = lambda line: None


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What one training (or the one stage without trainings) came to."""

    outcomes: tuple[Outcome, ...]
    measured: tuple[Measured, ...] = ()
    reused: str = ""
    interrupted: str = ""


@dataclass(frozen=True, kw_only=True)
class _Task:
    """One training in one stage (or the one stage without trainings): its Config, the project, its own folder, and
    the place where its evidence outlives the run, if it may.
    """

    stage: catalog.Stage
    name: str
    training: str
    own: Any
    root: Path
    out: Path
    place: kept.Place | None = None

    def gathered(self, **conclusion: Any) -> Outcome:
        """What the gathering itself came to."""
        claim = "The evidence was gathered."
        return Outcome(check=f"{self.name}/gather", claim=claim, training=self.training, **conclusion)


def run(name: str, asked: Asked) -> tuple[Report, Path]:
    """One stage, whole: its report and the file it was written to, both also there after an interrupt.

    Raises UserError when asked wrongly; Interrupted never leaves: it is in the report.
    """
    stage = catalog.STAGES[name]
    started = time.monotonic()
    root, top = _found(asked.folder)
    out = root / FOLDER / name
    with evidence.alone(root / FOLDER, name, f"another `backburn {name}`"):
        _empty(out)  # before a mistake in the configuration can leave yesterday's there
        settings = _settings(root)
        parts = list(_parts(stage, settings, asked, top, name))
        report = Report(
            stage=name,
            question=(stage.__doc__ or "").strip().splitlines()[0],
            outcomes=tuple(_finish(one, settings, root, top) for part in parts for one in part.outcomes),
            figures=tuple(one for part in parts for one in part.measured if isinstance(one, Figure)),
            curves=tuple(one for part in parts for one in part.measured if isinstance(one, Curve)),
            tables=tuple(one for part in parts for one in part.measured if isinstance(one, Table)),
            reused=tuple(part.reused for part in parts if part.reused),
            seconds=round(time.monotonic() - started, 3),
            commit=git.head(root),
            folder=git.relative(out, top),
            interrupted=next((part.interrupted for part in parts if part.interrupted), ""),
        )
        evidence.save(report, out / "report.json")
    return report, out / "report.json"


def project(folder: Path) -> tuple[config.Settings, Path]:
    """The settings of the project that `folder` lies in, and the top of its repository (no git: the folder itself).

    Raises UserError for what `config.load` refuses.
    """
    root, top = _found(folder)
    return _settings(root), top


def _found(folder: Path) -> tuple[Path, Path]:
    try:
        folder = folder.resolve(strict=True)
        top = git.top(folder) or folder
        return config.find_root(folder, top), top
    except FileNotFoundError as error:
        raise UserError("this folder is gone", where=str(folder), hint="`cd` to one that is there.") from error
    except OSError as error:
        hint = "backburn reads pyproject.toml there."
        raise UserError(f"cannot be read: {error.strerror}", where=str(error.filename or folder), hint=hint) from error


def _settings(root: Path) -> config.Settings:
    settings = config.load(root, {key: one.Config for key, one in catalog.STAGES.items()})
    for one in settings.allow:
        _expect_check(one.check)
    return settings


def _expect_check(name: str) -> None:
    """Raise UserError for a check that no stage has: what was meant to be allowed would fail."""
    stage = name.partition("/")[0]
    checks = catalog.STAGES[stage].CHECKS
    known = {f"{stage}/{name_of(one)}" for one in checks if not isinstance(one, Generated)}
    if name not in known and len(known) == len(checks):  # what evidence generates has any name
        where = f"{config.FILE}: [[tool.backburn.allow]]"
        raise UserError(f"no check is called {name!r}", where=where, hint=config.nearest(name, known))


def judge(stage: catalog.Stage, name: str, seen: Any, settings: Any, training: str = "") -> tuple[Outcome, ...]:
    """Every check of the stage on one piece of evidence, in order. Pure: the same evidence, the same outcomes."""
    outcomes: dict[str, Outcome] = {}
    for check in _checks(stage, seen):
        outcomes[name_of(check)] = _conclude(check, name, seen, settings, training, outcomes)
    return tuple(outcomes.values())


def _parts(stage: catalog.Stage, settings: config.Settings, asked: Asked, top: Path, name: str) -> Iterator[_Part]:
    trainings: Sequence[str] = ("",)
    if "training" in stage.Config.__struct_fields__:
        trainings = config.chosen(settings, asked.trainings)
    for training in trainings:
        own = settings.stage(name, stage.Config, training=training, given=asked.given)
        place = _place(name, own, training, settings.root, top)
        out = settings.root / FOLDER / name / training
        task = _Task(stage=stage, name=name, training=training, own=own, root=settings.root, out=out, place=place)
        task.out.mkdir(parents=True, exist_ok=True)
        part = None if asked.force or _is_forced(os.environ) else _again(task, asked.say)
        part = part or _one(task)
        yield part
        if part.interrupted:
            return


def _place(name: str, own: Any, training: str, root: Path, top: Path) -> kept.Place | None:
    """Where its evidence is kept from run to run; a rehearsal, a candidate and a proof are there to be trained."""
    if name not in catalog.REUSED or own.rehearsal or any(getattr(own, one, False) for one in _TO_TRAIN):
        return None
    judged = hasattr(catalog.STAGES[name], "against")
    return kept.place(name, own, training, root, top, measured_by_reference=not judged, term=catalog.REUSED[name])


def _is_forced(environ: Mapping[str, str]) -> bool:
    """Whether the job says that it is there to train: by the actions' input, or by "Re-run jobs"."""
    attempt = environ.get("GITHUB_RUN_ATTEMPT", "")
    return environ.get("BACKBURN_FORCE", "") not in ("", "0", "false") or (attempt.isdecimal() and int(attempt) > 1)


def _again(task: _Task, say: Callable[[str], None]) -> _Part | None:
    """An earlier run's evidence, judged by today's checks, where nothing that the training reaches has changed."""
    one, why = task.place.find() if task.place else (None, "")
    if one is None:
        if why:
            # A file's name may be a command to GitHub's runner.
            cause = f"{why} changed" if why.isprintable() and "##[" not in why else "a file changed"
            say(f"{task.name} [{task.training}]: trains, since {cause}")
        return None
    try:
        seen = evidence.convert(one.evidence, task.stage.Evidence, "kept evidence")
    except UserError:  # not written by us, or by another version of us
        return None
    if against := getattr(task.stage, "against", None):
        seen = against(seen, task.own, task.root)
    message = f"nothing that this training reaches has changed since {one}: that evidence is judged"
    hint = "Nothing was trained; `--force` trains."
    note = Finding(message=message, level=Level.NOTICE, hint=hint)
    part = _concluded(task, seen, one.commit, one.date[:10])
    return replace(part, outcomes=(task.gathered(findings=(note,)), *part.outcomes), reused=task.training)


def _one(task: _Task) -> _Part:
    started, since = time.monotonic(), time.time()
    try:
        seen = task.stage.gather(task.own, task.root, task.out)
    except Unjudged as error:
        note = Finding(message=str(error), level=Level.WARNING, hint=error.hint, detail=error.detail)
        return _Part(outcomes=(task.gathered(unjudged=str(error), findings=(note,)),))
    except (Interrupted, KeyboardInterrupt) as error:
        said = str(error) or "interrupted by SIGINT"
        reason = f"{said} after {time.monotonic() - started:.1f} s"
        return _Part(outcomes=(task.gathered(unjudged=reason),), interrupted=said)
    commit = git.head(task.root, apart_from=references.FOLDER.name)  # a reference is what a training is held against
    part = _concluded(task, seen, commit, datetime.date.today().isoformat())
    if task.place and _is_whole(part, passed=task.place.term.passed):
        task.place.keep(seen, commit, task.out, since)
    return part


def _is_whole(part: _Part, *, passed: bool) -> bool:
    """Whether it may be judged again: the first check, that the training ran, passed, and a verdict was reached (a
    pass, where nothing else serves).
    """
    ran = part.outcomes[0].verdict is Verdict.PASS
    enough = {Verdict.PASS} if passed else {Verdict.PASS, Verdict.FAIL}
    return ran and overall(one.verdict for one in part.outcomes) in enough


def _concluded(task: _Task, seen: Any, commit: str, date: str) -> _Part:
    """Evidence saved, a candidate offered where the stage has references, and every check's outcome."""
    evidence.save(seen, task.out / "evidence.json")
    if task.name in catalog.REFERENCED:
        candidate = catalog.REFERENCED[task.name].candidate(seen, task.own)
        _offer(candidate, task.out / CANDIDATE, commit=commit, date=date)
    measured: tuple[Measured, ...] = tuple(
        msgspec.structs.replace(one, training=task.training) for one in task.stage.measured(seen)
    )
    return _Part(outcomes=judge(task.stage, task.name, seen, task.own, task.training), measured=measured)


def _offer(candidate: references.Reference | None, path: Path, **about: str) -> None:
    """Leave beside the evidence what `backburn bless` would make the reference, also after a night without one."""
    if candidate is not None:
        references.write(msgspec.structs.replace(candidate, **about), path)


def _checks(stage: catalog.Stage, seen: Any) -> Iterator[Check]:
    for entry in stage.CHECKS:
        if isinstance(entry, Generated):
            yield from entry.make(seen)
        else:
            yield entry


def _conclude(check: Check, name: str, seen: Any, own: Any, training: str, earlier: Mapping[str, Outcome]) -> Outcome:
    claim = (check.__doc__ or "").strip().splitlines()[0]
    about: dict[str, Any] = {
        "check": f"{name}/{name_of(check)}",
        "claim": claim,
        "training": training,
        "seconds": getattr(check, "seconds", None),
    }
    for before in getattr(check, "after", ()):
        if before in earlier and _stands_first(earlier[before]):
            root = earlier[before].skipped or f"after {before}"
            return Outcome(**about, skipped=root)
    try:
        return Outcome(**about, findings=tuple(sorted(check(seen, own), key=_loudest_first)))
    except Skip as reason:
        return Outcome(**about, skipped=str(reason))
    except Unjudged as reason:
        note = Finding(message=str(reason), level=Level.WARNING, hint=reason.hint, detail=reason.detail)
        return Outcome(**about, unjudged=str(reason), findings=(note,))


def _loudest_first(finding: Finding) -> int:
    """Of several findings it is the first that headlines name: an error, not a notice beside it."""
    return [*Level].index(finding.level)


def _stands_first(outcome: Outcome) -> bool:
    """Whether what comes after this outcome would only repeat it."""
    return outcome.verdict in (Verdict.FAIL, Verdict.UNJUDGED) or outcome.skipped.startswith("after ")


def _finish(outcome: Outcome, settings: config.Settings, root: Path, top: Path) -> Outcome:
    allow = next((one for one in settings.allow if _covers(one, outcome)), None)
    findings = (_allowed(finding, allow) if allow else finding for finding in outcome.findings)
    return msgspec.structs.replace(outcome, findings=tuple(_rebased(one, root, top) for one in findings))


def _covers(allow: config.Allow, outcome: Outcome) -> bool:
    return allow.check == outcome.check and allow.training in ("", outcome.training)


def _allowed(finding: Finding, allow: config.Allow) -> Finding:
    """An accepted error is a notice; once `until` is past, a warning."""
    if finding.level is not Level.ERROR:
        return finding
    expired = allow.until is not None and datetime.date.today() > allow.until
    said = f"allowed until {allow.until}, which is past" if expired else "allowed"
    level = Level.WARNING if expired else Level.NOTICE
    return msgspec.structs.replace(finding, level=level, message=f"{finding.message} ({said}: {allow.reason})")


def _rebased(finding: Finding, root: Path, top: Path) -> Finding:
    """Findings name files relative to the project; readers need them relative to the repository."""
    if not finding.file:
        return finding
    return msgspec.structs.replace(finding, file=git.relative(root / finding.file, top))


def _empty(out: Path) -> None:
    """Yesterday's evidence can never pass for today's."""
    try:
        if out.is_symlink():
            out.unlink()
        elif out.exists():
            shutil.rmtree(out)
        out.mkdir(parents=True)
    except OSError as error:
        raise UserError(
            f"cannot empty the folder: {error.strerror}", where=str(out), hint="Check its owner."
        ) from error
