"""How an engine is asked: a client for each thread, a time limit for each call, and whether it answers at all.

Of the docker SDK `logs()` is not used, which takes the time limit off its socket, so that an engine that hangs hangs
us; nor is `get_archive()`, which does not let go of an answer that is too long.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .clock import Clock
from .config import Config
from .declining import No, answer, away, declined, silent
from .engine import Unreachable


class Connection:
    """`quick` and `slow` are the seconds that one call may take: one that asks, and one that changes something.

    From any thread; each has a client of its own.
    """

    def __init__(self, config: Config, clock: Clock, *, quick: float, slow: float) -> None:
        self.quick, self.slow = quick, slow
        self.back = 0.0  # when it first answered after it had broken off, seconds since the epoch
        self._config, self._clock = config, clock
        self._thread = threading.local()
        self._silent = False  # the last call, of whatever thread, got no answer
        self._lost = False  # the connection broke off, and no call has succeeded since

    @property
    def reachable(self) -> bool:
        """It answered when it was last asked."""
        return not self._silent

    def ping(self) -> None:
        """Raise Unreachable where it does not answer."""
        self.look(lambda client: client.ping(), self.quick / 3)

    def look(self, call: Callable[[Any], Any], limit: float = 0.0) -> Any:
        """The answer to a question; None for 404. Raises Unreachable for any other no, too."""
        try:
            with self.asking(limit or self.quick) as client:
                return call(client)
        except No as no:
            if no.status == 404:
                return None
            raise Unreachable(no.said) from None

    def change(self, call: Callable[[Any], Any]) -> None:
        """Raises Unreachable, or Declined for an answer that is not yes."""
        try:
            with self.asking(self.slow) as client:
                call(client)
        except No as no:
            raise declined(no, self._config) from None

    @contextmanager
    def asking(self, limit: float) -> Iterator[Any]:
        """A client of this thread. Raises Unreachable, or No for an answer that is not yes."""
        # No stubs exist for docker; requests and urllib3 come with it.
        import docker  # type: ignore[import-untyped, unused-ignore]
        import requests  # type: ignore[import-untyped, unused-ignore]
        import urllib3

        try:
            yield self._client(limit)
        except requests.HTTPError as error:
            status, said = answer(error)
            if away(status, said):
                self._silent = True
                raise Unreachable(said) from None
            self._answered()
            raise No(status, said) from None
        except (
            docker.errors.DockerException,
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            OSError,
        ) as error:
            slow = isinstance(error, requests.Timeout | TimeoutError) or "timed out" in str(error).lower()
            self._silent = True
            self._forget() if slow else self.broke()
            raise Unreachable(silent(error, self._config.docker.host)) from None
        self._answered()

    @contextmanager
    def stream(self, client: Any, what: str, /, **query: str | int) -> Iterator[Iterator[bytes]]:
        """The pieces of an answer, each of which comes within the limit, as do all of them within the slow one."""
        url = f"{client.base_url}/v{client.api_version}/{what}"
        headers = {"Accept-Encoding": "identity"}
        with client.get(url, params=query, stream=True, timeout=client.timeout, headers=headers) as response:
            if response.status_code >= 400:
                _ = response.content  # its message, while the connection is there
                response.raise_for_status()
            yield self._in_time(response.iter_content(1 << 16))

    def broke(self) -> None:
        """It has broken off: the next answer is of an engine that is back."""
        self._lost = True
        self._forget()

    def _client(self, limit: float) -> Any:
        client = getattr(self._thread, "client", None)
        if client is None:
            import docker  # type: ignore[import-untyped, unused-ignore]

            # version="auto": engines from 20.10 (1.41) to 29, which takes nothing below 1.44.
            client = docker.APIClient(base_url=self._config.docker.host, version="auto", timeout=limit)
            self._restrain(client)
            client.trust_env = False  # HTTP_PROXY is not for the engine
            self._thread.client = client
        client.timeout = limit
        return client

    @staticmethod
    def _restrain(client: Any) -> None:
        """The SDK (7.1) keeps a connection to a unix socket for each of the last 25 paths that it was asked for, and
        its `num_pools`, which should say how many, is only read for SSH: 40 slots had 1,000 files open.
        """
        adapter = client.get_adapter(client.base_url)
        if (pools := getattr(adapter, "pools", None)) is not None:
            adapter.pools = type(pools)(2, dispose_func=lambda pool: pool.close())

    def _in_time(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        end = self._clock.passed() + self.slow
        for chunk in chunks:
            if self._clock.passed() > end:
                raise TimeoutError(f"timed out: the answer goes on after {self.slow:.0f} s")
            yield chunk

    def _answered(self) -> None:
        self._silent = False
        if self._lost:
            self._lost, self.back = False, self._clock.now()

    def _forget(self) -> None:
        """The next engine behind this address may be of another version."""
        client, self._thread.client = getattr(self._thread, "client", None), None
        if client is not None:
            client.close()
