"""GitHub annotations: one per finding, at most 10 per type and step, the rest counted and pointed to the summary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..github import ANNOTATIONS, command
from ..report import Finding, Level, Look, Outcome, Report, Verdict


def render(reports: Sequence[Report], look: Look = Look()) -> str:
    """Workflow commands, one a line, the cause first."""
    lines: list[str] = []
    pairs = [pair for report in reports for pair in _pairs(report, look.unjudged)]
    for level in Level:
        mine = [pair for pair in pairs if pair[1].level is level]
        shown = mine if len(mine) <= ANNOTATIONS else mine[: ANNOTATIONS - 1]
        lines += [_line(outcome, finding) for outcome, finding in shown]
        if len(mine) > len(shown):
            lines.append(
                command(level.value, f"{len(mine) - len(shown)} more: see the job's summary", title="backburn")
            )
    return "\n".join(lines)


def _pairs(report: Report, unjudged: Level) -> Iterator[tuple[Outcome, Finding]]:
    for outcome in report.worst_first:
        if outcome.verdict is Verdict.UNJUDGED:
            hint = next((finding.hint for finding in outcome.findings), "")
            yield outcome, Finding(message=f"unjudged: {outcome.unjudged}", level=unjudged, hint=hint)
            continue
        for finding in outcome.findings:
            yield outcome, finding


def _line(outcome: Outcome, finding: Finding) -> str:
    of_training = f" [{outcome.training}]" if outcome.training else ""
    message = f"{finding.message}\n{finding.hint}" if finding.hint else finding.message
    return command(
        finding.level.value,
        message,
        file=finding.file,
        line=finding.line,
        col=finding.column,
        title=f"{outcome.check}{of_training}",
    )
