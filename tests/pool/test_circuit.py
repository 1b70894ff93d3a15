"""When GitHub may be asked, whatever the threads want."""

import random

import pytest

from backburn.pool.circuit import LONGEST, MOST, PROBE, Circuit
from backburn.pool.registrar import Later

from .moments import Moments


@pytest.fixture
def clock():
    return Moments()


@pytest.fixture
def circuit(clock):
    return Circuit(clock, random.Random(1))


def test_it_is_closed_at_first(circuit):
    for _ in range(100):
        circuit.admit("read", "core")
        circuit.admit("write", "core")


def test_failures_double_up_to_the_longest_with_jitter(circuit, clock):
    rests = []
    for _ in range(200):
        circuit.admit("read", "core")
        rests.append(circuit.failed("read", "502"))
        with pytest.raises(Later, match="502"):
            circuit.admit("read", "core")
        clock.wait(rests[-1])
    assert all(rest <= 2**place for place, rest in enumerate(rests[:6])) and min(rests) >= 1
    assert LONGEST - 3 < max(rests) <= LONGEST and 15 < sum(rests[6:]) / 194 < 30  # full jitter: half of it, about
    circuit.answered("read")
    assert circuit.failed("read", "502") == 1.0


def test_calls_that_were_under_way_together_count_once(circuit, clock):
    for _ in range(16):
        assert circuit.failed("read", "502") <= 2.0
    clock.wait(2)
    assert circuit.failed("read", "502") <= 2.0


def test_writes_rest_alone_and_reads_stop_both(circuit, clock):
    circuit.failed("write", "500")
    circuit.admit("read", "core")
    circuit.answered("read")
    with pytest.raises(Later):
        circuit.admit("write", "core")
    clock.wait(2)
    circuit.admit("write", "core")
    circuit.answered("write")
    circuit.failed("read", "500")
    for kind in ("read", "write"):
        with pytest.raises(Later):
            circuit.admit(kind, "core")


def test_answered_questions_do_not_hurry_what_fails(circuit, clock):
    """A registration that always ends in a 500, between questions that never do."""
    rests = []
    for _ in range(40):
        rests.append(circuit.failed("write", "500"))
        clock.wait(rests[-1])
        circuit.answered("read")
    assert sum(rests) > 400


def test_a_limit_stops_all_and_what_is_longer_stands(circuit, clock):
    assert circuit.limited("429", 50.0) == 50.0
    assert circuit.limited("429", 20.0) == 50.0
    for kind in ("read", "write"):
        with pytest.raises(Later) as error:
            circuit.admit(kind, "other")
        assert 50 <= error.value.seconds <= 51
    clock.wait(50)
    circuit.admit("read", "core")


@pytest.mark.parametrize(("seconds", "rest"), [(0.0, 1.0), (-5.0, 1.0), (None, 60.0), (1e9, 3660.0)])
def test_what_a_server_says_is_bounded(circuit, seconds, rest):
    assert circuit.limited("429", seconds) == rest


def test_the_limit_without_a_time_doubles(circuit, clock):
    rests = []
    for _ in range(5):
        rests.append(circuit.limited("403", None))
        clock.wait(rests[-1])
    assert rests == [60, 120, 240, MOST, MOST]


def test_a_spent_budget_stops_its_own(circuit, clock):
    circuit.spent("core", 100.0)
    circuit.admit("write", "actions_runner_registration")
    with pytest.raises(Later, match="core"):
        circuit.admit("read", "core")
    clock.wait(100)
    circuit.admit("read", "core")


def test_a_jump_of_the_clock_changes_nothing(circuit, clock):
    circuit.failed("read", "502")
    clock.jump(86400)
    with pytest.raises(Later):
        circuit.admit("read", "core")


def test_a_probe_that_never_came_back_is_replaced(circuit, clock, monkeypatch):
    circuit.failed("read", "502")
    clock.wait(1)
    monkeypatch.setattr("threading.get_ident", lambda: 1)
    circuit.admit("read", "core")
    circuit.admit("read", "core")  # its own: a single thread is never in its own way
    monkeypatch.setattr("threading.get_ident", lambda: 2)
    with pytest.raises(Later, match="another call"):
        circuit.admit("read", "core")
    clock.wait(PROBE)
    circuit.admit("read", "core")
