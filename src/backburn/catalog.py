"""The only list of stages and renderers, beside their folders. To add one: a file there, a line here."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from .kept import Term
from .references import Reference
from .renderers import annotations, html, junit, sarif, summary, terminal
from .report import Check, Generated, Look, Measured, Report
from .stages import hygiene, memorize, profile, reproduce, unit


class Stage(Protocol):
    """What a stage's module has. `gather` alone touches the world; checks and `measured` are pure."""

    __doc__: str | None

    @property
    def Config(self) -> type[msgspec.Struct]: ...  # noqa: N802

    @property
    def Evidence(self) -> type[msgspec.Struct]: ...  # noqa: N802

    @property
    def CHECKS(self) -> Sequence[Check | Generated]: ...  # noqa: N802

    def gather(self, config: Any, root: Path, out: Path) -> Any: ...

    def measured(self, seen: Any) -> tuple[Measured, ...]: ...


class Referenced(Stage, Protocol):
    """A stage that holds a training against a reference: what `backburn bless` asks of it. Both are pure."""

    def candidate(self, seen: Any, config: Any) -> Reference | None: ...

    def unfit(self, one: Reference, config: Any) -> Iterator[str]: ...


class Renderer(Protocol):
    """What a renderer's module has: reports in, text out."""

    def render(self, reports: Sequence[Report], look: Look = ...) -> str: ...


REFERENCED: Mapping[str, Referenced] = {"memorize": memorize, "reproduce": reproduce, "profile": profile}
# Their trainings are not started where nothing that these reach changed. A night that failed is trained again, and one
# that passed after a week: nights begin at the same hour, so a term of seven days would be a few minutes too long.
REUSED: Mapping[str, Term] = {
    "memorize": Term(days=30),
    "reproduce": Term(days=6.5, passed=True),
    "profile": Term(days=30),
}
STAGES: Mapping[str, Stage] = {"hygiene": hygiene, "unit": unit, **REFERENCED}
FILES: Mapping[str, Renderer] = {"report.html": html, "report.xml": junit, "report.sarif": sarif}  # by report.json
RENDERERS: Mapping[str, Renderer] = {
    "terminal": terminal,
    "annotations": annotations,
    "summary": summary,
    "html": html,
    "junit": junit,
    "sarif": sarif,
}
