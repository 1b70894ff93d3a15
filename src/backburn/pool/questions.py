"""One question to GitHub, with our right and at its pace: what each answer, and each silence, comes to."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import msgspec

from . import config, secrets
from .circuit import Circuit
from .clock import Clock
from .registrar import Later, Refused, Uncertain
from .rights import App, Right, Token
from .scope import PERMISSIONS, Kind, Scope
from .wire import Answer, Lost, Tally, Unsent, Wire, resource_of

if TYPE_CHECKING:
    import httpx

DENIED = 30.0  # seconds in which a credential that GitHub does not know is not tried again
_DENIED = "The token is wrong, revoked or expired; or the App's id and private key do not belong together."
_LIMITS = ("secondary rate limit", "rate limit exceeded", "abuse detection")


class Purpose(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for beside the runners: `permissions` of an App, and the `key` of the file that says of what."""

    permissions: dict[str, str]
    key: str
    repositories: tuple[str, ...] = ()  # a token for these alone, by name without the owner; (): for all

    @property
    def hint(self) -> str:
        """What to change where GitHub refuses."""
        named = ", ".join(f"`{name}: {level}`" for name, level in self.permissions.items())
        return (
            f"It takes {named} (and `metadata: read`) of the App, granted to its installation, or of the token. "
            f"{self.key} must name the repository as GitHub does."
        )


class Questions:
    """From any thread. Raises UserError when it is made: a secret that cannot be read."""

    def __init__(
        self,
        given: config.GitHub,
        scope: Scope,
        clock: Clock,
        *,
        transport: httpx.BaseTransport | None,
        dice: random.Random | None,
        read: Callable[[str], str],
    ) -> None:
        self._scope, self._clock = scope, clock
        self._wire = Wire(scope.api, clock, proxy=given.proxy, transport=transport)
        self._circuit = Circuit(clock, dice or random.Random())  # noqa: S311 - spreads load, keeps no secret
        self._resources: dict[str, str] = {}  # what is asked -> the budget that it was last taken from
        self._denied: tuple[float, str, str] = (float("-inf"), "", "")
        self._given, self._read = given, read
        self._purpose: Purpose | None = None
        self._rights: list[Right] = []  # of all who ask in our name: none of their secrets is shown
        self._hidden: list[str] = []  # nor are these
        self._right = self._righted()

    def beside(self, purpose: Purpose) -> Questions:
        """The same pace, budget and tally, and a right of its own: what the runners need stays as small as it is,
        and an App that lacks `purpose` registers them all the same. Raises UserError as when one is made.
        """
        other = copy.copy(self)
        other._purpose, other._denied = purpose, (float("-inf"), "", "")
        other._right = other._righted()
        return other

    def ask(self, what: str, method: str, path: str, body: object = None, *, known: Collection[int] = ()) -> Answer:
        """With our right, renewed once. The answer is 2xx or `known`; raises Later, Uncertain, Refused."""
        self._not_denied()
        bearer = self._bearer()
        answer = self._send(what, method, path, bearer, body)
        if answer.status == 401 and self._right.renew(bearer):
            answer = self._send(what, method, path, self._bearer(), body)
        if answer.status == 401:
            self._deny(self._said(method, path, answer), _DENIED)
            self._not_denied()
        if 200 <= answer.status < 300 or answer.status in known:
            return answer
        raise self._refusal(method, path, answer)

    def skew(self) -> float:
        """Seconds that this machine's clock is behind GitHub's."""
        return self._wire.skew

    def tally(self) -> Tally:
        """Requests and budgets, for the metrics."""
        return self._wire.tally()

    def resting(self) -> bool:
        """Nothing is asked at present: a rate limit, or it does not answer."""
        return self._circuit.resting()

    def secrets(self) -> tuple[str, ...]:
        """What must not be seen, for those who clean up texts of their own."""
        return (*(secret for right in self._rights for secret in right.secrets()), *self._hidden)

    def hide(self, *texts: str) -> None:
        """Other secrets of the supervisor's: what is logged goes through `redact`."""
        self._hidden += texts

    def redact(self, text: str) -> str:
        """Without our own secrets, and without what looks like one."""
        return secrets.redact(text, self.secrets())

    def close(self) -> None:
        """Give the connections back."""
        self._wire.close()

    def _righted(self) -> Right:
        right = self._token() if self._given.token else self._app()
        self._rights.append(right)
        return right

    def _token(self) -> Right:
        return Token(lambda: self._read(self._given.token))

    def _app(self) -> Right:
        given = self._given
        return App(
            self._ask_with,
            self._clock,
            app=given.app_id,
            key=self._read(given.private_key),
            installation=given.installation_id,
            installed=f"{self._scope.path}/installation",
            wanted=self._wanted(),
            skew=self.skew,
        )

    def _wanted(self) -> dict[str, Any]:
        """No more than it takes; the API has no name for the right of an enterprise."""
        scope, purpose = self._scope, self._purpose
        if purpose is None and scope.kind is Kind.ENTERPRISE:
            return {}
        wanted: dict[str, Any] = {"permissions": purpose.permissions if purpose else PERMISSIONS[scope.kind]}
        if purpose is not None and purpose.repositories:
            wanted["repositories"] = list(purpose.repositories)
        elif scope.kind is Kind.REPOSITORY:
            wanted["repositories"] = [scope.names[1]]
        return wanted

    def _ask_with(self, method: str, path: str, bearer: str, body: object) -> Any:
        """A call of the App's own: it may be repeated, so a lost answer is no more than that."""
        answer = self._send("app", method, path, bearer, body)
        if not 200 <= answer.status < 300:
            raise self._refusal(method, path, answer, _DENIED if answer.status == 401 else "")
        return decoded(answer, dict[str, Any], Later)

    def _bearer(self) -> str:
        try:
            return self._right.bearer()
        except Refused as error:
            self._deny(str(error), error.hint)
            raise

    def _deny(self, said: str, hint: str) -> None:
        """Many wrong credentials in a row, and GitHub refuses right ones, too."""
        self._denied = (self._clock.passed() + DENIED, said, hint)

    def _not_denied(self) -> None:
        until, said, hint = self._denied
        if self._clock.passed() < until:
            raise Refused(said, hint)

    def _send(self, what: str, method: str, path: str, bearer: str, body: object) -> Answer:
        """An answer that is GitHub's last word on it: below 500, and no matter of pace."""
        kind = "read" if method == "GET" or what == "app" else "write"
        self._circuit.admit(kind, self._resources.get(what, "core"))
        try:
            answer = self._wire.send(method, path, bearer, body)
        except Unsent as error:
            said = self.redact(f"{method} {path}: {error}")
            raise Later(said, self._circuit.failed("read", said)) from None
        except Lost as error:
            raise self._lost(kind, f"{method} {path}: no answer: {error}") from None
        self._budget(what, answer)
        if self._paced(answer):
            raise self._slower(method, path, answer)
        if answer.status >= 500 or answer.status == 408:
            raise self._lost(kind, self._said(method, path, answer))
        self._circuit.answered(kind)
        return answer

    def _lost(self, kind: str, said: str) -> Exception:
        said = self.redact(said)
        seconds = self._circuit.failed(kind, said)
        return Later(said, seconds) if kind == "read" else Uncertain(said)

    def _budget(self, what: str, answer: Answer) -> None:
        self._resources[what] = resource = resource_of(answer)
        left = _until_reset(answer)
        if left is not None and answer.headers.get("x-ratelimit-remaining") == "0":
            self._circuit.spent(resource, left)

    @staticmethod
    def _paced(answer: Answer) -> bool:
        """403 has two meanings; this is the one that passes by itself."""
        if answer.status != 403:
            return answer.status == 429
        pace = "retry-after" in answer.headers or answer.headers.get("x-ratelimit-remaining") == "0"
        return pace or any(words in answer.message.lower() for words in _LIMITS)

    def _slower(self, method: str, path: str, answer: Answer) -> Later:
        seconds = answer.number("retry-after")
        if seconds is None and answer.headers.get("x-ratelimit-remaining") == "0":
            seconds = _until_reset(answer)
        said = self._said(method, path, answer)
        return Later(said, self._circuit.limited(said, seconds))

    def _refusal(self, method: str, path: str, answer: Answer, hint: str = "") -> Refused:
        said = self._said(method, path, answer)
        ours = self._purpose.hint if self._purpose else self._scope.hint
        if answer.status in (301, 302, 307, 308):
            key = self._purpose.key if self._purpose else "[github] url"
            return Refused(said, f"It was renamed or moved: {key} must say its name of today.")
        if answer.status == 422 and self._purpose is None:
            return Refused(said, f"GitHub takes the request to be wrong: [pool] labels, runner-group. {ours}")
        return Refused(said, hint or ours)

    def _said(self, method: str, path: str, answer: Answer) -> str:
        """Of a server that may say anything, our token among it. The status comes first."""
        return self.redact(f"{answer.status} for {method} {path.partition('?')[0]}: {answer.message}".rstrip(": "))


def decoded(answer: Answer, kind: Any, fault: type[Later] | type[Uncertain]) -> Any:
    """Raises `fault` for whatever else came, and shows nothing of it: it may hold a secret."""
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        said = f"{answer.status}, and not the answer that belongs to it ({len(answer.content)} bytes)"
    raise Later(said, 30.0) if fault is Later else Uncertain(said)


def last(answer: Answer, seen: int, total: int) -> bool:
    """Of the pages: by Link where there is one, else by the count."""
    link = answer.headers.get("link", "")
    return 'rel="next"' not in link if link else seen >= total


def _until_reset(answer: Answer) -> float | None:
    reset = answer.headers.get("x-ratelimit-reset", "")
    return float(reset) - answer.seen if reset.isdecimal() and len(reset) < 12 else None
