"""`backburn publish`: artifacts in; a line on the branch, issues, a summary and a verdict out."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from .. import evidence, process
from ..errors import Unjudged, UserError
from ..github import Actions
from ..report import Level
from . import artifacts, branch, issues
from .api import Api, Disabled
from .issues import Change
from .markdown import code
from .night import NO_VERDICT, Night, Run, conclude, dumps, night
from .nightly import Nightly
from .state import word

FOLDER = Path("build", "backburn")
TOKEN = "BACKBURN_TOKEN"  # noqa: S105
PATIENCE = 240.0  # seconds, for git and for the issues each: the job has ten minutes, and must end with a word
_MARKS = {"pass": "✅", "fail": "❌", "unjudged": "⚠️", NO_VERDICT: "⚠️"}

Say = Callable[[str], None]
Trouble = tuple[Level, str]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command line gives. `expect` are the stages that must have reported, `stages` those that may."""

    folder: Path
    expect: tuple[str, ...]
    result: str
    rehearsal: bool
    stages: tuple[str, ...]

    @classmethod
    def from_words(cls, folder: Path, expect: str, result: str, rehearsal: bool, stages: Sequence[str]) -> Asked:
        """`expect` with commas or spaces between. Raises UserError for a stage that there is not."""
        named = tuple(dict.fromkeys(re.split(r"[,\s]+", expect.strip(", \n")))) if expect.strip(", \n") else ()
        strange = [one for one in named if one not in stages]
        if strange:
            raise UserError(
                f"no stage is called {strange[0]!r}", where="--expect", hint=f"There are {', '.join(stages)}."
            )
        return cls(folder=folder, expect=named, result=result.strip(), rehearsal=rehearsal, stages=tuple(stages))


@dataclass(frozen=True, kw_only=True)
class Published:
    """What came of it: the night, what was done about issues, and what went wrong on the way."""

    nightly: Nightly
    changes: tuple[Change, ...]
    troubles: tuple[Trouble, ...]

    @property
    def ok(self) -> bool:
        """Whether the night has a verdict, and it is where it belongs."""
        return not self.nightly.night.problems and all(level is not Level.ERROR for level, _ in self.troubles)

    @property
    def findings(self) -> Iterator[Trouble]:
        """What a person must be told, the night's own problems first."""
        yield from ((Level.ERROR, f"{NO_VERDICT}: {problem}") for problem in self.nightly.night.problems)
        yield from self.troubles


def publish(asked: Asked, actions: Actions, say: Say, environ: Mapping[str, str] = os.environ) -> Published:
    """One night, whole. The line is said before anything is written, so that nothing of it can be lost.

    Raises UserError where there is no token, or where this is no run of GitHub's.
    """
    remote, api = _rehearsed() if asked.rehearsal else _served(environ)
    now = datetime.datetime.now(datetime.UTC)
    nightly, unread = _read(asked, Run.from_environ(environ), now)
    say(dumps(nightly.night).decode().rstrip())
    troubles = [*((Level.WARNING, said) for said in unread), *_append(nightly.night, remote, say)]
    changes: tuple[Change, ...] = ()
    try:
        with _patience():
            changes = _rehearse_issues(nightly, now) if api is None else _keep_issues(nightly, api, now)
    except Disabled:
        troubles.append((Level.WARNING, "this repository has no issues: the night is on the branch alone"))
    except _NotHere as reason:
        say(str(reason))
    except (Unjudged, OSError) as error:
        troubles.append((Level.ERROR, f"the issues were not brought up to date: {_sentence(error)}"))
    for change in changes:
        say(f"would {change}\n{change.body}".rstrip() if api is None else str(change))
    published = Published(nightly=nightly, changes=changes, troubles=tuple(troubles))
    say(f"night: {nightly.night.verdict}")
    actions.write_summary(_summary(published, asked))
    told = {"verdict": nightly.night.verdict, "line": dumps(nightly.night).decode().rstrip()}
    actions.write_outputs(told | {"issues": str(len(changes))})
    return published


class _NotHere(Exception):
    """The issues do not tell of this night: it is of another branch, or a later one has been told."""


def _served(environ: Mapping[str, str]) -> tuple[branch.Remote, Api]:
    missing = [name for name in ("SERVER_URL", "API_URL", "REPOSITORY") if not environ.get(f"GITHUB_{name}")]
    if missing:
        hint = "publish works in a run of GitHub Actions; elsewhere: backburn publish --rehearsal"
        raise UserError(f"GITHUB_{missing[0]} is not set", hint=hint)
    token = environ.get(TOKEN, "")
    if not token:
        hint = "Give the job `permissions: {contents: write, issues: write}` and the step `token: ${{ github.token }}`."
        raise UserError("there is no token", where=TOKEN, hint=hint)
    repository = environ["GITHUB_REPOSITORY"]
    remote = branch.Remote(url=f"{environ['GITHUB_SERVER_URL']}/{repository}", token=token)
    return remote, Api(url=environ["GITHUB_API_URL"], repository=repository, token=token)


def _rehearsed() -> tuple[branch.Remote, None]:
    """A bare repository of this folder, so that a rehearsal shows the line where it would be."""
    folder = FOLDER.absolute() / "publish"
    with evidence.alone(FOLDER.absolute(), "publish", "another `backburn publish`"):
        folder.mkdir(exist_ok=True)
        ended, _, error = process.capture(["git", "init", "--quiet", "--bare", "history.git"], cwd=folder)
    if ended:
        raise UserError(f"git init failed: {error}", where=str(folder))
    return branch.Remote(url=str(folder / "history.git")), None


def _read(asked: Asked, run: Run, now: datetime.datetime) -> tuple[Nightly, tuple[str, ...]]:
    """The night, and what was refused of that which adds to it alone: who is to blame."""
    found = artifacts.read(asked.folder, asked.stages)
    problems = tuple(conclude(found.reports, found.refused, asked.expect, asked.result))
    one = night(run, found.reports, problems, now)
    return Nightly(run=run, night=one, reports=found.reports, blames=found.blames), found.unread


def _append(one: Night, remote: branch.Remote, say: Say) -> Iterator[Trouble]:
    try:
        with _patience():
            new = branch.append(one, remote)
    except (Unjudged, OSError) as error:
        yield Level.ERROR, _sentence(error)
        return
    here = "" if remote.token else f" in {FOLDER / 'publish' / 'history.git'}, for a rehearsal"
    say(f"history: appended to {branch.BRANCH}{here}" if new else f"history: {branch.BRANCH} has this run already")


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """Raise Unjudged in what takes longer: the time limit of a socket begins anew with every byte."""

    def late(*_: object) -> None:
        raise Unjudged(f"no end after {PATIENCE:.0f} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _keep_issues(nightly: Nightly, api: Api, now: datetime.datetime) -> tuple[Change, ...]:
    main = f"refs/heads/{api.default_branch()}"
    if nightly.run.ref != main:
        raise _NotHere(f"issues: left alone, they tell of {main}")
    ours = [one for one in issues.known(api, now) if one.key]
    here = ("", word(nightly.night.workflow))
    later = max((one.told.run for one in ours if one.told.workflow in here), default=0)
    if later > nightly.run.id:
        raise _NotHere(f"issues: left alone, they tell of a later night, run {later}")
    changes = tuple(issues.plan(nightly, ours, now))
    issues.carry_out(api, changes)
    return changes


def _rehearse_issues(nightly: Nightly, now: datetime.datetime) -> tuple[Change, ...]:
    changes = tuple(issues.plan(nightly, (), now))
    evidence.write(msgspec.json.format(msgspec.json.encode(changes)) + b"\n", FOLDER / "publish" / "issues.json")
    return changes


def _sentence(error: Exception) -> str:
    hint = getattr(error, "hint", "")
    return f"{error} {hint}".rstrip()


def _summary(published: Published, asked: Asked) -> str:
    nightly = published.nightly
    one = nightly.night
    blocks = [
        f"### {_MARKS[one.verdict]} night: {one.verdict}",
        f"{nightly.about}. Expected: {', '.join(asked.expect) or 'nothing'}.",
        nightly.table if nightly.reports else "",
        "\n".join(f"- **{level.value}** {code(said, 500)}" for level, said in published.findings),
        "\n".join(f"- {'would ' if asked.rehearsal else ''}{code(str(change))}" for change in published.changes),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"
