"""From an empty slot to a runner: what stops it, and what it leaves when it is stopped."""

from backburn.pool.lease import Phase, State
from backburn.pool.simulation.dock import Box
from backburn.pool.simulation.faults import Fault

from .worlds import MINUTE, outcomes, quiet, reach, sound


def registered(soak):
    return {one.name for one in soak.hub.live.values()} - set(soak.witness.strangers)


def test_a_full_disk_arms_nothing_and_says_how_much_is_missing():
    soak = quiet()
    soak.free = 5.0 * (1 << 30)
    place = reach(soak, State.BLOCKED)
    assert "5.0 GiB free" in place.reason and "disk-min-free, 10.0 GiB" in place.reason
    soak.go(10 * MINUTE)
    assert registered(soak) == set()
    soak.free = 1e12
    reach(soak, State.ONLINE, within=6 * MINUTE)
    sound(soak)


def test_an_engine_that_declines_leaves_no_registration_behind():
    soak = quiet()
    soak.dock.rates.declines = 1.0
    place = reach(soak, State.BLOCKED)
    assert "the engine declines: no space left on device" in place.reason
    soak.go(20 * MINUTE)
    assert registered(soak) == set() and 3 <= place.failures <= 10, "ever more rarely"
    soak.dock.rates.declines = 0.0
    reach(soak, State.ONLINE, within=6 * MINUTE)
    sound(soak)


def test_a_start_whose_answer_was_lost_is_adopted_and_not_repeated(monkeypatch):
    soak = quiet()
    soak.dock.rates.unheard = 1.0
    soak.go(MINUTE)
    soak.dock.rates.unheard = 0.0
    reach(soak, State.ONLINE, within=6 * MINUTE)
    assert all(box.starts <= 1 for box in soak.dock.boxes.values())
    sound(soak)


def test_every_attempt_has_a_name_of_its_own():
    soak = quiet()
    soak.hub.faults.plan(Fault.TAKEN, "register", times=2)
    soak.hub.faults.plan(Fault.FAILED_AFTER, "register", times=2)
    reach(soak, State.ONLINE, within=5 * MINUTE)
    with_us = [lease.runner for lease in soak.store.open_leases()]
    assert len(set(with_us)) == len(with_us) and len(soak.hub.names) >= 3
    soak.go(4 * MINUTE)
    assert registered(soak) == {soak.places[0].lease.runner}
    sound(soak)


def test_what_the_last_lease_left_goes_first():
    soak = quiet()
    reach(soak, State.ONLINE)
    slot = soak.places[0].slot
    soak.kill()
    labels = {"backburn.pool": "lab1", "backburn.slot": slot.name, "backburn.lease": "0123abcd"}
    for state in ("created", "exited", "dead"):
        name = f"{soak.config.prefix}{slot.name}-{state}"
        soak.dock.boxes[name] = Box(name, name, labels | {"backburn.lease": state}, slot.name, "", state=state)
    for box in [box for box in soak.dock.boxes.values() if box.state == "running"]:
        soak.dock.end(box, 0)
    soak.go(3 * MINUTE)
    assert len([box for box in soak.dock.boxes.values() if box.slot == slot.name]) == 1
    assert soak.places[0].state is State.ONLINE and soak.places[0].lease.phase is Phase.STARTED
    assert len(outcomes(soak)) == 1
