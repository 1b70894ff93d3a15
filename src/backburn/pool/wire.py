"""One exchange with GitHub's API over httpx: bounded in time and size, counted, and nothing concluded from it."""

from __future__ import annotations

import email.utils
import logging
import re
import threading
from collections import Counter
from typing import Any

import httpx
import msgspec

from .. import __version__
from ..received import line
from .clock import Clock

BYTES = 4 << 20  # of one answer; a page of 100 runners with 20 labels each has 250 kB
LIMITS = httpx.Timeout(10.0, read=30.0)  # seconds to connect, to write, for each piece of the answer
LONGEST = 60.0  # seconds for the whole of it: a server that drips a byte now and then ends here
HEADERS = {
    "Accept": "application/vnd.github+json",
    "Accept-Encoding": "identity",  # nothing that grows when it is unpacked
    "User-Agent": f"backburn/{__version__}",
    "X-GitHub-Api-Version": "2022-11-28",
}
logging.getLogger("httpx").setLevel(logging.WARNING)  # it has a line for each request, 50,000 of them in a simulation
# httpx's errors that come before the first byte has left this machine.
_BEFORE = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)


class Unsent(Exception):
    """Nothing reached GitHub."""


class Lost(Exception):
    """It may have been carried out: the answer did not come, or not whole."""


class Answer(msgspec.Struct, frozen=True):
    """As it came; `seen` is its Date in seconds since the epoch by GitHub's clock, or by ours corrected."""

    status: int
    headers: dict[str, str]  # names in lower case
    content: bytes
    seen: float

    def json(self) -> Any:
        """Raises ValueError where it is none; nothing of it is in the error."""
        try:
            return msgspec.json.decode(self.content)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise ValueError("the answer is not JSON") from None

    @property
    def message(self) -> str:
        """What GitHub says, one line; "" where it says nothing."""
        try:
            found = self.json()
        except ValueError:
            return ""
        return line(str(found.get("message") or ""), 200) if isinstance(found, dict) else ""

    def number(self, header: str) -> float | None:
        """A header that is a number of seconds, or a date from now on."""
        text = self.headers.get(header, "")
        if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", text):
            return float(text)
        moment = _moment(text)
        return None if moment is None else max(0.0, moment - self.seen)


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """For the metrics: requests by (method, status; "lost" or "unsent"), and the budgets by GitHub's name for each."""

    requests: dict[tuple[str, str], int]
    remaining: dict[str, int]
    reset: dict[str, float]  # seconds since the epoch, by GitHub's clock


class Wire:
    """`api` has no slash at its end. One for all threads. What it raises names no header and no body."""

    def __init__(
        self, api: str, clock: Clock, *, proxy: str = "", transport: httpx.BaseTransport | None = None
    ) -> None:
        self.skew = 0.0
        self._clock, self._lock = clock, threading.Lock()
        # Redirects are not followed: they would take the token along.
        self._client = httpx.Client(timeout=LIMITS, proxy=proxy or None, transport=transport)
        self._api = api
        self._requests: Counter[tuple[str, str]] = Counter()
        self._remaining: dict[str, int] = {}
        self._reset: dict[str, float] = {}

    def send(self, method: str, path: str, bearer: str, body: object = None) -> Answer:
        """One request, with no repetition. Raises Unsent and Lost."""
        headers = {**HEADERS, "Authorization": f"Bearer {bearer}"}
        content = None
        if body is not None:
            content, headers["Content-Type"] = msgspec.json.encode(body), "application/json"
        try:
            request = httpx.Request(  # not of the client: that one would send cookies back
                method, self._api + path, headers=headers, content=content, extensions={"timeout": LIMITS.as_dict()}
            )
            answer = self._receive(request)
        except _BEFORE as error:
            self._count(method, "unsent")
            raise Unsent(_said(error)) from None
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError, Lost) as error:
            self._count(method, "lost")
            raise Lost(_said(error)) from None
        self._note(method, answer)
        return answer

    def tally(self) -> Tally:
        """What was counted so far."""
        with self._lock:
            return Tally(requests=dict(self._requests), remaining=dict(self._remaining), reset=dict(self._reset))

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _receive(self, request: httpx.Request) -> Answer:
        until = self._clock.passed() + LONGEST
        response = self._client.send(request, stream=True)
        try:
            content = self._content(response, until)
        finally:
            response.close()
        moment = _moment(response.headers.get("date", ""))
        if moment is not None:
            self.skew = moment - self._clock.now()
        seen = self._clock.now() + self.skew if moment is None else moment
        return Answer(response.status_code, dict(response.headers), content, seen)

    def _content(self, response: httpx.Response, until: float) -> bytes:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise Lost("the answer is packed, which was not asked for")
        pieces, size = [], 0
        for piece in [response.content] if response.is_stream_consumed else response.iter_raw(65536):
            pieces.append(piece)
            size += len(piece)
            if size > BYTES:
                raise Lost(f"the answer has over {BYTES} bytes")
            if self._clock.passed() > until:
                raise Lost(f"the answer did not end within {LONGEST:.0f} s")
        return b"".join(pieces)

    def _note(self, method: str, answer: Answer) -> None:
        self._count(method, str(answer.status))
        resource = resource_of(answer)
        remaining, reset = (answer.headers.get(f"x-ratelimit-{one}", "") for one in ("remaining", "reset"))
        if remaining.isdecimal() and reset.isdecimal() and len(remaining + reset) < 30:
            with self._lock:
                self._remaining[resource], self._reset[resource] = int(remaining), float(reset)

    def _count(self, method: str, status: str) -> None:
        with self._lock:
            self._requests[method, status] += 1


def resource_of(answer: Answer) -> str:
    """The budget that it was taken from: never assumed, always read."""
    found = answer.headers.get("x-ratelimit-resource", "core")
    return found if re.fullmatch(r"[a-z_]{1,40}", found) else "core"


def _moment(text: str) -> float | None:
    """Seconds since the epoch of a date as HTTP writes it."""
    if len(text) != 29:  # Sat, 21 Nov 2026 03:23:00 GMT
        return None
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None


def _said(error: Exception) -> str:
    return line(
        f"{type(error).__name__}: {error}" if str(error) and not isinstance(error, Lost) else str(error), 200
    ) or (type(error).__name__)
