"""What befalls a rig, and what came of it: in short for the tests, at length for `python -m benchmarks.pool`."""

import contextlib
import itertools
import random
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

from backburn.pool.engine import Unreachable

from .rig import TOKEN


class Watch:
    """Beside a rig, several times a second. `double`: what two leases of one slot at once looked like.

    GitHub sees a connection break where a container dies, and this is who tells it so. `closely`: `heard` is every
    word that Docker and /proc have of every container.
    """

    def __init__(self, rig, *, every=0.25, closely=False):
        self.rig, self.every, self.closely = rig, every, closely
        self.double, self.heard, self.most_processes = [], {}, 0
        self._sessions = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join(30)

    def _go(self):
        while not self._ended.wait(self.every):
            with contextlib.suppress(Unreachable):
                self._look()

    def _look(self):
        containers = self.rig.engine.containers()
        running = {one.labels["backburn.runner"]: one for one in containers if one.running}
        ready = [one for one in self.rig.registered() if one.session and not one.removed]
        for kind, names in (("run", running), ("are online", [one.name for one in ready])):
            slots = [name.rpartition("-")[0] for name in names]
            self.double += [f"two runners of {slot} {kind}" for slot in set(slots) if slots.count(slot) > 1]
        for name in set(self._sessions) - set(running):
            self.rig.hub.disconnect(self._sessions.pop(name))
        self._sessions |= {one.name: one.session for one in ready if one.name in running}
        for one in containers if self.closely else ():
            self._listen(one)

    def _listen(self, one):
        ask = self.rig.daemon.ask
        words = self.heard.setdefault(one.name, set())
        words.add(ask("inspect", one.id) or "")
        words.add(ask("logs", one.id) or "")
        pids = (ask("top", one.id, "-eo", "pid") or "").split()[1:] if one.running else []
        self.most_processes = max(self.most_processes, len(pids))
        words |= {text for pid in pids for text in shown(pid)}


def shown(pid):
    """What everybody, and what root, sees of a process."""
    for name in ("cmdline", "environ"):
        with contextlib.suppress(OSError):
            yield Path(f"/proc/{pid}/{name}").read_bytes().decode("utf-8", "replace")


class Feed:
    """Jobs on all slots, all the time: there are always as many queued as there are slots."""

    def __init__(self, rig, seconds=(1.0, 5.0), dice=None):
        self.rig, self.seconds, self.dice = rig, seconds, dice or random.Random(0)
        self.jobs = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """No more of them."""
        self._ended.set()
        self._thread.join()

    def _go(self):
        while not self._ended.wait(0.1):
            if self.rig.hub.queued < self.rig.slots:
                self.jobs += self.rig.submit(seconds=f"{self.dice.uniform(*self.seconds):.1f}")


def killed(rig, points, dice, say=lambda said: None):
    """One supervisor after the other dies at its point, with jobs on all slots; then one lives, and all is well."""
    done, missed = 0, []
    with Watch(rig) as watch, Feed(rig, dice=dice) as feed:
        for point in points:
            if "find" in point:  # only looked for where an answer was lost
                rig.hub.faults.plan("lost", "register")
            often = 6 if "save" in point or "settle" in point else 2  # times that a job comes by
            rig.start(point, dice.randint(1, often) if "find" not in point else 1)
            try:
                assert rig.died(within=60) == -signal.SIGKILL, rig.said()[-2000:]
                done += 1
            except subprocess.TimeoutExpired:
                missed.append(point)
                rig.process.kill()
                rig.process.wait()
            say(f"{done} of {len(points)}: killed {point}")
        feed.stop()
        began = time.monotonic()
        rig.start()
        orphans = _patiently(lambda: _left(rig), 60)
        lost = _patiently(lambda: [one for one in feed.jobs if one.progress != "finished"], 60)
        _patiently(lambda: not rig.armed(), 30)
    return {
        "points": done,
        "missed": missed,
        "orphans": len(orphans),
        "jobs": len(feed.jobs),
        "jobs_lost": len(lost),
        "double": len(watch.double),
        "armed": rig.armed(),
        "recovery_s": round(time.monotonic() - began, 1),
    }


def _left(rig):
    """Registrations that no container of ours can use."""
    running = {one.labels["backburn.runner"] for one in rig.engine.containers()}
    with rig.looking() as store:
        leases = store.open_leases() if store else []
        coming = {one.runner for one in leases if one.phase in ("registering", "registered", "creating")}
    return [one.name for one in rig.registered() if one.name not in running | coming]


def _patiently(look, within):
    """What `look` last found, once that is nothing, or when the time is over."""
    end = time.monotonic() + within
    while (found := look()) and time.monotonic() < end:
        time.sleep(0.2)
    return found


def engine_away(rig, way, seconds=0.5):
    """The engine ends while a job runs, and is back: (the job, its line of the ledger, seconds until all is armed)."""
    (job,) = rig.submit(seconds=6 if rig.daemon.live_restore else 30)
    rig.until(lambda: job.progress == "running")
    rig.until(lambda: any(state == "busy" for state, _ in rig.standing().values()))
    getattr(rig.daemon, way)()
    time.sleep(seconds)
    rig.daemon.up()
    began = time.monotonic()
    if rig.daemon.live_restore:
        rig.until(lambda: rig.finished([job]))
    entry = rig.until(lambda: rig.line(job))
    rig.until(lambda: len(rig.online()) == rig.slots, 60)
    took = time.monotonic() - (began if not rig.daemon.live_restore else max(began, _moment(job.ended)))
    return job, entry, took


def _moment(at):
    """Seconds since the epoch, on the clock of durations."""
    return at - time.time() + time.monotonic()


# What a listener may do -> the outcomes that are right. What takes longest comes first, and last what rests its slot.
ENDINGS = (
    ({"behave": "hang"}, {"watchdog"}),
    ({"behave": "deaf"}, {"watchdog"}),
    ({"exit": 0, "marker": 0}, {"idle", "done"}),
    ({"exit": 0}, {"done"}),
    ({"exit": 0, "behave": "abandon"}, {"orphaned"}),
    ({"exit": 1}, {"crashed"}),
    ({"exit": 2}, {"retryable"}),
    ({"exit": 5}, {"conflict"}),
    ({"exit": 100}, {"succeeded"}),
    ({"exit": 101}, {"succeeded"}),
    ({"exit": 102}, {"failed"}),
    ({"exit": 103}, {"canceled"}),
    ({"exit": 104}, {"skipped"}),
    ({"exit": 105}, {"abandoned"}),
    ({"exit": 1, "behave": "oom"}, {"out-of-memory"}),
    ({"seconds": 4, "behave": "fork"}, {"orphaned"}),
    ({"exit": 7}, {"deprecated"}),  # no newer image is there, and so nothing is started for minutes
)


def ended(rig, endings=ENDINGS, within=150.0):
    """A listener of each kind: ([(told, outcome, whether it is right)], seconds until the last hang was ended)."""
    rig.hub.behaviour.lapse = (3.0, 6.0)
    jobs = [(rig.submit(**({"seconds": 1} | told))[0], told, right) for told, right in endings]
    rig.until(lambda: all(rig.line(job) for job, *_ in jobs), within)
    rows = [(told, rig.line(job).outcome, rig.line(job).outcome in right) for job, told, right in jobs]
    freed = [rig.line(job).ended - job.ended for job, _, right in jobs if "watchdog" in right]
    return rows, max(freed, default=0.0)


def fill(folder):
    """Until not one byte more fits, for some seconds: the reserve of the database, too."""
    with (folder / "filler").open("ab", buffering=0) as stream:
        for _ in range(15):
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while stream.write(b"\0" * size) == size:
                        pass
            time.sleep(0.2)


def strangers(rig):
    """What looks like ours and is not, at GitHub and in the engine: a function that says what of it is gone."""
    prefix, pool, image = rig.config.prefix, rig.config.pool.name, rig.config.pool.image
    names = (f"{prefix}2-cpu0-0123abcd", f"{prefix}build-7", f"x{prefix}cpu0-0123abcd", f"{prefix}cpu0-0123abcd0")
    for name in names:
        rig.hub.register(name, ("self-hosted",), 1)
    labels = (
        (),
        (f"backburn.pool={pool}2", "backburn.slot=cpu0"),
        ("backburn.slot=cpu0", "backburn.lease=0123abcd"),
        (f"backburn.pool={pool.upper()}", "backburn.slot=cpu0"),
    )
    made = []
    for number, given in enumerate(labels):
        flags = [word for label in given for word in ("--label", label)]
        name = f"{prefix}cpu0-{number:08x}"
        assert rig.daemon.ask("create", "--name", name, *flags, image), name
        made.append(name)
    volume = ["--label", f"backburn.pool={pool}2", "--label", "backburn.slot=cpu0", f"{prefix}volume"]
    assert rig.daemon.ask("volume", "create", *volume)

    def gone():
        """Once the janitor has been there: it has taken one that has a name of ours and no lease, and nothing else."""
        ours = rig.hub.register(f"{prefix}cpu0-0badf00d", ("self-hosted",), 1)
        rig.until(lambda: ours.removed, 200)
        left = [name for name in names if rig.hub.named(name) is None]
        left += [name for name in made if rig.daemon.ask("inspect", name) is None]
        return left + [f"{prefix}volume"] * (rig.daemon.ask("volume", "inspect", f"{prefix}volume") is None)

    def away():
        for name in made:
            rig.daemon.ask("rm", "--force", name)
        rig.daemon.ask("volume", "rm", f"{prefix}volume")

    gone.away = away
    return gone


def drains(rig, count, dice, say=lambda said: None):
    """Drains at random moments against jobs that are assigned at random ones: (drains, jobs, jobs lost)."""
    jobs, done = [], 0
    names = [slot.name for slot in rig.config.all_slots]
    while done < count:
        rig.until(lambda: all(state in ("online", "busy") for state, _ in rig.standing().values()), 90)
        order = dice.uniform(0.0, 1.0)
        due = sorted(dice.uniform(0.0, 1.5) for _ in names)
        began = time.monotonic()
        for moment, name in sorted([(at, "") for at in due] + [(order, "drain")]):
            time.sleep(max(0.0, moment - (time.monotonic() - began)))
            if name:
                rig.want(names, "drain")
            else:
                jobs += rig.submit(seconds="0.2")
        rig.until(lambda: all(state == "parked" for state, _ in rig.standing().values()), 90)
        done += len(names)
        rig.want(names, "run")
        say(f"{done} of {count} drains")
    _patiently(lambda: not rig.finished(jobs), 90)
    return done, len(jobs), sum(one.progress != "finished" for one in jobs)


def ambushed(rig):
    """Drain all slots, and let GitHub give them jobs in the worst moment: just before it is asked to remove one of
    them, or just after it has said that one is idle. The jobs.
    """
    rig.until(lambda: all(state == "online" for state, _ in rig.standing().values()))
    sound, jobs = rig.hub.handle, []

    def come():
        if not jobs:
            jobs.extend(rig.submit(rig.slots))
            rig.hub.assign()

    def handle(request):
        one = re.search(r"/actions/runners/\d+$", request.url.path)
        if one and request.method == "DELETE":
            come()
        answer = sound(request)
        if one and request.method == "GET":
            come()
        return answer

    rig.hub.handle = handle
    rig.want([slot.name for slot in rig.config.all_slots], "drain")
    rig.until(lambda: all(state == "parked" for state, _ in rig.standing().values()), 90)
    del rig.hub.handle
    return jobs


def secrets_found(rig, watch, supervisor, more=(), leaks=()):
    """[(where, which)]: each place where a secret of this rig's is to be read, and must not be."""
    places = [("log", rig.said())]
    for name, words in watch.heard.items():  # a job may print its own: then only what it printed shows it
        places += [(f"{name}: Docker and /proc", text) for text in words if name not in leaks or text.startswith("[")]
    places += [(f"supervisor {number}", text) for number, text in enumerate(supervisor)]
    places += [(f"answer {number}", text) for number, text in enumerate(more)]
    files = [one for one in rig.state.rglob("*") if one.is_file()]
    places += [(str(one.relative_to(rig.state)), one.read_bytes().decode("latin-1")) for one in files]
    return sorted({(where, needle[:12]) for where, text in places for needle in needles(rig) if needle in text})


def needles(rig):
    """Everything that was handed out, whole and by its unmistakable part."""
    return {TOKEN, *itertools.chain(rig.hub.secrets)}
