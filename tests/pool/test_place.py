"""How long a slot waits, and that it never waits for ever nor not at all."""

import random

import pytest

from backburn.pool.lease import DEADLINES, Slot, State
from backburn.pool.place import FIRST, LONGEST, Place, Tools, blocked, deadline, futile
from tests.pool import scene


@pytest.fixture
def tools(tmp_path):
    parts = dict.fromkeys(("store", "engine", "registrar", "gate", "clock", "note", "keep"))
    return Tools(config=scene.pool(tmp_path), chance=random.Random(1), **parts)


def test_it_waits_longer_each_time_with_jitter_and_an_end(tools):
    place = Place(slot=Slot(name="cpu0"))
    pauses = [blocked(place, tools, "why").after for _ in range(20)]
    for number, pause in enumerate(pauses):
        most = min(LONGEST, FIRST * 2**number)
        assert 0.75 * most <= pause <= most
    assert place.refusals == 20 and len(set(pauses)) == 20


def test_what_github_asks_for_is_waited_for_but_not_beyond_the_longest(tools):
    assert 0.75 * 120 <= blocked(Place(slot=Slot(name="cpu0")), tools, "why", 120.0).after <= 120
    assert blocked(Place(slot=Slot(name="cpu0")), tools, "why", 1e9).after <= LONGEST


def test_a_huge_number_of_refusals_overflows_nothing(tools):
    place = Place(slot=Slot(name="cpu0"), refusals=10**6, failures=10**6)
    assert 0 < futile(place, tools, "why").after <= LONGEST


def test_runners_in_vain_are_counted_and_told(tools):
    place = Place(slot=Slot(name="cpu0"))
    moves = [futile(place, tools, "crashed, exit code 9") for _ in range(3)]
    assert [move.to for move in moves] == [State.BLOCKED] * 3 and place.failures == 3
    assert moves[0].reason == "1 runner in a row ended without a job: crashed, exit code 9"
    assert moves[2].reason.startswith("3 runners in a row") and moves[2].after > moves[0].after


@pytest.mark.parametrize("state", list(State))
def test_a_slow_runner_has_its_own_time_on_top(tools, state):
    more = tools.config.pool.online_within if state is State.STARTING else 0
    limit = DEADLINES.get(state)
    assert deadline(state, tools.config) == (None if limit is None else limit + more)
