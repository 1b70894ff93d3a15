"""What a repository of the hub has: branches, runs with their jobs, issues; each as GitHub's API shows it."""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import httpx
import msgspec

from .service import Progress, Work

_R = r"/repos/(?P<repository>[^/]+/[^/]+)"
# (method, path, the call as faults and counters name it, the permission that it takes)
ROUTES = (
    ("GET", re.compile(rf"{_R}/actions/runs"), "runs", "actions"),
    ("GET", re.compile(rf"{_R}/actions/runs/(?P<number>\d+)"), "run", "actions"),
    ("GET", re.compile(rf"{_R}/actions/runs/(?P<number>\d+)/jobs"), "jobs", "actions"),
    ("GET", re.compile(rf"{_R}/branches/(?P<name>[^/]+)"), "branch", "contents"),
    ("GET", re.compile(rf"{_R}/compare/(?P<base>\w+)\.\.\.(?P<head>\w+)"), "compare", "contents"),
    ("GET", re.compile(rf"{_R}/issues"), "issues", "issues"),
    ("POST", re.compile(rf"{_R}/issues"), "open", "issues"),
    ("PATCH", re.compile(rf"{_R}/issues/(?P<number>\d+)"), "change", "issues"),
)
_SHOWN = {Progress.QUEUED: "queued", Progress.ASSIGNED: "in_progress", Progress.RUNNING: "in_progress"}


class Missing(Exception):
    """An answer other than 2xx."""

    def __init__(self, status: int = 404) -> None:
        super().__init__(status)
        self.status = status


class Branch(msgspec.Struct, kw_only=True):
    """The hashes of its commits, the newest last."""

    commits: list[str]
    protected: bool = False


class Issue(msgspec.Struct, kw_only=True):
    """As the API shows it."""

    number: int
    title: str
    body: str | None
    state: str = "open"
    user: dict[str, Any] = msgspec.field(default_factory=lambda: {"id": 1, "login": "pool[bot]", "type": "Bot"})
    author_association: str = "NONE"


class Run(msgspec.Struct, kw_only=True):
    """`works` are jobs of the hub: their progress is the run's. Times are seconds since the epoch."""

    id: int
    event: str
    head_branch: str | None
    head_sha: str
    head: str
    created: float
    works: list[Work]


class Repository:
    """`name` is owner/name; `runners` the service's, by name."""

    def __init__(self, name: str, runners: Mapping[str, list[int]]) -> None:
        self.name, self._runners = name, runners
        self.branches: dict[str, Branch] = {}
        self.runs: dict[int, Run] = {}
        self.issues: dict[int, Issue] = {}
        self.issues_disabled = False
        self._numbers = itertools.count(101)

    def run(self, *works: Work, event: str = "push", branch: str | None = "main", sha: str = "", head: str = "") -> Run:
        """One of these jobs; of the branch's newest commit where `sha` is not given."""
        known = self.branches.get(branch or "")
        made = Run(
            id=next(self._numbers),
            event=event,
            head_branch=branch,
            head_sha=sha or (known.commits[-1] if known else "0" * 40),
            head=head or self.name,
            created=min((one.queued for one in works), default=0.0),
            works=list(works),
        )
        self.runs[made.id] = made
        return made

    def write(self, body: str, **about: Any) -> Issue:
        """An issue of somebody's."""
        made = Issue(number=next(self._numbers), title=about.pop("title", "x"), body=body, **about)
        self.issues[made.number] = made
        return made

    def answer(self, call: str, found: re.Match[str], request: httpx.Request) -> tuple[int, str, Any]:
        """Status, a list's name, and what is shown. Raises Missing."""
        status, name, shown = getattr(self, f"_{call}")(found.groupdict(), request)
        return status, name, shown

    def _runs(self, found: dict[str, str], request: httpx.Request) -> tuple[int, str, Any]:
        status, created = request.url.params.get("status"), request.url.params.get("created", "")
        before = datetime.datetime.fromisoformat(created.removeprefix("<=")).timestamp() if created else float("inf")
        chosen = [one for one in self.runs.values() if one.created <= before and status in (None, _status(one))]
        return 200, "workflow_runs", [self._shown(one) for one in reversed(chosen)]

    def _run(self, found: dict[str, str], request: httpx.Request) -> tuple[int, str, Any]:
        return 200, "", self._shown(self._known(found))

    def _jobs(self, found: dict[str, str], request: httpx.Request) -> tuple[int, str, Any]:
        run = self._known(found)
        return 200, "jobs", [self._job(run, work) for work in run.works]

    def _branch(self, found: dict[str, str], request: httpx.Request) -> tuple[int, str, Any]:
        name = unquote(found["name"])
        if (branch := self.branches.get(name)) is None:
            raise Missing
        return 200, "", {"name": name, "commit": {"sha": branch.commits[-1]}, "protected": branch.protected}

    def _compare(self, found: dict[str, str], request: httpx.Request) -> tuple[int, str, Any]:
        base, head = found["base"], found["head"]
        for branch in self.branches.values():
            if base in branch.commits:
                known = branch.commits[: branch.commits.index(base) + 1]
                status = "identical" if head == base else "behind" if head in known else "diverged"
                return 200, "", {"status": status, "ahead_by": 0, "behind_by": 0, "total_commits": 0}
        raise Missing

    def _issues(self, found: dict[str, str], request: httpx.Request) -> tuple[int, str, Any]:
        return 200, "", [_built(one) for one in reversed(self.issues.values()) if one.state == "open"]

    def _open(self, found: dict[str, str], request: httpx.Request) -> tuple[int, str, Any]:
        if self.issues_disabled:
            raise Missing(410)
        asked = msgspec.json.decode(request.content)
        return 201, "", _built(self.write(asked["body"], title=asked["title"]))

    def _change(self, found: dict[str, str], request: httpx.Request) -> tuple[int, str, Any]:
        if (one := self.issues.get(int(found["number"]))) is None:
            raise Missing
        for name, value in msgspec.json.decode(request.content).items():
            if name != "state_reason":
                setattr(one, name, value)
        return 200, "", _built(one)

    def _known(self, found: dict[str, str]) -> Run:
        if (run := self.runs.get(int(found["number"]))) is None:
            raise Missing
        return run

    def _shown(self, run: Run) -> dict[str, Any]:
        return {
            "id": run.id,
            "event": run.event,
            "status": _status(run),
            "head_branch": run.head_branch,
            "head_sha": run.head_sha,
            "created_at": _moment(run.created),
            "display_title": "a run",
            "repository": _named(self.name),
            "head_repository": _named(run.head),
        }

    def _job(self, run: Run, work: Work) -> dict[str, Any]:
        status = _SHOWN.get(work.progress, "completed")
        return {
            "id": work.id,
            "run_id": run.id,
            "run_attempt": 1,
            "name": work.instructions.get("job", "train"),
            "workflow_name": work.instructions.get("workflow", "gpu"),
            "status": status,
            "conclusion": "success" if status == "completed" else None,
            "labels": list(work.labels),
            "created_at": _moment(work.queued),
            "started_at": _moment(work.started or work.queued),
            "runner_id": next(iter(self._runners.get(work.runner, ())), None),
            "runner_name": work.runner or None,
            "runner_group_name": None,
        }


def _built(issue: Issue) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(issue)
    return shown


def _status(run: Run) -> str:
    states = {_SHOWN.get(work.progress, "completed") for work in run.works}
    return next((one for one in ("in_progress", "queued") if one in states), "completed")


def _named(name: str) -> dict[str, Any]:
    return {"id": sum(name.lower().encode()), "full_name": name, "private": True}


def _moment(seconds: float) -> str:
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
