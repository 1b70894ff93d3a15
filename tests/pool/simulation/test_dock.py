"""The model of an engine keeps what the contract says, and what tests/pool/test_docker.py sees the real one do."""

import random

import pytest

from backburn.pool.engine import Declined, Unreachable
from backburn.pool.lease import Lease, Slot
from backburn.pool.simulation.dock import Dock
from backburn.pool.simulation.world import World

SLOT = Slot(name="gpu0123abcd", device="GPU-0123abcd-1")


@pytest.fixture
def dock():
    return Dock(World(random.Random(0)), "lab1")


def lease(name="a"):
    return Lease(id=name, slot=SLOT.name, runner=f"lab1-{name}", runner_id=7, device=SLOT.device)


def test_one_container_from_birth_to_end(dock):
    begun, killed = [], []
    dock.begun, dock.killed = begun.append, killed.append
    made = dock.create(lease(), SLOT)
    assert dock.inspect(made).state == "created"
    assert dock.create(lease(), SLOT) == made, "the answer of the first call was lost"
    dock.deliver(made, "secret")
    dock.start(made)
    (box,) = begun
    assert (box.configuration, dock.inspect(made).state, dock.inspect(made).devices) == (
        "secret",
        "running",
        (SLOT.device,),
    )
    with pytest.raises(Declined, match="was started"):
        dock.deliver(made, "another")
    with pytest.raises(Declined, match="was started"):
        dock.create(lease(), SLOT)
    dock.end(box, 3)
    assert (dock.inspect(made).state, dock.inspect(made).code) == ("exited", 3)
    dock.remove(made)
    dock.remove(made)
    assert dock.inspect(made) is None and killed == [] and dock.removed_running == []


def test_removing_what_runs_kills_it(dock):
    made = dock.create(lease(), SLOT)
    dock.start(made)
    dock.remove(made)
    assert dock.removed_running == ["lab1-a"]


@pytest.mark.parametrize(("live_restore", "state"), [(True, "running"), (False, "exited")])
def test_a_restart(dock, live_restore, state):
    made = dock.create(lease(), SLOT)
    dock.start(made)
    dock.live_restore = live_restore
    dock.restart(10.0)
    with pytest.raises(Unreachable):
        dock.ping()
    dock.world.wait(20.0)
    assert dock.inspect(made).state == state and dock.restarted() > 0


def test_an_answer_that_is_lost_was_a_deed_all_the_same(dock):
    dock.rates.unheard = 1.0
    with pytest.raises(Unreachable):
        dock.create(lease(), SLOT)
    assert [one.name for one in dock.containers()] == ["lab1-a"]


def test_it_has_no_such_container(dock):
    for act in (dock.start, lambda one: dock.deliver(one, "x")):
        with pytest.raises(Declined, match="no such container"):
            act("nowhere")
    assert dock.inspect("nowhere") is None and dock.read("nowhere", "/x") is None
