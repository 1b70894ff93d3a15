"""From a door's words to `blame.json`: which trainings, between which commits, and what a search of each came to."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import catalog, commits, config, evidence, git, kept, pipeline, references
from ..errors import Skip, Unjudged, UserError
from ..references import Reference
from ..report import Report, Verdict
from ..reproduction import culprit
from ..reproduction.culprit import Blame
from ..reproduction.lane import FIXED, SLIDING
from ..reproduction.rerun import Ask
from ..worktree import opened
from . import branches, finding, night
from .chances import Chances
from .checkouts import Checkouts
from .exact import NotRepeating, Same, Search
from .search import History
from .world import Ledger

_STAGE = "reproduce"
_FOLDER = pipeline.FOLDER / "blame"
_A_LOOK = (1, 5)  # the steps of a first look at the bad end, where only that tells the hardware


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a door asks for. No `training`: those that failed in the last `backburn reproduce`. No `good`: the commit of
    the training's reference for this hardware. `runs`: whole trainings at most, where bits do not repeat; `budget`:
    full trainings up to which further culprits are looked for. `given` are fields of the stage's Config.
    """

    folder: Path
    training: str = ""
    good: str = ""
    bad: str = "HEAD"
    runs: int = 12
    budget: float = 0.25
    given: Mapping[str, Any] = field(default_factory=dict)
    say: Callable[[str], None] = lambda line: None


def blame(asked: Asked) -> tuple[Blame, ...]:
    """One search per training; each is in build/backburn/reproduce/<training>/blame.json.

    Raises UserError for what is asked wrongly, before anything is trained where that can be known; of several
    trainings the one that lacks a reference only says so.
    """
    settings, top = pipeline.project(asked.folder)
    if git.top(settings.root) is None:
        raise UserError("this is no git repository", where=str(settings.root), hint="blame searches its commits.")
    bad = commits.named(top, asked.bad)
    found = []
    with evidence.alone(settings.root / pipeline.FOLDER, "blame", "another `backburn blame`"):
        names = _names(asked, settings)
        for name in names:
            try:
                one = _Case(asked=asked, settings=settings, top=top, name=name, bad=bad).search()
            except (UserError, Unjudged) as error:
                if len(names) == 1 and isinstance(error, UserError):
                    raise
                said = error.problem if isinstance(error, UserError) else str(error)
                one = Blame(training=name, bad=bad, said=f"{said}. {error.hint}".strip())  # others go on
            evidence.save(one, settings.root / pipeline.FOLDER / _STAGE / name / culprit.FILE)
            found.append(one)
    return tuple(found)


def _names(asked: Asked, settings: config.Settings) -> Sequence[str]:
    """The training that is named; else those that failed, or the only one."""
    if asked.training or len(settings.trainings) == 1:
        return config.chosen(settings, [asked.training] if asked.training else [])
    path = settings.root / pipeline.FOLDER / _STAGE / "report.json"
    report = evidence.load(path, Report) if path.exists() else None
    outcomes = report.outcomes if report else ()
    failed = {one.training for one in outcomes if one.verdict is Verdict.FAIL} & {*settings.trainings}
    if not failed:
        said = "none of them failed in the last `backburn reproduce`" if report else "no `backburn reproduce` was here"
        raise UserError(f"which training? {said}", hint=f"Name one of: {', '.join(settings.trainings)}.")
    return sorted(name for name in failed if not _slides(settings, name, asked))


def _slides(settings: config.Settings, name: str, asked: Asked) -> bool:
    """Whether its data are others each night: then no commit alone is to blame, and the fixed lane says which is."""
    own = settings.stage(_STAGE, catalog.STAGES[_STAGE].Config, training=name)
    if slides := bool(getattr(own, "lane", FIXED) == SLIDING):
        asked.say(f"{name}: its lane is sliding, and no commit is searched for it")
    return slides


@dataclass(frozen=True, kw_only=True)
class _Case:
    """One training of the project, and the commit at which it is not what it was."""

    asked: Asked
    settings: config.Settings
    top: Path
    name: str
    bad: str

    @property
    def own(self) -> Any:
        """The stage's Config of this training, as it is today."""
        schema = catalog.STAGES[_STAGE].Config
        return self.settings.stage(_STAGE, schema, training=self.name, given=self.asked.given)

    def search(self) -> Blame:
        """What became of it."""
        known = references.known(self.settings.root, _STAGE, self.name)
        good = self.asked.good or _only(known, self.name)
        good = commits.named(self.top, good) if good else ""
        parents = commits.between(self.top, good, self.bad) if good else {}
        folder = self.settings.root / _FOLDER / self.name
        with opened(self.top, folder / "tree", self.bad) as tree:
            planned = max((int(max(one.runs("steps"), default=0)) for one in known.values()), default=0)
            ledger = Ledger(world=self._world(tree, folder), planned=planned)
            if not good:
                good = commits.named(self.top, self._of_reference(ledger, known))
                parents = commits.between(self.top, good, self.bad)
            ledger.short |= {good: "good", self.bad: "bad"}
            history = History.of(good, self.bad, parents)
            ledger.world.say(f"{len(parents)} commits from {good[:12]} to {self.bad[:12]}")
            about = finding.About(training=self.name, top=self.top, notes=tuple(self._notes()))
            return self._searched(ledger, history, about, known)

    def _world(self, tree: Any, folder: Path) -> Checkouts:
        own = self.own
        place = kept.place(_STAGE, own, self.name, self.settings.root, self.top, measured_by_reference=False)
        return Checkouts(
            tree=tree,
            project="" if self.settings.root == self.top else self.settings.root.relative_to(self.top).as_posix(),
            name=self.name,
            settings=self.settings,
            kept=folder / "runs",
            stamp=place.folder.name if place else secrets.token_hex(8),  # nothing is known from before, then
            until=time.monotonic() + own.timeout,
            tell=self.asked.say,
            given=self.asked.given,
        )

    def _of_reference(self, ledger: Ledger, known: Mapping[str, Reference]) -> str:
        """The commit of the reference for this hardware, which a first look at the bad end tells."""
        ran = ledger.sound(Ask(commit=self.bad, until=_A_LOOK[1], detail=_A_LOOK))
        hardware = ran.machine.hardware if ran.machine else ""
        if hardware not in known:
            raise UserError(
                f"no reference for {hardware or 'this hardware'}; there is one for {', '.join(known)}", hint=_GOOD
            )
        return _commit(known[hardware])

    def _notes(self) -> Iterator[str]:
        """What the search does not look at."""
        if commits.named(self.top, "HEAD") == self.bad and git.is_dirty(self.settings.root):
            yield "what is not committed is no part of it"
        if next(commits.objects(self.top, [f"{self.bad}:.gitmodules"])):
            yield "submodules are not checked out in the worktree"

    def _searched(
        self, ledger: Ledger, history: History, about: finding.About, known: Mapping[str, Reference]
    ) -> Blame:
        try:
            try:
                near = self._near(history)
                found = Search(ledger=ledger, history=history, near=near, budget=self.asked.budget).run()
                return finding.exact(branches.entered(found, ledger, history, self.top), ledger, history, about)
            except NotRepeating as error:
                ledger.world.say(f"{error}: whole runs are weighed")
                if not self.asked.runs:
                    raise Unjudged(f"{error}, and no whole run is allowed", hint="Allow some by --runs.") from error
                weighed = self._chances(ledger, history, known).run()
                return finding.weighed(weighed, ledger, history, about)
        except (Unjudged, Same) as error:
            return finding.none(str(error), getattr(error, "hint", ""), ledger, history, about)

    def _near(self, history: History) -> tuple[int, int]:
        """Where the last night left its reference, if it was one of the bad end and that of the good one."""
        folder = self.settings.root / pipeline.FOLDER / _STAGE
        try:
            report = evidence.load(folder / "report.json", Report)
            seen: Any = evidence.load(folder / self.name / "evidence.json", catalog.STAGES[_STAGE].Evidence)
            one = seen.against()
        except (OSError, UserError, Unjudged, Skip):
            return 0, 0
        ours = (report.commit, one.commit) == (history.bad, history.good)
        return night.between(one, seen.probe, seen.roots) if ours else (0, 0)

    def _chances(self, ledger: Ledger, history: History, known: Mapping[str, Reference]) -> Chances:
        world, matter = ledger.world, history.mattering(ledger.world.contents)
        prior = {}
        for number, (commit, parents) in enumerate(history.parents.items()):
            files = min(world.changed(commit, one) for one in parents)
            prior[commit] = 1 + math.log2(1 + files) if matter >> number & 1 else 0.0
        runs = _finals(known, history.good, ledger.hardware)
        return Chances(ledger=ledger, history=history, runs=self.asked.runs, prior=prior, reference=runs)


_GOOD = "Name a commit that was good with --good."


def _only(known: Mapping[str, Reference], name: str) -> str:
    """The commit of the only reference; empty where there are several. Raises UserError where there is none."""
    if not known:
        raise UserError(f"{name} has no reference in references/{_STAGE}", hint=_GOOD)
    return _commit(next(iter(known.values()))) if len(known) == 1 else ""


def _commit(one: Reference) -> str:
    if not one.commit or one.commit.endswith("+"):
        raise UserError(f"the reference of {one.training} is of no clean commit ({one.commit or 'none'})", hint=_GOOD)
    return one.commit


def _finals(known: Mapping[str, Reference], good: str, hardware: str) -> dict[str, tuple[float, ...]]:
    """Of each final metric the runs of the reference, where that is of the good end and of this hardware."""
    one = known.get(hardware)
    if one is None or one.commit != good:
        return {}
    word = "final "
    return {name[len(word) :]: values for name, values in one.figures.items() if name.startswith(word)}
