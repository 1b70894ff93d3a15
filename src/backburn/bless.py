"""Make what a training came to, once people looked at it, the reference that later ones are held against.

All that can be refused is refused before a training starts, and nothing is written where one of several is refused.
"""

from __future__ import annotations

import io
import math
import os
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from . import catalog, config, epochs, evidence, git, pipeline, references, review
from .errors import UserError
from .references import Reference
from .report import Report

_LISTED = 5  # of files, figures and candidates in a message; the rest is counted
_WHOLE = 5  # members up to which a family of figures (`loss@1`, `loss@2` …) is shown whole
_MOST_MOVED = 3  # of a larger one
_DIFFERENCES = 12  # of one kind (environment, settings, data) that are shown
_A_FILE = f"FILE is a {pipeline.CANDIDATE}, or a folder that holds some: a downloaded artifact."


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a door asks for; `file` is a candidate, or a folder that holds some (None: made here). `epoch`: only the
    environment changed.
    """

    stage: str
    folder: Path
    file: Path | None = None
    trainings: tuple[str, ...] = ()
    reason: str = ""
    epoch: bool = False


@dataclass(frozen=True, kw_only=True)
class Blessed:
    """A reference that was written, the one before it (None: the first), what to think of, if anything, and the file
    with the text for its pull request.
    """

    new: Reference
    old: Reference | None
    path: Path
    review: Path
    warning: str = ""


class NoCandidate(Exception):
    """The stage ran and left nothing to bless; its report says why."""

    def __init__(self, report: Report, path: Path) -> None:
        super().__init__(f"{report.stage} left no candidate")
        self.report, self.path = report, path


def bless(asked: Asked) -> tuple[Blessed, ...]:
    """Check, then write, the references of one stage. Nothing is written where one is refused.

    Raises UserError for what is refused, NoCandidate where the stage's own report says why there is nothing.
    """
    settings, _ = pipeline.project(asked.folder)
    head = _head(settings.root)
    given = _given(asked.file, asked) if asked.file else ()
    names = config.chosen(settings, tuple(dict.fromkeys(asked.trainings or [one.training for one in given])))
    before = {name: references.known(settings.root, asked.stage, name) for name in names}
    if asked.epoch and not given:
        for name in names:
            epochs.expect_commit(before[name], head, name)
    candidates = given or _made_here(asked, settings, names, head)
    all_blessed = tuple(_blessed(one, before[one.training], asked, settings, head) for one in candidates)
    for one in all_blessed:
        _write(one)
    _write_review(all_blessed, settings.root)
    return all_blessed


def _head(root: Path) -> str:
    """The commit to bless at. Raises UserError for a tree that is not exactly that commit."""
    head = git.head(root, apart_from=str(references.FOLDER))
    if not head:
        raise UserError("there is no commit here", where=str(root), hint="A reference is of one commit: commit first.")
    changed = git.uncommitted(root, apart_from=str(references.FOLDER))
    if changed:
        hint = "Commit them; what trainings leave behind belongs into .gitignore."
        raise UserError(f"not committed: {_some(changed)}", where=str(root), hint=hint)
    return head


def _given(file: Path, asked: Asked) -> tuple[Reference, ...]:
    """The candidates in a file or folder, of this stage and of the trainings that were asked for."""
    if not file.exists():
        hint = f"{_A_FILE} A training is named by an option: --training {file}"
        raise UserError("there is no such file or folder", where=str(file), hint=hint)
    paths = sorted(file.rglob(pipeline.CANDIDATE)) if file.is_dir() else [file]
    found = [references.load(path, mend=_A_FILE) for path in paths]
    mine = [one for one in found if one.stage == asked.stage and one.training in (asked.trainings or [one.training])]
    places = [references.path_of(one, Path()).as_posix() for one in mine]
    twice = sorted({place for place in places if places.count(place) > 1})
    if twice:
        raise UserError(f"more than one candidate for {_some(twice)}", where=str(file), hint="Name one of the files.")
    missing = sorted({*asked.trainings} - {one.training for one in mine})
    if missing or not mine:
        there = _some([f"{one.stage} {one.training}" for one in found]) or f"no {pipeline.CANDIDATE} at all"
        of = f" of {_some(missing)}" if missing else ""
        raise UserError(f"no candidate for {asked.stage}{of} is there", where=str(file), hint=f"Found: {there}.")
    return tuple(mine)


def _made_here(asked: Asked, settings: config.Settings, names: Sequence[str], head: str) -> tuple[Reference, ...]:
    """A candidate of HEAD for each training: one that lies here already, else from a run."""
    paths = {name: settings.root / pipeline.FOLDER / asked.stage / name / pipeline.CANDIDATE for name in names}
    found = {name: one for name in names if (one := _lying(paths[name], asked.stage, name, settings, head))}
    missing = tuple(name for name in names if name not in found)
    if missing:
        wanted = pipeline.Asked(folder=asked.folder, trainings=missing, given={"candidate": True})
        report, path = pipeline.run(asked.stage, wanted)
        for name, one in found.items():  # the run emptied the folder, and these may have taken hours
            references.write(one, paths[name])
        if report.interrupted or not all(one.exists() for one in paths.values()):
            raise NoCandidate(report, path)
        found |= {name: references.load(paths[name]) for name in missing}
    if any(found[name].commit != head for name in missing):
        hint = "Commit, and leave the tree alone while a training runs."
        raise UserError("files were changed or committed while it was trained", where=str(settings.root), hint=hint)
    return tuple(found[name] for name in names)


def _lying(path: Path, stage: str, training: str, settings: config.Settings, head: str) -> Reference | None:
    """The candidate of an earlier run, where it is of this very commit and could be blessed."""
    try:
        one = references.load(path)
        if (one.stage, one.training, one.commit) != (stage, training, head):
            return None
        _expect_fit(one, settings)
    except UserError:
        return None
    return one


def _blessed(
    one: Reference, before: Mapping[str, Reference], asked: Asked, settings: config.Settings, head: str
) -> Blessed:
    """What is to be written. Raises UserError for a candidate that cannot become the reference."""
    _expect_fit(one, settings)
    old = before.get(one.machine.hardware)
    return Blessed(
        new=epochs.with_history(msgspec.structs.replace(one, reason=asked.reason), old, epoch=asked.epoch),
        old=old,
        path=references.path_of(one, settings.root),
        review=settings.root / pipeline.FOLDER / asked.stage / "bless.md",
        warning="" if one.commit == head else _of_another_commit(one, settings.root, head),
    )


def _of_another_commit(one: Reference, root: Path, head: str) -> str:
    """A warning where HEAD has other files than the commit that was trained. Raises UserError for no ancestor."""
    if not re.fullmatch(r"[0-9a-f]{40}([0-9a-f]{24})?", one.commit):
        said = f"is of a tree with changes beside {one.commit[:12]}" if one.commit.endswith("+") else "is of no commit"
        raise UserError(said, where=f"the candidate of {one.training}", hint="Commit, and train again.")
    since = git.committed_since(root, one.commit, apart_from=str(references.FOLDER))
    said = f"{one.training} was trained at {one.commit[:12]}, and HEAD, {head[:12]}, differs from it in {_some(since)}"
    return said if since else ""


def _write(one: Blessed) -> None:
    try:
        references.write(one.new, one.path)
    except OSError as error:
        raise UserError(f"cannot write: {error.strerror}", where=str(one.path), hint="Check its owner.") from error


def _write_review(all_blessed: Sequence[Blessed], root: Path) -> None:
    """Beside the evidence, which git ignores: it is for the pull request, not for the repository."""
    who = os.environ.get("GITHUB_ACTOR") or git.user(root)
    text = review.markdown([(one.new, one.old) for one in all_blessed], who)
    path = all_blessed[0].review
    try:
        evidence.write(text.encode(), path)
    except OSError as error:
        raise UserError(f"cannot write: {error.strerror}", where=str(path), hint="Check its owner.") from error


def _expect_fit(one: Reference, settings: config.Settings) -> None:
    where = f"the candidate of {one.training}"
    if one.not_finite:
        hint = "A reference that is not finite would hold nothing: mend the training."
        raise UserError(f"not finite: {_some(one.not_finite)}", where=where, hint=hint)
    stage = catalog.REFERENCED[one.stage]
    reasons = list(stage.unfit(one, settings.stage(one.stage, stage.Config, training=one.training)))
    if reasons:
        raise UserError("; ".join(reasons), where=where, hint=f"See docs/{one.stage}.md.")


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(map(_plain, names[:_LISTED])) + rest


def _plain(text: str) -> str:
    """Without control characters: a candidate may come from anywhere, and is shown on a terminal."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


# What the terminal shows


def render(all_blessed: Sequence[Blessed], here: Path, *, width: int = 100, colour: bool = False) -> str:
    """Old and new side by side, what else differs, and what to do next; paths as seen from `here`."""
    from rich.console import Console

    stream = io.StringIO()
    look: dict[str, Any] = {"width": width, "force_terminal": colour, "no_color": not colour}
    console = Console(file=stream, highlight=False, markup=False, emoji=False, **look)
    for one in all_blessed:
        console.print(_title(one), style="bold", soft_wrap=True)
        console.print(_table(one))
        for line in _beside(one):
            console.print(f"  {_plain(line)}", soft_wrap=True)
        console.print(f"  Wrote {os.path.relpath(one.path, here)}\n", soft_wrap=True)
    text = os.path.relpath(all_blessed[0].review, here)
    console.print(f"For the pull request: {text}", soft_wrap=True)
    place = os.path.relpath(all_blessed[0].path.parents[2], here)
    console.print(f"Next: look at the figures, then `git add {place} && git commit`.", soft_wrap=True)
    return stream.getvalue()


def _title(one: Blessed) -> str:
    new, old = one.new, one.old
    before = f"; before: {_of(old)}" if old else "; the first"
    return _plain(f"{new.stage} {new.training} on {new.machine.hardware}: {_of(new)}{before}")


def _of(one: Reference) -> str:
    runs = "1 run" if len(one.seeds) == 1 else f"{len(one.seeds)} runs"
    return f"{runs} at {one.commit[:12]}, {one.date}"


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One figure: mean and standard deviation over its runs, before and now (empty: it is not there)."""

    name: str
    old: tuple[float | int, ...] = ()
    new: tuple[float | int, ...] = ()

    @property
    def change(self) -> float:
        """Of the mean, relative to the old one's size; infinite where one of the two is not there."""
        if not self.old or not self.new:
            return math.inf
        before, now = statistics.fmean(self.old), statistics.fmean(self.new)
        return (now - before) / abs(before) if before else math.copysign(math.inf, now) if now else 0.0

    def words(self) -> tuple[str, str, str, str, str]:
        """The cells: name, old, new, change in per cent, and in old standard deviations."""
        spread = statistics.stdev(self.old) if len(self.old) > 1 else 0.0
        moved, in_sds = "", ""
        if not self.old or not self.new:
            moved = "gone" if self.old else "new"
        elif self.change:
            moved = f"{self.change:+.2%}" if math.isfinite(self.change) else "from 0"
            in_sds = f"{(statistics.fmean(self.new) - statistics.fmean(self.old)) / spread:+.1f}" if spread else ""
        return _plain(self.name), _spread(self.old), _spread(self.new), moved, in_sds


def _spread(values: tuple[float | int, ...]) -> str:
    """`0.4231 ± 0.011`; a whole number that never varied stays whole."""
    if not values:
        return "-"
    if len({*values}) == 1:
        return f"{values[0]:,}" if isinstance(values[0], int) else f"{values[0]:.6g}"
    return f"{statistics.fmean(values):.6g} ± {statistics.stdev(values):.2g}"


def _table(one: Blessed) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    columns = ("figure", "before", "now", "change", "in sds") if one.old else ("figure", "now")
    for name in columns:
        table.add_column(name, justify="left" if name == "figure" else "right", overflow="fold")
    for words in _rows(one):
        table.add_row(*(f"  {words[0]}", *words[1:]) if one.old else (f"  {words[0]}", words[2]))
    return table


def _rows(one: Blessed) -> Iterator[tuple[str, str, str, str, str]]:
    """Of each family of figures the ones that moved most (the first time: the last steps, or what is largest), the
    rest counted.
    """
    families: dict[str, list[_Row]] = {}
    old = one.old.figures if one.old else {}
    for name in sorted({*old, *one.new.figures}, key=references.natural):
        family = name.partition("@")[0] + "@" if "@" in name else name.partition(" ")[0]
        families.setdefault(family, []).append(_Row(name=name, old=old.get(name, ()), new=one.new.runs(name)))
    for family, rows in families.items():
        if len(rows) <= _WHOLE:
            yield from (row.words() for row in rows)
            continue
        sizes = [0 if "@" in family else max(row.new or row.old) for row in rows]
        far = sorted(range(len(rows)), key=lambda place: (abs(rows[place].change), sizes[place], place))[-_MOST_MOVED:]
        shown = [place for place in sorted(far) if rows[place].change]
        yield from (rows[place].words() for place in shown)
        yield f"… {len(rows) - len(shown)} more of {_plain(family)}", "", "", "no more" if shown else "none", ""


def _beside(one: Blessed) -> Iterator[str]:
    """The warning, and every difference of environment, settings and data."""
    if one.warning:
        yield f"warning: {one.warning}"
    if one.old:
        before, now = one.old, one.new
        yield from _differing("environment", before.machine.hard, now.machine.hard)
        yield from _differing("environment (soft)", before.machine.soft, now.machine.soft)
        yield from _of_epoch(one)
        yield from _differing("settings", before.settings, now.settings)
        yield from _differing("data", before.data, now.data)


def _of_epoch(one: Blessed) -> Iterator[str]:
    """What the change of environment moved, where this blessing is one."""
    if one.old and len(one.new.epochs) > len(one.old.epochs):
        for name, (before, after) in one.new.epochs[-1].moved.items():
            change = f" ({(after - before) / abs(before):+.2%})" if before else ""
            yield f"by the environment alone: {name}: {before:.6g} → {after:.6g}{change}"


def _differing(kind: str, before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    changed = references.differences(before, now)
    yield from (f"{kind}: {line}" for line in changed[:_DIFFERENCES])
    if len(changed) > _DIFFERENCES:
        yield f"{kind}: {len(changed) - _DIFFERENCES} more differ"
