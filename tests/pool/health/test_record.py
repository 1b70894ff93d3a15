"""What is kept, for how long, and that it stays bounded. What it comes to is judging's."""

import pytest

from backburn.pool.health.record import HELD, lasting
from backburn.pool.health.reading import Event
from tests.pool.health.virtual import Card
from tests.pool.scene import GPU, NOW


@pytest.fixture
def card(tmp_path):
    return Card(tmp_path)


def seen(card, **more):
    return card.record.seen(NOW + card.passed, card.passed, **more)


def test_looks_are_kept_for_as_long_as_a_check_asks_for_them(card):
    card.go(3600)
    kept = seen(card).looks
    assert kept[-1].passed == card.passed and 480 <= card.passed - kept[0].passed <= 490
    assert card.record.newest is kept[-1] and card.record.sound is kept[-1]
    card.look(error=15)
    assert card.record.newest.error == 15 and card.record.sound.error == 0


def test_a_storm_of_looks_and_events_is_bounded(card):
    card.interval = 0.001
    for code in range(3000):
        card.event(code)
    card.go(6)
    whole = seen(card)
    assert len(whole.looks) == 5000 and len(whole.events) <= 1000 + 64 + 40
    assert len(card.record.events(0, 2 * NOW)) == 1000


def test_more_uncorrected_errors_are_an_event_and_fewer_are_not(card):
    for count in (5, 5, 7, None, 8, 0, 0, 2):
        card.look(ecc_uncorrected=count)
    assert [one.code for one in card.record.events(0, 2 * NOW)] == [2, 1, 2]
    assert [(one.kind, one.code) for one in seen(card).events] == [("ecc", 2)]


def test_an_applications_xid_is_there_for_a_while_once(card):
    for _ in range(5):
        card.event(31)
    assert [one.code for one in seen(card).events] == [31]
    card.passed += HELD + 1
    assert seen(card).events == () and len(card.record.events(0, 2 * NOW)) == 5


def test_what_lasted_between(card):
    for at in (0, 10, 2000):
        card.passed = 1000.0 + at
        card.trouble("hang")
        card.record.saw(card.ask(), NOW + card.passed)
    first = NOW + 1000.0
    assert [one.at - first for one in card.record.lasted(first, first + 20)][:1] == [0.0]
    assert card.record.lasted(first + 100, first + 1900) == ()
    assert len(card.record.lasted(first + 5, first + 8)) == 1
    assert {one.at - first for one in card.record.lasted(first, first + 2000)} >= {0.0, 2000.0}


def test_only_a_person_ends_a_reset():
    assert lasting(Event(device=GPU, kind="xid", code=79))
    assert not lasting(Event(device=GPU, kind="xid", code=74)) and not lasting(Event(device=GPU, kind="ecc", code=79))
