"""GitHub's REST API, as much as issues take: labels, issues, comments, pages, and a bounded patience."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any

import msgspec

from ..errors import Unjudged
from ..received import line

ATTEMPTS = 4
LONGEST = 60.0  # seconds that one answer can make us wait; a secondary rate limit asks for that much
PAGES = 20  # of 100: more issues than that under our label are somebody else's doing
_BYTES = 32 << 20  # of one answer; a page of 100 bodies of 64 KiB has 6.5 MiB
_HINT = "It takes `permissions: issues: write` in the job that publishes."


class Disabled(Exception):
    """410: the repository has no issues."""


class _Later(Exception):
    """The answer was: not now."""

    def __init__(self, said: str, seconds: float) -> None:
        super().__init__(said)
        self.seconds = seconds


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """urllib would send the token wherever it is told to, and make a GET of a POST."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


@dataclass(frozen=True, kw_only=True)
class Api:
    """`url` is GITHUB_API_URL. The token goes into a header, and nowhere else."""

    url: str
    repository: str
    token: str = field(repr=False)
    wait: Callable[[float], None] = time.sleep

    def get(self, path: str, **query: str | int) -> Any:
        """One answer. Raises Disabled, and Unjudged where the server does not give one."""
        return self.ask("GET", f"{path}?{urllib.parse.urlencode(query)}" if query else path)

    def pages(self, path: str, **query: str | int) -> Iterator[Any]:
        """Every entry of a list. Raises Unjudged where it does not end: ours may be among the rest."""
        for page in range(1, PAGES + 1):
            entries = self.get(path, **query, per_page=100, page=page)
            if not isinstance(entries, list):
                raise Unjudged(f"GET {path}: the server's answer is no list")
            yield from entries
            if len(entries) < 100:
                return
        raise Unjudged(f"GET {path}: there are more than {PAGES * 100}")

    def default_branch(self) -> str:
        """The branch whose nights the issues tell."""
        answer = self.get("")
        if not isinstance(answer, dict) or not isinstance(answer.get("default_branch"), str):
            raise Unjudged("the server does not say which branch is the default one")
        return str(answer["default_branch"])

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None, *, known: int = 0) -> Any:
        """`path` is below the repository. `known` is a status that is no error here: the answer is None.

        What the server says it did not do (429, a rate limit, 503) is asked again, as is every GET that failed on
        its side; a POST that ended in a 500 may have been done, and is left to the next night.
        """
        request = self._request(method, path, body)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._once(request, known)
            except _Later as error:
                said = str(error)
                if attempt < ATTEMPTS:
                    self.wait(error.seconds or 2.0**attempt)
        raise Unjudged(f"{method} {path}: {said}, {ATTEMPTS} times")

    def _request(self, method: str, path: str, body: dict[str, Any] | None) -> urllib.request.Request:
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
            "User-Agent": "backburn",
            "Content-Type": "application/json",
        }
        url = f"{self.url}/repos/{self.repository}{path}"
        data = None if body is None else msgspec.json.encode(body)
        return urllib.request.Request(url, data=data, headers=headers, method=method)  # noqa: S310

    def _once(self, request: urllib.request.Request, known: int) -> Any:
        try:
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=30) as answer:
                return _decode(answer)
        except urllib.error.HTTPError as error:
            if error.code == known:
                return None
            raise _meant(request, error) from error
        except (OSError, http.client.HTTPException) as error:
            said = line(str(getattr(error, "reason", error)) or type(error).__name__)
            if request.method == "GET" or isinstance(getattr(error, "reason", None), ConnectionRefusedError):
                raise _Later(said, 0.0) from error
            raise Unjudged(f"{_asked(request)}: {said}") from error


def _decode(answer: IO[bytes]) -> Any:
    content = answer.read(_BYTES)
    try:
        return msgspec.json.decode(content) if content else None
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Unjudged(f"the server's answer is not JSON: {line(content[:80].decode(errors='replace'))!r}") from error


def _meant(request: urllib.request.Request, error: urllib.error.HTTPError) -> Exception:
    """What an answer other than 2xx comes to."""
    said = f"{error.code} {line(error.reason or '', 80)}".rstrip()
    limited = error.code == 429 or error.headers.get("Retry-After") or error.headers.get("x-ratelimit-remaining") == "0"
    if error.code == 410:
        return Disabled(said)
    if error.code == 503 or (error.code in (403, 429) and limited) or (error.code >= 500 and request.method == "GET"):
        return _Later(said, _seconds(error.headers.get("Retry-After", "")))
    hint = _HINT if error.code in (401, 403, 404) else ""
    return Unjudged(f"{_asked(request)}: {said}", hint=hint)


def _asked(request: urllib.request.Request) -> str:
    return f"{request.method} {urllib.parse.urlsplit(request.full_url).path}"


def _seconds(text: str) -> float:
    """`Retry-After` in seconds, bounded; a date counts as not given."""
    return min(LONGEST, float(text)) if text.isdecimal() else 0.0
