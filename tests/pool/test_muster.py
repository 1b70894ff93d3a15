"""Which slots there are."""

import random

import pytest
from msgspec.structs import replace

from backburn.errors import UserError
from backburn.pool.config import Config, GitHub, Pool, Slots
from backburn.pool.lease import Lease, Phase, Slot, State, Wanted
from backburn.pool.muster import muster, settled
from backburn.pool.simulation.dock import Dock
from backburn.pool.simulation.world import World
from backburn.pool.store import Standing, Store


def told(places):
    return {place.slot.name: place.retired for place in places}


def test_those_of_the_configuration_and_those_that_still_have_something(tmp_path):
    store, dock = Store(tmp_path, durable=False), Dock(World(random.Random(0)), "lab1")
    config = Config(github=GitHub(url="https://github.com/a"), pool=Pool(name="lab1", image="x"), slots=Slots(cpu=2))
    assert told(muster(config, store, dock)) == {"cpu0": False, "cpu1": False}
    store.save(Lease(id="1", slot="cpu9", runner="a", phase=Phase.STARTED))
    store.save(Lease(id="2", slot="cpu8", runner="b", phase=Phase.CLOSED))
    dock.create(Lease(id="3", slot="gpu12345678", runner="c", device="GPU-x"), Slot(name="gpu12345678", device="GPU-x"))
    places = muster(config, store, dock)
    assert told(places) == {"cpu0": False, "cpu1": False, "cpu9": True, "gpu12345678": True}
    assert {place.slot.device for place in places} == {"", "GPU-x"}
    assert all(place.state is State.UNKNOWN for place in places)


def test_a_quarantine_and_failures_outlive_the_process(tmp_path):
    store, dock = Store(tmp_path, durable=False), Dock(World(random.Random(0)), "lab1")
    config = Config(pool=Pool(name="lab1", image="x"), slots=Slots(cpu=2))
    for name, state in (("cpu0", State.QUARANTINED), ("cpu1", State.BUSY), ("cpu7", State.PARKED)):
        store.settle(
            Standing(name=name, device="", state=state, since=1.0, reason="why", failures=3, wanted=Wanted.RUN)
        )
    first, second = muster(config, store, dock)
    assert (first.state, first.reason, first.failures) == (State.QUARANTINED, "why", 3)
    assert (second.state, second.failures) == (State.UNKNOWN, 3)
    assert [one.name for one in store.slots()] == ["cpu0", "cpu1"], "a slot that has nothing any more is forgotten"


CONFIG = Config(github=GitHub(url="https://github.com/a"), pool=Pool(name="lab1", host="box", image="x"))
UP = {"id": "1", "slot": "cpu0", "runner": "lab1-box-cpu0-1", "url": "https://github.com/a", "phase": Phase.STARTED}


@pytest.mark.parametrize(
    ("up", "now", "refused"),
    [
        ({}, CONFIG, False),
        ({}, replace(CONFIG, github=GitHub(url="https://github.com/A/")), False),
        ({"url": ""}, replace(CONFIG, github=GitHub(url="https://github.com/b")), False),
        ({}, replace(CONFIG, github=GitHub(url="https://github.com/b")), True),
        ({}, replace(CONFIG, pool=replace(CONFIG.pool, name="lab2")), True),
        ({}, replace(CONFIG, pool=replace(CONFIG.pool, host="bigbox")), True),
        ({"phase": Phase.LEAVING}, replace(CONFIG, pool=replace(CONFIG.pool, name="lab2")), False),
        ({"phase": Phase.CLOSED}, replace(CONFIG, pool=replace(CONFIG.pool, name="lab2")), False),
    ],
)
def test_who_is_up_is_known_by_the_same_name_at_the_same_place(tmp_path, up, now, refused):
    store = Store(tmp_path, durable=False)
    store.save(Lease(**UP | up))
    if not refused:
        return settled(now, store)
    with pytest.raises(UserError, match="lab1-box-cpu0-1 may still run") as raised:
        settled(now, store)
    assert "drain all" in raised.value.hint
