"""Rows with the real thing: a supervisor of its own process, a Docker Engine, HTTP, and busybox for a listener."""

import itertools
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from backburn.pool.simulation.fuse import OF_GPUS, POINTS
from backburn.pool.store import FILE, Store
from tests.pool import misfortunes
from tests.pool.daemon import Daemon
from tests.pool.rig import Rig


@contextmanager
def _rig(daemon, *, watched=None, **given):
    """A rig with a folder of its own, armed, and somebody who watches."""
    with TemporaryDirectory(prefix="bb-rig-") as folder, Rig(daemon, folder, **given) as rig:
        with misfortunes.Watch(rig, **(watched or {})) as watch:
            yield rig, watch


def _started(rig, *words, **given):
    rig.start(*words, **given)
    rig.until(rig.armed, 120)


# F1


def killed(daemon, each, say):
    """At every point that a slot without a GPU has, one start after the other, jobs on both slots all the time."""
    dice = random.Random(1)
    known = [point for point in POINTS if not point.endswith(OF_GPUS)]
    points = [point for _ in range(each) for point in dice.sample(known, len(known))]
    with _rig(daemon, slots=2) as (rig, _):
        row = misfortunes.killed(rig, points, dice, say)
    return row | {"points": len(set(points) - set(row["missed"])), "kills": row["points"]}


# F3


def engine_away(each, say):
    """SIGTERM and SIGKILL for dockerd, with a job under way, in both modes; n of each."""
    rows = {}
    with Daemon() as daemon, _rig(daemon, slots=2) as (rig, watch):
        rig.hub.behaviour.lapse = (1.0, 2.0)
        _started(rig)
        for live, way in itertools.product((True, False), ("term", "kill")):
            if daemon.live_restore != live:
                daemon.live_restore = live
                daemon.term()
                daemon.up()
            wanted = "succeeded" if live else "daemon-restart"
            found = []
            for number in range(each):
                rig.until(rig.armed, 120)
                job, entry, seconds = misfortunes.engine_away(rig, way)
                found.append((entry.outcome == wanted, job.progress == "finished", seconds))
                say(f"{way}, live-restore {'on' if live else 'off'}: {number + 1} of {each}")
            rows[f"{way}, live-restore {'on' if live else 'off'}"] = {
                "n": each,
                "named_right": sum(right for right, *_ in found),
                "jobs_survived": sum(survived for _, survived, _ in found),
                "jobs_lost": sum(not survived for _, survived, _ in found) if live else 0,
                "recovery_max_s": round(max(seconds for *_, seconds in found), 1),
                "double": len(watch.double),
            }
    return rows


# F5


def ends(daemon, say):
    """Every exit code, a hang, one that is deaf to SIGTERM, too little memory, a fork bomb."""
    hang = 4
    given = {"pool": f'hang = "{hang}s"', "limits": 'memory = "64m"\npids = 48'}
    with _rig(daemon, slots=4, watched={"closely": True}, **given) as (rig, watch):
        _started(rig)
        rows, freed = misfortunes.ended(rig)
    wrong = [f"{told}: {outcome}" for told, outcome, right in rows if not right]
    row = {"ends": len(rows), "right": len(rows) - len(wrong), "wrong": wrong, "hang_s": hang}
    return row | {"freed_after_s": round(freed, 1), "most_processes": watch.most_processes, "double": len(watch.double)}


# F7


def full(daemon, times, say):
    """The disk of the state folder fills to the last byte while a job runs, and is emptied again."""
    found = []
    with TemporaryDirectory(prefix="bb-disk-") as disk:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", disk], check=True)
        try:
            with _rig(daemon, slots=2, state=Path(disk, "state")) as (rig, watch):
                _started(rig)
                for number in range(times):
                    found.append(_full(rig, Path(disk)))
                    say(f"full disk: {number + 1} of {times}")
                rig.stop()
                store = Store(rig.state)
                broken = store.rebuilt
                store.close()
        finally:
            subprocess.run(["umount", "--lazy", disk], check=False)
    lost, seconds = zip(*found, strict=True)
    row = {"times": times, "corrupt": bool(broken), "jobs_lost": sum(lost), "resumed_after_s": round(max(seconds), 1)}
    return row | {"double": len(watch.double)}


def _full(rig, disk):
    rig.until(rig.armed, 120)
    (running,) = rig.submit(seconds=6)
    rig.until(lambda: running.progress == "running")
    misfortunes.fill(disk)
    jobs = [running, *rig.submit(2)]
    rig.until(lambda: running.progress == "finished")
    time.sleep(3)
    assert rig.process.poll() is None, rig.said()[-2000:]
    (disk / "filler").unlink()
    began = time.monotonic()
    rig.until(lambda: rig.armed() and all(rig.line(job) for job in jobs), 400)
    return sum(job.progress != "finished" for job in jobs), time.monotonic() - began


# F9


def drains(daemon, count, say, defect="hasty"):
    """Some hundred real ones; the supervisor looks ten times as often as by default, or this would take an hour."""
    with _rig(daemon, slots=6) as (rig, watch):
        _started(rig, defect=defect)
        done, jobs, lost = misfortunes.drains(rig, count, random.Random(9), say)
    return {"drains": done, "jobs": jobs, "lost": lost, "double": len(watch.double)}


# F10


def rush(daemon, count, say, slots=8, latency=0.2):
    """One-second jobs without a pause: how soon the next runner is online, and what the supervisor grows to."""
    with _rig(daemon, slots=slots, latency=latency, watched={"every": 2.0}) as (rig, watch):
        online, sound = {}, rig.hub.connect

        def connect(configuration):
            session = sound(configuration)
            online[rig.hub._sessions[session].name] = time.time()
            return session

        rig.hub.connect = connect
        _started(rig)
        jobs, sizes = rig.submit(count), []
        warm = min(100, count // 4)
        while (done := sum(job.progress == "finished" for job in jobs)) < count:
            time.sleep(1.0)
            if done >= warm:
                sizes.append(_size(rig.process.pid))
            if len(sizes) % 10 == 1:
                say(f"{done} of {count} jobs; {sizes[-1][0]:.0f} MB")
            assert rig.process.poll() is None, rig.said()[-2000:]
        rig.until(rig.armed, 60)
        sizes.append(_size(rig.process.pid))
        rearms = _rearms(rig.ledger(), online)
    first, last = sizes[0], sizes[-1]
    return {
        "jobs": count,
        "slots": slots,
        "jobs_lost": sum(job.progress != "finished" for job in jobs),
        "double": len(watch.double),
        "rearm_p50_s": round(statistics.median(rearms), 2),
        "rearm_p95_s": round(rearms[int(0.95 * (len(rearms) - 1))], 2),
        "rss_mb": round(last[0], 1),
        "rss_growth_mb": round(last[0] - first[0], 1),
        "files": [first[1], last[1]],
        "threads": [first[2], last[2]],
    }


def _rearms(ledger, online):
    """From the end of a container, by the engine, to the session of the next one on its slot, by GitHub."""
    ends = sorted((entry.slot, entry.ended) for entry in ledger)
    starts = sorted((name.split("-")[2], moment) for name, moment in online.items())
    found = []
    for slot, ended in ends:
        nexts = [moment for one, moment in starts if one == slot and moment > ended]
        found += [min(nexts) - ended] if nexts else []
    return sorted(found)


def _size(pid):
    """Resident megabytes, open files and threads of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    resident, threads = (int(re.search(rf"{name}:\s+(\d+)", status)[1]) for name in ("VmRSS", "Threads"))
    return resident / 1024, len(os.listdir(f"/proc/{pid}/fd")), threads


# F11


def strangers(daemon, say):
    """A second supervisor, and what looks like ours; a kill in between, with the database gone."""
    with _rig(daemon, slots=2) as (rig, watch):
        _started(rig)
        second = rig.command("run")
        refused = second.returncode == 2 and "has the state folder" in second.stderr
        gone = misfortunes.strangers(rig)
        jobs = rig.submit(4)
        rig.until(lambda: rig.finished(jobs))
        rig.process.kill()
        rig.process.wait()
        for path in rig.state.glob(f"{FILE}*"):
            path.unlink()
        rig.start()
        rig.until(lambda: len(rig.online()) == 2)
        touched = gone()
        rig.stop(signal.SIGTERM)
        gone.away()
    return {"second_refused": refused, "look_alikes": 9, "touched": touched, "double": len(watch.double)}


# F13


def secrets(daemon, count, say):
    """Every token, configuration and key that was handed out, looked for wherever somebody may read."""
    import socket
    import urllib.request

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        metrics = f"127.0.0.1:{free.getsockname()[1]}"
    with _rig(daemon, slots=2, metrics=metrics, watched={"closely": True, "every": 0.1}) as (rig, watch):
        _started(rig)
        seen = set(misfortunes.shown(rig.process.pid))
        jobs, leaks = [], []
        for number in range(count):
            for fault in ("failed after", "garbled", "lost"):
                rig.hub.faults.plan(fault, "register")
            (leak,) = rig.submit(exit=102, behave="leak")
            jobs += [leak, *rig.submit(exit=1), *rig.submit(exit=100)]
            rig.until(lambda jobs=tuple(jobs): all(rig.line(job) for job in jobs), 200)
            leaks.append(leak.runner)
            say(f"secrets: {number + 1} of {count}")
        seen |= set(misfortunes.shown(rig.process.pid))
        pages = [f"http://{metrics}/{path}" for path in ("metrics", "health")]
        answers = [urllib.request.urlopen(page).read().decode() for page in pages]
        answers += [rig.command("status", "--json").stdout, rig.command("costs", "--json").stdout]
        found = misfortunes.secrets_found(rig, watch, seen, answers, leaks)
        needles = len(misfortunes.needles(rig))
    return {"secrets": needles, "containers": len(watch.heard), "found": found, "double": len(watch.double)}


def room():
    """Why there is none for these rows; "" where there is."""
    from tests.pool.daemon import missing

    return missing() or ("" if shutil.which("mount") else "no mount")
