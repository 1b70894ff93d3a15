"""The user, asked of this machine's own tables; making it is in test_installation.py."""

import grp
import os
import signal
import socket

import pytest

from backburn.errors import UserError
from backburn.pool.config import Config, Docker
from backburn.pool.setup import user
from backburn.pool.setup.user import Failed


def test_a_program_that_fails_says_so():
    assert user.run("echo", "yes") == "yes"
    with pytest.raises(Failed, match="userdel: .*no-such"):
        user.run("userdel", "no-such-user-at-all")
    with pytest.raises(Failed, match="no-such-program"):
        user.run("no-such-program")
    assert str(Failed("no", "do")) == "no\n  do"


def test_a_program_is_let_to_its_end():
    """A signal that comes meanwhile is not its, and comes after it."""
    came = []
    before = signal.signal(signal.SIGINT, lambda *_: came.append(True))
    try:
        assert user.run("bash", "-c", f"kill -INT $$ {os.getpid()}; sleep 0.1; echo to the end") == "to the end"
    finally:
        signal.signal(signal.SIGINT, before)
    assert came


def test_the_engines_group_is_its_sockets(tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))
        config = Config(docker=Docker(host=f"unix://{path}"))
        if os.geteuid() == 0:
            with pytest.raises(UserError, match="only root may"):
                user.engine_group(config)
            os.chown(path, 0, grp.getgrnam("nogroup").gr_gid)
            assert user.engine_group(config) == "nogroup"
    with pytest.raises(UserError, match="no socket"):
        user.engine_group(Config(docker=Docker(host="tcp://10.0.0.1:2376")))


def test_who_is_there_and_in_which_group(monkeypatch):
    monkeypatch.setattr(user, "USER", "nobody")
    assert (
        user.exists()
        and user.is_member("nogroup")
        and not user.is_member("daemon")
        and not user.is_member("no-such-group")
    )
    monkeypatch.setattr(user, "USER", "no-such-user-at-all")
    assert not user.exists() and not user.is_member("nogroup")
