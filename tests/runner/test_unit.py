"""The unit, by the real systemd-analyze: it is well-formed, and hardened as it says."""

import re
import shutil
import subprocess

import pytest

from .scratch import RUNNER

UNIT = RUNNER / "backburn-pool.service"
TEXT = UNIT.read_text(encoding="utf-8")
MOST = 2.0  # of 10, by systemd's own weights
pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="NO SYSTEMD: systemd-analyze is not installed (apt-get install systemd)",
)


@pytest.fixture
def unit(tmp_path):
    """`unit(text)`: its file; the program that it starts need not be here."""

    def write(text=TEXT):
        path = tmp_path / UNIT.name
        path.write_text(re.sub(r"(?m)^(ExecStart=)\S+", r"\1/bin/true", text))
        return path

    return write


def analyze(*words):
    done = subprocess.run(["systemd-analyze", *map(str, words)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_it_is_well_formed(unit):
    assert analyze("verify", unit()) == (0, "")


@pytest.mark.parametrize(
    ("old", "new"),
    [("WatchdogSec=60", "WatchdogSec=often"), ("KillMode=mixed", "KillMod=mixed"), ("Type=notify", "Type=notified")],
)
def test_what_is_not_is_seen(unit, old, new):
    assert old in TEXT
    assert analyze("verify", unit(TEXT.replace(old, new)))[1] != ""


def exposure(path):
    code, said = analyze("security", "--offline=true", "--no-pager", f"--threshold={int(MOST * 10)}", path)
    return code, float(re.search(r"Overall exposure level for \S+: (\d+\.\d)", said)[1])


def test_it_is_hardened(unit):
    code, level = exposure(unit())
    assert code == 0 and level <= MOST


@pytest.mark.parametrize("line", ["CapabilityBoundingSet=\n", "SystemCallFilter=@system-service\n"])
def test_one_that_is_less_so_is_seen(unit, line):
    code, level = exposure(unit(TEXT.replace(line, "")))
    assert code != 0 and level > MOST


def test_an_engine_that_restarts_takes_nobody_along():
    told = [line for line in TEXT.splitlines() if not line.startswith("#")]
    assert any(line.startswith("After=") and "docker.service" in line for line in told)
    assert not [line for line in told if line.startswith(("Requires=", "BindsTo=", "PartOf="))]


def test_the_watchdog_is_slower_than_the_sign_of_life():
    from backburn.pool.supervisor import TICK

    assert int(re.search(r"(?m)^WatchdogSec=(\d+)$", TEXT)[1]) >= 6 * TICK
