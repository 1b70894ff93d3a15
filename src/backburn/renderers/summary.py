"""The job summary: GitHub Markdown, the verdict first, at most 20 rows, details folded, under 60 KiB."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence

from ..github import SUMMARY_BYTES
from ..report import Finding, Level, Look, Outcome, Report, Table, Verdict
from ..visible import spelled

ROWS = 20
MARKS = {Verdict.PASS: "✅", Verdict.FAIL: "❌", Verdict.SKIP: "➖", Verdict.UNJUDGED: "⚠️"}
_DETAIL = 8 * 1024  # characters of one folded detail: its end is what matters


def render(reports: Sequence[Report], look: Look = Look()) -> str:
    """One section per report. What does not fit is counted; the artifact has it all."""
    stages = [report.stage for report in reports]
    size = SUMMARY_BYTES // max(1, len(reports))
    return "\n".join(_section(report, size, twin=stages.count(report.stage) > 1) for report in reports)


def _section(report: Report, size: int, *, twin: bool) -> str:
    blocks = [_heading(report), _table(report)]
    if twin:  # another leg of the matrix, or another job
        blocks.insert(1, f"Evidence: <code>{_inside(report.folder)}</code>")
    blocks += [f"`{curve.sparkline()}` {_of(curve.name, curve.training)}" for curve in report.curves]
    left_out = 0
    room = size - 200 - sum(len(block.encode()) + 2 for block in blocks)
    for block in _details(report):
        room -= len(block.encode()) + 2
        if room > 0:
            blocks.append(block)
        else:
            left_out += 1
    if left_out:
        blocks.append(f"{left_out} more findings: see `report.json` in the artifact.")
    for block in map(_folded, report.tables):  # what may be looked up stands last, where there is room for it
        room -= len(block.encode()) + 2
        blocks += [block] if room > 0 else []
    return "\n\n".join(blocks) + "\n"


def _heading(report: Report) -> str:
    cause = report.foremost
    first = f"### {MARKS[report.verdict]} {_text(report.stage)}: {report.verdict.value}"
    lines = [first + (f": {_cause(cause)}" if cause else "")]
    changed = " with changes" if report.commit.endswith("+") else ""
    of_commit = f", commit <code>{_inside(report.commit[:12])}</code>{changed}" if report.commit else ""
    lines.append(f"{_text(report.question)} {report.seconds:.1f} s{of_commit}")
    figures = [f"{_of(figure.name, figure.training)} **{_text(str(figure))}**" for figure in report.figures[:ROWS]]
    if figures:
        lines.append(" · ".join(figures))
    if report.interrupted:
        lines.append(f"**{_text(report.interrupted)}**")
    return "\n\n".join(lines)


def _cause(outcome: Outcome) -> str:
    said = outcome.unjudged or next((_placed(finding) + finding.message for finding in outcome.findings), "")
    return f"{_of(outcome.check, outcome.training)}: {_text(said)[:300]}"


def _table(report: Report) -> str:
    outcomes = report.worst_first
    shown = outcomes if len(outcomes) <= ROWS else outcomes[: ROWS - 1]
    rows = ["| | check | what it says | s |", "|---|---|---|---|"]
    rows += [_row(outcome) for outcome in shown]
    if len(outcomes) > len(shown):
        rows.append(f"| | {len(outcomes) - len(shown)} more | see `report.json` in the artifact | |")
    return "\n".join(rows)


def _row(outcome: Outcome) -> str:
    said = outcome.claim
    if outcome.findings:
        more = f" (and {len(outcome.findings) - 1} more)" if len(outcome.findings) > 1 else ""
        first = outcome.findings[0]
        mild = "" if first.level is Level.ERROR else f"{first.level}: "  # of what passed, where the mark is green
        said = mild + _placed(first) + first.message[:200] + more
    said = outcome.unjudged or outcome.skipped or said
    seconds = "" if outcome.seconds is None else f"{outcome.seconds:.2f}"
    return f"| {MARKS[outcome.verdict]} | {_of(outcome.check, outcome.training)} | {_text(said)} | {seconds} |"


def _placed(finding: Finding) -> str:
    place = f"{finding.file}:{finding.line}" if finding.line else finding.file
    return f"{place}: " if place else ""


def _details(report: Report) -> Iterator[str]:
    for outcome in report.worst_first:
        for finding in outcome.findings:
            yield _detail(outcome, finding)


def _folded(table: Table) -> str:
    of_training = f" [{table.training}]" if table.training else ""
    rows = [f"| {_text(name)} | {_text(text)} |" for name, text in table.rows]
    head = f"<details><summary>{_inside(table.name + of_training)}</summary>"
    return "\n".join([head, "", "| | |", "|---|---|", *rows, "", "</details>"])


def _detail(outcome: Outcome, finding: Finding) -> str:
    where = f"{finding.file}:{finding.line}" if finding.line else finding.file
    head = _inside(outcome.check) + (f" <code>{_inside(where)}</code>" if where else "")
    lines = [f"<details><summary>{finding.level.value}: {head}</summary>", "", _text(finding.message, keep_lines=True)]
    if finding.hint:
        lines += ["", f"**What to do:** {_text(finding.hint, keep_lines=True)}"]
    if finding.detail:
        detail = spelled(finding.detail[-_DETAIL:])
        fence = _fence(detail)
        lines += ["", fence, detail, fence]
    return "\n".join([*lines, "</details>"])


def _inside(text: str) -> str:
    """Text inside <summary>, where GitHub reads HTML, not Markdown: a backslash would be shown, a blank line end it."""
    return html.escape(" ".join(spelled(text).split())).replace("@", "@<!-- -->")


def _fence(text: str) -> str:
    """A fence longer than any run of backticks inside: a training's output cannot end it."""
    return "`" * max(3, 1 + max((len(ticks) for ticks in re.findall("`+", text)), default=0))


def _of(name: str, training: str) -> str:
    return _text(f"{name} [{training}]" if training else name)


def _text(text: str, *, keep_lines: bool = False) -> str:
    """Plain text as Markdown that renders as itself: no tag, link, mention or table cell can be smuggled in."""
    text = html.escape(spelled(text), quote=False)
    text = re.sub(r"([\\`*_\[\]|~#])", r"\\\1", text).replace("@", "@<!-- -->")
    return text.replace("\n", "<br>\n" if keep_lines else " ")
