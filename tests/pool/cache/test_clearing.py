"""What `backburn pool gc` takes of caches, and what it leaves to the supervisor."""

import os

import pytest

from backburn.errors import UserError
from backburn.pool.cache import clearing
from backburn.pool.exits import Outcome
from backburn.pool.lease import Phase
from tests.pool.cache.shop import Here, Shop
from tests.pool.moments import Moments

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="NOT ROOT: the chores are done here")


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.setattr(clearing, "Porter", Here)
    return Shop(tmp_path)


def collect(shop, dry_run=False):
    return clearing.collect(shop.config, shop.store, shop.engine, dry_run=dry_run)


def test_what_is_over_goes_and_what_may_be_kept_stays(shop):
    shop.keeper.round()
    running, _ = shop.begin()
    shop.write(running, "pip", a="1")
    failed, _ = shop.begin()
    shop.write(failed, "pip", b="1")
    shop.end(failed, how=Outcome.FAILED)
    offered = shop.job(c="1")
    for dry in (True, False):
        assert collect(shop, dry) == [f"what the lease {failed.id} wrote to caches"]
    assert collect(shop) == [] and shop.shelf.leases() == [running.id, offered.id]
    shop.keeper.round()
    assert shop.seen() == {"c": "1"} and shop.told.asked == [offered.id]


def test_layers_that_nobody_reads_go(shop):
    shop.job(a="1")
    shop.keeper.round()
    reader, _ = shop.begin()
    shop.shelf.add(shop.shelf.build("x"), "pip", "base")
    assert collect(shop, dry_run=True) == collect(shop) == []
    shop.end(reader, protected=False, how=Outcome.FAILED)
    over = f"what the lease {reader.id} wrote to caches"
    assert collect(shop, dry_run=True) == [over], "it reads one yet"
    assert collect(shop) == [over, "the cache layer pip/00000001-00000001"] and collect(shop) == []
    assert len(shop.shelf.layers("pip")) == 1 and shop.tidy()


def test_what_is_too_much_goes_with_no_supervisor(tmp_path, monkeypatch):
    monkeypatch.setattr(clearing, "Porter", Here)
    clock = Moments()
    shop = Shop(tmp_path, clock=clock)
    for name in ("one", "two"):
        shop.job(**{name: "x" * 9000})
        shop.keeper.round()
        clock.wait(5)
    less = Shop(tmp_path, most=20 << 10)
    assert collect(less) == [] and set(shop.seen()) == {"two"} and shop.tidy()


def test_while_the_supervisor_is_at_work_it_takes_nothing(shop):
    shop.end(shop.begin()[0], how=Outcome.FAILED)
    with shop.shelf.working():
        assert collect(shop) == []
    assert len(collect(shop)) == 1


def test_a_pool_without_caches_has_none(shop, tmp_path):
    other = Shop(tmp_path / "other")
    os.rename(other.shelf.folder, tmp_path / "gone")
    assert collect(other) == []


def test_a_folder_that_is_no_shelf_is_the_askers_to_mend(shop):
    os.rename(shop.shelf.folder / "work", shop.shelf.folder / "file") if (shop.shelf.folder / "work").exists() else None
    (shop.shelf.folder / "work").mkdir()
    with pytest.raises(UserError, match="directory"):
        collect(shop)


def test_a_lease_is_over_when_neither_the_database_nor_the_engine_has_it(shop):
    lease, _ = shop.begin()
    for phase, container, over in (
        (Phase.CREATING, False, False),  # its container is about to be made
        (Phase.STARTED, True, False),
        (Phase.ENDED, False, False),
        (Phase.LEAVING, True, False),
        (Phase.CLOSED, True, False),  # or the database was lost, and is made anew from the labels
        (Phase.LEAVING, False, True),
        (Phase.CLOSED, False, True),
    ):
        lease.phase = phase
        shop.store.save(lease)
        shop.engine.leases = {lease.id} if container else set()
        assert clearing.over(shop.shelf, shop.store, shop.engine) == ([lease.id] if over else []), (phase, container)
