"""The real supervisor on a real engine: its GPU falls ill, the job is told, the slot is shut, a person opens it."""

import json
import time
from pathlib import Path

import msgspec
import pytest

from backburn.pool.health.symptom import Severity
from tests.pool.deadly import GPU
from tests.pool.ward import symptom

from .rig import Rig

SLOT = "gpu5a1cf9a2"


def with_a_gpu(rig, cpu=0):
    text, slots = rig.file.read_text(), f'cpu = {rig.slots}\ninjection = "none"'
    assert slots in text
    rig.file.write_text(text.replace(slots, f'gpus = ["{GPU}"]\ncpu = {cpu}\ninjection = "devices"'))
    return rig


@pytest.fixture
def rig(engine_daemon, tmp_path):
    with Rig(engine_daemon, tmp_path) as rig:
        with_a_gpu(rig).start(defect="has a GPU")
        rig.until(rig.all_online)
        yield rig


def say(rig, *symptoms):
    """What its health says from now on."""
    path = rig.folder / "symptoms.jsonl"
    path.with_suffix(".part").write_bytes(b"\n".join(map(msgspec.json.encode, symptoms)))
    path.with_suffix(".part").rename(path)


def stands(rig, state):
    return lambda: rig.standing()[SLOT][0] == state


def test_a_job_is_told_of_its_gpu_while_it_runs_and_reads_it_itself(rig):
    """The job looks for the file by its own user, two seconds after; test_watching.py has the time it takes."""
    looks = "while ! [ -e /tmp/ill ]; do sleep 0.1; done; sleep 2; grep -q 'fell off' /run/backburn/machine.md"
    (job,) = rig.submit(behave="command", command=looks, repository="acme/vision")
    rig.until(stands(rig, "busy"))
    (box,) = [one.id for one in rig.engine.containers() if one.running]
    rig.until(lambda: rig.engine.read(box, "/run/backburn/job.json"))
    time.sleep(1.0)
    assert rig.engine.read(box, "/run/backburn/machine.md") is None
    say(rig, symptom(Severity.RESET, "xid", device=GPU, said="Xid 79: it fell off the bus", at=time.time()))
    assert rig.daemon.ask("exec", "--user", "1001", box, "touch", "/tmp/ill"), rig.daemon.error
    entry = rig.until(lambda: rig.line(job))
    assert entry.outcome == "succeeded", rig.said()
    rig.until(stands(rig, "quarantined"))
    (line,) = json.loads(rig.command("status", "--json").stdout)["slots"]
    assert line["quarantine"]["kind"] == "reset" and "fell off the bus" in line["reason"]
    rig.stop()
    rig.start(defect="has a GPU")
    time.sleep(2.0)
    assert rig.standing()[SLOT][0] == "quarantined" and rig.registered() == []
    wrong = rig.command("resume", SLOT)
    assert wrong.returncode == 2 and f"backburn pool release {SLOT}" in wrong.stderr
    say(rig)
    assert rig.command("release", SLOT).returncode == 0
    rig.until(rig.all_online)


def test_one_that_fails_beside_it_is_the_machines_fault_and_one_alone_is_not(rig):
    (alone,) = rig.submit(exit=102)
    assert rig.until(lambda: rig.line(alone)).blame == "code"
    rig.until(rig.all_online)
    (job,) = rig.submit(exit=102, seconds=4)
    rig.until(lambda: job.progress == "running")
    say(rig, symptom(Severity.NOTED, "ecc", device=GPU, at=time.time() + 1))
    assert rig.until(lambda: rig.line(job)).blame == "machine"
    (readme,) = [one for one in rig.state.glob("blackbox/*/README.txt") if "machine: ecc" in one.read_text()]
    assert "its GPU:   ecc: 3 new" in readme.read_text()


@pytest.mark.slow
def test_quarantine_and_release_beside_a_supervisor(rig):
    (job,) = rig.submit(seconds=5)
    rig.until(lambda: job.progress == "running")
    assert rig.command("quarantine", SLOT, "--reason", "new disk").returncode == 0
    assert rig.until(lambda: rig.line(job)).outcome == "succeeded", "a job that runs ends first"
    rig.until(stands(rig, "quarantined"))
    assert rig.standing()[SLOT] == ("quarantined", "new disk") and rig.registered() == []
    assert "quarantined" in rig.command("status").stdout
    assert rig.command("release", "all").returncode == 0
    rig.until(rig.all_online)
    rig.command("quarantine", "all")
    rig.until(stands(rig, "quarantined"))  # an idle one: GitHub let it go first
    assert rig.registered() == [] and [one.outcome for one in rig.ledger()] == ["succeeded", "drained"]


def test_without_a_driver_no_slot_with_a_gpu_is_armed_and_all_others_are(engine_daemon, tmp_path):
    """The real health, on a machine that has none."""
    if Path("/proc/driver/nvidia").exists():
        pytest.skip("SKIPPED, COUNTED: this machine has a driver")
    with Rig(engine_daemon, tmp_path) as rig:
        with_a_gpu(rig, cpu=1).start()
        rig.until(rig.all_online)
        rig.until(lambda: "gpu/driver" in rig.standing()[SLOT][1])
        assert rig.standing()[SLOT][0] == "blocked" and [one.name for one in rig.online() if SLOT in one.name] == []
        code, seconds = rig.stop()
        assert code == 0 and seconds < 5
