"""The hub behind HTTP on 127.0.0.1, for supervisors and containers of their own: its API, and the listener's side.

A listener that is a script (busybox: `wget -O -`, `--post-file`, `--post-data`) speaks three calls in plain text,
without a token. Every answer is short, ends with a newline, and is one of these:

POST /_listener/connect                 body: the configuration, as the file holds it (spaces around it do not matter)
    200 session-12-1                    the session
    409 conflict                        another session of this runner is open: a real listener exits 5
    410 gone                            its registration was removed: a real listener exits 1
    400 bad configuration
GET /_listener/next?session=S           waits up to 50 seconds (`&wait=2` for less)
    200 id=7                            a job, which is taken by this: one `key=value` a line. `id` is always there,
        seconds=1                       the others as submitted: how long it takes,
        exit=100                        how the listener exits after `done`,
        marker=1                        whether the job-started hook writes its file (0: no),
        behave=hang                     or whatever the listener knows
    204 (nothing)                       none yet: ask again
    410 gone                            the registration was removed, idle: a real listener exits 0
POST /_listener/done?session=S          `&result=failed`; else succeeded
    200 ok                              the job has ended, and the registration with it
    410 gone                            there is no such job (any more)
POST /_listener/lost?session=S          what the rig says for a container that was killed: the hub sees no connection
    200 ok
"""

from __future__ import annotations

import http.server
import threading
import time
from urllib.parse import parse_qs, urlsplit

import httpx

from backburn.pool.simulation.service import Conflict, Gone

LONGEST = 50.0  # seconds that a listener waits for a job
STEP = 0.02


class Server:
    """Around a hub that has a real clock. `latency`: seconds before each answer of the API."""

    def __init__(self, hub, *, latency: float = 0.0, alive: float = 0.0) -> None:
        """`alive`: seconds without a call of a session after which its listener is taken to be dead; 0.0: never."""
        self.hub, self.latency, self.alive = hub, latency, alive
        self.heard: dict[str, float] = {}  # session -> when it was last heard
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._closed = threading.Event()
        self._threads = [threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)]
        self._threads.append(threading.Thread(target=self._live, daemon=True))

    @property
    def url(self) -> str:
        """Of its root."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def api(self) -> str:
        """For [github] api-url."""
        return self.url + "/api/v3"

    def __enter__(self) -> Server:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()

    def _live(self) -> None:
        """Time passes, and jobs are handed out."""
        while not self._closed.wait(STEP):
            self.hub.assign()
            if self.alive:
                for session, moment in list(self.heard.items()):
                    if time.monotonic() - moment > self.alive:
                        self.heard.pop(session, None)
                        self.hub.disconnect(session)

    # The listener's side: (status, text)

    def connect(self, query: dict[str, str], body: bytes) -> tuple[int, str]:
        try:
            session = self.hub.connect(body.decode("ascii").strip())
        except Conflict:
            return 409, "conflict"
        except Gone:
            return 410, "gone"
        except ValueError:
            return 400, "bad configuration"
        self.heard[session] = time.monotonic()
        return 200, session

    def next(self, query: dict[str, str], body: bytes) -> tuple[int, str]:
        session = query.get("session", "")
        until = time.monotonic() + min(float(query.get("wait", LONGEST)), LONGEST)
        while True:
            self.heard[session] = time.monotonic()
            try:
                work = self.hub.poll(session)
            except Gone:
                self.heard.pop(session, None)
                return 410, "gone"
            if work is not None:
                # While it works it says nothing: its container is what tells whether it lives.
                self.heard.pop(session, None)
                return 200, "\n".join(
                    [f"id={work.id}", *(f"{key}={value}" for key, value in work.instructions.items())]
                )
            if time.monotonic() >= until or self._closed.is_set():
                return 204, ""
            time.sleep(STEP)

    def done(self, query: dict[str, str], body: bytes) -> tuple[int, str]:
        try:
            self.hub.finish(query.get("session", ""), query.get("result", "succeeded"))
        except Gone:
            return 410, "gone"
        return 200, "ok"

    def lost(self, query: dict[str, str], body: bytes) -> tuple[int, str]:
        self.hub.disconnect(query.get("session", ""))
        return 200, "ok"


def _handler(server: Server) -> type[http.server.BaseHTTPRequestHandler]:
    listener = {
        ("POST", "/_listener/connect"): server.connect,
        ("GET", "/_listener/next"): server.next,
        ("POST", "/_listener/done"): server.done,
        ("POST", "/_listener/lost"): server.lost,
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            parts = urlsplit(self.path)
            if known := listener.get((self.command, parts.path)):
                status, text = known({key: values[-1] for key, values in parse_qs(parts.query).items()}, body)
                self._answer(status, {"content-type": "text/plain"}, (text + "\n").encode() if status != 204 else b"")
            else:
                self._api(body)

        def _api(self, body: bytes) -> None:
            if server.latency:
                time.sleep(server.latency)
            request = httpx.Request(self.command, server.url + self.path, headers=dict(self.headers), content=body)
            try:
                response = server.hub.handle(request)
            except httpx.TransportError:  # a lost answer: the connection ends without one
                self.close_connection = True
                return
            self._answer(response.status_code, dict(response.headers), response.content)

        def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                    self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(content)))
            try:
                self.end_headers()
                self.wfile.write(content)
            except OSError:  # whoever asked is gone
                self.close_connection = True

        do_GET = do_POST = do_PATCH = do_DELETE = _serve

        def log_message(self, *_: object) -> None:
            """Nothing: a path may name a session."""

    return Handler


def serve(hub, **given) -> Server:
    """`with serve(hub, latency=0.2) as server:`; [github] url stays the hub's, api-url is `server.api`."""
    return Server(hub, **given)
