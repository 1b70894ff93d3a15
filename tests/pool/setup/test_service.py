"""The unit as it is written, and by what it is known whether it runs with it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backburn.pool.config import Cache, Config, Pool
from backburn.pool.setup import kit, service
from backburn.pool.setup.request import Places
from backburn.pool.setup.user import Failed


def test_the_unit_starts_the_program_that_is_here(monkeypatch):
    places = Places(toolkit=Path("/opt/backburn-pool"))
    assert service.program(places) == Path(sys.prefix, "bin/backburn")
    monkeypatch.setattr(sys, "prefix", "/opt/backburn-pool/0123456789abcdef")
    assert service.program(places) == Path("/opt/backburn-pool/current/bin/backburn")
    text = kit.files()[service.UNIT].decode()
    started = [
        line for line in service.unit(text, places, Config()).decode().splitlines() if line.startswith("ExecStart=")
    ]
    assert len(started) == 1 and started[0].startswith("ExecStart=/opt/backburn-pool/current/bin/backburn pool run")


@pytest.mark.parametrize(
    ("config", "more"),
    [
        (Config(), ""),
        (Config(cache=Cache(root="/var/lib/backburn-pool/cache")), ""),
        (Config(cache=Cache(root="/srv/cache")), ' "/srv/cache"'),
        (Config(pool=Pool(state='/data/50% "a"', locks="/run/mine")), r' "/data/50%% \"a\"" "/run/mine"'),
    ],
)
def test_the_unit_lets_the_supervisor_write_where_pool_toml_says(config, more, tmp_path):
    text = service.unit(kit.files()[service.UNIT].decode(), Places(), config).decode()
    assert [line for line in text.splitlines() if line.startswith("ReadWrite")] == [f"ReadWritePaths=/run/lock{more}"]
    if analyze := shutil.which("systemd-analyze"):
        (tmp_path / service.UNIT).write_text(re.sub(r"(?m)^(ExecStart=)\S+", r"\1/bin/true", text))
        done = subprocess.run([analyze, "verify", tmp_path / service.UNIT], capture_output=True, text=True)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_what_the_kits_unit_lets_be_written_is_what_we_know_of_it():
    text = kit.files()[service.UNIT].decode()
    assert service._WRITABLE == ("/run/lock", "/var/lib/backburn-pool")
    assert "\nReadWritePaths=/run/lock\n" in text and "\nStateDirectory=backburn-pool\n" in text


def test_a_start_is_known_by_all_that_it_reads(tmp_path, monkeypatch):
    path = tmp_path / "f"
    absent = service.fingerprint(path)
    path.write_text("1")
    there = service.fingerprint(path)
    monkeypatch.setattr(sys, "prefix", "/elsewhere")
    assert len({absent, there, service.fingerprint(path)}) == 3


def test_without_systemd_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(service, "_SYSTEMD", tmp_path / "none")
    with pytest.raises(Failed, match="(?s)systemd does not run here.*--no-service"):
        service.expect()


def test_what_does_not_run_is_not_active(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert service.active() is False
