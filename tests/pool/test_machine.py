"""A slot from state to state, by the real step against the models of GitHub and of the engine."""

import pytest
from msgspec.structs import replace

from backburn.pool import machine
from backburn.pool.lease import DEADLINES, State, Wanted
from backburn.pool.simulation.faults import Fault
from backburn.pool.simulation.fuse import POINTS
from backburn.pool.store import FILE, Full

from .worlds import MINUTE, job, outcomes, quiet, reach, sound, states, until


def test_every_state_has_a_step():
    assert set(machine.STEPS) == set(State)
    assert set(DEADLINES) < set(State)


def test_from_nothing_to_an_idle_runner_with_its_container():
    soak = quiet(slots=3)
    until(soak, lambda: all(place.state is State.ONLINE for place in soak.places))
    assert len({place.lease.runner for place in soak.places}) == 3
    assert [one.online for one in soak.hub.live.values() if one.name not in soak.witness.strangers] == [True] * 3
    sound(soak)


def test_a_job_goes_through_and_the_next_runner_has_another_name():
    soak = quiet()
    first = reach(soak, State.ONLINE).lease.runner
    work = job(soak)
    reach(soak, State.BUSY)
    until(soak, lambda: soak.places[0].state is State.ONLINE)
    assert work.progress == "finished" and outcomes(soak) in (["succeeded"], ["failed"], ["canceled"])
    assert soak.places[0].lease.runner != first
    (entry,) = soak.store.ledger()
    assert entry.repository == "acme/vision" and entry.seconds == pytest.approx(100, abs=12)
    sound(soak)


def test_a_job_between_two_looks_is_in_the_bill():
    """It began and ended unseen: at most the seconds between two looks, and not none."""
    soak = quiet(look=20.0)
    reach(soak, State.ONLINE)
    work = job(soak, 3.0)
    until(soak, lambda: outcomes(soak))
    (entry,) = soak.store.ledger()
    assert work.ended - work.started == pytest.approx(3, abs=0.1)
    assert entry.repository == "acme/vision" and 0 < entry.seconds <= 20
    sound(soak)


class TestDrain:
    def test_an_idle_runner_is_deregistered_and_its_container_removed(self):
        soak = quiet()
        reach(soak, State.ONLINE)
        assert soak.store.want(["gpu00000000"], Wanted.DRAIN) == ["gpu00000000"]
        reach(soak, State.PARKED, within=MINUTE)
        assert outcomes(soak) == ["drained"] and not soak.listeners.alive
        soak.store.want(["gpu00000000"], Wanted.RUN)
        reach(soak, State.ONLINE, within=MINUTE)
        sound(soak)

    def test_a_job_is_waited_for(self):
        soak = quiet()
        reach(soak, State.ONLINE)
        work = job(soak, 30 * MINUTE)
        reach(soak, State.BUSY)
        soak.store.want(["gpu00000000"], Wanted.DRAIN)
        soak.go(20 * MINUTE)
        assert soak.places[0].state is State.BUSY
        reach(soak, State.PARKED, within=15 * MINUTE)
        assert work.progress == "finished"
        sound(soak)

    def test_a_job_that_was_given_and_of_which_nobody_here_knows_yet_is_waited_for(self):
        """The race that `look at busy, then kill` always loses (runs-on#44, terraform-aws#4391)."""
        soak = quiet()
        reach(soak, State.ONLINE)
        soak.store.want(["gpu00000000"], Wanted.DRAIN)
        work = job(soak)
        assert soak.places[0].state is State.ONLINE
        reach(soak, State.PARKED)
        assert work.progress == "finished"
        sound(soak)

    def test_of_a_blocked_slot(self):
        soak = quiet()
        soak.free = 0.0
        reach(soak, State.BLOCKED)
        soak.store.want(["gpu00000000"], Wanted.DRAIN)
        reach(soak, State.PARKED, within=MINUTE)


class TestTheEngineIsSilent:
    def test_a_job_is_no_less_a_job(self):
        soak = quiet()
        reach(soak, State.ONLINE)
        job(soak, 20 * MINUTE)
        reach(soak, State.BUSY)
        soak.dock.up = False
        soak.go(10 * MINUTE)
        assert soak.places[0].state is State.BUSY and "does not answer" in soak.places[0].reason
        soak.dock.up = True
        until(soak, lambda: soak.places[0].state is State.ONLINE, within=15 * MINUTE)
        assert len(outcomes(soak)) == 1 and outcomes(soak)[0] in ("succeeded", "failed", "canceled")
        sound(soak)

    def test_nothing_begins(self):
        soak = quiet()
        soak.dock.up = False
        soak.go(5 * MINUTE)
        assert not soak.places or soak.places[0].state is State.UNKNOWN
        soak.dock.up = True
        reach(soak, State.ONLINE, within=MINUTE)
        sound(soak)

    def test_a_restart_with_live_restore_changes_nothing(self):
        soak = quiet()
        reach(soak, State.ONLINE)
        work = job(soak, 10 * MINUTE)
        reach(soak, State.BUSY)
        soak.dock.restart(30.0)
        until(soak, lambda: soak.places[0].state is State.ONLINE, within=15 * MINUTE)
        assert work.progress == "finished"
        sound(soak)

    def test_a_restart_without_it_is_named(self):
        soak = quiet()
        reach(soak, State.ONLINE)
        job(soak, 10 * MINUTE)
        reach(soak, State.BUSY)
        soak.dock.live_restore = False
        soak.dock.restart(10.0)
        soak.go(MINUTE)
        assert outcomes(soak) == ["daemon-restart"]
        reach(soak, State.ONLINE, within=MINUTE)

    def test_which_kills_it_seconds_before_it_goes_is_named_too(self):
        """dockerd, told to end, ends its containers first, and answers us meanwhile: on a real one, 1 to 10 s."""
        soak = quiet()
        reach(soak, State.ONLINE)
        job(soak, 10 * MINUTE)
        reach(soak, State.BUSY)
        (box,) = [box for box in soak.dock.boxes.values() if box.state == "running"]
        soak.dock.killed(box)
        soak.dock.end(box, 137)
        soak.go(8.0)
        soak.dock.restart(5.0)
        soak.go(MINUTE)
        assert outcomes(soak) == ["daemon-restart"]

    def test_which_did_not_go_did_not_kill_it(self):
        soak = quiet()
        reach(soak, State.ONLINE)
        job(soak, 10 * MINUTE)
        reach(soak, State.BUSY)
        (box,) = [box for box in soak.dock.boxes.values() if box.state == "running"]
        soak.dock.killed(box)
        soak.dock.end(box, 137)
        soak.go(20.0)
        assert outcomes(soak) == ["killed"]


def test_a_runner_that_goes_on_after_its_job_is_freed_in_time():
    """`hang` and 30 s at most, whenever GitHub was last asked (F5)."""
    for seed in range(5):
        soak = quiet(seed=seed)
        reach(soak, State.ONLINE)
        soak.listeners.hangs = 1.0
        work = job(soak, 100.0 + 7 * seed)
        until(soak, lambda now=soak: outcomes(now) == ["watchdog"])
        assert 300 < soak.hub.now() - work.ended < 300 + 30
        assert soak.witness.unasked == []


class TestGitHubIsNotThere:
    def test_a_job_is_no_less_a_job(self):
        soak = quiet()
        reach(soak, State.ONLINE)
        work = job(soak, 20 * MINUTE)
        reach(soak, State.BUSY)
        soak.hub.faults.storm([Fault.DROPPED], soak.hub.now(), soak.hub.now() + 15 * MINUTE)
        soak.go(15 * MINUTE)
        assert soak.places[0].state is State.BUSY
        until(soak, lambda: soak.places[0].state is State.ONLINE, within=15 * MINUTE)
        assert work.progress == "finished"
        sound(soak)

    @pytest.mark.parametrize("faults", [[Fault.FAILED], [Fault.DROPPED, Fault.REFUSED], [Fault.THROTTLED]])
    def test_and_is_back_after_half_an_hour_then_every_slot_is_within_a_minute(self, faults):
        """Each slot's own patience would be five minutes by then (F4); the circuit keeps the pace for all of them."""
        soak = quiet(slots=8, per_hour=20.0, lasts=(10.0, 300.0))
        soak.go(10 * MINUTE)
        sent = sum(soak.hub.requests.values())
        soak.hub.faults.storm(faults, soak.hub.now(), soak.hub.now() + 30 * MINUTE)
        soak.go(30 * MINUTE)
        assert sum(place.state is State.BLOCKED for place in soak.places) >= 6
        assert sum(soak.hub.requests.values()) - sent < 200 and soak.hub.trespasses == 0
        until(soak, lambda: not any(place.state is State.BLOCKED for place in soak.places), within=MINUTE + 5)
        sound(soak)

    def test_a_runner_whose_registration_was_lost_on_the_way_is_removed_again(self):
        soak = quiet()
        soak.hub.faults.plan(Fault.LOST, "register", times=3)
        reach(soak, State.ONLINE, within=5 * MINUTE)
        soak.go(3 * MINUTE)
        assert len(soak.hub.live) == 1 + len(soak.witness.strangers)
        sound(soak)

    def test_what_it_refuses_is_said_and_tried_again(self):
        soak = quiet()
        soak.hub.replace_token("ghp_another0another0another0another0anot")
        place = reach(soak, State.BLOCKED)
        assert "refuses" in place.reason and "token" in place.reason
        soak.hub.replace_token("ghp_simulated0simulated0simulated0simu")
        reach(soak, State.ONLINE, within=10 * MINUTE)
        sound(soak)

    def test_a_runner_that_it_takes_back_is_armed_again_and_no_failure(self):
        soak = quiet()
        soak.hub.behaviour.idle_removal = 1.0
        reach(soak, State.ONLINE)
        soak.go(60 * MINUTE)
        assert set(outcomes(soak)) == {"idle"} and 8 <= len(outcomes(soak)) <= 30
        assert soak.places[0].failures == 0
        sound(soak)


class TestItIsKilled:
    @pytest.mark.parametrize("nth", [1, 2, 5])
    @pytest.mark.parametrize("point", POINTS)
    def test_at_any_of_its_calls(self, point, nth):
        passed = {"times": 0}

        def blow(here: str) -> bool:
            passed["times"] += here == point
            return here == point and passed["times"] == nth

        soak = quiet(blow=blow, slots=2, seed=nth)
        for _ in range(3):
            job(soak, 60.0)
        soak.go(10 * MINUTE)
        soak.store.want(["gpu00000000"], Wanted.DRAIN)
        soak.go(3 * MINUTE)
        assert {work.progress for work in soak.hub.jobs.values()} == {"finished"}
        assert soak.kills == (passed["times"] >= nth)
        registered = {one.name for one in soak.hub.live.values()} - set(soak.witness.strangers)
        assert registered == {place.lease.runner for place in soak.places if place.lease}, states(soak)
        sound(soak)

    def test_and_its_database_is_lost_too(self):
        soak = quiet()
        reach(soak, State.ONLINE)
        work = job(soak, 20 * MINUTE)
        reach(soak, State.BUSY)
        soak.kill()
        (soak.config.state / FILE).write_bytes(b"not a database" * 1000)
        reach(soak, State.BUSY)
        assert soak.store.rebuilt
        until(soak, lambda: soak.places[0].state is State.ONLINE, within=25 * MINUTE)
        assert work.progress == "finished"
        soak.go(5 * MINUTE)
        assert len(soak.hub.live) == 1 + len(soak.witness.strangers)
        assert soak.witness.unasked == []

    def test_and_a_job_that_ended_meanwhile_is_in_the_ledger(self):
        soak = quiet()
        reach(soak, State.ONLINE)
        job(soak, 30.0)
        reach(soak, State.BUSY)
        soak.kill()
        soak.go(5 * MINUTE)
        assert len(outcomes(soak)) == 1
        sound(soak)


def test_a_slot_that_the_configuration_has_no_more_drains_and_is_forgotten():
    soak = quiet(slots=2)
    until(soak, lambda: len(soak.places) == 2 and all(place.state is State.ONLINE for place in soak.places))
    work = job(soak, 10 * MINUTE)
    soak.go(10.0)
    busy = next(place.slot for place in soak.places if place.lease.runner == work.runner)
    left = tuple(uuid for uuid in soak.config.slots.gpus if uuid != busy.device)
    soak.kill()
    soak.config = replace(soak.config, slots=replace(soak.config.slots, gpus=left))
    soak.go(2 * MINUTE)
    assert {place.slot.name: place.retired for place in soak.places}[busy.name]
    soak.go(12 * MINUTE)
    assert work.progress == "finished"
    assert {place.slot.name: place.state for place in soak.places}[busy.name] is State.PARKED
    sound(soak)


def test_nothing_is_done_that_cannot_be_written_down(monkeypatch):
    soak = quiet()
    reach(soak, State.ONLINE)
    before = soak.hub.requests["register", 201]

    def full(*leases: object) -> None:
        raise Full("database or disk is full")

    monkeypatch.setattr(soak.store, "save", full)
    monkeypatch.setattr(soak.store, "record", full)
    job(soak, 10.0)
    soak.go(5 * MINUTE)
    assert soak.hub.requests["register", 201] == before
    monkeypatch.undo()
    reach(soak, State.ONLINE)
    assert len(outcomes(soak)) == 1
    sound(soak)


def test_a_jump_of_the_clock_ends_nothing():
    soak = quiet()
    reach(soak, State.ONLINE)
    work = job(soak, 60 * MINUTE)
    reach(soak, State.BUSY)
    for jump in (900.0, -900.0, 0.0):
        soak.world.jump = jump
        soak.go(10 * MINUTE)
        assert soak.places[0].state is State.BUSY
    until(soak, lambda: soak.places[0].state is State.ONLINE, within=60 * MINUTE)
    assert work.progress == "finished"
    sound(soak)


def test_a_state_that_lasts_too_long_is_left_with_the_reason():
    soak = quiet()
    reach(soak, State.ONLINE)
    soak.dock.rates.silent = 1.0
    soak.kill()
    soak.go(10 * MINUTE)
    soak.dock.rates.silent = 0.0
    reach(soak, State.ONLINE, within=2 * MINUTE)
    sound(soak)


def test_a_refusal_while_a_runner_is_there_keeps_the_runner():
    soak = quiet()
    runner = reach(soak, State.ONLINE).lease.runner
    soak.hub.replace_token("ghp_another0another0another0another0anot")
    soak.go(10 * MINUTE)
    assert soak.places[0].state is State.ONLINE and "refuses" in soak.places[0].reason
    soak.hub.replace_token("ghp_simulated0simulated0simulated0simu")
    soak.go(5 * MINUTE)
    assert soak.places[0].lease.runner == runner and soak.places[0].reason == ""
    sound(soak)
