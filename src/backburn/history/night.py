"""One night: what its reports came to for each stage and training, and the line that the history keeps of it."""

from __future__ import annotations

import datetime
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from .. import evidence
from ..errors import UserError
from ..received import line
from ..report import Figure, Level, Outcome, Report, Verdict, overall

NO_VERDICT = "no verdict"
FIGURES = 50  # of one training in one stage: what a line keeps
TRAININGS = 20  # of one stage: each may open an issue
TRAINING = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9_-]{0,99})?")  # as config.py has it; empty: a stage without trainings
_HARDWARE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # as references.py has it
_CONCLUDED = ("success", "failure")  # of a job: what else there is (cancelled, skipped) says nothing of the code


@dataclass(frozen=True, kw_only=True)
class Run:
    """The workflow run that publishes, as GitHub's variables tell it. `page` is its address, empty in a rehearsal."""

    id: int = 0
    attempt: int = 0
    commit: str = ""
    ref: str = ""
    event: str = ""
    workflow: str = ""
    page: str = ""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Run:
        """Numbers that are none count as 0: a rehearsal has no run."""

        def told(name: str) -> str:
            return line(environ.get(f"GITHUB_{name}", ""))

        page = f"{told('SERVER_URL')}/{told('REPOSITORY')}/actions/runs/{_number(told('RUN_ID'))}"
        return cls(
            id=_number(told("RUN_ID")),
            attempt=_number(told("RUN_ATTEMPT")),
            commit=told("SHA"),
            ref=told("REF"),
            event=told("EVENT_NAME"),
            workflow=told("WORKFLOW"),
            page=page,
        )


@dataclass(frozen=True, kw_only=True)
class Cause:
    """What stands first where a stage failed or could not be judged, as plain text on one line each."""

    check: str = ""
    said: str = ""
    where: str = ""
    hint: str = ""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one stage said of one training; `training` is empty for a stage without trainings.

    `hardware`, `reference` (what it was held against) and `standing` (its class, `changed` say) are the report's words,
    empty where it has none; `reused`: nothing was trained, an earlier run's evidence was judged.
    """

    training: str
    verdict: Verdict
    headline: str = ""
    cause: Cause | None = None
    hardware: str = ""
    reference: str = ""
    standing: str = ""
    reused: bool = False
    figures: Mapping[str, float | int]


@dataclass(frozen=True, kw_only=True)
class Told:
    """What is believed of one report: known words, finite numbers, clipped lines."""

    stage: str
    seconds: float | None
    interrupted: str
    parts: tuple[Part, ...]

    @property
    def verdict(self) -> Verdict:
        """What its parts come to."""
        return overall(part.verdict for part in self.parts)


class Stage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stage in a line: its figures by training, numbers only; where each ran; which were not started."""

    verdict: Verdict
    seconds: float | None = None
    figures: dict[str, dict[str, float | int]] = {}
    hardware: dict[str, str] = {}
    reused: tuple[str, ...] = ()


class Night(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the history. `date` is UTC; `problems` say why there is no verdict, a sentence each."""

    date: str
    run: int
    attempt: int
    commit: str
    ref: str
    event: str
    workflow: str
    verdict: str
    problems: tuple[str, ...] = ()
    stages: dict[str, Stage] = {}
    kind: str = "night"
    schema: int = 1


def told(report: Report) -> Told:
    """A report from a job that ran a training, cut down to what is believed. Raises UserError where it is malformed."""
    trainings = list(dict.fromkeys(outcome.training for outcome in report.outcomes)) or [""]
    if len(trainings) > TRAININGS:
        raise UserError(f"{len(trainings)} trainings, more than {TRAININGS}")
    strange = [one for one in trainings if not TRAINING.fullmatch(one)]
    if strange:
        raise UserError(f"no name of a training: {line(strange[0], 40)!r}")
    return Told(
        stage=report.stage,
        seconds=report.seconds if math.isfinite(report.seconds) else None,
        interrupted=line(report.interrupted),
        parts=tuple(_part(report, training) for training in trainings),
    )


def conclude(reports: Mapping[str, Told], refused: Sequence[str], expect: Sequence[str], result: str) -> Iterator[str]:
    """Why the night has no verdict, a sentence each; nothing where every report is there and the job agrees."""
    missing = [stage for stage in expect if stage not in reports]
    yield from refused
    yield from (f"{stage}: no report" for stage in missing)
    yield from (f"{one.stage}: {one.interrupted}" for one in reports.values() if one.interrupted)
    if not reports and not expect:
        yield "there is no report"
    if result not in _CONCLUDED:
        yield f"the job's result is {line(result, 40)!r}" if result else "the job's result was not given (`result`)"
    elif result == "failure" and not (missing or refused) and all(map(_passes, reports.values())):
        yield "the job failed, and no report says why"


def night(run: Run, reports: Mapping[str, Told], problems: Sequence[str], now: datetime.datetime) -> Night:
    """The line: `no verdict` where there is a problem, else what the reports come to."""
    return Night(
        date=now.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        run=run.id,
        attempt=run.attempt,
        commit=run.commit,
        ref=run.ref,
        event=run.event,
        workflow=run.workflow,
        verdict=NO_VERDICT if problems else overall(one.verdict for one in reports.values()).value,
        problems=tuple(problems),
        stages={name: _stage(one) for name, one in reports.items()},
    )


def dumps(one: Night) -> bytes:
    """The night as one line of JSON, its newline included."""
    return msgspec.json.encode(evidence.plain(one)) + b"\n"


def _passes(one: Told) -> bool:
    return one.verdict is Verdict.PASS


def _stage(one: Told) -> Stage:
    figures = {part.training: dict(part.figures) for part in one.parts if part.figures}
    hardware = {part.training: part.hardware for part in one.parts if part.hardware}
    reused = tuple(part.training for part in one.parts if part.reused)
    return Stage(verdict=one.verdict, seconds=one.seconds, figures=figures, hardware=hardware, reused=reused)


def _part(report: Report, training: str) -> Part:
    outcomes = [one for one in report.worst_first if one.training == training]
    figures = [one for one in report.figures if one.training == training]
    verdict = overall(one.verdict for one in outcomes)
    return Part(
        training=training,
        verdict=verdict,
        headline=line(f"{figures[0].name} {figures[0]}", 80) if figures else "",
        cause=None if verdict is Verdict.PASS else _cause(outcomes),
        hardware=_hardware(report, training),
        reference=_text(figures, "reference"),
        standing=_text(figures, "class"),
        reused=training in report.reused,
        figures={} if training in report.reused else _numbers(figures),  # an earlier run's, measured once
    )


def _hardware(report: Report, training: str) -> str:
    """Of the table that says where it ran; empty for what is no name of a file of references."""
    rows = [row for one in report.tables if (one.name, one.training) == ("environment", training) for row in one.rows]
    named = next((text for name, text in rows if name == "hardware"), "")
    return named if _HARDWARE.fullmatch(named) and named != "any" else ""


def _text(figures: Sequence[Figure], name: str) -> str:
    return next((line(one.text, 100) for one in figures if one.name == name), "")


def _cause(outcomes: Sequence[Outcome]) -> Cause:
    first = next((one for one in outcomes if one.verdict in (Verdict.FAIL, Verdict.UNJUDGED)), None)
    if first is None:
        return Cause(said="no check concluded anything")
    errors = [finding for finding in first.findings if finding.level is Level.ERROR]
    finding = next(iter(errors or first.findings), None)
    if finding is None:
        return Cause(check=line(first.check, 100), said=line(first.unjudged))
    where = f"{finding.file}:{finding.line}" if finding.line else finding.file
    said = finding.message if errors else first.unjudged
    return Cause(check=line(first.check, 100), said=line(said), where=line(where, 200), hint=line(finding.hint))


def _numbers(figures: Sequence[Figure]) -> dict[str, float | int]:
    # Not math.isfinite, which raises for an int beyond the floats.
    finite = [one for one in figures if one.value is not None and abs(one.value) <= sys.float_info.max]
    return {line(one.name, 80): one.value for one in finite[:FIGURES] if one.value is not None}


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else 0
