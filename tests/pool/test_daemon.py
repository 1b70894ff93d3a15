"""The rig itself: what it starts, it ends, also for a test that was killed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pool import daemon as rig
from tests.pool.daemon import Daemon, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"NO DOCKER ENGINE: {missing()}")


def traces(name):
    """Of a daemon: its folder, mounts, processes, control groups and interfaces."""
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if name in line]
    processes = [path for path in Path("/proc").glob("[0-9]*/cmdline") if name in _read(path)]
    groups = [*Path("/sys/fs/cgroup").glob(name), *Path("/sys/fs/cgroup").glob(f"*/{name}")]
    bridges = [path for path in Path("/sys/class/net").glob("br-*") if path.name in _BRIDGES.get(name, ())]
    return [*mounts, *processes, *groups, *bridges, *Path(rig.tempfile.gettempdir()).glob(name)]


_BRIDGES = {}


def _read(path):
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def occupied(daemon):
    """A container that is deaf, a network, a volume."""
    image = daemon.listener(1)
    network = daemon.ask("network", "create", "one")
    _BRIDGES[daemon.folder.name] = (f"br-{network[:12]}",)
    deaf = "trap '' TERM; while :; do sleep 1; done"
    words = ("--detach", "--init", "--network=host", "--volume=v:/v", "--entrypoint=sh", image, "-c", deaf)
    assert daemon.ask("run", *words)
    assert len(traces(daemon.folder.name)) > 8
    return daemon.folder.name


@pytest.mark.parametrize("before", ["nothing", "term", "kill"])
def test_nothing_is_left_behind(before):
    with Daemon() as daemon:
        name = occupied(daemon)
        if before != "nothing":
            getattr(daemon, before)()
    assert traces(name) == []


def test_one_that_hangs_is_ended_too():
    with Daemon() as daemon:
        name = occupied(daemon)
        os.kill(daemon.pid, rig.signal.SIGSTOP)
    assert traces(name) == []


def test_what_a_killed_test_left_is_cleaned_up_by_the_next():
    program = "from tests.pool.test_daemon import *\nd = Daemon().up()\nprint(occupied(d), flush=True)"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\nos.kill(os.getpid(), 9)"], capture_output=True, text=True, timeout=60
    )
    name = done.stdout.strip()
    assert name and traces(name), done.stderr
    rig.reclaim()
    left = traces(name)
    assert [one for one in left if "br-" not in str(one)] == []
    assert left == []


def test_without_root_it_says_so(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "root" in missing()


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(rig.shutil, "which", lambda name, path: None if name == "dockerd" else name)
    assert "dockerd" in missing() and "docker.io" in missing()
