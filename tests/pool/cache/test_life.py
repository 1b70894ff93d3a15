"""Caches in the life of a pool: the real supervisor, killed; the engine, killed; and what the next job finds."""

import signal
import time

import pytest

from tests.pool.lab import needs_an_engine
from tests.pool.rig import Rig

pytestmark = needs_an_engine
WRITES = 'test "$PIP_CACHE_DIR" = /cache/pip; mkdir -p /cache/pip/d; echo "$RANDOM" >/cache/pip/d/one; sleep %d'
READS = "test -s /cache/pip/d/one && ! test -e /cache/pip/two"


def rigged(daemon, folder):
    cache = f'[cache]\nroot = "{folder}/cache"\nnames = ["pip", "data"]'
    with Rig(daemon, folder, docker=cache) as rig:
        rig.shelf = folder / "cache" / rig.config.pool.name
        yield rig


@pytest.fixture
def rig(engine_daemon, tmp_path):
    yield from rigged(engine_daemon, tmp_path)


@pytest.fixture
def own_rig(own_daemon, tmp_path):
    yield from rigged(own_daemon, tmp_path)


def layers(rig):
    return sorted(one.name for one in (rig.shelf / "layers/pip").glob("*"))


def job(rig, command):
    return rig.hub.submit(behave="command", command=command, marker="1", seconds="0")


def finished(rig, one):
    rig.until(lambda: one.progress == "finished")
    return one.result


def test_what_a_job_wrote_outlives_supervisors(rig):
    rig.start(defect="trusts everybody")
    rig.until(rig.all_online)
    first = job(rig, WRITES % 3)
    rig.until(lambda: first.progress == "running")
    rig.stop(signal.SIGKILL)
    assert finished(rig, first) == "succeeded"
    assert layers(rig) == [] and len(list((rig.shelf / "leases").iterdir())) == 1
    rig.start(defect="trusts everybody")
    rig.until(lambda: layers(rig))
    rig.until(rig.all_online)
    idle = job(rig, "true")  # it was armed before the layer was there, perhaps
    finished(rig, idle)
    assert finished(rig, job(rig, READS)) == "succeeded"
    rig.stop()
    assert "no caches" not in rig.said() and "bug" not in rig.said()


@pytest.mark.slow
def test_what_a_job_of_nobody_knows_where_wrote_is_gone(rig):
    rig.start(defect="hasty")
    rig.until(rig.all_online)
    assert finished(rig, job(rig, WRITES % 0)) == "succeeded"
    assert finished(rig, job(rig, f"! ({READS})")) == "succeeded"
    rig.until(lambda: len(list((rig.shelf / "leases").iterdir())) <= 1)
    assert layers(rig) == []
    rig.stop()
    assert rig.daemon.ask("volume", "ls", "--quiet", "--filter", "dangling=true") == "ok"
    assert "Nothing is left over." in rig.command("gc", "--dry-run").stdout


@pytest.mark.slow
def test_what_a_job_wrote_outlives_an_engine_that_is_killed(own_rig):
    rig = own_rig
    rig.start(defect="trusts everybody")
    rig.until(rig.all_online)
    first = job(rig, WRITES % 8 + "; echo late >/cache/pip/d/late")
    rig.until(lambda: first.progress == "running")
    time.sleep(1)
    rig.daemon.kill()
    rig.daemon.up()
    assert finished(rig, first) == "succeeded"
    rig.until(lambda: layers(rig))
    assert {path.name for path in rig.shelf.glob("layers/pip/*/d/*")} == {"one", "late"}
    rig.until(rig.all_online)
    finished(rig, job(rig, "true"))
    assert finished(rig, job(rig, READS)) == "succeeded"
