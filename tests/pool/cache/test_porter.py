"""What root's container may do, and what becomes of one that takes too long, fails, or outlives who started it."""

import time

import msgspec
import pytest

from backburn.pool.cache.porter import LABEL
from backburn.pool.engine import Declined
from tests.pool.cache.shop import Shop
from tests.pool.lab import needs_an_engine, said_of, until

pytestmark = needs_an_engine


@pytest.fixture
def shop(engine_daemon, tmp_path):
    return Shop(tmp_path, daemon=engine_daemon, image=engine_daemon.listener(1))


def left(daemon):
    said = daemon.ask("ps", "--all", "--quiet", "--filter", f"label={LABEL}=lab")
    return [] if said == "ok" else said.split()


def test_it_sees_the_caches_and_nothing_else(shop, engine_daemon):
    body = shop.porter._body("0:0", ["/bin/sh", "-c", "sleep 60"], [], ("CHOWN",))
    container = shop.porter._created(body)
    host = msgspec.json.decode(said_of(engine_daemon, container, ".HostConfig"))
    wanted = {"NetworkMode": "none", "CapDrop": ["ALL"], "CapAdd": ["CAP_CHOWN"], "ReadonlyRootfs": True}
    wanted |= {"SecurityOpt": ["no-new-privileges"], "Privileged": False, "PidsLimit": 64, "AutoRemove": False}
    assert {key: [f"CAP_{one.removeprefix('CAP_')}" for one in host[key]] if key == "CapAdd" else host[key]
            for key in wanted} == wanted  # fmt: skip
    assert shop.keeper._engine.containers() == [] and left(engine_daemon) == [container[:12]]
    assert "backburn.pool" not in engine_daemon.ask("inspect", container), "no lease's"
    shop.porter.clear()
    assert left(engine_daemon) == []


def test_it_removes_what_jobs_of_another_user_locked(shop, engine_daemon):
    shop.run(one := shop.begin(), "cd /cache/pip; mkdir a; echo x >a/b; chmod 000 a/b a")
    shop.end(one[0], protected=False)
    shop.keeper.round()
    assert shop.tidy() and left(engine_daemon) == []


def test_one_that_takes_too_long_is_ended_and_one_that_fails_says_why(shop, engine_daemon):
    begin = time.monotonic()
    with pytest.raises(Declined, match="not done after 1 s"):
        shop.porter.run("0:0", ["/bin/sh", "-c", "trap '' TERM; sleep 60"], [], limit=1.0)
    assert time.monotonic() - begin < 15
    with pytest.raises(Declined, match="exit code 1: .*no-such-folder"):
        shop.porter.do("clear", "/no-such-folder")
    with pytest.raises(Declined, match="exit code 127"):
        shop.porter.do("no-such-chore")
    assert left(engine_daemon) == []


def test_what_a_dead_keeper_left_running_is_ended_before_anything_else(shop, engine_daemon):
    """Its half of a layer is in the trash then, and the whole one is made."""
    lease = shop.job(a="1", d__b="2")
    half = shop.shelf.build("pip")
    slow = 'echo x >"$1/half"; sleep 60; echo x >"$1/other-half"'
    mount = {"Type": "bind", "Source": str(shop.shelf.folder), "Target": "/shelf"}
    command = ["/bin/sh", "-c", slow, "slow", shop.porter.inside(half)]
    orphan = shop.porter._created(shop.porter._body("0:0", command, [mount], ()))
    assert engine_daemon.ask("start", orphan)
    until((half / "half").exists)
    shop.keeper.round()
    assert shop.seen() == {"a": "1", "d/b": "2"} and left(engine_daemon) == [] and shop.tidy()
    assert shop.shelf.layers("pip") == [f"00000001-{lease.id}"]


def test_containers_of_another_pool_are_left_alone(shop, engine_daemon):
    image = engine_daemon.listener(1)
    assert engine_daemon.ask("create", "--label", f"{LABEL}=lab2", "--name", "other", image)
    assert engine_daemon.ask("create", "--label", "backburn.pool=lab", "--name", "job", image)
    shop.porter.clear()
    assert engine_daemon.ask("inspect", "other", "job")
    engine_daemon.ask("rm", "other", "job")
