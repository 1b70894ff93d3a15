"""The engine's events: a slot is woken when something of it changes. Only to look sooner; nothing is concluded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from .connection import Connection
from .container import label
from .declining import No
from .engine import Unreachable

_PATIENCES = (0.2, 5.0)  # seconds before the stream of events is asked for again: at first, at most


class Events:
    """Those of the containers of one pool. The SDK's stream ends without an error when dockerd does."""

    def __init__(self, connection: Connection, pool: str) -> None:
        self._connection, self._pool = connection, pool
        self._stopped = threading.Event()
        self._stream: Any = None

    def watch(self, wake: Callable[[str], None]) -> None:
        """Call `wake(slot)` when a container of this pool changes, `wake("")` when the stream was lost and when it is
        back, until `close`.
        """
        patience = _PATIENCES[0]
        while not self._stopped.is_set():
            try:
                self._connection.ping()
                for event in self._told():
                    patience = _PATIENCES[0]
                    wake(str(((event.get("Actor") or {}).get("Attributes") or {}).get(label("slot"), "")))
                self._connection.broke()
            except (Unreachable, No):
                pass
            if not self._stopped.is_set():
                wake("")
            self._stopped.wait(patience)
            patience = min(patience * 2, _PATIENCES[1])

    def close(self) -> None:
        """End `watch`."""
        self._stopped.set()
        if self._stream is not None:
            try:
                self._stream.close()
            except (OSError, AttributeError):  # the SDK looks for a socket that the other thread may just have closed
                pass

    def _told(self) -> Iterator[dict[str, Any]]:
        filters = {"type": "container", "label": [f"{label('pool')}={self._pool}"]}
        with self._connection.asking(self._connection.quick) as client:
            self._stream = client.events(filters=filters, decode=True)
            if self._stopped.is_set():
                self._stream.close()
            yield {}  # what happened before we listened is not told: look now
            yield from self._stream
