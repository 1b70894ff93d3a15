"""Report ⊃ Outcome ⊃ Finding: what a stage concluded, as frozen plain data that knows no renderer.

A verdict is derived, never stored: a report cannot disagree with its findings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import msgspec

_BLOCKS = "▁▂▃▄▅▆▇█"
_ROOM = 2.0**-64  # an exact factor, after which no sum and no distance of finite floats is infinite


class Level(StrEnum):
    """How bad one finding is; GitHub's three annotation levels."""

    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"


class Verdict(StrEnum):
    """What an outcome or a report comes to."""

    PASS = "pass"
    FAIL = "fail"
    SKIP = "skip"
    UNJUDGED = "unjudged"


def overall(verdicts: Iterable[Verdict]) -> Verdict:
    """`fail` if any is, else `unjudged` if any is, else `pass` if any is, else (nothing, or only skips) `unjudged`."""
    found = set(verdicts)
    return next((one for one in (Verdict.FAIL, Verdict.UNJUDGED, Verdict.PASS) if one in found), Verdict.UNJUDGED)


class Finding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One problem. `file` is relative to the repository's root; `line` and `column` count from 1, 0 is unknown."""

    message: str
    level: Level = Level.ERROR
    file: str = ""
    line: int = 0
    column: int = 0
    hint: str = ""
    detail: str = ""

    @property
    def path(self) -> str:
        """`file`, by the name that GitHub's annotations have for it."""
        return self.file


class Outcome(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One check's conclusion. `check` is `<stage>/<name>`; `claim` is the sentence that holds when it passes."""

    check: str
    claim: str
    findings: tuple[Finding, ...] = ()
    training: str = ""
    skipped: str = ""
    unjudged: str = ""
    seconds: float | None = None

    @property
    def verdict(self) -> Verdict:
        """`fail` if any finding is an error, else what was said of it, else `pass`."""
        if any(finding.level is Level.ERROR for finding in self.findings):
            return Verdict.FAIL
        if self.unjudged:
            return Verdict.UNJUDGED
        return Verdict.SKIP if self.skipped else Verdict.PASS


class Figure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One measured number (or, as `text`, a word such as a device's name). The first of a report is its headline."""

    name: str
    value: int | float | None = None
    unit: str = ""
    text: str = ""
    training: str = ""

    def __str__(self) -> str:
        """The figure as a person reads it, its name left out: `0.31 s`, `cpu (rehearsal)`."""
        if self.value is None:
            return self.text or "unknown"
        number = f"{self.value:,}" if isinstance(self.value, int) else f"{self.value:.4g}"
        return f"{number} {self.unit}".rstrip()


class Curve(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Values against step, the first step first; `steps` where they are not 1, 2, 3 …, one for each value."""

    name: str
    values: tuple[float, ...]
    steps: tuple[Annotated[int, msgspec.Meta(ge=0, le=2**53)], ...] = ()  # in a file; charts reckon in floats
    training: str = ""

    def sparkline(self, width: int = 40) -> str:
        """At most `width` blocks, each the mean of its share of the steps; `·` where that is not finite."""
        size = max(1, math.ceil(len(self.values) / width))
        values = [value * _ROOM for value in self.values]
        shares = [values[start : start + size] for start in range(0, len(values), size)]
        means = [math.fsum(share) / len(share) if all(map(math.isfinite, share)) else math.nan for share in shares]
        finite = [mean for mean in means if math.isfinite(mean)]
        low, span = min(finite, default=0.0), max(finite, default=0.0) - min(finite, default=0.0)
        return "".join(
            _BLOCKS[round((mean - low) / span * 7 if span else 0)] if mean == mean else "·" for mean in means
        )


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a reader may want to look up (the environment, the reference), (name, text) a row. Renderers fold it."""

    name: str
    rows: tuple[tuple[str, str], ...]
    training: str = ""


Measured = Figure | Curve | Table  # what a stage's `measured` returns


class Report(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One stage's conclusion. `folder` and every path in a finding are relative to the repository's root.

    `reused` names the trainings that were not started, because nothing that they reach has changed: their evidence is
    an earlier run's, and a notice says which.
    """

    stage: str
    question: str
    outcomes: tuple[Outcome, ...]
    figures: tuple[Figure, ...] = ()
    curves: tuple[Curve, ...] = ()
    tables: tuple[Table, ...] = ()
    reused: tuple[str, ...] = ()
    seconds: float = 0.0
    commit: str = ""
    folder: str = ""
    interrupted: str = ""
    kind: str = "report"
    schema: int = 2

    @property
    def verdict(self) -> Verdict:
        """What the outcomes come to."""
        return overall(outcome.verdict for outcome in self.outcomes)

    @property
    def worst_first(self) -> tuple[Outcome, ...]:
        """The outcomes, causes first: fail, unjudged, then those with warnings, then the rest in the stage's order."""
        return tuple(sorted(self.outcomes, key=_badness))

    @property
    def foremost(self) -> Outcome | None:
        """What to look at first: the worst outcome, where it failed or could not be judged."""
        worst = self.worst_first[:1]
        return next((one for one in worst if one.verdict in (Verdict.FAIL, Verdict.UNJUDGED)), None)

    @property
    def cause(self) -> str | None:
        """The check that is named first (`memorize/loss-sign`): the root of what failed. None where nothing did."""
        first = self.foremost
        return first.check if first is not None and first.verdict is Verdict.FAIL else None


_ORDER = {Verdict.FAIL: 0, Verdict.UNJUDGED: 1, Verdict.SKIP: 3, Verdict.PASS: 3}


def _badness(outcome: Outcome) -> int:
    warned = outcome.verdict is Verdict.PASS and any(f.level is Level.WARNING for f in outcome.findings)
    return 2 if warned else _ORDER[outcome.verdict]


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a renderer is told beside the reports: columns, colours, and how bad it is that one is unjudged.

    `again` is the command that was typed, `folder` the way to a report's folder from where its reader stands, `page`
    the way to its HTML page, if it has one.
    """

    width: int = 100
    colour: bool = False
    unjudged: Level = Level.ERROR
    again: str = ""
    folder: str = ""
    page: str = ""


# A check is a pure function (evidence, config) -> findings. It may carry `after`, set by the decorator below, and
# `seconds`, where a stage generates it from evidence that has a time of its own.
Check = Callable[[Any, Any], Iterable[Finding]]


def after(*earlier: Check) -> Callable[[Check], Check]:
    """Make a check a `skip` ("after <check>") unless all of `earlier` passed, so that one cause stands first."""

    def mark(check: Check) -> Check:
        check.after = (*getattr(check, "after", ()), *map(name_of, earlier))  # type: ignore[attr-defined]
        return check

    return mark


def name_of(check: Check) -> str:
    """`loss_falls` -> `loss-falls`, the second half of the check's id."""
    return str(check.__name__).replace("_", "-")


@dataclass(frozen=True, kw_only=True)
class Generated:
    """An entry of a stage's CHECKS that makes checks from the evidence (one per pre-commit hook, say)."""

    make: Callable[[Any], Iterable[Check]]
