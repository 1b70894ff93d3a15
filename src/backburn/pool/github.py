"""GitHub's runners over REST: made, found, removed, in a group that may have them. One `GitHub` for all threads."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import msgspec

from . import jit, secrets
from .clock import Clock, SystemClock
from .config import Config
from .questions import Purpose, Questions, decoded, last
from .registrar import Later, Refused, Registered, Registration, Removal, Taken, Uncertain
from .scope import Kind, Scope, parse
from .wire import Answer, Tally

if TYPE_CHECKING:
    import httpx

PAGES = 150  # of 100; a group holds 10,000 runners at most
GROUP = 3600.0  # seconds that what a group allows is believed
PROVEN = 60.0  # seconds that an answer proves that we may see the runners at all


class _Runner(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    name: str
    status: str
    busy: bool

    def seen(self) -> Registration:
        return Registration(id=self.id, name=self.name, online=self.status != "offline", busy=self.busy)


class _Page(msgspec.Struct, frozen=True, kw_only=True):
    total_count: int
    runners: list[_Runner]


class _Made(msgspec.Struct, frozen=True, kw_only=True):
    runner: _Runner
    encoded_jit_config: str


class _Group(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    name: str
    allows_public_repositories: bool = False
    inherited_allows_public_repositories: bool = False


class _Groups(msgspec.Struct, frozen=True, kw_only=True):
    total_count: int
    runner_groups: list[_Group]


class _Repository(msgspec.Struct, frozen=True, kw_only=True):
    private: bool


class GitHub:
    """A Registrar. Raises UserError when it is made: the URL, or a secret that cannot be read."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock | None = None,
        transport: httpx.BaseTransport | None = None,
        dice: random.Random | None = None,
        read: Callable[[str], str] = secrets.resolve,
    ) -> None:
        given = config.github
        self._config, self._clock = config, clock or SystemClock()
        self._scope: Scope = parse(given.url, given.api_url)
        self._questions = Questions(given, self._scope, self._clock, transport=transport, dice=dice, read=read)
        self._group: tuple[int, float] | None = None
        self._proven = float("-inf")

    def register(self, name: str) -> Registered:
        """Raises Taken, Uncertain, Later, Refused. A configuration that is not fit to be started is not handed out."""
        body = {
            "name": name,
            "runner_group_id": self.allowed_group(),
            "labels": list(self._config.pool.labels),
            "work_folder": "_work",
        }
        try:
            answer = self._questions.ask("register", "POST", self._path("/generate-jitconfig"), body, known=(409,))
        except Refused:
            self._group = None  # it may be gone
            raise
        if answer.status == 409:
            raise Taken(f"a runner is called {name}")
        made: _Made = decoded(answer, _Made, Uncertain)
        self._proven = self._clock.passed()
        if made.runner.name != name:  # and so nothing of ours to take back
            raise Uncertain(f"asked for {name}, and was given another runner")
        if problem := jit.unfit(made.encoded_jit_config, made.runner.id):
            self._take_back(made.runner.id)
            raise Uncertain(f"registered {name}, and it is not to be started: {problem}")
        return Registered(id=made.runner.id, configuration=made.encoded_jit_config)

    def find(self, name: str) -> Registration | None:
        """By its whole name."""
        return next((one for one in self._list(name=name) if one.name == name), None)

    def get(self, runner_id: int) -> Registration | None:
        """By id."""
        answer = self._questions.ask("get", "GET", self._path(f"/{runner_id}"), known=(404,))
        if answer.status == 404:
            self._prove()
            return None
        runner: _Runner = decoded(answer, _Runner, Later)
        self._proven = self._clock.passed()
        return runner.seen()

    def remove(self, runner_id: int) -> Removal:
        """DELETE. Raises Uncertain where the answer was lost: it may be repeated after a look."""
        answer = self._questions.ask("remove", "DELETE", self._path(f"/{runner_id}"), known=(404, 422))
        if answer.status == 422:
            return Removal.BUSY
        if answer.status == 404:
            self._prove()
        elif answer.status != 204:  # something on the way answered
            raise Uncertain(f"{answer.status} for a removal")
        return Removal.GONE

    def may_register(self) -> None:
        """Raises Refused where we may not; nothing is changed. A removal takes the right that a registration takes, no
        runner has the id 0, and GitHub looks at the right first: a token that may only read is refused.
        """
        self.remove(0)

    def ours(self, prefix: str) -> list[Registration]:
        """From all pages."""
        return [one for one in self._list() if one.name.startswith(prefix)]

    def skew(self) -> float:
        """Seconds that this machine's clock is behind GitHub's."""
        return self._questions.skew()

    def tally(self) -> Tally:
        """Requests and budgets, for the metrics."""
        return self._questions.tally()

    def resting(self) -> bool:
        """Nothing is asked at present: a rate limit, or it does not answer."""
        return self._questions.resting()

    def secrets(self) -> tuple[str, ...]:
        """What must not be seen, for those who clean up texts of their own."""
        return self._questions.secrets()

    def redact(self, text: str) -> str:
        """Without our own secrets, and without what looks like one."""
        return self._questions.redact(text)

    def hide(self, *texts: str) -> None:
        """Other secrets of the supervisor's, to be redacted as our own."""
        self._questions.hide(*texts)

    def beside(self, purpose: Purpose) -> Questions:
        """For questions that are not of runners: at our pace, with a right of their own."""
        return self._questions.beside(purpose)

    def close(self) -> None:
        """Give the connections back."""
        self._questions.close()

    def __repr__(self) -> str:  # noqa: D105
        return f"GitHub({self._scope.api}{self._scope.path})"

    def _take_back(self, runner_id: int) -> None:
        """If it can be done now; the caller looks by name anyway."""
        with contextlib.suppress(Later, Uncertain, Refused):
            self.remove(runner_id)

    def _path(self, below: str = "") -> str:
        return f"{self._scope.path}/actions/runners{below}"

    # What may be asked for

    def allowed_group(self) -> int:
        """The id of the runner group. Raises Refused where public repositories would reach this machine."""
        if self._group is None or self._clock.passed() >= self._group[1]:
            found = self._repository() if self._scope.kind is Kind.REPOSITORY else self._named_group()
            self._group = (found, self._clock.passed() + GROUP)
        return self._group[0]

    def _repository(self) -> int:
        """1: a repository has one group. Whether it is public must be asked of itself."""
        answer = self._questions.ask("repository", "GET", self._scope.path)
        if not decoded(answer, _Repository, Later).private and not self._config.github.allow_public:
            raise self._public(f"{'/'.join(self._scope.names)} is a public repository")
        return 1

    def _named_group(self) -> int:
        wanted = self._config.github.runner_group
        groups = list(self._groups())
        for group in groups:
            if group.name == wanted:
                public = group.allows_public_repositories or group.inherited_allows_public_repositories
                if public and not self._config.github.allow_public:
                    raise self._public(f"the runner group {wanted!r} allows public repositories")
                return group.id
        names = ", ".join(repr(group.name) for group in groups[:20])
        raise Refused(f"no runner group is called {wanted!r}", f"[github] runner-group is one of {self.redact(names)}.")

    def _public(self, what: str) -> Refused:
        hint = "Whoever opens a pull request there runs code on this machine. Take that right away at GitHub, or say"
        return Refused(what, f"{hint} `allow-public = true` in [github].")

    def _groups(self) -> Iterator[_Group]:
        path = f"{self._scope.path}/actions/runner-groups"
        seen = 0
        for answer in self._pages("groups", path, {}):
            found: _Groups = decoded(answer, _Groups, Later)
            yield from found.runner_groups
            seen += len(found.runner_groups)
            if not found.runner_groups or last(answer, seen, found.total_count):
                return

    # Lists

    def _list(self, **query: str) -> Iterator[Registration]:
        """Each once: an entry moves to the next page where a new one comes before it."""
        seen: set[int] = set()
        for answer in self._pages("list", self._path(), query):
            page: _Page = decoded(answer, _Page, Later)
            self._proven = self._clock.passed()
            yield from (one.seen() for one in page.runners if one.id not in seen)
            seen.update(one.id for one in page.runners)
            if not page.runners or last(answer, len(seen), page.total_count):
                return

    def _pages(self, what: str, path: str, query: dict[str, str]) -> Iterator[Answer]:
        """The caller stops at the last. A `next` is never followed: the token would go where it says."""
        for page in range(1, PAGES + 1):
            yield self._questions.ask(what, "GET", f"{path}?{urlencode({**query, 'per_page': 100, 'page': page})}")
        raise Later(f"GET {path}: the list does not end", 300.0)

    def _prove(self) -> None:
        """404 is also what GitHub says to those who may not see. Raises Refused where we see no runner at all."""
        if self._clock.passed() - self._proven > PROVEN:
            decoded(self._questions.ask("list", "GET", f"{self._path()}?per_page=1"), _Page, Later)
            self._proven = self._clock.passed()
