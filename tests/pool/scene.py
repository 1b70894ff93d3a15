"""A pool to test with: its file, leases, a ledger, and an engine that is a dictionary."""

from backburn.pool import config as configuration
from backburn.pool.engine import Container, Inspection, Unreachable
from backburn.pool.lease import Job, Lease, Phase, State, Wanted
from backburn.pool.store import Standing, Store

GPU = "GPU-6f1a0b2c-0000-4000-8000-000000000001"
SLOT = "gpu6f1a0b2c"
NOW = 1_790_000_000.0
TEXT = """
[github]
url = "https://github.com/acme"
token = "env:TOKEN"
[pool]
name = "lab1"
image = "runner:1"
state = "{state}"
locks = "{state}/locks"
host = "box"
[slots]
gpus = ["{gpu}"]
cpu = 2
"""


def written(folder, more="", text=TEXT):
    """The path of a pool.toml in a folder, with more at its end."""
    path = folder / "pool.toml"
    path.write_text(text.format(state=folder / "state", gpu=GPU) + more)
    return path


def pool(folder, more=""):
    """Its configuration."""
    return configuration.load(written(folder, more))


def job(**more):
    return Job(
        **{"repository": "acme/vision", "workflow": "gpu", "job": "train", "run_id": "77", "ref": "main", **more}
    )


def lease(name="00000001", slot=SLOT, **more):
    about = {"runner": f"lab1-box-{slot}-{name}", "device": GPU, "container": f"box{name}", "phase": Phase.STARTED}
    return Lease(id=name, slot=slot, **{**about, "gated": NOW, "opened": NOW, "started": NOW, **more})


def standing(name=SLOT, state=State.ONLINE, **more):
    about = {"device": GPU if name == SLOT else "", "since": NOW, "reason": "", "failures": 0, "wanted": Wanted.RUN}
    return Standing(name=name, state=state, **{**about, **more})


def record(store, name, start, busy, end, slot="cpu0", outcome="succeeded", **about):
    """One line of the ledger; times are seconds after NOW, busy None: no job."""
    began = 0.0 if busy is None else NOW + busy
    told = job(**about) if busy is not None else None
    one = lease(name, slot, started=NOW + start, busy=began, job=told, container="")
    store.record(one, outcome, NOW + end)
    one.phase = Phase.CLOSED
    store.save(one)


def store(folder):
    return Store(folder / "state")


class Hand:
    """A clock that is set by hand."""

    def __init__(self, at=NOW):
        self.at, self.time = at, 1000.0

    def now(self):
        return self.at + self.time - 1000.0

    def passed(self):
        return self.time

    def wait(self, seconds):
        self.time += seconds


class Shelf:
    """An engine: containers, what is in them and what they printed. `silent`: it does not answer."""

    def __init__(self):
        self.shelf, self.files, self.printed, self.seen = {}, {}, {}, {}
        self.removed, self.swept, self.silent, self.read_paths = [], [], False, []

    def add(self, name, state="running", slot=SLOT, lease="00000001"):
        labels = {"backburn.pool": "lab1", "backburn.slot": slot, "backburn.lease": lease}
        self.shelf[name] = Container(id=name, name=f"lab1-box-{slot}-{lease}", state=state, labels=labels)
        self.seen[name] = Inspection(id=name, state=state, code=1, started=NOW, finished=NOW + 5)

    def _answer(self):
        if self.silent:
            raise Unreachable("connection refused")

    def containers(self):
        self._answer()
        return list(self.shelf.values())

    def inspect(self, container):
        self._answer()
        return self.seen.get(container)

    def read(self, container, path, limit=65536):
        self._answer()
        self.read_paths.append(path)
        content = self.files.get(path)
        return content if content is not None and len(content) <= limit else None

    def logs(self, container, limit=1 << 20):
        self._answer()
        return self.printed.get(container, b"")[-limit:]

    def remove(self, container):
        self._answer()
        self.removed.append(container)
        self.shelf.pop(container, None)

    def sweep(self, slot):
        self._answer()
        self.swept.append(slot.name)
        return [f"volume {slot.name}-work"]
