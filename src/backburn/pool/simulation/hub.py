"""GitHub's REST API for runners, stateful and without a transport: a request in, an answer out, faults where wanted."""

from __future__ import annotations

import datetime
import email.utils
import random
import re
from collections import Counter, deque
from typing import Any
from urllib.parse import parse_qsl

import httpx
import jwt
import msgspec

from ..clock import Clock
from ..scope import Kind, parse
from .faults import Fault, Faults
from .repository import ROUTES, Missing, Repository
from .service import Behaviour, NameTaken, Runner, Service

HOUR = 3600.0
_DOCUMENTATION = "https://docs.github.com/rest"
# (method, path below the scope or from the root) -> the call, as faults and counters name it.
_ROUTES = (
    ("POST", re.compile(r"S/actions/runners/generate-jitconfig"), "register"),
    ("GET", re.compile(r"S/actions/runners"), "list"),
    ("GET", re.compile(r"S/actions/runners/(\d+)"), "get"),
    ("DELETE", re.compile(r"S/actions/runners/(\d+)"), "remove"),
    ("GET", re.compile(r"S/actions/runner-groups"), "groups"),
    ("GET", re.compile(r"S/installation"), "installation"),
    ("GET", re.compile(r"S"), "repository"),
    ("POST", re.compile(r"/app/installations/(\d+)/access_tokens"), "mint"),
)
_SAID = {
    Fault.SECONDARY: (403, "You have exceeded a secondary rate limit. Please wait a few minutes."),
    Fault.UNAUTHORIZED: (401, "Bad credentials"),
    Fault.TAKEN: (409, "Already exists - A runner with this name already exists."),
    Fault.BUSY: (422, "Runner is currently running a job and cannot be deleted."),
    Fault.FAILED_AFTER: (500, "Server Error"),
}
_AFTER = {Fault.LOST, Fault.FAILED_AFTER, Fault.GARBLED, Fault.SLOW}  # these are carried out


class App(msgspec.Struct, frozen=True, kw_only=True):
    """The one App that the hub knows, by its public key."""

    id: str
    public_key: str
    installation: int = 77


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A runner group."""

    id: int
    name: str
    public: bool = False


class _Wrong(Exception):
    """An answer other than 2xx."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers


class Hub(Service):
    """`handle` is what httpx.MockTransport takes. A lost answer is httpx.ReadTimeout, a refused one ConnectError.

    `limit`: requests per hour and credential, 0 for none; `points`: per minute, where a question is 1 and a change 5.
    """

    def __init__(
        self,
        clock: Clock,
        dice: random.Random,
        *,
        url: str = "https://github.com/acme",
        token: str = "ghp_canary0canary0canary0canary0canary",  # noqa: S107 - of a stand-in
        app: App | None = None,
        limit: int = 5000,
        points: int = 900,
        behaviour: Behaviour | None = None,
    ) -> None:
        super().__init__(clock, dice, behaviour)
        self.scope = parse(url)
        self.faults = Faults(dice)
        self.groups = [
            Group(id=1, name="Default"),
            Group(id=2, name="gpu-trusted"),
            Group(id=3, name="open", public=True),
        ]
        self.private = True  # the repository
        self.repositories: dict[str, Repository] = {}  # by owner/name
        self.granted = {"actions", "contents", "issues"}  # what the App or the token may do in them
        self.offset = 0.0  # seconds that the clock behind Date and every expiry is ahead of the service's own
        self.token_lasts = HOUR
        self.requests: Counter[tuple[str, int]] = Counter()  # (call, status; 0: no answer)
        self.asked: deque[tuple[float, str, int]] = deque(maxlen=20000)  # (moment, call, status)
        self.trespasses = 0  # requests that came before the time that an answer of ours had named
        self.tokens: dict[str, float] = {}  # installation tokens -> their end
        self._may: dict[str, set[str]] = {}  # installation tokens -> what they may do in repositories
        self.secrets.append(token)
        self._token, self._app, self._limit, self._points = token, app, limit, points
        self._used: dict[str, tuple[int, float]] = {}  # credential -> requests in its window, the window's end
        self._recent: deque[tuple[float, int]] = deque()  # (moment, points) of the last minute
        self._pressure = 0
        self._quiet = 0.0
        self._date = (0, "")

    def handle(self, request: httpx.Request) -> httpx.Response:
        """Answer it, or raise what httpx raises where none comes."""
        call, found = self._routed(request)
        with self.lock:
            self.advance()
            if self.now() < self._quiet:
                self.trespasses += 1
            fault = self.faults.chosen(call, self.now())
            response = self._befallen(fault, request) if fault and fault not in _AFTER else None
            response = response or self._answered(call, found, request)
            if fault in (Fault.FAILED_AFTER, Fault.GARBLED):
                response = self._befallen(fault, request) or response
            lost = fault in (Fault.LOST, Fault.DROPPED, Fault.REFUSED)
            self._note(call, 0 if lost else response.status_code)
            delay = self._drawn(self.faults.delay) if fault is Fault.SLOW else 0.0
        if delay:
            self._clock.wait(delay)
        if fault is Fault.REFUSED:
            raise httpx.ConnectError("Connection refused", request=request)
        if lost:
            raise httpx.ReadTimeout("The read operation timed out", request=request)
        return response

    def transport(self) -> httpx.MockTransport:
        """For a client."""
        return httpx.MockTransport(self.handle)

    def repository(self, name: str) -> Repository:
        """The one called owner/name, made where there is none yet."""
        return self.repositories.setdefault(name, Repository(name, self.names))

    def expire_tokens(self) -> None:
        """Every installation token is one of the past."""
        with self.lock:
            self.tokens = dict.fromkeys(self.tokens, 0.0)

    def replace_token(self, token: str) -> None:
        """The old one is revoked."""
        with self.lock:
            self._token = token
            self.secrets.append(token)

    # Faults

    def _befallen(self, fault: Fault, request: httpx.Request) -> httpx.Response | None:
        """The answer that a fault makes; what is lost has one, too, which is thrown away."""
        if fault is Fault.GARBLED:
            content = self._dice.choice(
                (b"", b"<html>", b"[]", b'{"runner": {"id": "x"}}', b"\xff\xfe", b"[" * 5000, b"null")
            )
            response = httpx.Response(200, headers=self._headers(), content=content)
        elif fault is Fault.THROTTLED:
            seconds = self._dice.randint(*self.faults.retry_after)
            self._quiet = max(self._quiet, self.now() + seconds)
            response = self._error(429, "Too many requests", **{"retry-after": str(seconds)})
        else:
            response = self._error(*_SAID.get(fault, (502, "Server Error")))
        response.extensions["fault"] = fault
        return response

    # Answers

    def _routed(self, request: httpx.Request) -> tuple[str, re.Match[str] | None]:
        path = request.url.raw_path.decode().partition("?")[0].removeprefix("/api/v3")
        for method, pattern, call, _ in ROUTES:
            if method == request.method and (found := pattern.fullmatch(path)):
                return call, found
        if path.startswith(self.scope.path):
            path = "S" + path[len(self.scope.path) :]
        for method, pattern, call in _ROUTES:
            if method == request.method and (found := pattern.fullmatch(path)):
                return call, found
        return "unknown", None

    def _answered(self, call: str, found: re.Match[str] | None, request: httpx.Request) -> httpx.Response:
        try:
            credential = self._credential(call, request)
            self._pace(credential, request.method)
            if found is None:
                raise _Wrong(404, "Not Found")
            if "repository" in found.groupdict():
                status, body = self._in_repository(credential, call, found, request)
            else:
                status, body = getattr(self, f"_{call}")(request, *map(int, found.groups()))
        except _Wrong as error:
            return self._error(error.status, str(error), **error.headers)
        headers = self._headers(credential)
        if status == 204:
            return httpx.Response(204, headers=headers)
        link = body.pop("link", "") if isinstance(body, dict) else ""
        body = body.pop("") if isinstance(body, dict) and "" in body else body  # a list without a name
        if link:
            headers["link"] = link
        headers["content-type"] = "application/json; charset=utf-8"
        return httpx.Response(status, headers=headers, content=msgspec.json.encode(body))

    def _register(self, request: httpx.Request) -> tuple[int, Any]:
        try:
            body = msgspec.json.decode(request.content)
            name, group, labels = body["name"], body["runner_group_id"], tuple(body["labels"])
        except (msgspec.MsgspecError, KeyError, TypeError):
            raise _Wrong(422, "Invalid request.") from None
        if not (isinstance(name, str) and 0 < len(name) <= 64 and 0 < len(labels) <= 100):
            raise _Wrong(422, "Validation failed: name, labels")
        if group not in [one.id for one in self.groups]:
            raise _Wrong(404, "Not Found")
        try:
            runner = self.register(name, labels, group)
        except NameTaken:
            raise _Wrong(409, f"Already exists - A runner with the name {name} already exists.") from None
        return 201, {"runner": _shown(runner), "encoded_jit_config": runner.configuration}

    def _list(self, request: httpx.Request) -> tuple[int, Any]:
        query, now = dict(parse_qsl(request.url.query.decode())), self.now()
        if "name" in query:
            one = self.named(query["name"])
            living = [one] if one else []
        else:
            living = list(self.live.values())
        visible = [runner for runner in living if runner.visible <= now]
        return 200, self._page(request, query, "runners", [_shown(one) for one in visible])

    def _get(self, request: httpx.Request, number: int) -> tuple[int, Any]:
        if (runner := self.live.get(number)) is None:
            raise _Wrong(404, "Not Found")
        return 200, _shown(runner)

    def _remove(self, request: httpx.Request, number: int) -> tuple[int, Any]:
        gone = self.remove(number)
        if gone is None:
            raise _Wrong(404, "Not Found")
        if not gone:
            raise _Wrong(422, f"Runner {number} is currently running a job and cannot be deleted.")
        return 204, None

    def _groups(self, request: httpx.Request) -> tuple[int, Any]:
        if self.scope.kind is Kind.REPOSITORY:
            raise _Wrong(404, "Not Found")
        shown = [
            {
                "id": group.id,
                "name": group.name,
                "visibility": "all",
                "default": group.id == 1,
                "runners_url": f"{self.scope.api}{self.scope.path}/actions/runner-groups/{group.id}/runners",
                "inherited": False,
                "allows_public_repositories": group.public,
            }
            for group in self.groups
        ]
        return 200, self._page(request, dict(request.url.params), "runner_groups", shown)

    @staticmethod
    def _page(request: httpx.Request, query: dict[str, str], name: str, entries: list[Any]) -> dict[str, Any]:
        size = max(1, min(100, int(query.get("per_page", 30))))
        page = max(1, int(query.get("page", 1)))
        shown = entries[(page - 1) * size : page * size]
        more = len(entries) > page * size
        link = f'<{request.url.copy_set_param("page", page + 1)}>; rel="next"' if more else ""
        return {"total_count": len(entries), name: shown, "link": link}

    def _repository(self, request: httpx.Request) -> tuple[int, Any]:
        if self.scope.kind is not Kind.REPOSITORY:
            raise _Wrong(404, "Not Found")
        owner, name = self.scope.names
        return 200, {"id": 1, "name": name, "full_name": f"{owner}/{name}", "private": self.private}

    def _in_repository(
        self, credential: str, call: str, found: re.Match[str], request: httpx.Request
    ) -> tuple[int, Any]:
        may = self._may.get(credential, self.granted)
        needed = next(permission for *_, name, permission in ROUTES if name == call)
        if (one := self.repositories.get(found["repository"])) is None:
            raise _Wrong(404, "Not Found")
        if needed not in may:
            raise _Wrong(403, "Resource not accessible by integration")
        try:
            status, name, shown = one.answer(call, found, request)
        except Missing as error:
            raise _Wrong(error.status, "Not Found") from None
        return status, self._page(request, dict(request.url.params), name, shown) if isinstance(shown, list) else shown

    def _installation(self, request: httpx.Request) -> tuple[int, Any]:
        assert self._app is not None  # or the credential would have been refused
        return 200, {
            "id": self._app.installation,
            "app_id": 1,
            "app_slug": "pool",
            "target_id": 1,
            "target_type": "Organization",
            "repository_selection": "all",
        }

    def _mint(self, request: httpx.Request, number: int) -> tuple[int, Any]:
        if self._app is None or number != self._app.installation:
            raise _Wrong(404, "Not Found")
        asked = msgspec.json.decode(request.content or b"{}") or {}
        may = set(asked.get("permissions", {})) & {"actions", "contents", "issues"}
        if not may <= self.granted:
            raise _Wrong(422, "The permissions requested are not granted to this installation.")
        token = f"ghs_{number}_eyJ{self._dice.getrandbits(160):040x}.{self._dice.getrandbits(160):040x}"
        end = int(self.now() + self.token_lasts)
        self.tokens[token], self._may[token] = end, may
        self.secrets.append(token)
        told = datetime.datetime.fromtimestamp(end + self.offset, datetime.timezone.utc)
        return 201, {"token": token, "expires_at": f"{told:%Y-%m-%dT%H:%M:%SZ}", "repository_selection": "all"}

    # Rights and pace

    def _credential(self, call: str, request: httpx.Request) -> str:
        bearer = str(request.headers.get("authorization", "")).removeprefix("Bearer ")
        if call in ("installation", "mint"):
            return self._signed(bearer)
        if bearer == self._token or self.tokens.get(bearer, 0.0) > self.now():
            return bearer
        raise _Wrong(401, "Bad credentials")

    def _signed(self, token: str) -> str:
        """An App's JWT, as GitHub takes it: not of the future, and at most 10 minutes long from its own now."""
        if self._app is None:
            raise _Wrong(401, "A JSON web token could not be decoded")
        key = self._app.public_key
        try:
            claims = jwt.decode(token, key, algorithms=["RS256"], options={"verify_exp": False, "verify_iat": False})
        except jwt.PyJWTError:
            raise _Wrong(401, "A JSON web token could not be decoded") from None
        now = self.now() + self.offset
        if claims.get("iss") != self._app.id:
            raise _Wrong(404, "Integration not found")
        if not claims["iat"] <= now:
            raise _Wrong(401, "'Issued at' claim ('iat') must be an Integer representing the time that it was issued")
        if not now < claims["exp"] <= now + 600:
            raise _Wrong(401, "'Expiration time' claim ('exp') is too far in the future, or past")
        return "app"

    def _pace(self, credential: str, method: str) -> None:
        """Raise _Wrong where a limit is passed; the requests that are refused for it do not count."""
        now = self.now()
        used, end = self._used.get(credential, (0, 0.0))
        if now >= end:
            used, end = 0, now + HOUR
        if self._limit and used >= self._limit:
            self._quiet = max(self._quiet, end - 1)
            raise _Wrong(403, "API rate limit exceeded for this installation.", **self._budget(used, end))
        while self._recent and self._recent[0][0] <= now - 60:
            self._pressure -= self._recent.popleft()[1]
        if self._points and self._pressure >= self._points:
            self._quiet = max(self._quiet, now + 60)
            raise _Wrong(403, "You have exceeded a secondary rate limit.", **{"retry-after": "60"})
        self._recent.append((now, 1 if method == "GET" else 5))
        self._pressure += self._recent[-1][1]
        self._used[credential] = (used + 1, end)
        if self._limit and used + 1 == self._limit:
            self._quiet = max(self._quiet, end - 1)

    def _budget(self, used: int, end: float) -> dict[str, str]:
        return {
            "x-ratelimit-limit": str(self._limit),
            "x-ratelimit-remaining": str(max(0, self._limit - used)),
            "x-ratelimit-used": str(used),
            "x-ratelimit-reset": str(int(end + self.offset)),
            "x-ratelimit-resource": "core",
        }

    def _headers(self, credential: str = "") -> dict[str, str]:
        second = int(self.now() + self.offset)
        if self._date[0] != second:
            self._date = (second, email.utils.formatdate(second, usegmt=True))
        headers = {"date": self._date[1], "x-github-request-id": f"{len(self.asked):04X}"}
        if self._limit and credential in self._used:
            headers.update(self._budget(*self._used[credential]))
        return headers

    def _error(self, status: int, message: str, **headers: str) -> httpx.Response:
        body = {"message": message, "documentation_url": _DOCUMENTATION, "status": str(status)}
        more = {"content-type": "application/json; charset=utf-8", **headers}
        return httpx.Response(status, headers=self._headers() | more, content=msgspec.json.encode(body))

    def _note(self, call: str, status: int) -> None:
        self.requests[call, status] += 1
        self.asked.append((self.now(), call, status))


def _shown(runner: Runner) -> dict[str, Any]:
    """As the API shows it."""
    return {
        "id": runner.id,
        "name": runner.name,
        "os": "linux" if runner.sessions else "unknown",
        "status": "online" if runner.online else "offline",
        "busy": runner.busy,
        "ephemeral": True,
        "runner_group_id": runner.group,
        "labels": [{"id": place, "name": label, "type": "custom"} for place, label in enumerate(runner.labels)],
    }
