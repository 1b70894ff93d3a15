"""Reports for people and other tools: the files beside a report.json, and one page of all that the stages said."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from . import catalog, config, evidence, git, received
from .errors import UserError
from .pipeline import FOLDER
from .received import line
from .report import Finding, Level, Look, Outcome, Report, Verdict, overall

PAGE = "report.html"
QUESTION = "What did the stages say?"
REPORTS, DEPTH, FOLDERS = 50, 10, 10_000  # what is read of folders that somebody else may have filled
_FILE = "report.json"


@dataclass(frozen=True, kw_only=True)
class Told:
    """What was found, and the page that it was written to."""

    reports: tuple[Report, ...]
    page: Path

    @property
    def verdict(self) -> Verdict:
        """What the reports come to; with one that could not be read, never `pass`."""
        return overall(report.verdict for report in self.reports)

    @property
    def lines(self) -> Iterator[str]:
        """A line per report, each with its cause and, where a stage reported twice, its folder; then the page."""
        stages = [report.stage for report in self.reports]
        for report in self.reports:
            where = f"  ({line(report.folder)})" if stages.count(report.stage) > 1 else ""
            yield f"{report.stage}: {report.verdict.value}{_cause(report)}{where}"
        yield f"Page: {os.path.relpath(self.page)}"


def leave(report: Report, path: Path, look: Look) -> Path:
    """Write what is beside `path`, its report.json, and one folder up the page of all stages; return the former's page.

    Raises OSError, with the file's name in it.
    """
    for name, renderer in catalog.FILES.items():
        _write([report], path.with_name(name), renderer, look)
    page([*found([path.parents[1]])], path.parents[1] / PAGE)
    return path.with_name(PAGE)


def page(reports: Sequence[Report], path: Path) -> Path:
    """Write one page of all `reports`. Raises OSError."""
    _write(reports, path, catalog.FILES[PAGE], Look())
    return path


def tell(folder: Path, places: Sequence[Path], files: Mapping[str, Path | None]) -> Told:
    """The reports beneath `places` (none: those of the project that `folder` lies in), and the files made of them.

    `files` maps a renderer's name to a path. Raises UserError where there is no report, or a file cannot be written.
    """
    own = _root(folder) / FOLDER
    reports = tuple(found(places or [own]))
    if all(report.stage not in catalog.STAGES for report in reports):
        unread = [finding.message for report in reports for one in report.outcomes for finding in one.findings]
        hint = "\n  ".join(unread) or "A stage leaves one: backburn unit, say."
        raise UserError(f"there is no {_FILE}", where=" ".join(map(str, places or [own])), hint=hint)
    wanted = {"html": Path(PAGE) if places else own / PAGE} | {name: path for name, path in files.items() if path}
    for name, path in wanted.items():
        try:
            _write(reports, path, catalog.RENDERERS[name], Look())
        except OSError as error:
            raise UserError(f"cannot write: {error.strerror}", where=str(path)) from error
    return Told(reports=reports, page=wanted["html"].absolute())


def found(places: Iterable[Path]) -> Iterator[Report]:
    """The reports beneath `places`, in the stages' order; last, if something there could not be read, one that says so.

    A report that does not lie where it was written has the folder in which it lies. Nothing is raised.
    """
    refused: list[str] = []
    yield from sorted(_read(places, refused), key=lambda one: [*catalog.STAGES].index(one.stage))
    if refused:
        findings = tuple(Finding(message=one, level=Level.WARNING) for one in refused)
        said = refused[0] if len(refused) == 1 else f"{refused[0]}, and {len(refused) - 1} more"
        outcome = Outcome(check="report/read", claim="Every report can be read.", unjudged=said, findings=findings)
        yield Report(stage="report", question=QUESTION, outcomes=(outcome,))


def _read(places: Iterable[Path], refused: list[str]) -> Iterator[Report]:
    seen: set[Path] = set()
    for folder, inner, files in _folders(places, refused):
        if _FILE not in files or folder in seen:
            continue
        if len(seen) == REPORTS:
            refused.append(f"{_where(folder)} and what follows: more than {REPORTS} reports")
            return
        seen.add(folder)
        try:
            report = _placed(received.report(folder / _FILE, catalog.STAGES), folder)
        except UserError as error:
            refused.append(f"{_where(folder / _FILE)}: {line(error.problem)}")
        else:
            inner.clear()  # below is its evidence, also a report.json of the training's own
            yield report


def _folders(places: Iterable[Path], refused: list[str]) -> Iterator[tuple[Path, list[str], list[str]]]:
    """As os.walk, which follows no link; hidden folders left out."""
    left = FOLDERS
    for place in places:
        start = (place.parent if place.name == _FILE else place).resolve()
        for name, inner, files in os.walk(start, onerror=lambda error: refused.append(_said(error))):
            inner[:] = sorted(one for one in inner if not one.startswith("."))
            if len(Path(name).relative_to(start).parts) == DEPTH:
                inner.clear()
            if not (left := left - 1):
                refused.append(f"{_where(Path(name))} and what follows: more than {FOLDERS} folders")
                return
            yield Path(name), inner, files


def _said(error: OSError) -> str:
    return f"{_where(Path(error.filename))}: {error.strerror}"


def _placed(report: Report, folder: Path) -> Report:
    written = Path(report.folder).parts
    at_home = bool(written) and folder.parts[-len(written) :] == written
    return report if at_home else msgspec.structs.replace(report, folder=_where(folder))


def _where(path: Path) -> str:
    return line(os.path.relpath(path))


def _cause(report: Report) -> str:
    worst = report.foremost
    if worst is None:
        return ""
    of_training = f" [{worst.training}]" if worst.training else ""
    said = worst.unjudged or next((finding.message for finding in worst.findings), "")
    return f"  {line(f'{worst.check}{of_training}: {said}')}"


def _root(folder: Path) -> Path:
    folder = folder.resolve()
    return config.find_root(folder, git.top(folder) or folder)


def _write(reports: Sequence[Report], path: Path, renderer: catalog.Renderer, look: Look) -> None:
    evidence.write(renderer.render(reports, look).encode(), path)
