"""What an operator types, against the real supervisor on a real engine."""

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from .rig import TOKEN, Rig


@pytest.fixture
def rig(engine_daemon, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{free.getsockname()[1]}"
    with Rig(engine_daemon, tmp_path, metrics=where) as rig:
        rig.where = where
        yield rig


def typed(rig, *words, code=0):
    """What `backburn pool …` prints, which ends with that code."""
    command = [sys.executable, "-m", "backburn", "pool", *words, *(["--config", str(rig.file)])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "COLUMNS": "140"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr + rig.said()[-2000:]
    return done.stdout


def asked(rig, path):
    with urllib.request.urlopen(f"http://{rig.where}{path}", timeout=10) as answer:
        return answer.read().decode()


def test_a_job_that_fails_and_all_that_tells_of_it(rig):
    process = rig.start()
    rig.until(rig.all_online)
    rig.until(lambda: json.loads(typed(rig, "status", "--json"))["slots"][0]["state"] == "online")
    assert json.loads(typed(rig, "status", "--json"))["process"] == process.pid
    assert json.loads(asked(rig, "/health"))["ok"]
    typed(rig, "logs", "cpu0")

    rig.submit(behave="leak", exit=102, repository="acme/vision")
    rig.until(rig.ledger)
    (box,) = rig.until(lambda: [*rig.state.glob("blackbox/*-cpu0-*[0-9a-f]")])
    assert "the configuration is <redacted>" in (box / "log.txt").read_text()
    assert "it failed" in (box / "README.txt").read_text()
    assert json.loads((box / "container.json").read_text())["code"] == 102
    assert "acme/vision" in (box / "lease.json").read_text() and "finishing" in (box / "notes.txt").read_text()
    metrics = asked(rig, "/metrics")
    assert 'backburn_pool_leases_total{outcome="failed",slot="cpu0"} 1.0' in metrics
    assert 'repository="acme/vision"' in metrics and "backburn_pool_engine_up 1.0" in metrics
    assert 'backburn_pool_github_requests_total{method="POST",status="201"}' in metrics
    files = [path for path in Path(rig.folder).rglob("*") if path.is_file() and path != Path(rig.folder, "token")]
    written = b"".join(path.read_bytes() for path in files)
    assert TOKEN.encode() not in written


@pytest.mark.slow
def test_drain_resume_gc_and_costs(rig):
    rig.start()
    rig.until(rig.all_online)
    rig.submit(repository="acme/vision")
    rig.until(rig.ledger)
    rig.until(rig.all_online)
    typed(rig, "drain", "all", "--timeout", "1m")
    assert not [one for one in rig.engine.containers() if one.running] and not rig.hub.live
    assert "parked" in typed(rig, "status") and "Nothing is left over" in typed(rig, "gc")
    typed(rig, "resume", "all")
    rig.until(rig.all_online)
    row, *_ = json.loads(typed(rig, "costs", "--since", "1h", "--json"))["rows"]
    assert row["name"] == "acme/vision" and row["jobs"] == 1 and 0.5 < row["busy"] < 30

    rig.stop()
    assert "does not run" in typed(rig, "status")
    assert "would remove" not in typed(rig, "gc", "--dry-run")  # its runner waits on
    typed(rig, "gc")
    assert len([one for one in rig.engine.containers() if one.running]) == 1
    typed(rig, "drain", "cpu0", code=3)
    with pytest.raises(urllib.error.URLError):
        asked(rig, "/health")


def test_what_a_lost_supervisor_left_is_removed_and_nothing_else(rig):
    """Containers of a lease that no database knows; beside them one that runs, and one that is somebody else's."""
    import docker

    rig.start()
    rig.until(rig.all_online)
    rig.stop()
    client = docker.DockerClient(base_url=rig.daemon.host)
    (running,) = client.containers.list()
    labels = running.labels | {"backburn.lease": "gone"}
    image = running.image.id
    ours = client.containers.create(image, labels=labels)
    others = [
        client.containers.create(image, labels={"mine": "1"}),
        client.containers.create(image, labels=labels | {"backburn.pool": "rig2"}),
    ]
    try:
        assert typed(rig, "gc", "--dry-run").count("would remove container") == 1
        assert typed(rig, "gc").count("removed container") == 1
        left = {one.id for one in client.containers.list(all=True)}
        assert ours.id not in left and running.id in left and {one.id for one in others} <= left
    finally:
        for one in others:
            one.remove(force=True)
        client.close()
