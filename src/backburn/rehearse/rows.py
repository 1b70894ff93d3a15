"""What a rehearsed workflow came to: a row per job and stage, from the plan, act's stream and the artifacts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from .. import evidence
from ..errors import UserError
from ..report import Figure, Finding, Report, Verdict
from .act import Leg, limit_of
from .served import stage_of
from .workflow import Job, Workflow

_REGARDLESS = re.compile(r"\b(always|failure|cancelled)\s*\(")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table. `stage` is empty for a job without one; `note` says why, where the verdict alone does not.

    `seconds` are the job's, where it has several stages each one's own; None for what never began. `report` is what the
    stage said, its folder that of the artifact.
    """

    workflow: str
    job: str
    stage: str
    verdict: Verdict
    headline: str = ""
    seconds: float | None = None
    note: str = ""
    report: Report | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Told:
    """Everything known of one rehearsed workflow. `cut` says why act was ended early, `complaint` why it refused."""

    workflow: Workflow
    repository: str
    legs: Mapping[str, Leg]
    artifacts: Path
    index: Path
    cut: str = ""
    complaint: str = ""


def conclude(told: Told) -> tuple[tuple[Row, ...], tuple[Finding, ...]]:
    """The rows in the workflow's order, and what is to be looked at, the cause before what follows from it."""
    rows: list[Row] = []
    findings: list[Finding] = []
    legs = {job.id: [leg for leg in told.legs.values() if leg.job == job.id] for job in told.workflow.jobs}
    good = {name for name, several in legs.items() if several and all(one.outcome == "success" for one in several)}
    lost = _lost(told, {name for name, several in legs.items() if any(one.outcome == "failure" for one in several)})
    for job in told.workflow.jobs:
        made = [pair for leg in legs[job.id] for pair in _leg(told, job, leg)] or [(_silent(told, job, good, lost), ())]
        rows += [row for row, _ in made]
        findings += [finding for _, several in made for finding in several]
    return tuple(rows), tuple(findings)


def _lost(told: Told, failed: set[str]) -> set[str]:
    """The jobs that cannot have succeeded, whenever act was ended: `failed`, never to run here, or in need of such."""
    lost = failed | {job.id for job in told.workflow.jobs if job.elsewhere or _is_off(job)}
    for _ in told.workflow.jobs:  # a need of a need: as often as there are jobs is enough
        needy = (job for job in told.workflow.jobs if not _REGARDLESS.search(job.condition))
        lost |= {job.id for job in needy if lost & {*job.needs}}
    return lost


def _is_off(job: Job) -> bool:
    return job.condition.lower() == "false"


def _silent(told: Told, job: Job, good: set[str], lost: set[str]) -> Row:
    """A job that act said nothing of is never green. Where act was ended, only what it would skip anyway is a skip."""
    unmet = [one for one in job.needs if (one in lost if told.cut else one not in good)]
    verdict = Verdict.SKIP
    if told.complaint:
        verdict, why = Verdict.UNJUDGED, "act refused the workflow"
    elif job.elsewhere:
        why = f"skipped: {job.elsewhere} cannot be had here"
    elif unmet and not _REGARDLESS.search(job.condition):
        why = f"skipped: needs {', '.join(unmet)}"
    elif told.cut and not _is_off(job):
        verdict, why = Verdict.UNJUDGED, f"not reached: {told.cut}"
    elif job.condition:
        why = f"skipped: {job.condition}"
    else:
        verdict, why = Verdict.UNJUDGED, "act said nothing of this job"
    stage = next(iter(_stages(told, job)), "")
    return Row(workflow=told.workflow.stem, job=job.id, stage=stage, verdict=verdict, headline=why)


def _leg(told: Told, job: Job, leg: Leg) -> Iterator[tuple[Row, tuple[Finding, ...]]]:
    """The rows of one leg: one per stage, and one for the job itself where no stage accounts for how it ended."""
    if leg.unsupported or job.elsewhere:
        yield _silent(told, job, set(job.needs), set()), ()
        return
    reports, broken = _reports(told, leg)
    stages = list(dict.fromkeys([*_stages(told, job), *reports]))
    silent = {stage_of(step, told.repository): step for step in leg.broken}
    silent = {stage: step for stage, step in silent.items() if stage in stages and stage not in reports}
    explained = any(report.verdict in (Verdict.FAIL, Verdict.UNJUDGED) for report in reports.values()) or bool(silent)
    for stage in stages:
        if stage in reports:
            row, findings = _judged(told, leg, stage, reports[stage])
            row = replace(row, seconds=reports[stage].seconds) if len(stages) > 1 else row
            yield (replace(row, note="") if explained else row), findings
        elif leg.outcome == "success":
            note = broken or f"no report of {stage} among the job's artifacts"
            yield _row(told, leg, Verdict.UNJUDGED, note, stage=stage), (_finding(told, leg, note),)
        elif stage in silent:
            yield _broken(told, leg, silent[stage], stage)
        elif len(stages) > 1 or explained:
            yield replace(_row(told, leg, Verdict.UNJUDGED, "the job ended before it", stage=stage), seconds=None), ()
    accounted = bool(reports or silent) and (leg.outcome == "success" or (leg.outcome == "failure" and explained))
    if not accounted and not (leg.outcome == "success" and stages):
        only = stages[0] if len(stages) == 1 and not reports else ""
        yield _ended(told, job, leg, only)


def _ended(told: Told, job: Job, leg: Leg, stage: str) -> tuple[Row, tuple[Finding, ...]]:
    """How the job itself ended, in act's word or ours."""
    if leg.outcome == "success":
        return _row(told, leg, Verdict.PASS, _night(job, leg) or "every step passed", stage=stage), ()
    if leg.outcome != "failure":
        why = f"ended early: {told.cut}" if told.cut else "act ended without a word on it"
        return _row(told, leg, Verdict.UNJUDGED, why, stage=stage), ()
    if leg.failed and not leg.timed_out:
        return _broken(told, leg, leg.failed, stage)
    headline = f"timed out after {limit_of(job)}" if leg.timed_out else "failed before its first step"
    return _row(told, leg, Verdict.FAIL, headline, stage=stage), (_finding(told, leg, headline, leg.tail()),)


def _broken(told: Told, leg: Leg, step: str, stage: str) -> tuple[Row, tuple[Finding, ...]]:
    """A step that failed, and no report says why: its last words do."""
    headline, tail = f"failed in: {step}", leg.tail(step)
    # Exit code 3 of a stage without a report: the toolkit itself could not be installed.
    verdict = Verdict.UNJUDGED if stage and tail[-1:] == ("exit status 3",) else Verdict.FAIL
    return _row(told, leg, verdict, headline, stage=stage), (_finding(told, leg, headline, tail),)


def _night(job: Job, leg: Leg) -> str:
    """What `publish` said of the night, in its own last line, whatever follows it; empty for a job without it."""
    publishes = any(one.partition("@")[0].endswith("actions/publish") for one in job.uses)
    lines = [line for tail in leg.outputs.values() for line in tail]
    return next((line for line in reversed(lines) if publishes and line.startswith("night: ")), "")


def _judged(told: Told, leg: Leg, stage: str, report: Report) -> tuple[Row, tuple[Finding, ...]]:
    row = replace(_row(told, leg, report.verdict, _headline(report), stage=stage), report=report)
    worst = report.worst_first[0] if report.outcomes else None
    if worst is None or report.verdict in (Verdict.PASS, Verdict.SKIP):
        return row, ()
    first = worst.findings[0] if worst.findings else Finding(message=worst.unjudged)
    message = f"{told.workflow.stem} / {leg.label} · {worst.check}: {first.message}"
    found = Finding(message=message, file=first.file, line=first.line, hint=first.hint, detail=first.detail)
    return row, (found,)


def _headline(report: Report) -> str:
    """The first figure, and any word that says the figures are a rehearsal's."""
    words = [f"{one.name} {one}" for one in report.figures[:1]]
    words += [str(one) for one in report.figures[1:] if _is_rehearsed(one)]
    return ", ".join(dict.fromkeys(words))


def _is_rehearsed(figure: Figure) -> bool:
    return figure.text.endswith("(rehearsal)")


def _reports(told: Told, leg: Leg) -> tuple[dict[str, Report], str]:
    """The stage reports that this leg uploaded, and what was wrong with one that could not be read."""
    found: dict[str, Report] = {}
    broken = ""
    for name in _names(told.index, leg.artifacts):
        for file in sorted((told.artifacts / name).rglob("report.json")):
            try:
                report = evidence.load(file, Report)
            except UserError as error:
                broken = f"unreadable report: {error.problem}"
            else:
                found[report.stage] = msgspec.structs.replace(report, folder=str(file.parent))
    return found, broken


def _names(index: Path, numbers: set[str]) -> Iterator[str]:
    for line in index.read_text(encoding="utf-8").splitlines() if index.is_file() else ():
        entry = json.loads(line)
        if str(entry["id"]) in numbers:
            yield entry["name"]


def _stages(told: Told, job: Job) -> list[str]:
    return [stage for one in job.uses if (stage := stage_of(one, told.repository))]


def _row(told: Told, leg: Leg, verdict: Verdict, headline: str, *, stage: str) -> Row:
    note = ""
    if leg.failed and leg.outcome == "failure" and verdict is Verdict.PASS:
        note = f"the job failed in: {leg.failed}"
    seconds = (leg.ended or leg.started) - leg.started
    return Row(
        workflow=told.workflow.stem,
        job=leg.label,
        stage=stage,
        verdict=verdict,
        headline=headline,
        seconds=seconds,
        note=note,
    )


def _finding(told: Told, leg: Leg, message: str, tail: tuple[str, ...] = ()) -> Finding:
    return Finding(message=f"{told.workflow.stem} / {leg.label} · {message}", detail="\n".join(tail))
