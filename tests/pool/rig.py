"""The real supervisor, as a process of its own, between a real engine and the stand-in for GitHub.

Also for `python -m benchmarks.pool`.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from backburn.errors import UserError
from backburn.pool import config as configuration
from backburn.pool.clock import SystemClock
from backburn.pool.docker import DockerEngine
from backburn.pool.lease import Wanted
from backburn.pool.simulation.hub import Hub
from backburn.pool.store import Store

from .server import Server

TOKEN = "ghp_canary0canary0canary0canary0canary"  # the hub's own
CONFIGURATION = """
[github]
url = "https://github.com/acme"
api-url = "{api}"
token = "file:{token}"

[pool]
name = "{name}"
host = "{host}"
image = "{image}"
state = "{state}"
locks = "{locks}"
labels = ["self-hosted", "linux", "x64", "gpu"]
{pool}

[slots]
cpu = {slots}
injection = "none"

[limits]
shm = "64m"
disk-min-free = "64m"
disk-min-inodes = 0.1
{limits}

[docker]
host = "{engine}"
data = "{data}"
network = "host"
{docker}

[metrics]
listen = "{metrics}"
{more}"""


DEFECT = os.environ.get("BACKBURN_DEFECT", "")  # of every supervisor, for a test that is to fail
_HERE = {
    "cwd": Path(__file__).parents[2],
    "env": os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
}


class Rig:
    """`start` and `stop` as often as you like: the hub, the engine and the state folder stay."""

    def __init__(
        self, daemon, folder, *, slots=1, latency=0.0, metrics="", pool="", limits="", docker="", state=None, more=""
    ):
        self.daemon, self.folder, self.slots = daemon, Path(folder), slots
        self.hub = Hub(SystemClock(), random.Random(0), limit=0, points=0)
        self.server = Server(self.hub, latency=latency)
        self.state = Path(state or self.folder / "state")
        self.log = self.folder / "supervisor.log"
        self.file = self.folder / "pool.toml"
        self.process = None
        self._given = {"pool": pool, "limits": limits, "docker": docker, "metrics": metrics, "more": more}

    def __enter__(self):
        self.server.__enter__()
        port = int(self.server.url.rpartition(":")[2])
        self.file.write_text(
            CONFIGURATION.format(
                api=self.server.api,
                image=self.daemon.listener(port),
                name=f"rig{port}",  # several may share an engine
                host="box",
                state=self.state,
                locks=self.folder / "locks",
                token=self._token(),
                slots=self.slots,
                engine=self.daemon.host,
                data=self.daemon.folder,
                **self._given,
            )
        )
        self.config = configuration.load(self.file)
        self.engine = DockerEngine(self.config)
        return self

    def _token(self):
        """In a file: what stands in an environment, /proc shows."""
        path = self.folder / "token"
        path.touch(mode=0o600)
        path.write_text(TOKEN)
        return path

    def __exit__(self, *_):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for one in self.engine.containers() if self.daemon.pid else ():
            self.engine.remove(one.id)
        self.engine.close()
        self.server.__exit__()

    def start(self, *words, defect=DEFECT):
        """The supervisor; with `words` one that dies: (point, nth); or one that has a defect (deadly.DEFECTS)."""
        program = ["-m", "backburn", "pool", "run", "--config"]
        if words or defect:
            program = ["-m", "tests.pool.deadly", *map(str, words or (defect, 0))]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, *program, str(self.file)], stdout=log, stderr=log, **_HERE)
        return self.process

    def command(self, *words, within=60.0):
        """`backburn pool …` with this pool's file: what subprocess.run returns, as text."""
        command = [sys.executable, "-m", "backburn", "pool", *words, "--config", str(self.file)]
        return subprocess.run(command, capture_output=True, text=True, timeout=within, check=False, **_HERE)

    def stop(self, number=signal.SIGTERM, within=10.0):
        """Its exit code, and the seconds that its end took."""
        begun = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(within), time.monotonic() - begun

    def died(self, within=60.0):
        """It ended by itself: its exit code."""
        return self.process.wait(within)

    def until(self, happens, within=60.0):
        """Wait for something, and return it."""
        end = time.monotonic() + within
        while not (found := happens()):
            if time.monotonic() > end:
                raise AssertionError(f"not within {within:.0f} s; {self.standing()}\n{self.said()[-3000:]}")
            time.sleep(0.05)
        return found

    def said(self):
        """What the supervisor wrote so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def standing(self):
        """Slot -> (state, reason), by the database."""
        with self.looking() as store:
            return {one.name: (str(one.state), one.reason) for one in store.slots()} if store else {}

    def ledger(self):
        """All lines."""
        with self.looking() as store:
            return store.ledger() if store else []

    def line(self, job):
        """Of the ledger, for the lease that this job was given to last."""
        return next((one for one in self.ledger() if job.runner and one.lease == job.runner.rpartition("-")[2]), None)

    def want(self, slots, wanted):
        """As `backburn pool drain` and `resume`."""
        store = Store.beside(self.state, change=True)
        store.want(slots, Wanted(wanted))
        store.close()

    def looking(self):
        """Into the database, beside whoever has it."""
        return _Looking(self.state)

    def online(self):
        """Runners that can take a job."""
        return [one for one in list(self.hub.live.values()) if one.session and not one.busy]

    def registered(self):
        """All of this pool that GitHub has."""
        return [one for one in list(self.hub.live.values()) if one.name.startswith(self.config.prefix)]

    def armed(self):
        """One running container and one registration with a session for each slot, and nothing else."""
        running = [one.labels["backburn.runner"] for one in self.engine.containers() if one.running]
        ours = self.registered()
        slots = {name.rpartition("-")[0] for name in running}
        whole = len(slots) == len(running) == self.slots
        return whole and {one.name for one in ours} == set(running) and all(one.session for one in ours)

    def all_online(self):
        """Whether every slot has one."""
        return len(self.online()) == self.slots

    def submit(self, count=1, **instructions):
        """Jobs."""
        told = {"seconds": "1", "exit": "100", "marker": "1"} | {key: str(value) for key, value in instructions.items()}
        return [self.hub.submit(**told) for _ in range(count)]

    def finished(self, jobs):
        """Whether GitHub has seen all of them end."""
        return all(one.progress == "finished" for one in jobs)


class _Looking:
    def __init__(self, state):
        self.state, self.store = state, None

    def __enter__(self):
        if (self.state / "pool.sqlite3").exists():
            with contextlib.suppress(UserError):  # it is being made just now
                self.store = Store.beside(self.state)
        return self.store

    def __exit__(self, *_):
        if self.store is not None:
            self.store.close()
