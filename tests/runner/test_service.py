"""The unit, as a real systemd runs it: hardened as it is, the supervisor does its work, and no stop ends a runner."""

import os
import re
import signal
import time

import pytest

from tests.pool.lab import until
from tests.pool.rig import TOKEN, Rig

from .systemd import DOCKER, Machine, missing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=f"NO DOCKER ENGINE OR SYSTEMD: {missing()}"),
]


@pytest.fixture
def machine(own_daemon, tmp_path):
    """One with pool.toml and a token, and the rig whose engine and GitHub it has."""
    with Rig(own_daemon, tmp_path) as rig:
        own_daemon.folder.chmod(0o755)
        own_daemon.socket.chmod(0o660)
        os.chown(own_daemon.socket, 0, DOCKER)
        booted = Machine(tmp_path / "machine", own_daemon.folder)
        text = rig.file.read_text()
        for old, new in (
            (own_daemon.host, "unix:///run/engine/d.sock"),
            (str(rig.state), "/var/lib/backburn-pool"),
            (str(tmp_path / "locks"), "/run/lock"),
            (f"file:{tmp_path}/token", "credential:token"),
            (f'"{own_daemon.folder}"', '"/"'),
        ):
            assert old in text
            text = text.replace(old, new)
        (booted.root / "etc/backburn/pool.toml").write_text(text)
        token = booted.root / "etc/backburn/token"
        token.touch(mode=0o600)
        token.write_text(TOKEN)
        booted.token = token
        with booted:
            booted.rig = rig
            yield booted


def running(rig):
    return [one.name for one in rig.engine.containers() if one.running]


def test_it_starts_reads_its_file_again_and_stops_and_the_runner_stays(machine):
    rig = machine.rig
    assert machine.ask("systemctl", "start", "backburn-pool") == (0, ""), said(machine)
    first = machine.shown("MainPID", "ActiveState")
    assert first["ActiveState"] == "active"
    rig.until(rig.all_online, within=30)
    (job,) = rig.submit()
    rig.until(lambda: job.progress == "finished" and rig.all_online())
    until(lambda: machine.shown("StatusText")["StatusText"] == "1 online")
    (runner,) = running(rig)
    assert machine.ask("systemctl", "reload", "backburn-pool") == (0, "")
    until(lambda: "adopted" in said(machine))
    assert machine.shown("MainPID", "ActiveState") == first and running(rig) == [runner]
    assert machine.ask("systemctl", "stop", "backburn-pool") == (0, "") and running(rig) == [runner]
    assert not re.search(r"error|a bug", said(machine)), said(machine)


def said(machine):
    return machine.ask("journalctl", "--no-pager", "--output=cat", "--unit=backburn-pool")[1]


def test_one_that_hangs_begins_anew(machine):
    unit = machine.root / "etc/systemd/system/backburn-pool.service"
    unit.write_text(unit.read_text().replace("WatchdogSec=60", "WatchdogSec=15"))
    machine.ask("systemctl", "daemon-reload")
    machine.ask("systemctl", "start", "backburn-pool")
    machine.rig.until(machine.rig.all_online, within=30)
    (runner,) = running(machine.rig)
    machine.ask("systemctl", "kill", f"--signal={signal.SIGSTOP.name}", "backburn-pool")
    begun = time.monotonic()
    until(lambda: machine.shown("NRestarts", "ActiveState") == {"NRestarts": "1", "ActiveState": "active"}, patience=60)
    assert time.monotonic() - begun < 40 and running(machine.rig) == [runner]


def test_without_a_secret_it_says_so_once(machine):
    machine.token.unlink()
    code, _ = machine.ask("systemctl", "start", "backburn-pool")
    assert code != 0 and machine.shown("ActiveState", "NRestarts") == {"ActiveState": "failed", "NRestarts": "0"}
    assert "credential:token: there is no secret" in said(machine)
