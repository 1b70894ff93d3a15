"""One page for every stage of a workflow run: the cause first, no script, no network, light and dark."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import charts
from ..report import Figure, Finding, Look, Outcome, Report, Verdict, overall
from ..visible import spelled

FINDINGS = 50  # of a report, shown in full; the rest is counted
ROWS = 200  # of a table
LONG = 12  # lines of a detail above which it is folded
_DETAIL = 16 * 1024  # characters of one detail: its end is what matters
_PAGE = Path(__file__).with_name("page.html.j2")
_MARKS = {Verdict.PASS: "✓", Verdict.FAIL: "✗", Verdict.SKIP: "–", Verdict.UNJUDGED: "?"}


@dataclass(frozen=True, kw_only=True)
class _Section:
    """One report as the page shows it; `name` is its anchor."""

    name: str
    report: Report
    again: str

    @property
    def todo(self) -> str:
        """What to do, before the command to run again; empty where nothing is to be done."""
        first = self.report.foremost
        if self.report.interrupted:
            return f"as it was {self.report.interrupted}, run"
        if first is None:
            return ""
        failed = first.verdict is Verdict.FAIL
        return f"mend {first.check}, then run" if failed else f"see why {first.check} could not be judged, then run"

    @property
    def findings(self) -> list[tuple[Outcome, Finding]]:
        """The causes first."""
        return [(outcome, finding) for outcome in self.report.worst_first for finding in outcome.findings]

    @property
    def counts(self) -> str:
        """`3 pass, 1 fail`: how many outcomes are what."""
        counted = Counter(outcome.verdict for outcome in self.report.outcomes)
        return ", ".join(f"{counted[one]} {one}" for one in _MARKS if counted[one])

    @property
    def timed(self) -> bool:
        """Whether any check has a time of its own."""
        return any(outcome.seconds is not None for outcome in self.report.outcomes)

    @property
    def figures(self) -> list[tuple[str, list[Figure]]]:
        """By training, in their order."""
        return [
            (training, [*some]) for training, some in itertools.groupby(self.report.figures, lambda one: one.training)
        ]

    @property
    def charts(self) -> list[charts.Chart]:
        """The curves, drawn."""
        return charts.drawn(self.report.curves)


@dataclass(frozen=True, kw_only=True)
class _Cause:
    """What stands first on the page: the worst outcome of the worst report."""

    section: _Section
    outcome: Outcome
    finding: Finding | None

    @property
    def said(self) -> str:
        return self.outcome.unjudged or (self.finding.message if self.finding else self.outcome.claim)


def render(reports: Sequence[Report], look: Look = Look()) -> str:
    """One self-contained HTML file. What does not fit is counted; `report.json` has it all."""
    from jinja2 import Environment, StrictUndefined

    page = Environment(
        autoescape=True, finalize=_shown, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    sections = [
        _Section(name=f"stage-{number}", report=report, again=_again(report, look, alone=len(reports) == 1))
        for number, report in enumerate(reports, 1)
    ]
    return page.from_string(_PAGE.read_text(encoding="utf-8")).render(
        verdict=overall(report.verdict for report in reports),
        sections=sections,
        cause=_cause(sections),
        warned=sum(one.level == "warning" for section in sections for _, one in section.findings),
        detail=_detail,
        marks=_MARKS,
        limits={"findings": FINDINGS, "rows": ROWS, "long": LONG},
        size=charts.SIZE,
    )


def _cause(sections: Sequence[_Section]) -> _Cause | None:
    for verdict in (Verdict.FAIL, Verdict.UNJUDGED):
        for section in sections:
            outcome = section.report.foremost
            if outcome is not None and outcome.verdict is verdict:
                return _Cause(section=section, outcome=outcome, finding=next(_worst(outcome), None))
    return None


def _worst(outcome: Outcome) -> Iterator[Finding]:
    yield from (one for one in outcome.findings if one.level == "error")
    yield from outcome.findings


def _again(report: Report, look: Look, *, alone: bool) -> str:
    return look.again if alone and look.again else f"backburn {report.stage}"


def _detail(finding: Finding) -> str:
    """The end of it, where a traceback says what it is about."""
    left_out = len(finding.detail) - _DETAIL
    return f"… {left_out:,} characters more\n{finding.detail[-_DETAIL:]}" if left_out > 0 else finding.detail


def _shown(value: object) -> object:
    """Each value that the page shows passes here, before it is escaped: what cannot be seen is spelled out."""
    if hasattr(value, "__html__"):  # our own markup, all that is in it has been here
        return value
    return spelled(str(value))
