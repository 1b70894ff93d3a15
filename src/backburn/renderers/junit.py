"""JUnit's XML, as CI servers read it: Report ⊃ Outcome ⊃ Finding = testsuite ⊃ testcase ⊃ failure.

Elements and attributes are those of junit-10.xsd of Jenkins' xunit plugin, and no others.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence

from ..report import Figure, Finding, Level, Look, Outcome, Report, Verdict

_ILLEGAL = re.compile(
    "[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)  # what XML 1.0 cannot hold (its section 2.2)


def render(reports: Sequence[Report], look: Look = Look()) -> str:
    """One testsuite per report. What could not be judged is an `error`, whatever `--unjudged` says."""
    suites = [_suite(report) for report in reports]
    totals = {key: str(sum(int(suite.get(key, "0")) for suite in suites)) for key in ("tests", "failures", "errors")}
    about = {"name": "backburn", "time": _time(sum(one.seconds for one in reports))}
    root = ET.Element("testsuites", about | totals)
    root.extend(suites)
    ET.indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(report: Report) -> ET.Element:
    verdicts = [outcome.verdict for outcome in report.outcomes]
    suite = ET.Element(
        "testsuite",
        name=_legal(report.stage),
        tests=str(len(verdicts)),
        failures=str(verdicts.count(Verdict.FAIL)),
        errors=str(verdicts.count(Verdict.UNJUDGED)),
        skipped=str(verdicts.count(Verdict.SKIP)),
        time=_time(report.seconds),
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(report):
        ET.SubElement(properties, "property", name=_legal(name), value=_legal(value))
    suite.extend(_case(report, outcome) for outcome in report.outcomes)
    return suite


def _properties(report: Report) -> Iterator[tuple[str, str]]:
    """The figures, each with all its digits, and what the report is about."""
    yield from (("question", report.question), ("verdict", report.verdict.value))
    about = {"commit": report.commit, "folder": report.folder, "interrupted": report.interrupted}
    yield from ((name, value) for name, value in about.items() if value)
    for figure in report.figures:
        yield _of(figure.name, figure.training), _exact(figure)


def _exact(figure: Figure) -> str:
    return str(figure) if figure.value is None else f"{figure.value} {figure.unit}".rstrip()


def _case(report: Report, outcome: Outcome) -> ET.Element:
    case = ET.Element(
        "testcase",
        classname=_legal(report.stage),
        name=_legal(_of(outcome.check.removeprefix(f"{report.stage}/"), outcome.training)),
        time=_time(outcome.seconds or 0.0),
    )
    judged = outcome.verdict is not Verdict.UNJUDGED
    for finding in (one for one in outcome.findings if judged and one.level is Level.ERROR):
        failure = ET.SubElement(case, "failure", message=_legal(finding.message), type=_legal(outcome.check))
        failure.text = _legal(_told(finding))
    if not judged:
        error = ET.SubElement(case, "error", message=_legal(outcome.unjudged), type="unjudged")
        error.text = _legal("\n\n".join(map(_told, outcome.findings)))
    elif outcome.verdict is Verdict.SKIP:
        ET.SubElement(case, "skipped", message=_legal(outcome.skipped))
    mild = [f"{one.level.value}: {_told(one)}" for one in outcome.findings if judged and one.level is not Level.ERROR]
    if mild:
        ET.SubElement(case, "system-out").text = _legal("\n\n".join(mild))
    return case


def _told(finding: Finding) -> str:
    """`file:line: message`, as compilers and pytest say it, then what to do, then the detail."""
    place = ":".join([finding.file, *(str(one) for one in (finding.line, finding.column) if one)])
    said = f"{place}: {finding.message}" if finding.file else finding.message
    hint = f"→ {finding.hint}" if finding.hint else ""
    return "\n".join(part for part in (said, hint, finding.detail) if part)


def _of(name: str, training: str) -> str:
    return f"{name} [{training}]" if training else name


def _time(seconds: float) -> str:
    return f"{seconds:.3f}"


def _legal(text: str) -> str:
    """`text` with U+FFFD for each character that no XML 1.0 document may hold, not even escaped."""
    return _ILLEGAL.sub("\ufffd", text)
