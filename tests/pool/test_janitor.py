"""What is left at GitHub goes; what is somebody else's stays, however it is called."""

import pytest

from backburn.pool.lease import Phase, State
from backburn.pool.simulation.faults import Fault
from backburn.pool.store import FILE

from .worlds import MINUTE, quiet, reach, sound, until


@pytest.mark.parametrize(
    ("name", "stays"),
    [
        ("lab1-sim-gpu00000000-0123abcd", False),
        ("lab1-sim-mig0123abcd-0123abcd", False),
        ("lab1-sim-cpu12-0123abcd", False),
        ("lab1-sim-2-gpu00000000-0123abcd", True),  # the machine sim-2
        ("lab1-sim-gpu00000000-0123abcde", True),
        ("lab1-sim-gpu0-0123abcd", True),
        ("lab1-simple-cpu0-0123abcd", True),
        ("lab10-sim-cpu0-0123abcd", True),
        ("ylab1-sim-cpu0-0123abcd", True),
        ("lab1-sim-", True),
    ],
)
def test_a_registration_without_a_lease(name, stays):
    soak = quiet()
    reach(soak, State.ONLINE)
    soak.hub.register(name, ("self-hosted",), 1)
    soak.go(30.0)
    assert soak.hub.named(name), "its slot may be looking after it just now"
    soak.go(4 * MINUTE)
    assert bool(soak.hub.named(name)) is stays
    sound(soak)


def test_one_with_a_job_is_left_alone_until_it_has_none():
    soak = quiet()
    reach(soak, State.ONLINE)
    runner = soak.hub.register("lab1-sim-cpu7-0123abcd", ("self-hosted", "gpu"), 1)
    session = soak.hub.connect(runner.configuration)
    while runner.work is None:
        soak.hub.submit(repository="acme/x")
        soak.hub.assign()
    soak.hub.poll(session)
    soak.go(10 * MINUTE)
    assert not runner.removed
    soak.hub.finish(session)
    assert runner.removed == "used"


def test_with_a_lost_database_it_waits_for_the_slots_to_look_first():
    soak = quiet(slots=3)
    for _ in range(3):
        soak.go(MINUTE)
        soak.kill()
        for suffix in ("", "-wal", "-shm"):
            (soak.config.state / f"{FILE}{suffix}").unlink(missing_ok=True)
        soak.go(3 * MINUTE)
        assert [place.state for place in soak.places] == [State.ONLINE] * 3
    soak.go(5 * MINUTE)
    assert len(soak.hub.live) == 3 + len(soak.witness.strangers)


def test_what_is_not_answered_of_one_is_asked_of_the_next():
    soak = quiet(slots=3)
    soak.go(MINUTE)
    for place in soak.places:
        place.lease.phase = Phase.LEAVING
    leaving = [place.lease for place in soak.places]
    soak.dock.boxes.clear()  # so that nobody but the janitor looks after them
    soak.store.save(*leaving)
    soak.places.clear()
    for place in list(soak._turns):
        soak._turns[place] += 1
    soak.hub.faults.plan(Fault.LOST, "remove")
    before = soak.hub.requests["remove", 204]
    until(soak, lambda: soak.hub.requests["remove", 0])
    assert soak.hub.requests["remove", 204] - before == 0
    soak.go(6.0)
    assert soak.hub.requests["remove", 204] - before >= 2, "at once, not one a round"
