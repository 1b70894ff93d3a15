"""When an engine started, by its socket, its pid file, or not at all; test_docker.py asks a real dockerd."""

import os
import shutil
import socket
import subprocess
import sys
import time

import pytest

from backburn.pool.uptime import started

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="NO LINUX: SO_PEERCRED and /proc are its own"
)


@pytest.fixture
def sleeper(tmp_path):
    """A process that calls itself dockerd."""
    program = shutil.copy(shutil.which("sleep"), tmp_path / "dockerd")
    with subprocess.Popen([program, "60"]) as process:
        time.sleep(0.1)
        yield process
        process.kill()


@pytest.fixture
def listening(tmp_path):
    """A socket of this process's, which is no dockerd: as systemd's docker.socket."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))
        one.listen(10)
        yield str(path)


def test_a_socket_of_somebody_else_says_nothing(listening, tmp_path):
    assert started(f"unix://{listening}") == 0.0
    assert started(f"unix://{listening}", pidfiles={listening: tmp_path / "none"}) == 0.0


def test_then_the_pid_file_says_it(listening, sleeper, tmp_path):
    pidfile = tmp_path / "docker.pid"
    pidfile.write_text(f"{sleeper.pid}\n")
    first = started(f"unix://{listening}", pidfiles={listening: pidfile})
    assert time.time() - 30 < first < time.time() + 0.1
    assert started(f"unix://{listening}", pidfiles={listening: pidfile}) == first, "to the digit"


def test_where_the_process_cannot_be_seen_the_age_of_the_file_does(listening, tmp_path):
    pidfile = tmp_path / "docker.pid"
    pidfile.write_text("999999999")
    os.utime(pidfile, (1000.0, 1000.0))
    assert started(f"unix://{listening}", pidfiles={listening: pidfile}) == 1000.0
    pidfile.write_text("no number")
    assert started(f"unix://{listening}", pidfiles={listening: pidfile}) == 0.0


@pytest.mark.parametrize("host", ["unix:///no/such/socket", "tcp://127.0.0.1:1", "ssh://x", ""])
def test_what_is_no_process_here_says_nothing(host):
    assert started(host, pidfiles={}) == 0.0
