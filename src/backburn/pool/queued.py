"""Which jobs wait for this pool, and have for too long: asked of GitHub, repository by repository, within bounds."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from .config import Config
from .questions import Purpose
from .registrar import Later, Refused
from .repositories import Asking, Job, Repositories
from .scope import Kind, parse
from .wire import Answer

REQUESTS = 100  # of one look: at one in 5 minutes, a quarter of what GitHub allows in an hour
PURPOSE = Purpose(permissions={"actions": "read"}, key="[queue] repositories")
# A run with one job in the queue and another that runs is the latter.
STATUSES = ("queued", "in_progress")


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A job that nobody has taken. `since` is seconds since the epoch; what it is called comes from its workflow."""

    repository: str
    run: int
    job: int
    workflow: str
    name: str
    since: float


@dataclass
class Look:
    """`whole` are the repositories of which all was seen; `refused` says of others why nothing was."""

    waiting: list[Waiting] = field(default_factory=list)
    whole: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    trouble: str = ""  # why it ended before its end
    later: float = 0.0  # seconds that GitHub wants to be left alone


class _Enough(Exception):
    """The requests of this look are used up."""


class _Counted:
    """Questions, and no more than so many of them."""

    def __init__(self, questions: Asking) -> None:
        self._questions, self.left = questions, REQUESTS

    def ask(self, what: str, method: str, path: str, body: object = None, *, known: Collection[int] = ()) -> Answer:
        if not self.left:
            raise _Enough
        self.left -= 1
        return self._questions.ask(what, method, path, body, known=known)


class Queued:
    """`longer`: seconds in the queue that are too long."""

    def __init__(self, questions: Asking, names: Sequence[str], labels: Sequence[str], longer: float) -> None:
        self._counted = _Counted(questions)
        self._repositories = Repositories(self._counted, pages=REQUESTS)
        self._names, self._longer = list(names), longer
        self._labels = {label.lower() for label in labels}

    def look(self, now: float) -> Look:
        """`now` by GitHub's clock. Where it ends early, the next look begins there. Raises nothing."""
        look, self._counted.left = Look(), REQUESTS
        before = f"{datetime.datetime.fromtimestamp(now - self._longer, datetime.timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
        for place, name in enumerate(self._names):
            try:
                look.waiting.extend(self._of(name, before, now))  # also what comes before an end that is none
                look.whole.add(name)
            except Refused as error:
                look.refused[name] = f"{error}. {error.hint}"
            except (Later, _Enough) as error:
                look.trouble = str(error) or f"{REQUESTS} requests were not enough to look at all of {name}"
                look.later = getattr(error, "seconds", 0.0)
                place = place or (isinstance(error, _Enough) and 1)  # the first has had its turn
                self._names = self._names[place:] + self._names[:place]
                break
        return look

    def _of(self, name: str, before: str, now: float) -> Iterator[Waiting]:
        """Each once: a run may have moved from one list to the other between the two."""
        seen: set[int] = set()
        for status in STATUSES:
            for run in self._repositories.runs(name, status, before):
                if run.id not in seen:
                    seen.add(run.id)
                    yield from (one for one in self._waiting(name, run.id) if now - one.since > self._longer)

    def _waiting(self, name: str, run: int) -> Iterator[Waiting]:
        for job in self._repositories.jobs(name, run):
            if (since := self._since(job)) is not None:
                about = {"workflow": job.workflow_name or "", "name": job.name}
                yield Waiting(repository=name, run=run, job=job.id, since=since, **about)

    def _since(self, job: Job) -> float | None:
        """When it was queued; None where it is not, or not for us. One without labels asks for a group by name, and
        whether that is ours the API does not say.
        """
        labels = {label.lower() for label in job.labels}
        if job.status != "queued" or not labels or not labels <= self._labels:
            return None
        try:
            return datetime.datetime.fromisoformat(job.created_at).timestamp()
        except ValueError:
            return None


def names(config: Config) -> tuple[str, ...]:
    """The repositories to look at; none: nothing is looked for."""
    scope = parse(config.github.url, config.github.api_url)
    return config.queue.repositories or (("/".join(scope.names),) if scope.kind is Kind.REPOSITORY else ())
