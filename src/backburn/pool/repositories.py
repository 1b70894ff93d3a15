"""What GitHub says of a repository's runs, jobs, branches and issues. A name is checked before it enters a path."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import msgspec

from .questions import decoded, last
from .registrar import Later, Uncertain
from .scope import REPOSITORY
from .wire import Answer

NUMBER = re.compile(r"[1-9][0-9]{0,18}")
SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
# Entries of a page: a run shows two repositories and its commit's message, 20 kB and more; an answer may have 4 MiB.
EACH = 30


class Named(msgspec.Struct, frozen=True):
    """A repository, by its number and whole name."""

    id: int
    full_name: str


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Of a workflow. `head_branch` may be a tag's name just as well: the API does not say which."""

    id: int
    event: str
    head_sha: str
    repository: Named
    head_branch: str | None = None
    head_repository: Named | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Of a run. `labels` are those of `runs-on`; a runner is there once it was chosen."""

    id: int
    name: str
    status: str
    created_at: str
    labels: list[str]
    workflow_name: str | None = None
    runner_id: int | None = None
    runner_name: str | None = None


class Commit(msgspec.Struct, frozen=True):
    """By its hash."""

    sha: str


class Branch(msgspec.Struct, frozen=True, kw_only=True):
    """A branch, never a tag."""

    name: str
    commit: Commit
    protected: bool


class User(msgspec.Struct, frozen=True):
    """Who wrote it."""

    type: str = ""


class Issue(msgspec.Struct, frozen=True, kw_only=True):
    """Anybody may have written it, where the repository is public."""

    number: int
    state: str
    body: str | None = None
    user: User | None = None
    author_association: str = ""
    pull_request: Any = None


class _Runs(msgspec.Struct, frozen=True):
    total_count: int
    workflow_runs: list[Run]


class _Jobs(msgspec.Struct, frozen=True):
    total_count: int
    jobs: list[Job]


class _Compared(msgspec.Struct, frozen=True):
    status: str


class Asking(Protocol):
    """Questions, or whoever counts them."""

    def ask(self, what: str, method: str, path: str, body: object = None, *, known: Collection[int] = ()) -> Answer:
        """The answer is 2xx or `known`."""


class Repositories:
    """Raises Later and Refused; what changes an issue raises Uncertain, too. ValueError for what is no name.

    A list ends after `pages` pages, whether there are more or not.
    """

    def __init__(self, questions: Asking, *, pages: int = 3) -> None:
        self._questions, self._most = questions, pages

    def run(self, repository: str, number: int) -> Run | None:
        """By its number; None where there is none, or none that we may see."""
        path = f"{_path(repository)}/actions/runs/{number}?exclude_pull_requests=true"
        answer = self._questions.ask("run", "GET", path, known=(404,))
        return None if answer.status == 404 else decoded(answer, Run, Later)

    def runs(self, repository: str, status: str, before: str) -> Iterator[Run]:
        """Those with this status that were made at `before` (as 2026-11-18T12:00:00Z) or earlier."""
        query = {"status": status, "created": f"<={before}", "exclude_pull_requests": "true"}
        seen = 0
        for answer in self._pages("runs", f"{_path(repository)}/actions/runs", query):
            page: _Runs = decoded(answer, _Runs, Later)
            yield from page.workflow_runs
            seen += len(page.workflow_runs)
            if not page.workflow_runs or last(answer, seen, page.total_count):
                return

    def jobs(self, repository: str, run: int, *, attempts: str = "latest") -> Iterator[Job]:
        """Of a run, of its latest attempt or of "all"."""
        seen = 0
        path = f"{_path(repository)}/actions/runs/{int(run)}/jobs"
        for answer in self._pages("jobs", path, {"filter": attempts}):
            page: _Jobs = decoded(answer, _Jobs, Later)
            yield from page.jobs
            seen += len(page.jobs)
            if not page.jobs or last(answer, seen, page.total_count):
                return

    def branch(self, repository: str, name: str) -> Branch | None:
        """None where no branch is called so."""
        if name in ("", ".", ".."):
            raise ValueError("no branch's name")
        path = f"{_path(repository)}/branches/{quote(name, safe='')}"
        answer = self._questions.ask("branch", "GET", path, known=(404,))
        return None if answer.status == 404 else decoded(answer, Branch, Later)

    def contains(self, repository: str, tip: str, sha: str) -> bool:
        """Is the commit `sha` the commit `tip`, or one that it came from?"""
        if not (SHA.fullmatch(tip) and SHA.fullmatch(sha)):
            raise ValueError("no commit's hash")
        # The first page has up to 300 patches, which nobody reads here; the second has none.
        path = f"{_path(repository)}/compare/{tip}...{sha}?per_page=1&page=2"
        answer = self._questions.ask("compare", "GET", path, known=(404,))
        return answer.status != 404 and decoded(answer, _Compared, Later).status in ("identical", "behind")

    # Issues

    def issues(self, repository: str) -> Iterator[Issue]:
        """The open ones, the newest first; pull requests are none."""
        query = {"state": "open", "sort": "created", "direction": "desc"}
        for answer in self._pages("issues", f"{_path(repository)}/issues", query):
            page: list[Issue] = decoded(answer, list[Issue], Later)
            yield from (one for one in page if one.pull_request is None)
            if len(page) < EACH:
                return

    def open(self, repository: str, title: str, body: str) -> int:
        """Its number."""
        path = f"{_path(repository)}/issues"
        answer = self._questions.ask("open", "POST", path, {"title": title, "body": body})
        made: Issue = decoded(answer, Issue, Uncertain)
        return made.number

    def change(self, repository: str, number: int, **what: str) -> bool:
        """Give an issue another `title`, `body` or `state`; False where it is gone."""
        path = f"{_path(repository)}/issues/{number}"
        answer = self._questions.ask("change", "PATCH", path, what, known=(404, 410))
        return answer.status not in (404, 410)

    def _pages(self, what: str, path: str, query: dict[str, str]) -> Iterator[Answer]:
        for page in range(1, self._most + 1):
            yield self._questions.ask(what, "GET", f"{path}?{urlencode({**query, 'per_page': EACH, 'page': page})}")


def _path(repository: str) -> str:
    if not REPOSITORY.fullmatch(repository):
        raise ValueError("no repository's name")
    return f"/repos/{repository}"
