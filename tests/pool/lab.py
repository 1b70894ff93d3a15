"""A lab to test an engine in: a private dockerd, a listener that is a script, and whoever hands it a job."""

import contextlib
import http.server
import itertools
import threading
import time
import urllib.parse

import pytest

from backburn.pool.config import Bytes, Config, Docker, Limits, Pool, Slots
from backburn.pool.docker import DockerEngine
from backburn.pool.engine import MACHINE, MARKER, Unreachable
from backburn.pool.lease import Lease, Slot

from .daemon import missing

needs_an_engine = pytest.mark.skipif(bool(missing()), reason=f"NO DOCKER ENGINE: {missing()}")

GPU = "GPU-5a1cf9a2-0000-4000-8000-000000000001"
CPU0 = Slot(name="cpu0")
_numbers = itertools.count(1)


class GitHub:
    """Hands the job of a configuration to whoever connects with it, and no more than that."""

    def __init__(self):
        self.jobs, self.connected, self.done = {}, [], []

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_POST(handler):  # noqa: N805
                body = handler.rfile.read(int(handler.headers["Content-Length"])).decode()
                url = urllib.parse.urlsplit(handler.path)
                if url.path.endswith("connect"):
                    self.connected.append(body)
                    known = self.jobs.get(body, "")
                    handler.say(409 if known == "taken" else 200, body.encode())
                else:
                    self.done += urllib.parse.parse_qs(url.query)["session"]
                    handler.say(200, b"")

            def do_GET(handler):  # noqa: N805
                session = urllib.parse.urlsplit(handler.path).query.removeprefix("session=")
                job = self.jobs.get(session, "")
                handler.say(410 if job == "removed" else 200 if job else 204, job.encode())

            def say(handler, status, body):  # noqa: N805
                time.sleep(0.05 if status == 204 else 0)
                handler.send_response(status)
                handler.send_header("Content-Length", str(len(body)))
                handler.end_headers()
                handler.wfile.write(body)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.port = self.server.server_address[1]


@pytest.fixture(scope="module")
def github():
    stand_in = GitHub()
    yield stand_in
    stand_in.server.shutdown()


def settings(daemon, github, *, host="", **tables):
    defaults = {
        "pool": Pool(name="lab", image=daemon.listener(github.port)),
        "slots": Slots(cpu=2),
        "limits": Limits(memory=Bytes(64 << 20), pids=64, shm=Bytes(1 << 20), log=Bytes(128 << 10), cpus=1.0),
        "docker": Docker(host=host or daemon.host, network="host"),
    }
    return Config(**(defaults | tables))


@pytest.fixture
def engine(engine_daemon, github):
    engine = DockerEngine(settings(engine_daemon, github))
    yield engine
    for container in engine.containers():
        engine.remove(container.id)


def lease(slot=CPU0, device=None):
    number = next(_numbers)
    device = slot.device if device is None else device
    return Lease(
        id=f"l{number}", slot=slot.name, runner=f"lab-host-{slot.name}-{number}", runner_id=number, device=device
    )


def created(engine, slot=CPU0, configuration=""):
    container = engine.create(lease(slot), slot)
    engine.deliver(container, configuration or f"configuration-{container[:12]}")
    return container


def begun(engine, github, job, slot=CPU0):
    """A container whose listener gets this job."""
    container = created(engine, slot)
    github.jobs[f"configuration-{container[:12]}"] = job
    engine.start(container)
    return container


def until(look, patience=20.0):
    """What `look` says, once it is true."""
    end = time.monotonic() + patience
    while not (seen := look()):
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.05)
    return seen


def ended(engine, container, patience=20.0):
    return until(lambda: (said := engine.inspect(container)).ended and said, patience)


def said_of(daemon, container, template):
    return daemon.ask("inspect", "--format", "{{json %s}}" % template, container)


class Watcher:
    """`watch` in a thread, and what it said when."""

    def __init__(self, engine):
        self.said = []
        self._engine = engine
        self._thread = threading.Thread(target=engine.watch, args=(self.said.append,), daemon=True)

    def __enter__(self):
        self._thread.start()
        until(lambda: self.said)
        return self

    def __exit__(self, *_):
        self._engine.close()
        self._thread.join(10)
        assert not self._thread.is_alive(), "it ends when it is told to"


def calls(engine, container):
    return {
        "ping": engine.ping,
        "containers": engine.containers,
        "create": lambda: engine.create(lease(), CPU0),
        "deliver": lambda: engine.deliver(container, "x"),
        "start": lambda: engine.start(container),
        "inspect": lambda: engine.inspect(container),
        "read": lambda: engine.read(container, MARKER),
        "tell": lambda: engine.tell(container, MACHINE, "x"),
        "logs": lambda: engine.logs(container),
        "remove": lambda: engine.remove(container),
        "sweep": lambda: engine.sweep(CPU0),
    }


def unreachable(engine, container):
    """The names of the calls that do not say so."""
    wrong = []
    for name, call in calls(engine, container).items():
        with contextlib.suppress(Unreachable):
            call()
            wrong.append(name)
    return wrong
