"""A runner that was started: late, hung, for ever, on another device, or with a marker that lies."""

import msgspec
import pytest
from msgspec.structs import replace

from backburn.pool.engine import BLIND, MACHINE, MARKER, Declined
from backburn.pool.health.symptom import Blame, Severity
from backburn.pool.lease import Kind, State
from backburn.pool.simulation import listener
from backburn.pool.simulation.dock import Dock

from .worlds import MINUTE, job, outcomes, quiet, reach, sound, until


def test_never_online_is_given_up_and_tried_more_and_more_rarely(monkeypatch):
    monkeypatch.setattr(listener.Listeners, "_connect", lambda self, one: None)
    soak = quiet()
    soak.go(60 * MINUTE)
    assert set(outcomes(soak)) == {"never-online"} and 6 <= len(outcomes(soak)) <= 20
    assert soak.places[0].failures == len(outcomes(soak))
    monkeypatch.undo()
    reach(soak, State.ONLINE, within=20 * MINUTE)
    job(soak)
    reach(soak, State.BUSY)
    assert soak.places[0].failures == 0
    sound(soak)


def test_a_listener_that_goes_on_after_its_job_is_killed_within_the_hour_that_was_given():
    soak = quiet()
    soak.listeners.hangs = 1.0
    reach(soak, State.ONLINE)
    work = job(soak, 60.0)
    reach(soak, State.BUSY)
    while work.progress != "finished":
        soak.go(1.0)
    ended = soak.world.passed()
    until(soak, lambda: outcomes(soak) == ["watchdog"])
    assert soak.config.pool.hang <= soak.world.passed() - ended <= soak.config.pool.hang + 30
    sound(soak)


def test_a_job_that_is_longer_than_any_may_be():
    soak = quiet()
    soak.config = replace(soak.config, pool=replace(soak.config.pool, max_job=type(soak.config.pool.max_job)(600)))
    soak.kill()
    reach(soak, State.ONLINE)
    job(soak, 3600.0)
    reach(soak, State.BUSY)
    begun = soak.world.passed()
    soak.kill()  # its age is not forgotten with the process
    soak.go(1.0)
    reach(soak, State.ONLINE, within=20 * MINUTE)
    assert 600 <= soak.world.passed() - begun < 700
    assert outcomes(soak) == ["watchdog"]
    sound(soak)


@pytest.mark.parametrize("given", [("GPU-somebody-elses",), (), ("all",), ("GPU-00000000-sim", "GPU-00000001-sim")])
def test_a_container_with_other_devices_is_taken_away_before_it_gets_a_job(monkeypatch, given):
    sound_inspect = Dock.inspect

    def inspect(self, container):
        seen = sound_inspect(self, container)
        return seen and replace(seen, devices=given)

    soak = quiet()
    monkeypatch.setattr(Dock, "inspect", inspect)
    soak.kill()
    soak.go(10 * MINUTE)
    assert set(outcomes(soak)) == {"other-device"} and soak.places[0].state is not State.ONLINE
    monkeypatch.undo()
    reach(soak, State.ONLINE, within=20 * MINUTE)
    sound(soak)


@pytest.mark.parametrize(
    ("written", "repository"),
    [
        (b'{"repository": "acme/a"}', "acme/a"),
        (b"", ""),
        (b"not json", ""),
        (b"\xff\xfe", ""),
        (b"[" * 60000, ""),
        (b'{"repository": ["a"]}', ""),
        (msgspec.json.encode({"repository": "x" * 5000}), "x" * 200),
        (b'{"repository": "a", "unknown": 1}', "a"),
    ],
)
def test_a_marker_comes_from_where_jobs_run(written, repository):
    soak = quiet()
    place = reach(soak, State.ONLINE)
    soak.dock.boxes[place.lease.container].files[MARKER] = written
    reach(soak, State.BUSY)
    assert place.lease.job.repository == repository
    soak.go(MINUTE)
    assert soak.places[0].state is State.BUSY  # a marker is kept, whatever GitHub says: it did begin


def test_a_job_that_goes_elsewhere_before_it_begins_leaves_an_idle_runner(monkeypatch):
    soak = quiet()
    place = reach(soak, State.ONLINE)
    monkeypatch.setattr(soak.hub, "poll", lambda session: None)
    job(soak)
    soak.hub.assign()
    reach(soak, State.BUSY, within=3 * MINUTE)
    monkeypatch.setattr(soak.hub, "assign", list)  # nobody took it: GitHub queues it again, for another pool
    reach(soak, State.ONLINE, within=5 * MINUTE)
    assert place.lease.busy == 0.0 and outcomes(soak) == []


@pytest.mark.parametrize("seconds", [1.0, 4.0])  # before and after its hook has written what it is
def test_a_job_that_is_shorter_than_the_time_between_two_looks_has_its_seconds(seconds):
    soak = quiet()
    reach(soak, State.ONLINE)
    job(soak, seconds)
    until(soak, lambda: bool(soak.store.ledger()))
    (entry,) = soak.store.ledger()
    assert entry.outcome in ("succeeded", "failed") and 0 < entry.seconds <= seconds + 6


GPU, SLOT = "GPU-00000000-sim", "gpu00000000"


def ill(severity, seconds=3600.0, *, busy=False, blame=Blame.MACHINE):
    """A runner, idle or with a job of ten minutes, whose GPU falls ill just now."""
    soak = quiet()
    place = reach(soak, State.ONLINE)
    if busy:
        job(soak, 600.0)
        reach(soak, State.BUSY)
        soak.go(20.0)
    soak.gpus.strike(GPU, severity, seconds, blame)
    return soak, place


class TestAnIdleRunnerWhoseGpuFallsIll:
    @pytest.mark.parametrize("severity", [Severity.UNFIT, Severity.RESET])
    @pytest.mark.parametrize("seconds", [0.0, 3600.0])  # seen once, and lasting
    def test_github_lets_it_go_first_then_it_is_quarantined(self, severity, seconds):
        soak, place = ill(severity, seconds)
        soak.go(5.0)  # at once: its worker was to look in 5 s
        assert place.state is State.QUARANTINED and soak.store.held(SLOT).kind == str(severity)
        assert outcomes(soak) == ["drained"] and soak.quarantines == {(SLOT, str(severity)): 1}
        sound(soak)

    def test_what_is_of_the_machine_empties_every_slot_and_quarantines_none(self):
        soak = quiet(slots=2)
        until(soak, lambda: [place.state for place in soak.places] == [State.ONLINE] * 2)
        soak.gpus.strike(GPU, Severity.MACHINE, 600.0)
        soak.go(15.0)
        assert [place.state for place in soak.places] == [State.BLOCKED] * 2 and not soak.quarantines
        until(soak, lambda: [place.state for place in soak.places] == [State.ONLINE] * 2, within=20 * MINUTE)
        sound(soak)

    @pytest.mark.parametrize("severity", [Severity.WAIT, Severity.NOTED])
    def test_what_may_pass_leaves_it(self, severity):
        """A job that has just begun uses memory, too."""
        soak, place = ill(severity)
        soak.go(MINUTE)
        assert place.state is State.ONLINE and outcomes(soak) == []

    def test_a_job_that_was_given_meanwhile_is_waited_for(self):
        soak = quiet()
        place = reach(soak, State.ONLINE)
        work = job(soak, 100.0)
        soak.gpus.strike(GPU, Severity.UNFIT)
        reach(soak, State.QUARANTINED)
        assert work.progress == "finished" and place.state is State.QUARANTINED
        assert any("-> busy" in note for note in soak.notes)
        sound(soak)

    def test_killed_after_github_let_it_go_it_has_not_forgotten_why(self):
        """What was seen once is not to be seen again by the next process."""
        soak = quiet(blow=lambda point: point == "after registrar.remove" and soak.kills == 0)
        reach(soak, State.ONLINE)
        soak.gpus.strike(GPU, Severity.RESET, 0.0)
        soak.go(5.0)
        assert soak.kills == 1
        reach(soak, State.QUARANTINED, within=MINUTE)
        assert soak.store.held(SLOT).kind is Kind.RESET
        sound(soak)


class TestAJobWhoseGpuFallsIll:
    @pytest.mark.parametrize("severity", [Severity.UNFIT, Severity.RESET, Severity.MACHINE])
    def test_it_goes_on_and_is_told(self, severity):
        soak, place = ill(severity, busy=True)
        box = soak.dock.boxes[place.lease.container]
        soak.go(1.0)  # not in 5 s: health wakes the slot
        assert place.state is State.BUSY and "did not look sound" in box.files[MACHINE].decode()
        assert place.reason.startswith("suspect: simulated")
        soak.go(9 * MINUTE)
        assert place.state is State.BUSY
        reach(soak, State.QUARANTINED if severity is not Severity.MACHINE else State.BLOCKED)
        assert outcomes(soak) in (["succeeded"], ["failed"], ["canceled"])
        sound(soak)

    def test_what_was_seen_once_in_it_counts_after_it_also_over_a_restart(self):
        soak, place = ill(Severity.RESET, 0.0, busy=True)
        soak.go(10.0)
        soak.kill()
        reach(soak, State.QUARANTINED, within=15 * MINUTE)
        assert soak.store.held(SLOT).kind is Kind.RESET
        sound(soak)

    def test_what_is_the_codes_own_is_not_told(self):
        soak, place = ill(Severity.NOTED, 0.0, busy=True, blame=Blame.CODE)
        soak.go(30.0)
        assert MACHINE not in soak.dock.boxes[place.lease.container].files and len(place.lease.symptoms) == 1
        soak.gpus.strike(GPU, Severity.NOTED, 0.0, Blame.OPEN)
        soak.go(5.0)
        assert b"or the code's" in soak.dock.boxes[place.lease.container].files[MACHINE]

    def test_it_is_told_once_and_told_more_when_there_is_more(self, monkeypatch):
        soak, place = ill(Severity.NOTED, busy=True)
        sound_tell, told = Dock.tell, []
        monkeypatch.setattr(Dock, "tell", lambda *given: (told.append(given[3]), sound_tell(*given))[1])
        soak.go(MINUTE)
        assert len(told) == 1 and told[0].count("\n- ") == 1
        soak.gpus.strike(GPU, Severity.UNFIT)
        soak.go(MINUTE)
        assert len(told) == 2 and told[1].count("\n- ") == 2

    def test_an_engine_that_does_not_answer_is_asked_again(self):
        soak, place = ill(Severity.UNFIT, busy=True)
        soak.dock.rates.silent = 1.0
        soak.go(MINUTE)
        soak.dock.rates.silent = 0.0
        soak.go(10.0)
        assert MACHINE in soak.dock.boxes[place.lease.container].files

    def test_one_that_declines_is_not(self, monkeypatch):
        soak, place = ill(Severity.UNFIT, busy=True)
        tried = []

        def tell(self, *given):
            tried.append(given)
            raise Declined("a job put a folder there")

        monkeypatch.setattr(Dock, "tell", tell)
        soak.go(MINUTE)
        assert len(tried) == 1 and place.state is State.BUSY
        assert any("its job is not told of its GPU: a job put a folder there" in note for note in soak.notes)

    @pytest.mark.parametrize(("symptom", "blame"), [(Blame.MACHINE, "machine"), (Blame.OPEN, "open"), (None, "code")])
    def test_whose_fault_it_was(self, symptom, blame, monkeypatch):
        soak = quiet()
        reach(soak, State.ONLINE)
        monkeypatch.setattr(listener, "SHARES", (0.0, 1.0, 0.0))
        job(soak, 60.0)
        reach(soak, State.BUSY)
        if symptom:
            soak.gpus.strike(GPU, Severity.NOTED, 0.0, symptom)
        until(soak, lambda: bool(soak.store.ledger()))
        (entry,) = soak.store.ledger()
        assert (entry.outcome, entry.blame) == ("failed", blame)
        assert any(f"failed, {blame}: " in note for note in soak.notes)


@pytest.mark.parametrize("state", [State.STARTING, State.ONLINE, State.BUSY])
def test_what_a_person_has_mended_meanwhile_keeps_no_runner_from_work(state, monkeypatch):
    soak = quiet()
    if state is State.STARTING:
        monkeypatch.setattr(soak.hub.behaviour, "late", 1.0)
    reach(soak, State.ONLINE if state is State.BUSY else state)
    if state is State.BUSY:
        job(soak, 300.0)
        reach(soak, State.BUSY)
    soak.gpus.strike(GPU, Severity.RESET, 0.0)
    soak.go(10.0 if state is State.BUSY else 0.1)
    soak.gpus.mend()
    soak.store.release([SLOT], soak.world.now())
    soak.go(20 * MINUTE)
    assert soak.places[0].state is State.ONLINE and soak.store.held(SLOT) is None and not soak.quarantines
    soak.gpus.strike(GPU, Severity.RESET, 0.0)
    reach(soak, State.QUARANTINED)
    sound(soak)


@pytest.mark.parametrize(("told", "blame"), [(b"no device node\x1b[31m", "machine"), (None, "code")])
def test_a_job_whose_container_lost_sight_of_its_gpu_was_failed_by_the_machine(told, blame, monkeypatch):
    soak = quiet()
    reach(soak, State.ONLINE)
    monkeypatch.setattr(listener, "SHARES", (0.0, 1.0, 0.0))
    job(soak, 60.0)
    reach(soak, State.BUSY)
    if told:
        soak.dock.boxes[soak.places[0].lease.container].files[BLIND] = told
    until(soak, lambda: bool(soak.store.ledger()))
    (entry,) = soak.store.ledger()
    assert (entry.outcome, entry.blame) == ("failed", blame)
    if told:
        assert any("gpu/view" in note and "no device node" in note for note in soak.notes)
        assert not any("\x1b" in note for note in soak.notes) and soak.store.held(SLOT) is None
    sound(soak)


def test_a_gpu_that_fails_every_job_and_shows_nothing_is_caught(monkeypatch):
    """The others pass theirs meanwhile: the breaker, and parole that ends by one more failure."""
    monkeypatch.setattr(listener, "SHARES", (1.0, 0.0, 0.0))
    soak = quiet(slots=2, per_hour=20.0, lasts=(30.0, 120.0))
    soak.gpus.duds.add(GPU)
    until(soak, lambda: bool(soak.store.held(SLOT)), within=60 * MINUTE)
    failed = [entry for entry in soak.store.ledger() if entry.outcome == "failed"]
    assert soak.store.held(SLOT).kind is Kind.STREAK and {entry.slot for entry in failed} == {SLOT}
    assert len(failed) <= 8
    until(soak, lambda: soak.quarantines == {(SLOT, "streak"): 2}, within=90 * MINUTE)
    assert len([entry for entry in soak.store.ledger() if entry.outcome == "failed"]) == len(failed) + 1
    soak.gpus.mend()
    soak.store.release([SLOT], soak.world.now())
    soak.go(10 * MINUTE)
    assert soak.quarantines == {(SLOT, "streak"): 2}
    sound(soak)
