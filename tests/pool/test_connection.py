"""How an engine is asked: in few connections, in time, and by whether it is slow, gone or back."""

import os
import time

import pytest

from backburn.pool.config import Config, Docker, Pool
from backburn.pool.docker import DockerEngine
from backburn.pool.engine import Unreachable
from tests.pool.lab import begun, needs_an_engine, settings, unreachable, until
from tests.pool.proxy import Proxy


@needs_an_engine
def test_it_keeps_few_connections_however_much_it_asks(engine):
    """The SDK has one for each path, up to 25, and each worker has a client: at 40 slots no file can be opened."""
    engine.ping()
    before = len(os.listdir("/proc/self/fd"))
    for number in range(40):
        assert engine.inspect(f"none{number}") is None
    assert len(os.listdir("/proc/self/fd")) - before < 5


@needs_an_engine
def test_a_daemon_that_hangs_is_unreachable_in_time_and_has_not_restarted(own_daemon, github):
    engine = DockerEngine(settings(own_daemon, github), quick=0.3, slow=0.3)
    container = begun(DockerEngine(engine._config), github, "seconds=60\n")
    first = engine.restarted()
    engine.ping()
    with own_daemon.hang():
        begin = time.monotonic()
        assert unreachable(engine, container) == []
        assert time.monotonic() - begin < 8
        assert not engine.reachable
    until(lambda: engine.inspect(container).state == "running")
    assert engine.restarted() == first and engine.reachable


@needs_an_engine
def test_an_engine_behind_a_proxy_tells_a_restart_by_its_connection(own_daemon, github):
    with Proxy(own_daemon.folder / "p.sock", own_daemon.socket) as proxy:  # its process is not dockerd, as over TCP
        engine = DockerEngine(settings(own_daemon, github, host=proxy.host), quick=1.0)
        engine.ping()
        with own_daemon.hang(), pytest.raises(Unreachable):
            engine.ping()
        with own_daemon.hang(), pytest.raises(Unreachable):  # by a client that is new again
            engine.ping()
        engine.ping()
        assert engine.restarted() == 0.0, "slow is not gone"
        own_daemon.kill()
        with pytest.raises(Unreachable):
            engine.ping()
        assert engine.restarted() == 0.0, "it is not back"
        own_daemon.up()
        engine.ping()
        assert time.time() - 5 < engine.restarted() < time.time() + 1


@needs_an_engine
def test_nothing_listens(tmp_path):
    engine = DockerEngine(Config(pool=Pool(name="lab", image="x"), docker=Docker(host=f"unix://{tmp_path}/none.sock")))
    assert unreachable(engine, "x" * 64) == [] and engine.restarted() == 0.0
