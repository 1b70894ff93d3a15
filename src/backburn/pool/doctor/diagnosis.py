"""All checks on what was seen: their answers, an exit code, and the text for people."""

from __future__ import annotations

import textwrap

import msgspec

from ...received import line
from .checks import TABLE, Verdict
from .seen import Seen

SCHEMA = 1
_INDENT = 26


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One check's answer, in plain words."""

    check: str
    verdict: Verdict
    said: str
    fix: str
    code: int


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """`exit_code`: 0 where nothing is wrong; 2 where what was asked is, and that goes first; else 3, the machine."""

    kind: str = "pool-doctor"
    schema: int = SCHEMA
    exit_code: int
    checks: tuple[Row, ...]

    @property
    def wrong(self) -> tuple[Row, ...]:
        """Those that no job can run with."""
        return tuple(row for row in self.checks if row.verdict is Verdict.WRONG)


def diagnose(seen: Seen) -> Diagnosis:
    """Text from GitHub and the engine is shown as one line each, and moves no cursor."""
    rows = []
    for check in TABLE:
        answer = check.judge(seen)
        code = check.code if answer.verdict is Verdict.WRONG else 0
        rows.append(
            Row(check=check.id, verdict=answer.verdict, said=line(answer.said), fix=line(answer.fix, 600), code=code)
        )
    codes = {row.code for row in rows}
    return Diagnosis(exit_code=2 if 2 in codes else max(codes), checks=tuple(rows))


def render(diagnosis: Diagnosis, width: int, colour: bool) -> str:
    """One line for each check, what to do below it; the last line says what it comes to."""
    text = [part for row in diagnosis.checks for part in _rows(row, width)]
    wrong = len(diagnosis.wrong)
    end = "Nothing is wrong." if not wrong else f"{wrong} of {len(diagnosis.checks)} wrong."
    return "\n".join([*text, "", end]) + "\n"


def _rows(row: Row, width: int) -> list[str]:
    head = f"{row.check:<14}{row.verdict:<{_INDENT - 14}}"
    lines = textwrap.wrap(row.said, max(40, width - _INDENT)) or [""]
    lines += textwrap.wrap(row.fix, max(40, width - _INDENT - 2), initial_indent="→ ", subsequent_indent="  ")
    return [head + lines[0], *(" " * _INDENT + one for one in lines[1:])]
