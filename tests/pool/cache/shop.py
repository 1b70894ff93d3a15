"""A shelf to test: with chores done here by root, or in real containers; and jobs that write to it."""

import os
import subprocess
from pathlib import Path

import msgspec
from msgspec.structs import replace

from backburn.pool.cache.fitting import Fitter
from backburn.pool.cache.keeper import Keeper
from backburn.pool.cache.porter import Porter
from backburn.pool.clock import SystemClock
from backburn.pool.config import Bytes, Cache, Config, Docker, Pool
from backburn.pool.engine import Container, Declined
from backburn.pool.exits import Outcome
from backburn.pool.lease import Lease, Phase
from backburn.pool.store import Store

SCRIPT = Path(__file__).parents[3] / "src/backburn/pool/cache/chores.sh"
JOBS = 1001  # their user


class Here(Porter):
    """Does the chores on this machine, as root: the same script, without the container."""

    path = os.environ["PATH"]

    def inside(self, path):
        return str(path)

    def do(self, chore, *words, limit=60.0):
        done = subprocess.run(
            ["sh", SCRIPT, chore, *map(str, words)], capture_output=True, text=True, env={"PATH": self.path}
        )
        if done.returncode:
            raise Declined(f"exit code {done.returncode}: {done.stderr}")
        return done.stdout

    def clear(self):
        pass


class Running:
    """An engine that knows which leases have a container."""

    def __init__(self):
        self.leases = set()

    def containers(self):
        return [
            Container(id=one, name=one, state="running", labels={"backburn.lease": one}) for one in sorted(self.leases)
        ]


class Told:
    """What GitHub would say: of these leases."""

    def __init__(self):
        self.leases, self.asked = set(), []

    def protected(self, lease):
        self.asked.append(lease.id)
        return lease.id in self.leases


class Shop:
    """`begin` and `end` a lease; what is in between writes to its upper folders. `names`: of caches."""

    def __init__(self, folder, *, daemon=None, image="none", names=("pip", "hf"), most=1 << 40, clock=None, **given):
        self.config = Config(
            pool=Pool(name="lab", image=image, state=str(folder / "state")),
            docker=Docker(host=daemon.host if daemon else "unix:///nowhere", network="host"),
            cache=Cache(root=str(folder / "cache"), names=names, most=Bytes(most), **given),
        )
        self.notes = []
        self.clock = clock or SystemClock()
        self.fitter = Fitter(self.config, self.clock, lambda *said: self.notes.append(said))
        if daemon is None:
            self.fitter.porter = Here(self.config, self.fitter.shelf.folder)
            self.fitter._good = True
        self.shelf, self.porter = self.fitter.shelf, self.fitter.porter
        self.store = Store(Path(self.config.pool.state), durable=False)
        self.told, self.engine = Told(), Running()
        self.restart()
        self.shelf.prepare()
        self._count = len(os.listdir(self.shelf.folder / "leases"))

    def restart(self):
        """Another supervisor, which knows nothing but what lies there."""
        self.keeper = Keeper(self.fitter, self.told, self.store, self.engine)

    def begin(self):
        """A lease that runs, with its caches."""
        self._count += 1
        lease = Lease(id=f"{self._count:08x}", slot="cpu0", runner=f"lab-{self._count}", phase=Phase.STARTED)
        self.store.save(lease)
        self.engine.leases.add(lease.id)
        return lease, self.fitter.fit(lease, {"of": "a test"})

    def write(self, lease, name, **files):
        """As its job would, in its own upper folder; `__` in a name is a slash."""
        for one, content in files.items():
            path = self.shelf.upper(lease.id, name) / one.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            for each in (path, *path.relative_to(self.shelf.upper(lease.id, name)).parents):
                if str(each) != ".":
                    os.chown(self.shelf.upper(lease.id, name) / each, JOBS, JOBS)

    def end(self, lease, *, protected=True, how=Outcome.SUCCEEDED):
        """It is over, and its container gone."""
        if protected:
            self.told.leases.add(lease.id)
        self.keeper.ended(lease, how)
        self.engine.leases.discard(lease.id)
        lease.phase = Phase.LEAVING
        self.store.save(lease)

    def job(self, *, protected=True, **files):
        """One from its beginning to its end, which writes to the first cache."""
        lease, _ = self.begin()
        self.write(lease, self.shelf.names[0], **files)
        self.end(lease, protected=protected)
        return lease

    def run(self, lease_and_fitted, command, *, user=f"{JOBS}:{JOBS}"):
        """In a real container with its caches: what it printed."""
        _, fitted = lease_and_fitted
        jobs = Porter(replace(self.config, pool=replace(self.config.pool, name="jobs")), self.shelf.folder)
        return jobs.run(user, ["/bin/sh", "-euc", command], list(fitted.mounts), limit=30.0)

    def seen(self, name=""):
        """{path: content} of one cache, as a lease that begins now would read it."""
        name = name or self.shelf.names[0]
        return self.read(name, self.shelf.current(name))

    def read(self, name, layers):
        """Of these layers, the newest first."""
        found = {}
        for layer in reversed(layers):
            top = self.shelf.folder / "layers" / name / layer
            for path in sorted(top.rglob("*")):
                if path.is_symlink():
                    found[str(path.relative_to(top))] = f"-> {os.readlink(path)}"
                elif not path.is_dir():
                    with open(
                        path, errors="replace", opener=lambda one, flags: os.open(one, flags | os.O_NOATIME)
                    ) as stream:
                        found[str(path.relative_to(top))] = stream.read()
        return found

    def reads(self, lease):
        """The layers of a lease, by cache."""
        return msgspec.json.decode((self.shelf.folder / "leases" / lease.id / "layers").read_bytes())

    def tidy(self):
        """Nothing is left of what is over."""
        folder = self.shelf.folder
        return [name for name in ("building", "trash", "leases") if os.listdir(folder / name)] == []
