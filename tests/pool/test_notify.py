"""What systemd hears, at a socket such as its own; at the end, of the real supervisor, from its start to its end."""

import contextlib
import os
import signal
import socket
import struct
import time

import pytest

from backburn.pool import notify
from backburn.pool.lease import State
from tests.pool import rig as rigs
from tests.pool.lab import needs_an_engine
from tests.pool.rig import Rig


class Systemd:
    """Its end of NOTIFY_SOCKET: `heard` is (process, message) in order."""

    def __init__(self, path):
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(path.replace("@", "\0", 1) if path.startswith("@") else path)
        self._socket.setblocking(False)
        self._all = []

    @property
    def heard(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                said, more, _, _ = self._socket.recvmsg(4096, socket.CMSG_SPACE(12))
                self._all.append((struct.unpack("3i", more[0][2])[0], said.decode()))
        return self._all

    def close(self):
        self._socket.close()


@pytest.fixture
def systemd(tmp_path, monkeypatch):
    listens = Systemd(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", listens.path)
    yield listens
    listens.close()


def test_a_message_is_one_datagram(systemd):
    notify.tell(notify.READY, notify.ALIVE)
    assert systemd.heard == [(os.getpid(), "READY=1\nWATCHDOG=1")]


def test_an_abstract_socket(monkeypatch):
    listens = Systemd(f"@backburn-{os.getpid()}")
    monkeypatch.setenv("NOTIFY_SOCKET", listens.path)
    notify.tell(notify.STOPPING)
    assert [said for _, said in listens.heard] == ["STOPPING=1"]
    listens.close()


@pytest.mark.parametrize("path", ["", "/no/such/socket", "vsock:2:1234", "@", "/dev/null"])
def test_where_nobody_listens_nothing_happens(monkeypatch, path):
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    notify.tell(notify.READY)


def test_one_that_reads_nothing_holds_nobody_up(systemd, monkeypatch):
    monkeypatch.setattr(notify, "_PATIENCE", 0.1)
    begun = time.monotonic()
    for _ in range(int(open("/proc/sys/net/unix/max_dgram_qlen").read()) + 3):
        notify.tell("x" * 1000)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("states", "late", "said"),
    [
        ([State.BUSY, State.ONLINE, State.BUSY], {}, "WATCHDOG=1\nSTATUS=2 busy, 1 online"),
        ([], {}, "WATCHDOG=1\nSTATUS=no slot"),
        ([State.BUSY], {"cpu0": "its worker is 200 s late"}, "STATUS=cpu0: its worker is 200 s late"),
    ],
)
def test_how_it_stands(systemd, states, late, said):
    notify.standing(states, late)
    assert [one for _, one in systemd.heard] == [said], "whoever is late is not alive"


def test_no_word_of_an_engine_is_a_message_of_its_own(systemd):
    notify.waiting("no\nWATCHDOG=trigger\x00 " + "x" * 1000)
    ((_, said),) = systemd.heard
    assert said.startswith("WATCHDOG=1\nSTATUS=waits: no WATCHDOG=trigger") and said.count("\n") == 1
    assert len(said) < 300


@needs_an_engine
def test_the_supervisor_from_start_to_end(own_daemon, tmp_path, systemd, monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET")  # dockerd would write there too
    monkeypatch.setitem(rigs._HERE["env"], "NOTIFY_SOCKET", systemd.path)
    with Rig(own_daemon, tmp_path) as rig:
        own_daemon.kill()
        pid = rig.start().pid
        rig.until(lambda: any("STATUS=waits" in said for _, said in systemd.heard))
        assert not _with("READY=1", systemd), "nobody knows what runs"
        own_daemon.up()
        rig.until(lambda: _with("READY=1", systemd))
        rig.until(lambda: "WATCHDOG=1\nSTATUS=1 online" in [said for _, said in systemd.heard])
        rig.process.send_signal(signal.SIGHUP)
        rig.until(lambda: len(_with("READY=1", systemd)) == 2)
        (reloading,) = _with("RELOADING=1\nMONOTONIC_USEC=", systemd)
        assert abs(int(reloading.rpartition("=")[2]) / 1e6 - time.monotonic()) < 60
        assert rig.stop()[0] == 0
        assert [said for _, said in systemd.heard][-1] == "STOPPING=1" and len(_with("STOPPING=1", systemd)) == 1
        assert {sender for sender, _ in systemd.heard} == {pid}, "it is one process to systemd, all the while"


def _with(words, systemd):
    return [said for _, said in systemd.heard if said.startswith(words)]
