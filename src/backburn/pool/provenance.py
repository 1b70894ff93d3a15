"""Was a lease's job of a protected branch? GitHub is asked: what the job says of itself may be a lie."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from .clock import Clock
from .config import Config
from .lease import Lease
from .questions import Purpose
from .registrar import Later, Refused
from .repositories import NUMBER, Branch, Repositories, Run
from .scope import Scope, parse

if TYPE_CHECKING:
    from .github import GitHub

EVENTS = ("push", "schedule", "workflow_dispatch")  # what they run was in the repository; a pull request's was not
PATIENCE = 15.0  # seconds that a slot waits for an answer that was not to be had at once; then it is no
PAGES = 35  # of 30 jobs: a run of 1,000 jobs, four times what a matrix may have
PURPOSE = Purpose(permissions={"actions": "read", "contents": "read"}, key="[github] url")


class Provenance(Protocol):
    """Where a job came from."""

    def protected(self, lease: Lease) -> bool:
        """True: GitHub says so. False: it does not, or cannot be asked now. Raises nothing."""


def provenance(github: GitHub, config: Config, clock: Clock, note: Callable[[str, str, str], None]) -> GitHubProvenance:
    """That of the configuration's pool. Raises UserError: a secret that cannot be read."""
    asked = Repositories(github.beside(PURPOSE), pages=PAGES)
    return GitHubProvenance(asked, parse(config.github.url, config.github.api_url), clock, note)


class GitHubProvenance:
    """`note(slot, level, said)` is the log: a missing right is said once. From any thread."""

    def __init__(
        self, repositories: Repositories, scope: Scope, clock: Clock, note: Callable[[str, str, str], None]
    ) -> None:
        self._repositories, self._scope, self._clock, self._note = repositories, scope, clock, note
        self._said: set[str] = set()

    def protected(self, lease: Lease) -> bool:
        """Of a repository of the pool's (of an enterprise's pool none is), with a run whose job had this very runner,
        from a commit of a protected branch.

        What GitHub does not answer within 15 s is no: nothing that hangs on it may hold a slot up for long.
        """
        until = self._clock.passed() + PATIENCE
        while True:
            try:
                return self._proven(lease)
            except Later as error:
                if self._clock.passed() + error.seconds > until:
                    return self._unproven(lease, "info", f"{error}")
                self._clock.wait(error.seconds)
            except Refused as error:
                return self._unproven(lease, "warning", f"{error}. {error.hint}")
            except ValueError:  # GitHub named a branch or a commit that can be none
                return False

    def _unproven(self, lease: Lease, level: str, why: str) -> bool:
        if why not in self._said:
            self._said = {*list(self._said)[:99], why}  # GitHub's words, which may be new ones each time
            self._note(lease.slot, level, f"taken to be of no protected branch, for GitHub was not to be asked: {why}")
        return False

    def _proven(self, lease: Lease) -> bool:
        job = lease.job
        if job is None or not NUMBER.fullmatch(job.run_id) or not self._scope.has(job.repository):
            return False
        run = self._repositories.run(job.repository, int(job.run_id))
        return run is not None and _own(run, job.repository) and self._had(run, lease) and self._kept(run)

    def _had(self, run: Run, lease: Lease) -> bool:
        """A job of it ran on this lease's runner, whose name no other ever has: a marker that names another's run
        proves nothing. A runner of the same name elsewhere has another number, and is outside of the scope.
        """
        jobs = self._repositories.jobs(run.repository.full_name, run.id, attempts="all")
        return any(one.runner_name == lease.runner and one.runner_id == lease.runner_id for one in jobs)

    def _kept(self, run: Run) -> bool:
        """Its commit is in a protected branch of the name: a tag `main` has the same name, and any commit."""
        name = run.head_branch or ""
        branch = self._repositories.branch(run.repository.full_name, name) if name else None
        if branch is None or branch.name != name or not branch.protected:
            return False
        return self._in(branch, run)

    def _in(self, branch: Branch, run: Run) -> bool:
        tip, sha = branch.commit.sha, run.head_sha
        return tip == sha or self._repositories.contains(run.repository.full_name, tip, sha)


def _own(run: Run, repository: str) -> bool:
    """Begun by its repository itself, and not for a pull request or a fork."""
    head = run.head_repository
    same = head is not None and head.id == run.repository.id
    return same and run.repository.full_name.lower() == repository.lower() and run.event in EVENTS
