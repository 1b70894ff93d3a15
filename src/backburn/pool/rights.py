"""By what right GitHub is asked: a token, or an App whose installation tokens last an hour."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable
from typing import Any, Protocol

import jwt

from ..errors import UserError
from .clock import Clock
from .registrar import Later, Refused

EARLY = 300.0  # seconds before its end at which a new installation token is asked for
HOUR = 3600.0
LIFE = 540  # seconds of an App's JWT; GitHub takes 600, and refuses one that a clock 1 s fast made too long
PAST = 60  # seconds that it is dated back, for the same reason

# (method, path, bearer, body) -> the decoded answer of a call that may be repeated. Raises Later, Refused.
Ask = Callable[[str, str, str, object], Any]


class Right(Protocol):
    """What a request is signed with."""

    def bearer(self) -> str:
        """For the next request. Raises Later and Refused where one has to be asked for."""

    def renew(self, bearer: str) -> bool:
        """Whether there is another, where GitHub does not know `bearer` (any more)."""

    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""


class Token:
    """One that somebody made. It is read again when GitHub refuses it: the file may have a new one."""

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read
        self._token = read()

    def bearer(self) -> str:
        """The token."""
        return self._token

    def renew(self, bearer: str) -> bool:
        """Whether the file, credential or variable holds another by now."""
        try:
            self._token = self._read()
        except UserError:  # it is being replaced, or was taken away
            return False
        return self._token != bearer

    def secrets(self) -> tuple[str, ...]:
        """The token."""
        return (self._token,)


class App:
    """Mints on use. `installed` is the path of the installation's question, as /orgs/acme/installation."""

    def __init__(
        self,
        ask: Ask,
        clock: Clock,
        *,
        app: str | int,
        key: str,
        installation: int,
        installed: str,
        wanted: dict[str, Any],
        skew: Callable[[], float],
    ) -> None:
        self._ask, self._clock, self._skew = ask, clock, skew
        self._app, self._key, self._wanted = str(app), _loaded(key), wanted
        self._plain, self._given, self._installed = key, installation, installed
        self._installation = installation
        self._lock = threading.Lock()
        self._token, self._until = "", 0.0

    def bearer(self) -> str:
        """An installation token that lasts five minutes or more, as far as GitHub hands out such."""
        with self._lock:
            if not self._token or self._clock.passed() >= self._until:
                self._mint()
            return self._token

    def renew(self, bearer: str) -> bool:
        """Forget it, if another thread has not yet."""
        with self._lock:
            if self._token == bearer:
                self._token = ""
        return True

    def secrets(self) -> tuple[str, ...]:
        """The installation token and the key."""
        return (self._token, self._plain)

    def _mint(self) -> None:
        if not self._installation:
            found = self._signed("GET", self._installed, None)
            self._installation = _taken(found, "id", int)
        path = f"/app/installations/{self._installation}/access_tokens"
        try:
            answer = self._signed("POST", path, self._wanted)
        except Refused:
            self._installation = self._given  # it may have been installed anew
            raise
        token, expires = _taken(answer, "token", str), _taken(answer, "expires_at", str)
        lasts = self._lasts(expires)
        self._token, self._until = token, self._clock.passed() + max(lasts - EARLY, lasts / 2)

    def _lasts(self, expires: str) -> float:
        """Seconds, by GitHub's clock on both sides; on ours it may be any time."""
        try:
            end = datetime.datetime.fromisoformat(expires).timestamp()
        except ValueError:
            return HOUR
        return min(max(end - (self._clock.now() + self._skew()), 0.0), HOUR)

    def _signed(self, method: str, path: str, body: object) -> Any:
        """Once more where it is refused: the refusal's Date has told how far our clock is off."""
        try:
            return self._ask(method, path, self._jwt(), body)
        except Refused as error:
            if not str(error).startswith("401"):
                raise
            return self._ask(method, path, self._jwt(), body)

    def _jwt(self) -> str:
        issued = int(self._clock.now() + self._skew()) - PAST
        return jwt.encode({"iat": issued, "exp": issued + LIFE, "iss": self._app}, self._key, algorithm="RS256")


def _loaded(key: str) -> Any:
    """An RSA key. Raises UserError, without a word of what was read."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    hint = "GitHub's App settings, Private keys, hands out the .pem file that it takes."
    try:
        loaded = load_pem_private_key(key.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UserError("not a PEM private key without a password", where="[github] private-key", hint=hint) from None
    if not isinstance(loaded, RSAPrivateKey):
        raise UserError("not an RSA key", where="[github] private-key", hint=hint)
    return loaded


def _taken(answer: Any, name: str, kind: type[Any]) -> Any:
    found = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(found, kind) or isinstance(found, bool) or not found:
        raise Later(f"the answer has no {name}", 30.0)
    return found
