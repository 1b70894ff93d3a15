"""The process itself, on a real engine: it arms, it is killed, the engine goes away, and no job is lost.

What each of these would look like without what makes it hold, `deadly.DEFECTS` shows: `BACKBURN_DEFECT="no watchdog"`.
"""

import itertools
import json
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from types import SimpleNamespace

import pytest

from backburn.pool.care import Care
from backburn.pool.lease import Slot
from backburn.pool.place import Place
from backburn.pool.store import FILE, Store
from backburn.pool.supervisor import AGAIN, Supervisor

from . import misfortunes
from .rig import DEFECT, Rig

POINTS = (
    "after registrar.register",  # registered, and nobody knows its number
    "after engine.create",
    "before engine.start",
    "after engine.start",  # it runs, and that is not written down
    "after store.record",
    "after registrar.remove",
)


@pytest.fixture(scope="module")
def rig(engine_daemon, tmp_path_factory):
    """One for all that leave it armed."""
    with Rig(engine_daemon, tmp_path_factory.mktemp("rig"), slots=2, metrics=f"127.0.0.1:{_port()}") as rig:
        yield rig


@pytest.fixture
def armed(rig):
    if rig.process is None or rig.process.poll() is not None:
        rig.start()
    rig.until(rig.armed)
    return rig


@pytest.fixture
def alone(engine_daemon, tmp_path):
    """A rig with something of its own: `with alone(slots=3) as rig`."""
    return lambda **given: Rig(engine_daemon, tmp_path, **given)


def _port():
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_from_start_to_end(armed):
    (job,) = armed.submit(seconds=1, repository="acme/vision")
    entry = armed.until(lambda: armed.line(job))
    assert (entry.outcome, entry.repository) == ("succeeded", "acme/vision") and job.progress == "finished"
    armed.until(armed.armed)


def test_killed_at_any_point_it_loses_no_job_and_leaves_no_registration(rig):
    if rig.process is not None and rig.process.poll() is None:
        rig.stop()
    done = misfortunes.killed(rig, POINTS, random.Random(1))
    assert done["points"] == len(POINTS) and done["jobs"] >= 4, done
    assert (done["orphans"], done["jobs_lost"], done["double"], done["armed"]) == (0, 0, 0, True), done


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_ends_within_seconds_and_ends_nothing_else(armed, number):
    (job,) = armed.submit(seconds=4)
    armed.until(lambda: job.progress == "running")
    before = {one.id for one in armed.engine.containers() if one.running}
    code, seconds = armed.stop(number)
    assert code == 0 and seconds < 5
    assert {one.id for one in armed.engine.containers() if one.running} == before and len(before) == 2
    armed.until(lambda: job.progress == "finished")  # nobody supervises
    idle = {one.name for one in armed.online()}
    armed.start()
    assert armed.until(lambda: armed.line(job)).outcome == "succeeded"
    armed.until(armed.armed)
    assert idle < {one.name for one in armed.online()}, "the idle one was adopted, and is still the same"


def test_a_file_that_is_wrong_changes_nothing_and_a_good_one_takes_its_place(armed):
    good = armed.file.read_text()
    (job,) = armed.submit(seconds=6)
    armed.until(lambda: job.progress == "running")
    armed.file.write_text(good.replace("[slots]", "[slots]\ngpu = 8"))
    armed.process.send_signal(signal.SIGHUP)
    armed.until(lambda: "the configuration stays as it was" in armed.said())
    assert armed.process.poll() is None and "[slots] gpu: unknown key" in armed.said()
    armed.file.write_text(good.replace("cpu = 2", "cpu = 3"))
    armed.slots = 3
    number, boxes = armed.process.pid, {one.id for one in armed.engine.containers() if one.running}
    armed.process.send_signal(signal.SIGHUP)
    armed.until(lambda: len({one.id for one in armed.engine.containers() if one.running}) == 3)
    assert armed.process.poll() is None and armed.process.pid == number
    assert boxes <= {one.id for one in armed.engine.containers() if one.running} or job.progress == "finished"
    armed.until(armed.armed)
    armed.file.write_text(good)
    armed.slots = 2
    armed.process.send_signal(signal.SIGHUP)
    armed.until(lambda: len(armed.standing()) == 2)  # the third drains, and is forgotten
    assert armed.until(lambda: armed.line(job)).outcome == "succeeded"
    armed.until(armed.armed)


class TestDrain:
    def test_with_a_job_and_without(self, alone):
        with alone(slots=2) as rig:
            rig.start(defect=DEFECT or "hasty")
            rig.until(rig.armed)
            self._drained(rig)

    def _drained(self, armed):
        (job,) = armed.submit(seconds=5)
        armed.until(lambda: job.progress == "running")
        soon = armed.command("drain", "all", "--timeout", "1")
        assert soon.returncode == 3 and "still drain" not in soon.stdout, soon
        assert armed.command("drain", "all", "--timeout", "60").returncode == 0
        assert {state for state, _ in armed.standing().values()} == {"parked"}
        assert job.progress == "finished" and armed.line(job).outcome == "succeeded"
        assert not armed.registered() and not armed.engine.containers()
        assert armed.command("resume", "all").returncode == 0
        armed.until(armed.armed)

    @pytest.mark.parametrize("defect", ["hasty", "looks, then kills"])
    def test_against_jobs_that_come_in_the_worst_moment(self, alone, defect):
        with alone(slots=3) as rig, misfortunes.Watch(rig) as watch:
            rig.hub.behaviour.lapse = (0.5, 1.0)
            rig.start(defect=defect)
            rig.until(rig.armed)
            jobs = misfortunes.ambushed(rig)
            assert len(jobs) == 3 and watch.double == []
            if defect == "hasty":
                rig.until(lambda: rig.finished(jobs))
            else:  # the others' way: it loses what came in between
                rig.until(lambda: any(job.progress == "lost" or job.assignments > 1 for job in jobs), 90)

    def test_against_jobs_that_come_at_any_moment(self, alone):
        with alone(slots=4) as rig, misfortunes.Watch(rig) as watch:
            rig.start(defect="hasty")
            rig.until(rig.armed)
            done, jobs, lost = misfortunes.drains(rig, 8, random.Random(2))
            assert (done, jobs, lost, watch.double) == (8, 8, 0, [])


def test_what_it_says_of_itself(armed):
    (job,) = armed.submit(seconds=1, exit=102, repository="acme/speech")
    armed.until(lambda: armed.line(job))
    (running,) = armed.submit(seconds=8, repository="acme/vision")
    armed.until(lambda: running.progress == "running")
    slot = running.runner.split("-")[2]
    logs = armed.command("logs", slot)
    assert logs.returncode == 0 and running.runner in logs.stderr
    armed.until(lambda: "acme/vision" in armed.command("status", "--json").stdout)
    told = json.loads(armed.command("status", "--json").stdout)
    assert (told["kind"], told["schema"], told["process"]) == ("pool-status", 1, armed.process.pid)
    bill = json.loads(armed.command("costs", "--json").stdout)
    assert bill["kind"] == "pool-costs" and "acme/speech" in json.dumps(bill)
    assert armed.command("gc", "--dry-run").returncode == 0
    page, health = _asked(armed, "/metrics"), json.loads(_asked(armed, "/health"))
    assert 'backburn_pool_leases_total{outcome="failed"' in page and "backburn_pool_engine_up 1.0" in page
    assert not health.get("broken"), health
    armed.until(lambda: armed.finished([running]))
    armed.until(armed.armed)


def _asked(rig, path):
    with urllib.request.urlopen(f"http://{rig.config.metrics.listen}{path}", timeout=10) as answer:
        return answer.read().decode()


def test_a_second_one_is_refused(armed, tmp_path):
    same = armed.command("run")
    assert same.returncode == 2 and f"process {armed.process.pid}) has the state folder" in same.stderr, same
    elsewhere = tmp_path / "pool.toml"
    elsewhere.write_text(armed.file.read_text().replace(str(armed.state), str(tmp_path / "state")))
    command = [sys.executable, "-m", "backburn", "pool", "run", "--config", str(elsewhere)]
    name = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert name.returncode == 2 and f"a pool called '{armed.config.pool.name}'" in name.stderr, name
    assert armed.process.poll() is None and armed.armed()


def test_what_looks_like_ours_is_not_touched(alone):
    with alone(slots=2) as rig:
        gone = misfortunes.strangers(rig)
        try:
            rig.start(defect=DEFECT or "hasty")
            jobs = rig.submit(3)
            rig.until(lambda: rig.finished(jobs))
            rig.process.kill()
            rig.process.wait()
            for path in rig.state.glob(f"{FILE}*"):  # all that it knows of itself is gone: labels and names are left
                path.unlink()
            rig.start(defect=DEFECT or "hasty")
            rig.until(lambda: len(rig.online()) == 2)
            assert rig.command("gc").returncode == 0
            assert gone() == []
        finally:
            gone.away()


def test_no_secret_is_to_be_read_anywhere(alone, tmp_path):
    metrics, hook = f"127.0.0.1:{_port()}", tmp_path / "webhook"
    hook.touch(mode=0o600)
    hook.write_text("https://chat.example.com/hooks/canary0canary0canary0canary")
    queue = f'[queue]\nrepositories = ["acme/digits"]\nwebhook = "file:{hook}"\n'
    with alone(slots=2, metrics=metrics, more=queue) as rig, misfortunes.Watch(rig, every=0.1, closely=True) as watch:
        rig.hub.secrets += [hook.read_text(), "/hooks/canary0canary0"]
        process = rig.start()
        rig.until(rig.armed)
        seen = set(misfortunes.shown(process.pid))
        rig.hub.faults.plan("failed after", "register")
        rig.hub.faults.plan("garbled", "register")
        (leak,) = rig.submit(exit=102, behave="leak")
        jobs = [leak, *rig.submit(exit=0), *rig.submit(exit=1)]
        rig.until(lambda: all(rig.line(job) for job in jobs))
        rig.until(rig.armed, 90)
        seen |= set(misfortunes.shown(process.pid))
        answers = [_asked(rig, "/metrics"), _asked(rig, "/health"), rig.command("status", "--json").stdout]
        assert any(rig.state.glob("blackbox/*/log.txt")), "no black box was kept"
        assert len(watch.heard) >= 4 and len(misfortunes.needles(rig)) > 8
        assert misfortunes.secrets_found(rig, watch, seen, answers, leaks=[leak.runner]) == []
        rig.file.write_text("# " + next(iter(rig.hub.secrets)))  # and it does find one
        rig.state.joinpath("blackbox", "planted").write_text(rig.hub.secrets[-1])
        assert misfortunes.secrets_found(rig, watch, seen)


def test_every_end_of_a_listener_is_what_it_is(alone):
    more = {"pool": 'hang = "4s"', "limits": 'memory = "64m"\npids = 48'}
    with alone(slots=4, **more) as rig, misfortunes.Watch(rig, closely=True) as watch:
        rig.start()
        rows, freed = misfortunes.ended(rig)
        assert [row for row in rows if not row[-1]] == []
        assert freed < 4 + 30
        assert 10 < watch.most_processes <= 48, "the fork bomb went off, and was held"


def test_a_full_disk(alone, small_disk):
    with alone(slots=2, state=small_disk / "state") as rig:
        rig.start()
        rig.until(rig.armed)
        (running,) = rig.submit(seconds=6)
        rig.until(lambda: running.progress == "running")
        misfortunes.fill(small_disk)
        waiting = rig.submit(2)
        rig.until(lambda: rig.finished([running]))
        time.sleep(3)
        assert rig.process.poll() is None, rig.said()[-2000:]
        assert "until this can be written down" in rig.said() or "disk-min-free" in rig.said()
        (small_disk / "filler").unlink()
        rig.until(lambda: rig.finished(waiting) and all(rig.line(job) for job in [running, *waiting]), 90)
        rig.until(rig.armed)
        rig.stop()
        store = Store(rig.state)
        assert store.rebuilt == "" and [one for one in store.ledger() if one.outcome != "succeeded"] == []
        store.close()


@pytest.fixture
def small_disk(tmp_path, engine_daemon):
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", str(folder)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("NO SMALL DISK: nothing can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=False)


@pytest.mark.slow
def test_the_engine_goes_and_comes_back(own_daemon, tmp_path):
    with Rig(own_daemon, tmp_path, slots=2) as rig, misfortunes.Watch(rig) as watch:
        rig.hub.behaviour.lapse = (1.0, 2.0)
        rig.start()
        for live, way in itertools.product((True, False), ("term", "kill")):
            if own_daemon.live_restore != live:
                own_daemon.live_restore = live
                own_daemon.term()
                own_daemon.up()
            rig.until(rig.armed, 90)
            job, entry, seconds = misfortunes.engine_away(rig, way)
            assert (entry.outcome, job.progress) == (
                ("succeeded", "finished") if live else ("daemon-restart", job.progress)
            ), (live, way)
            assert seconds < 30, (live, way)
        assert watch.double == []


def test_a_round_of_others_goes_on_whatever_befalls_it(tmp_path):
    """As the janitor's: a bug in it is said, and ends neither the process nor itself."""
    said, asked = [], []

    def round_():
        asked.append(1)
        if len(asked) == 1:
            raise KeyError("a bug")
        supervisor.stopping.set()
        return 0.0

    tools = SimpleNamespace(note=lambda *one: said.append(one))
    supervisor = Supervisor(tools, None, rounds=(round_,))
    supervisor.stopping.wait = lambda seconds: said.append(seconds)
    supervisor._go_round(round_)
    assert len(asked) == 2 and "a bug of backburn" in said[0][2] and said[1:] == [AGAIN, 0.0]


@pytest.mark.parametrize(
    ("felt", "woken"), [("GPU-b", ["gpub"]), ("GPU-parent-of-instances", ["cpu0", "gpua", "gpub"])]
)
def test_what_is_felt_on_a_gpu_wakes_its_slot(felt, woken):
    slots = {"gpua": "GPU-a", "gpub": "GPU-b", "cpu0": ""}
    tools = SimpleNamespace(care=Care())
    subject = Supervisor(tools, None, places=[Place(Slot(name=name, device=device)) for name, device in slots.items()])
    subject._wakes = {name: threading.Event() for name in slots}
    subject._felt(felt)
    assert tools.care._machine == {felt}
    assert sorted(name for name, event in subject._wakes.items() if event.is_set()) == woken
