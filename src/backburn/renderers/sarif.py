"""SARIF 2.1.0, as GitHub's code scanning reads it: a run per report, a rule per check, a result per finding.

The section numbers are those of https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from .. import __version__
from ..report import Finding, Level, Look, Outcome, Report, Verdict

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
SOURCE = "https://github.com/backburn-ci/backburn"
LEVELS = {Level.ERROR: "error", Level.WARNING: "warning", Level.NOTICE: "note"}
_LINK = re.compile(r"\[(?=[^\[\]]*\]\()|\](?=\()")  # the brackets of `[text](target)`, of which a viewer makes a link


def render(reports: Sequence[Report], look: Look = Look()) -> str:
    """One log of a run per report. What could not be judged is a notification of the run, and no result."""
    times = Counter(report.stage for report in reports)
    runs = [_run(report, report.folder if times[report.stage] > 1 else "") for report in reports]
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": runs}, indent=1, ensure_ascii=False) + "\n"


def _run(report: Report, told_apart: str) -> dict[str, Any]:
    rules = list(dict.fromkeys(outcome.check for outcome in report.outcomes))
    claims = {outcome.check: outcome.claim for outcome in report.outcomes}
    driver = {
        "name": "backburn",
        "version": __version__,
        "informationUri": SOURCE,
        "rules": [_rule(report.stage, check, claims[check]) for check in rules],
    }
    return {
        "tool": {"driver": driver},
        # GitHub takes what is before the last slash for the category, of which a commit has one analysis each.
        "automationDetails": {"id": "/".join(filter(None, ("backburn", report.stage, told_apart))) + "/"},
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(report, rules)],
        "results": list(_results(report, rules)),
    }


def _rule(stage: str, check: str, claim: str) -> dict[str, Any]:
    page = f"{SOURCE}/blob/main/docs/{quote(stage, safe='')}.md"
    told = {"text": _text(claim)}
    return {"id": check, "shortDescription": told, "fullDescription": told, "help": {"text": page}, "helpUri": page}


def _invocation(report: Report, rules: list[str]) -> dict[str, Any]:
    unjudged = [outcome for outcome in report.outcomes if outcome.verdict is Verdict.UNJUDGED]
    return {
        "executionSuccessful": not (unjudged or report.interrupted),
        "toolExecutionNotifications": [_notification(outcome, rules) for outcome in unjudged],
    }


def _notification(outcome: Outcome, rules: list[str]) -> dict[str, Any]:
    hint = next((finding.hint for finding in outcome.findings), "")
    said = "\n".join(part for part in (_of(outcome, outcome.unjudged), hint) if part)
    rule = {"id": outcome.check, "index": rules.index(outcome.check)}
    return {"level": "error", "message": {"text": _text(said)}, "associatedRule": rule}


def _results(report: Report, rules: list[str]) -> Iterator[dict[str, Any]]:
    seen: Counter[str] = Counter()
    for outcome in report.worst_first:
        for finding in outcome.findings if outcome.verdict is not Verdict.UNJUDGED else ():
            mark = _fingerprint(outcome, finding)
            seen[mark] += 1
            yield {
                "ruleId": outcome.check,
                "ruleIndex": rules.index(outcome.check),
                "level": LEVELS[finding.level],
                "message": {"text": _text("\n".join(filter(None, (_of(outcome, finding.message), finding.hint))))},
                "locations": [_location(report, finding)],
                "partialFingerprints": {"primaryLocationLineHash": f"{mark}:{seen[mark]}"},
            }


def _location(report: Report, finding: Finding) -> dict[str, Any]:
    """Where it is. GitHub refuses a result without a file: one of the project as a whole stands in pyproject.toml."""
    inside = finding.file and not PurePosixPath(finding.file).is_absolute()
    file = finding.file if inside else _pyproject(report)
    region = {"startLine": max(1, finding.line) if inside else 1}
    if inside and finding.line > 0 and finding.column > 0:
        region["startColumn"] = finding.column
    place = {"uri": quote(file), "uriBaseId": "%SRCROOT%"}
    return {"physicalLocation": {"artifactLocation": place, "region": region}}


def _pyproject(report: Report) -> str:
    """That of the project whose `build/backburn/<stage>` the report's folder is, else that of the repository."""
    folder, inside, _ = f"/{report.folder}".rpartition("/build/backburn/")
    return f"{folder}/pyproject.toml".lstrip("/") if inside else "pyproject.toml"


def _fingerprint(outcome: Outcome, finding: Finding) -> str:
    """The same for the same problem on another line or with other figures: one alert, not two (3.27.17)."""
    said = re.sub(r"\d+", "0", finding.message)
    about = "\0".join((outcome.check, outcome.training, finding.file, said))
    return hashlib.sha256(about.encode()).hexdigest()[:16]


def _of(outcome: Outcome, said: str) -> str:
    return f"{outcome.training}: {said}" if outcome.training else said


def _text(text: str) -> str:
    r"""`text` without embedded links (3.11.6): a training's output links nothing. Never empty: the schema forbids it.

    >>> _text("[click](https://evil.example) loss[0] is nan")
    '\\[click\\](https://evil.example) loss[0] is nan'
    """
    return _LINK.sub(r"\\\g<0>", text) or "-"
