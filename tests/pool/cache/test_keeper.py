"""What is kept and what is not; and that whoever dies, and when, no half layer is ever seen."""

import os
import signal
import sys

import pytest

from backburn.pool.cache import clearing
from backburn.pool.cache import shelf as shelves
from backburn.pool.exits import Outcome
from backburn.pool.lease import Phase
from tests.pool.cache.shop import JOBS, Shop
from tests.pool.moments import Moments

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="NOT ROOT: the chores are done here")


def test_what_a_protected_job_wrote_is_there_for_the_next(tmp_path):
    shop = Shop(tmp_path)
    lease, _ = shop.begin()
    shop.write(lease, "pip", a="1", d__b="2")
    shop.write(lease, "hf", c="3")
    shop.keeper.round()
    assert shop.seen() == {} and shop.told.asked == [], "it still runs"
    shop.end(lease)
    shop.keeper.round()
    assert shop.seen() == {"a": "1", "d/b": "2"} and shop.seen("hf") == {"c": "3"}
    assert shop.tidy() and shop.told.asked == [lease.id]
    after, _ = shop.begin()
    assert shop.reads(after) == {"pip": [f"00000001-{lease.id}"], "hf": [f"00000001-{lease.id}"]}
    assert (shop.shelf.folder / "layers/pip" / f"00000001-{lease.id}/d/b").stat().st_uid == JOBS
    figures = shop.keeper.figures()
    assert figures.promotions == figures.layers == {"pip": 1, "hf": 1} and figures.refusals == {}
    assert figures.bytes["pip"] > 0


@pytest.mark.parametrize(
    ("protected", "how", "promote", "refused"),
    [
        (False, Outcome.SUCCEEDED, True, {"unprotected": 1}),
        (True, Outcome.FAILED, True, {}),
        (True, Outcome.WATCHDOG, True, {}),
        (True, Outcome.DONE, True, {}),
        (True, Outcome.SUCCEEDED, False, {}),
    ],
)
def test_what_anybody_else_wrote_is_gone(tmp_path, protected, how, promote, refused):
    shop = Shop(tmp_path, promote=promote)
    lease, _ = shop.begin()
    shop.write(lease, "pip", a="1")
    shop.end(lease, protected=protected, how=how)
    shop.keeper.round()
    assert shop.seen() == {} and shop.shelf.layers("pip") == [] and shop.tidy()
    assert shop.keeper.figures().refusals == refused


def test_github_is_not_asked_about_a_lease_that_wrote_nothing(tmp_path):
    shop = Shop(tmp_path)
    shop.end(shop.begin()[0])
    shop.keeper.round()
    assert shop.told.asked == [] and shop.shelf.layers("pip") == [] and shop.tidy()


def test_an_offer_that_cannot_be_read_is_none(tmp_path):
    shop = Shop(tmp_path)
    lease = shop.job(a="1")
    (shop.shelf.folder / "leases" / lease.id / "offer").write_bytes(b'{"id": ')
    shop.keeper.round()
    assert shop.seen() == {} and shop.tidy()


def test_a_lease_without_caches_has_nothing_to_offer(tmp_path):
    shop = Shop(tmp_path)
    lease, _ = shop.begin()
    shop.shelf.close(lease.id)
    shop.keeper.ended(lease, Outcome.SUCCEEDED)
    lease.id = "../../etc"
    shop.keeper.ended(lease, Outcome.SUCCEEDED)
    assert shop.shelf.leases() == [] and "no lease" in shop.notes[-1][2]


def test_two_that_write_at_once_are_both_kept_and_of_the_same_file_the_later_one(tmp_path):
    shop = Shop(tmp_path)
    (first, _), (second, _) = shop.begin(), shop.begin()
    shop.write(first, "pip", d__same="first", d__one="1")
    shop.write(second, "pip", d__same="second", d__two="2")
    shop.end(first)
    shop.keeper.round()
    shop.end(second)
    shop.keeper.round()
    assert shop.seen() == {"d/same": "second", "d/one": "1", "d/two": "2"}


def test_many_layers_become_one_and_those_that_are_read_stay(tmp_path):
    shop = Shop(tmp_path)
    shop.job(first="1")
    shop.keeper.round()
    reader, _ = shop.begin()
    for number in range(shelves.LAYERS):
        shop.job(**{f"file{number}": str(number)})
        if number % 3 == 0:
            shop.keeper.round()
        assert len(shop.shelf.current("pip")) <= shelves.LAYERS
    shop.keeper.round()
    every = {"first": "1"} | {f"file{number}": str(number) for number in range(shelves.LAYERS)}
    assert shop.seen() == every and len(shop.shelf.current("pip")) < shelves.LAYERS
    assert shop.shelf.current("pip")[-1].endswith("-base")
    (old,) = shop.reads(reader)["pip"]
    assert shop.read("pip", [old]) == {"first": "1"} and old in shop.shelf.layers("pip")
    assert set(shop.shelf.layers("pip")) == {old, *shop.shelf.current("pip")}, "nobody reads the others"
    shop.end(reader, protected=False)
    shop.keeper.round()
    assert shop.shelf.layers("pip") == shop.shelf.current("pip") and shop.seen() == every and shop.tidy()


def test_a_lease_that_begins_while_many_are_promoted_has_no_more_to_mount_than_fits(tmp_path, monkeypatch):
    shop, counts = Shop(tmp_path), []
    monkeypatch.setattr(clearing, "LAYERS", 4)
    protected = shop.told.protected
    shop.told.protected = lambda lease: counts.append(len(shop.shelf.current("pip"))) or protected(lease)
    for number in range(6):
        shop.job(**{f"file{number}": ""})
    shop.keeper.round()
    assert counts == [0, 1, 2, 3, 1, 2] and len(shop.seen()) == 6


def test_what_is_too_much_goes_the_oldest_first_and_never_from_under_a_lease(tmp_path):
    clock = Moments()
    shop = Shop(tmp_path, most=500 << 10, clock=clock)
    megabyte = "x" * (200 << 10)
    shop.job(one=megabyte, one_too="1")
    shop.keeper.round()
    clock.wait(10)
    shop.job(two=megabyte)
    shop.keeper.round()
    assert set(shop.seen()) == {"one", "one_too", "two"}
    reader, _ = shop.begin()
    clock.wait(10)
    lease, _ = shop.begin()
    shop.write(lease, "hf", three=megabyte)
    shop.end(lease)
    shop.keeper.round()
    assert set(shop.seen()) == {"two"} and set(shop.seen("hf")) == {"three"}
    assert set(shop.read("pip", shop.reads(reader)["pip"])) == {"one", "one_too", "two"}
    shop.end(reader, protected=False)
    shop.keeper.round()
    assert shop.keeper.figures().bytes["pip"] < 300 << 10 and shop.tidy()


def test_a_cache_that_is_no_more_named_goes(tmp_path):
    shop = Shop(tmp_path)
    shop.job(a="1")
    shop.keeper.round()
    less = Shop(tmp_path, names=("hf",))
    assert less.shelf.retired() == ["pip/00000001-00000001"]
    less.keeper.round()
    assert less.shelf.layers("pip") == [] and less.tidy()


def test_a_list_of_layers_that_a_power_cut_emptied_lets_nothing_go(tmp_path):
    shop = Shop(tmp_path)
    shop.job(a="1")
    shop.keeper.round()
    broken, _ = shop.begin()
    (shop.shelf.folder / "leases" / broken.id / "layers").write_bytes(b"")
    less = Shop(tmp_path, names=("hf",))
    assert less.shelf.retire() == []
    less.engine.leases.clear()
    broken.phase = Phase.LEAVING
    shop.store.save(broken)
    less.keeper.round()
    assert less.shelf.layers("pip") == [] and less.tidy()


def test_a_chore_that_fails_keeps_nothing_and_says_so(tmp_path):
    shop = Shop(tmp_path)
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "cp").write_text('#!/bin/sh\necho half >"$3/half"\necho no room >&2\nexit 1\n')
    (tools / "cp").chmod(0o755)
    shop.porter.path = f"{tools}:{os.environ['PATH']}"
    lease = shop.job(a="1")
    shop.keeper.round()
    assert shop.seen() == {} and shop.tidy() and shop.keeper.figures().refusals == {"failed": 1}
    assert f"the lease {lease.id} wrote to the cache pip is not kept: exit code 1: no room" in shop.notes[-1][2]


def test_two_keepers_do_not_work_at_once(tmp_path):
    shop = Shop(tmp_path)
    shop.job(a="1")
    with shop.shelf.working() as alone:
        assert alone
        shop.keeper.round()
        assert shop.seen() == {}
    shop.keeper.round()
    assert shop.seen() == {"a": "1"}


# Killed.

STEPS = ("os.rename", "os.mkdir", "os.remove", "subprocess.Popen", "os.posix_spawn")


def rounds(shop, at):
    """A round in a process of its own, which dies by SIGKILL as it comes to its step `at`: whether it came there."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        return os.WIFSIGNALED(status)
    passed = 0

    def hook(event, _):
        nonlocal passed
        passed += event in STEPS
        if event in STEPS and passed == at:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.addaudithook(hook)
        shop.keeper.round()
    finally:
        os._exit(0)


def test_whoever_is_killed_at_any_step_leaves_a_layer_whole_or_absent(tmp_path):
    """Each step of a promotion, and, every other time, of pruning what is too much then."""
    old, new = {"a": "x" * 9000, "d/b": "2"}, {"c": "3" * 9000, "d/e": "4"}
    for at in range(1, 100):
        clock = Moments()
        shop = Shop(tmp_path / str(at), most=30 << 10 if at % 2 else 1 << 40, clock=clock)
        shop.job(a=old["a"], d__b=old["d/b"])
        shop.keeper.round()
        clock.wait(1)
        reader, _ = shop.begin()
        lease = shop.job(c=new["c"], d__e=new["d/e"])
        came = rounds(shop, at)
        here = f"at step {at}: {sorted(shop.seen())}"
        last = new if at % 2 else old | new
        assert shop.seen() in (old, old | new, last), here
        assert shop.read("pip", shop.reads(reader)["pip"]) == old, here
        shop.restart()
        shop.keeper.round()
        assert shop.seen() == last, here
        assert at % 2 or [one.endswith(lease.id) for one in shop.shelf.layers("pip")] == [True, False], here
        shop.end(reader, protected=False)
        shop.keeper.round()
        assert shop.tidy() and shop.shelf.layers("pip") == shop.shelf.current("pip"), here
        shop.store.close()
        if not came and at > 2:
            break
    assert at > 8
