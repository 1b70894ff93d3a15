"""Layers, leases and what they read: folders, and renames between them."""

import os
import threading

import pytest

from backburn.pool.cache.shelf import LAYERS, OPTIONS, Shelf
from backburn.pool.config import CACHES, Cache, Config, Pool
from backburn.pool.lease import Lease


@pytest.fixture
def shelf(tmp_path):
    made = Shelf(Config(pool=Pool(name="lab"), cache=Cache(root=str(tmp_path / "cache"), names=("pip", "hf"))))
    made.prepare()
    return made


def layer(shelf, mark, name="pip"):
    built = shelf.build("x")
    (built / mark).write_text("")
    shelf.add(built, name, mark)


def test_a_lease_writes_above_the_layers_that_were_there(shelf):
    assert shelf.open("0a0a")["hf"].startswith(
        f"lowerdir={shelf.folder}/empty,upperdir={shelf.folder}/leases/0a0a/hf/upper,"
    )
    layer(shelf, "0001")
    layer(shelf, "0002")
    options = shelf.open("0b0b")["pip"]
    lower = f"{shelf.folder}/layers/pip/00000002-0002:{shelf.folder}/layers/pip/00000001-0001"
    home = shelf.folder / "leases/0b0b/pip"
    assert options == f"lowerdir={lower},upperdir={home}/upper,workdir={home}/work,{OPTIONS}"
    layer(shelf, "0003")
    assert shelf.open("0b0b")["pip"] == options, "as its container was made"
    assert (home / "upper").stat().st_mode & 0o7777 == 0o777
    assert shelf.folder.stat().st_mode & 0o7777 == 0o700, "nobody else of this machine gets there"


def test_a_base_stands_for_all_before_it(shelf):
    for mark in ("0001", "base", "0002", "0003"):
        layer(shelf, mark)
    assert shelf.current("pip") == ["00000004-0003", "00000003-0002", "00000002-base"]
    layer(shelf, "base")
    assert shelf.current("pip") == ["00000005-base"] and shelf.has("pip", "0002") and not shelf.has("hf", "0002")


def test_what_is_read_is_not_retired_and_what_is_retired_is_not_read(shelf):
    layer(shelf, "0001")
    shelf.open("0a0a")
    layer(shelf, "base")
    assert shelf.retire() == []
    shelf.close("0a0a")
    assert shelf.retire() == ["pip/00000001-0001"]
    assert [one.rpartition("-")[0] for one in shelf.litter()] == ["0a0a", "pip-00000001-0001"]
    assert shelf.layers("pip") == ["00000002-base"]


def test_many_that_choose_while_layers_come_and_go_read_only_what_is_there(shelf):
    wrong, ended = [], threading.Event()

    def lease(number):
        count = 0
        while not ended.is_set():
            count += 1
            name = f"{number:x}{count:07x}"
            lower = shelf.open(name)["pip"].partition(",")[0].removeprefix("lowerdir=").split(":")
            wrong.extend(one for one in lower if not os.path.isdir(one))
            shelf.close(name)

    threads = [threading.Thread(target=lease, args=(number,)) for number in range(1, 4)]
    for thread in threads:
        thread.start()
    for number in range(60):
        layer(shelf, f"{number:04x}" if number % 3 else "base")
        shelf.retire()
    ended.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert shelf.retire() == [] and len(shelf.current("pip")) == len(shelf.layers("pip"))


def test_an_offer_is_read_as_it_was_made(shelf):
    lease = Lease(id="0a0a", slot="cpu0", runner="lab-cpu0-0a0a", runner_id=7)
    shelf.offer(lease)
    assert shelf.offered("0a0a") is None and shelf.leases() == [], "no caches, no offer"
    shelf.open("0a0a")
    shelf.offer(lease)
    assert shelf.offered("0a0a") == lease and shelf.written("0a0a") == []
    (shelf.upper("0a0a", "hf") / "x").write_text("")
    assert shelf.written("0a0a") == ["hf"]


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "ABCD", "0" * 17, "0a0a\n"])
def test_no_other_name_becomes_a_folder(shelf, name):
    for call in (shelf.open, shelf.close, lambda one: shelf.upper(one, "pip")):
        with pytest.raises(ValueError, match="no lease"):
            call(name)


def test_strange_folders_are_no_leases_and_no_layers(shelf):
    for one in ("leases/x", "leases/.hidden", "layers/pip/lost+found", "layers/pip/00000009-0001.part"):
        (shelf.folder / one).mkdir()
    assert shelf.leases() == shelf.layers("pip") == []
    assert shelf.open("0a0a")["pip"].startswith(f"lowerdir={shelf.folder}/empty,")


def test_the_longest_options_fit_into_a_page(tmp_path):
    config = Config(pool=Pool(name="n" * 20), cache=Cache(root="/" + "r" * 99))
    shelf = Shelf(config)
    layers = [f"{number:08d}-{'f' * 16}" for number in range(LAYERS)]
    assert all(len(shelf._options(shelf._home("e" * 16), name, layers)) < 4096 for name in CACHES)


def test_one_works_at_a_time(shelf):
    with shelf.working() as first, shelf.working() as second:
        assert first and not second
    with shelf.working() as again:
        assert again
