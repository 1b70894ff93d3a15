"""HTTP on a loopback address: /metrics and /health, to whoever asks by that address and by no other name."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ..evidence import dumps
from .metrics import Metrics

SCHEMA = 1
AT_ONCE = 8  # connections; a scrape takes milliseconds, and this machine's own users can reach us
SECONDS = 10.0  # that a client may take for its request
TEXT, JSON = "text/plain; version=0.0.4; charset=utf-8", "application/json"
# A page of the web may point a name of its own here (DNS rebinding): its browser then says that name as Host.
_HOSTS = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?", re.IGNORECASE)


class Listener:
    """Serves until `close`; None of its trouble reaches the supervisor."""

    def __init__(self, metrics: Metrics, listen: str) -> None:
        """Raises OSError: the port is taken."""
        host, _, port = listen.rpartition(":")
        self._server = _Server((host, int(port)), _handler(metrics))
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """No more of it; at most half a second."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(1.0)


def listen(metrics: Metrics, where: str, note: Callable[[str, str, str], None]) -> Listener | None:
    """A Listener, or None with the reason in the log: a pool without metrics goes on."""
    if not where:
        return None
    try:
        return Listener(metrics, where)
    except (OSError, OverflowError) as error:
        hint = '`ss -ltnp` shows who has it; [metrics] listen takes another, or "" for none'
        said = getattr(error, "strerror", None) or error
        note("", "warning", f"no metrics and no /health: {where}: {said}. {hint}. The pool goes on without.")
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 4 * AT_ONCE  # one that finds no room in it comes again after a second, says TCP

    def __init__(self, *args: Any) -> None:
        self._free = threading.BoundedSemaphore(AT_ONCE)
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            with contextlib.closing(_Deadline(request)):
                super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away: nobody's business."""


class _Deadline:
    """Ends a connection after SECONDS, however slowly its bytes come."""

    def __init__(self, request: socket.socket) -> None:
        self._timer = threading.Timer(SECONDS, self._end, (request,))
        self._timer.daemon = True
        self._timer.start()

    def _end(self, request: socket.socket) -> None:
        with contextlib.suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._timer.cancel()


def _handler(metrics: Metrics) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version = "backburn", ""
        timeout = SECONDS

        def do_GET(self) -> None:
            if not _HOSTS.fullmatch(self.headers.get("Host", "")):
                self._say(403, TEXT, b"Ask by the address, as 127.0.0.1, or by localhost.\n")
            elif self.path == "/metrics":
                self._say(200, TEXT, metrics.text())
            elif self.path == "/health":
                health = metrics.health()
                document = {"kind": "pool-health", "schema": SCHEMA, "ok": not health.broken, "broken": health.broken}
                self._say(health.status, JSON, dumps(document))
            else:
                self._say(404, TEXT, b"/metrics and /health.\n")

        do_HEAD = do_GET

        def _say(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: a scrape a few seconds is no news."""

    return Handler
