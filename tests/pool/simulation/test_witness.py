"""Each invariant is seen broken: a supervisor with one bug planted, in the worlds in which a sound one holds."""

from backburn.pool import arming, departing, invariants, janitor, machine
from backburn.pool.gate import MachineGate
from backburn.pool.health.symptom import Severity
from backburn.pool.lease import Phase, State, Wanted
from backburn.pool.place import Move
from backburn.pool.registrar import Removal
from backburn.pool.simulation.dock import Dock
from backburn.pool.simulation.faults import Fault
from backburn.pool.simulation.soak import Soak

from ..worlds import MINUTE, job, quiet, reach


def rough(**given: object) -> Soak:
    """An hour with two slots, jobs, lost answers, a drain and three deaths of the supervisor."""
    soak = quiet(slots=2, seed=3, per_hour=20.0, lasts=(20.0, 200.0), **given)
    soak.hub.behaviour.late = 0.2
    for fault in (Fault.LOST, Fault.FAILED_AFTER):
        soak.hub.faults.rates[fault] = 0.05
    soak.dock.rates.unheard = 0.05
    for _ in range(6):
        soak.go(9 * MINUTE)
        if soak.store is not None:
            soak.store.want(["gpu00000001"], Wanted.DRAIN)
            soak.go(MINUTE)
        if soak.store is not None:
            soak.store.want(["gpu00000001"], Wanted.RUN)
        soak.kill()
    soak.go(20 * MINUTE)
    return soak


def kinds(soak: Soak) -> set[str]:
    return {what[:2] for what in soak.witness.broken}


def test_the_sound_one_breaks_none():
    soak = rough()
    assert soak.witness.broken == {} and soak.kills == 6
    assert len(soak.hub.jobs) > 10


def test_I1_when_what_runs_is_not_looked_for(monkeypatch):
    monkeypatch.setitem(machine.STEPS, State.UNKNOWN, lambda place, tools: Move(State.CHECKING))
    monkeypatch.setattr(invariants, "may_start", lambda *given: None)
    assert "I1" in kinds(rough())


def test_I1_is_held_by_the_code_itself_too(monkeypatch):
    monkeypatch.setitem(machine.STEPS, State.UNKNOWN, lambda place, tools: Move(State.CHECKING))
    soak = rough()
    assert "I1" not in kinds(soak)
    assert [place.reason for place in soak.places if place.state is State.QUARANTINED and "I1" in place.reason]


def test_I2_when_an_attempt_whose_answer_was_lost_is_forgotten(monkeypatch):
    def leave(lease, tools):
        lease.phase = Phase.CLOSED
        tools.store.save(lease)

    monkeypatch.setattr(departing, "leave", leave)
    monkeypatch.setattr(janitor.Janitor, "_strange", lambda self: None)
    assert "I2" in kinds(rough())


def test_I3_when_the_gate_is_left_out(monkeypatch):
    sound = arming.checking

    def checking(place, tools):
        move = sound(place, tools)
        if place.lease:
            place.lease.gated = 0.0
        return move

    monkeypatch.setitem(machine.STEPS, State.CHECKING, checking)
    monkeypatch.setattr(invariants, "may_start", lambda *given: None)
    assert "I3" in kinds(rough())


def test_I3_when_the_gate_does_not_ask_how_the_gpu_is(monkeypatch):
    def ill(**given):
        soak = quiet(slots=2, per_hour=20.0, lasts=(20.0, 200.0), **given)
        soak.go(MINUTE)
        soak.gpus.strike("GPU-00000000-sim", Severity.RESET)
        soak.go(30 * MINUTE)
        return soak

    assert kinds(ill()) == set()
    monkeypatch.setattr(MachineGate, "_gpu", lambda self, slot: None)
    monkeypatch.setattr("backburn.pool.watching.ground", lambda found: None)
    assert kinds(ill()) == {"I3"}


def test_I4_when_a_start_without_an_answer_is_tried_again(monkeypatch):
    sound = Dock.start

    def start(self, container):
        try:
            sound(self, container)
        except Exception:
            self.boxes[container].state = "created"
            sound(self, container)

    monkeypatch.setattr(Dock, "start", start)
    assert "I4" in kinds(rough())


def test_I5_when_it_is_not_github_that_lets_a_runner_go(monkeypatch):
    monkeypatch.setattr(departing, "deregister", lambda lease, registrar: Removal.GONE)
    soak = quiet()
    reach(soak, State.ONLINE)
    soak.store.want(["gpu00000000"], Wanted.DRAIN)
    job(soak)
    soak.listeners._take(next(iter(soak.listeners.alive.values())))
    soak.dock.wake("gpu00000000")
    soak.go(5 * MINUTE)
    assert kinds(soak) == {"I5"} and soak.witness.unasked


def test_I6_when_every_container_is_taken_for_ours(monkeypatch):
    monkeypatch.setattr(departing, "containers", lambda slot, engine: _all(engine))
    assert "I6" in kinds(rough())


def test_I6_when_a_name_only_has_to_begin_like_ours(monkeypatch):
    monkeypatch.setattr(janitor.re, "compile", lambda pattern: _Anything)
    assert "I6" in kinds(rough())


def test_I8_when_no_state_has_a_deadline(monkeypatch):
    monkeypatch.setattr(machine, "deadline", lambda state, config: None)
    monkeypatch.setitem(machine.STEPS, State.CLEANING, lambda place, tools: Move(State.CLEANING, "", 5.0))
    assert "I8" in kinds(rough())


class _Anything:
    @staticmethod
    def fullmatch(name):
        return True


def _all(engine):
    from backburn.pool.engine import Container

    return [
        Container(id=box.id, name=box.name, state=box.state, labels=dict(box.labels)) for box in engine.boxes.values()
    ]
