"""Where a stuck queue is said: a webhook, and an issue at GitHub. Each raises Undelivered, and is tried again later."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx
import msgspec

from ..errors import UserError
from ..received import line
from .questions import Purpose
from .registrar import Later, Refused, Uncertain
from .repositories import Asking, Issue, Repositories
from .secrets import redact

PATIENCE = httpx.Timeout(10.0)  # seconds to connect, to write, and for each piece of the answer
LONGEST = 1900  # characters: Discord takes 2,000, the others more
PAGES = 10  # of 30 issues, the newest first: in which ours is looked for
TRUSTED = ("OWNER", "MEMBER", "COLLABORATOR")  # who may have written an issue that we take to be ours


class Undelivered(Exception):
    """It has not been said. The text holds no secret."""


def purpose(repository: str) -> Purpose:
    """Of the questions that an issue takes: a token for this repository alone."""
    return Purpose(permissions={"issues": "write"}, key="[queue] issue", repositories=(repository.rpartition("/")[2],))


class Webhook:
    """POSTs {"text": …}, which Slack, Mattermost and the /slack end of a Discord webhook take. Its URL is a secret.

    Raises UserError for another than https: who can read it on its way can write there. It may be a private address:
    whoever writes the pool's file may reach this machine's network anyway. Proxies are those of the environment.
    """

    def __init__(self, url: str, *, transport: httpx.BaseTransport | None = None) -> None:
        try:
            parts, self._url = urlsplit(url), httpx.URL(url)
        except (ValueError, httpx.InvalidURL):
            parts = urlsplit("")
        if parts.scheme != "https" or not parts.hostname or any(one.isspace() for one in url):
            hint = "It begins with https:// and is all that stands there, as the service shows it."
            raise UserError("not the URL of a webhook", where="[queue] webhook", hint=hint)
        # Whoever knows its path and query may post; a log without them still says which host.
        self.secrets = (url, *(one for one in (parts.path, parts.query, parts.password or "") if len(one) > 1))
        self.secrets += tuple(one for one in parts.path.split("/") if len(one) >= 16)
        self._transport = transport

    def __repr__(self) -> str:  # noqa: D105
        return "Webhook()"

    def say(self, text: str) -> None:
        """At least once: an answer that is lost is said again. A redirect is not followed. Raises Undelivered."""
        body = msgspec.json.encode({"text": text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"})
        headers = {"content-type": "application/json", "accept-encoding": "identity"}
        try:
            with (
                httpx.Client(timeout=PATIENCE, transport=self._transport) as client,
                client.stream("POST", self._url, content=body, headers=headers) as answer,
            ):
                status = answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            said = redact(line(f"{type(error).__name__}: {error}", 200), self.secrets)
            raise Undelivered(f"the webhook was not reached: {said}") from None
        if not 200 <= status < 300:
            raise Undelivered(f"the webhook answered {status}: is [queue] webhook still its URL?")


class Desk:
    """The issue, found again by a marker at the beginning of its body."""

    def __init__(self, questions: Asking, repository: str, marker: str) -> None:
        self._repositories, self.name = Repositories(questions, pages=PAGES), repository
        self._marker = f"<!-- {marker} -->"

    def find(self) -> int:
        """The number of our open issue; 0: there is none. Raises Undelivered."""
        with _Delivering():
            return next((one.number for one in self._repositories.issues(self.name) if self._ours(one)), 0)

    def open(self, title: str, body: str) -> int:
        """Its number. Raises Undelivered, also where it may be there: look for it before the next."""
        with _Delivering():
            return self._repositories.open(self.name, title, self._marked(body))

    def change(self, number: int, body: str, **more: str) -> bool:
        """False: somebody has deleted it. Raises Undelivered."""
        with _Delivering():
            return self._repositories.change(self.name, number, body=self._marked(body), **more)

    def _marked(self, body: str) -> str:
        return f"{self._marker}\n{body}"

    def _ours(self, issue: Issue) -> bool:
        """Where the repository is public, a stranger may write the marker, too."""
        trusted = issue.author_association in TRUSTED or (issue.user is not None and issue.user.type == "Bot")
        return trusted and (issue.body or "").startswith(self._marker)


class _Delivering:
    """What GitHub's silence and refusal come to."""

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Refused):
            raise Undelivered(f"the issue: {error}. {error.hint}") from None
        if isinstance(error, (Later, Uncertain)):
            raise Undelivered(f"the issue: {error}") from None
