"""A rehearsal as reports: those of its stages, and one of its own for the jobs of which no stage tells."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import msgspec

from ..report import Finding, Level, Outcome, Report, Verdict
from .rows import Row

QUESTION = "Do the project's own workflows pass here, before they are pushed?"


def reports(rows: Sequence[Row], findings: Sequence[Finding], root: str) -> Iterator[Report]:
    """In the order of the rows; the rehearsal's own comes last. Folders are relative to `root`, the project's."""
    for row in rows:
        if row.report is not None:
            yield msgspec.structs.replace(row.report, folder=os.path.relpath(row.report.folder, root))
    if silent := [row for row in rows if row.report is None]:
        yield Report(stage="rehearse", question=QUESTION, outcomes=tuple(_outcome(row, findings) for row in silent))


def _outcome(row: Row, findings: Sequence[Finding]) -> Outcome:
    said = row.headline or row.verdict.value
    skipped, unjudged = (said if row.verdict is one else "" for one in (Verdict.SKIP, Verdict.UNJUDGED))
    return Outcome(
        check=f"rehearse/{row.workflow}/{row.job}",
        claim=said,
        findings=tuple(_of(row, findings)),
        skipped=skipped,
        unjudged=unjudged,
        seconds=row.seconds,
    )


def _of(row: Row, findings: Sequence[Finding]) -> Iterator[Finding]:
    """What the table says below of this row; of a failed one at least its headline."""
    own = f"{row.workflow} / {row.job} · "
    begins: dict[Verdict, tuple[str, ...]] = {Verdict.FAIL: (own,), Verdict.UNJUDGED: (own, f"{row.workflow} · ")}
    if row.verdict not in begins:
        return
    mine = [one for one in findings if one.message.startswith(begins[row.verdict])]
    level = Level.ERROR if row.verdict is Verdict.FAIL else Level.WARNING
    for one in mine or [Finding(message=row.headline)]:
        yield msgspec.structs.replace(one, message=one.message.partition(" · ")[2] or one.message, level=level)
