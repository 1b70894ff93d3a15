"""The words of an engine, and what each means for a device and for a lease."""

import pytest

from backburn.pool import engine
from backburn.pool.engine import Container, Declined, Inspection

STATES = {  # all of Docker's: (it holds its device, it ran and does no more)
    "created": (False, False),
    "running": (True, False),
    "paused": (True, False),
    "restarting": (True, False),
    "removing": (False, True),
    "exited": (False, True),
    "dead": (False, True),
}


@pytest.mark.parametrize(("state", "means"), STATES.items())
def test_what_a_state_means(state, means):
    one = Container(id="x", name="x", state=state, labels={})
    assert (one.running, one.ended) == means
    assert Inspection(id="x", state=state).ended == means[1]


def test_a_word_of_tomorrow_is_neither_running_nor_ended():
    """So that nothing is concluded from it."""
    one = Container(id="x", name="x", state="hibernating", labels={})
    assert not one.running and not one.ended and not Inspection(id="x", state="hibernating").ended


def test_the_secret_and_the_marks_lie_beside_each_other_and_are_three():
    places = {engine.CONFIGURATION, engine.MARKER, engine.DONE}
    assert len(places) == 3 and all(place.startswith("/run/backburn/") for place in places)


def test_what_is_declined_may_have_a_hint():
    assert (str(Declined("no such image")), Declined("x").hint, Declined("x", "Pull it.").hint) == (
        "no such image",
        "",
        "Pull it.",
    )
