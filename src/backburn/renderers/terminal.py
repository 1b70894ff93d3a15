"""What a person reads on the terminal: the cause first, then every check, then what to do next."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..report import Finding, Level, Look, Outcome, Report, Verdict
from ..visible import spelled

if TYPE_CHECKING:
    from rich.console import Console

MARKS = {
    Verdict.PASS: ("✓", "green"),
    Verdict.FAIL: ("✗", "red"),
    Verdict.SKIP: ("-", "dim"),
    Verdict.UNJUDGED: ("?", "yellow"),
}
COUNTED = {
    Verdict.FAIL: "failed",
    Verdict.UNJUDGED: "could not be judged",
    Verdict.PASS: "passed",
    Verdict.SKIP: "skipped",
}
COLOURS = {Level.ERROR: "red", Level.WARNING: "yellow", Level.NOTICE: "blue"}
FINDINGS = 20  # shown in full; the rest is counted
ROWS = 20  # checks shown one by one; of more, those that found something are above, and all are counted


def render(reports: Sequence[Report], look: Look = Look()) -> str:
    """Plain text, or with ANSI colours."""
    from rich.console import Console

    stream = io.StringIO()
    console = Console(
        file=stream,
        width=look.width,
        force_terminal=look.colour,
        no_color=not look.colour,
        highlight=False,
        markup=False,
        emoji=False,
    )
    for report in reports:
        _report(console, report, look)
    return stream.getvalue()


def _report(console: Console, report: Report, look: Look) -> None:
    mark, colour = MARKS[report.verdict]
    console.print(f"{mark} {report.stage}: {report.verdict.value}", style=f"bold {colour}", end="  ")
    console.print(f"{report.question} {report.seconds:.1f} s", style="dim")
    _findings(console, report)
    _outcomes(console, report)
    for figure in report.figures:
        of_training = f" [{figure.training}]" if figure.training else ""
        console.print(spelled(f"    {figure.name}{of_training}: {figure}"), style="dim")
    for curve in report.curves:
        console.print(f"    {curve.name} {curve.sparkline()}")
    console.print(_next(report, look), style="bold", soft_wrap=True)


def _findings(console: Console, report: Report) -> None:
    pairs = [(outcome, finding) for outcome in report.worst_first for finding in outcome.findings]
    alone = {outcome.training for outcome, _ in pairs}
    for number, (outcome, finding) in enumerate(pairs[:FINDINGS]):
        if number and len(alone) == 1 and report.cause == pairs[number - 1][0].check != outcome.check:
            console.print("  also seen:", style="dim")
        _finding(console, outcome, finding)
    if len(pairs) > FINDINGS:
        where = f" in {report.folder}/report.json" if report.folder else ""
        console.print(f"  … and {len(pairs) - FINDINGS} more{where}", style="dim")


def _finding(console: Console, outcome: Outcome, finding: Finding) -> None:
    where = f" {finding.file}{f':{finding.line}' if finding.line else ''}" if finding.file else ""
    of_training = f" [{outcome.training}]" if outcome.training else ""
    level = "unjudged" if outcome.verdict is Verdict.UNJUDGED else finding.level.value
    console.print(spelled(f"  {level}: {outcome.check}{of_training}{where}"), style=COLOURS[finding.level])
    _indented(console, "    ", finding.message)
    _indented(console, "    → ", finding.hint)
    for line in spelled(finding.detail).splitlines()[-30:]:
        console.print(f"    │ {line}", style="dim", soft_wrap=True)


def _indented(console: Console, first: str, text: str) -> None:
    """Every line of `text` behind `first`, wrapped so that it stays in its column."""
    for line in spelled(text).splitlines():
        wrap = textwrap.TextWrapper(console.width, first, " " * len(first), break_long_words=False)
        console.print(wrap.fill(line), soft_wrap=True)


def _outcomes(console: Console, report: Report) -> None:
    if len(report.outcomes) <= ROWS:
        for outcome in report.outcomes:
            _outcome(console, outcome)
        return
    for training in dict.fromkeys(one.training for one in report.outcomes):
        verdicts = [one.verdict for one in report.outcomes if one.training == training]
        said = ", ".join(f"{verdicts.count(one)} {word}" for one, word in COUNTED.items() if one in verdicts)
        console.print(spelled(f"  checks{training and f' [{training}]'}: {said}"), style="dim")


def _outcome(console: Console, outcome: Outcome) -> None:
    mark, colour = MARKS[outcome.verdict]
    of_training = f" [{outcome.training}]" if outcome.training else ""
    seconds = "" if outcome.seconds is None else f"  {outcome.seconds:.2f} s"
    reason = outcome.unjudged or outcome.skipped
    said = f"{outcome.verdict.value}: {reason}" if reason else outcome.claim
    if outcome.verdict is Verdict.FAIL:  # its claim is what does not hold
        said = outcome.findings[0].message.partition("\n")[0]
    console.print(spelled(f"  {mark} {outcome.check}{of_training}"), style=colour, end="  ")
    console.print(spelled(f"{said}{seconds}"), style="dim")


def _next(report: Report, look: Look) -> str:
    again, folder = look.again or f"backburn {report.stage}", look.folder or report.folder
    page = f"Page: {look.page}" if look.page else ""
    if report.interrupted:
        return f"  Next: `{again}` once more; it was {report.interrupted}. {page}".rstrip()
    first = report.foremost
    if first is None:
        written = f"Report: {folder}/report.json" if folder else ""
        return f"  Next: nothing to mend. {page or written}".rstrip()
    do = f"mend {first.check}" if first.verdict is Verdict.FAIL else f"see why {first.check} could not be judged"
    evidence = f"Evidence: {folder}/" if folder else ""
    return f"  Next: {do}, then `{again}`. {page or evidence}".rstrip()
