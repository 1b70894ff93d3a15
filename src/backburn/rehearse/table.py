"""A rehearsal as text: one table, then what to look at and what to do next."""

from __future__ import annotations

import io
from collections.abc import Iterator

from ..report import Finding, Verdict
from .rehearsal import Rehearsal

_STYLES = {Verdict.PASS: "green", Verdict.FAIL: "bold red", Verdict.SKIP: "dim", Verdict.UNJUDGED: "yellow"}
_WIDTH = 120
_NEXT = {
    Verdict.PASS: "Push: every job that can be rehearsed here passed.",
    Verdict.FAIL: "Mend what is named above, commit (or pass --dirty), and rehearse again.",
    Verdict.UNJUDGED: "Nothing failed, but not everything could be judged: see above.",
    Verdict.SKIP: "",
}
_FORK = (
    "This is how a pull request from a fork looks: where a guard keeps a job from it, the check that requires the job "
    "fails until a maintainer pushes the commits to a branch of this repository."
)


def render(rehearsal: Rehearsal, *, color: bool = False, width: int = _WIDTH) -> str:
    """Workflow, job, stage, verdict, headline figure and seconds; then the causes, notes and the next command."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=color, no_color=not color, highlight=False)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title_justify="left")
    for name in ("workflow", "job", "stage", "verdict", "headline", "seconds"):
        table.add_column(name, justify="right" if name == "seconds" else "left", overflow="fold")
    for row in rehearsal.rows:
        headline = "; ".join(part for part in (row.headline, row.note) if part)
        seconds = "" if row.seconds is None else f"{row.seconds:.1f}"
        verdict = Text(row.verdict.value, style=_STYLES[row.verdict])
        table.add_row(row.workflow, row.job, row.stage, verdict, Text(headline), seconds)
    console.print(table)
    for line in _below(rehearsal):
        console.print(Text(line), soft_wrap=True)
    return stream.getvalue()


def _below(rehearsal: Rehearsal) -> Iterator[str]:
    for finding in rehearsal.findings:
        yield from ("", *_finding(finding))
    if rehearsal.notes or rehearsal.not_pushed:
        yield ""
    for note in rehearsal.notes:
        yield f"note: {note}"
    if rehearsal.not_pushed:
        shown = ", ".join(rehearsal.not_pushed[:10]) + (" …" if len(rehearsal.not_pushed) > 10 else "")
        yield f"not pushed ({len(rehearsal.not_pushed)} untracked): {shown}"
    yield ""
    yield f"Look at {rehearsal.folder}: log.txt, act.jsonl and artifacts/ of each workflow."
    if rehearsal.fork:
        yield _FORK
    yield _NEXT[rehearsal.verdict]


def _finding(finding: Finding) -> Iterator[str]:
    place = f"{finding.file}:{finding.line}: " if finding.line else f"{finding.file}: " if finding.file else ""
    yield f"✗ {place}{finding.message}"
    for line in finding.detail.splitlines()[-30:]:
        yield f"  │ {line}"
    if finding.hint:
        yield f"  → {finding.hint}"
