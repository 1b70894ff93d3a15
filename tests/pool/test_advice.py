"""Each bad outcome has its sentence, and each sentence names what can be done."""

import pytest

from backburn.pool import advice
from backburn.pool.engine import Inspection
from backburn.pool.exits import BAD, Outcome
from backburn.pool.lease import Slot
from tests.pool import scene
from tests.pool.ward import symptom


def test_the_table_has_every_bad_outcome_and_no_other():
    assert set(advice.SAID) == BAD


@pytest.mark.parametrize("outcome", sorted(BAD))
def test_what_happened_and_what_to_do(outcome):
    happened, do = advice.SAID[outcome]
    assert happened.endswith(".") and do.endswith(".") and happened != do


def test_the_facts_are_in_it():
    seen = Inspection(id="x", state="exited", code=137, error="killed")
    text = advice.readme(Slot(name="cpu0"), scene.lease(), Outcome.KILLED, seen)
    assert "exit code 137, state exited, killed" in text and "none was seen" in text and "forced" not in text
    assert "not known: refused" in advice.readme(Slot(name="cpu0"), scene.lease(), Outcome.LOST, None, "refused")
    assert "there is none" in advice.readme(Slot(name="cpu0"), scene.lease(), Outcome.LOST, None)


def test_whose_fault_it_was_and_what_was_seen_of_its_gpu():
    one = scene.lease(blame="machine", why="xid 79: off the bus", symptoms=(symptom(), symptom(check="xid")))
    text = advice.readme(Slot(name="cpu0"), one, Outcome.FAILED, None)
    assert "blame:     machine: xid 79: off the bus" in text and "its GPU:   ecc: 3 new; xid: 3 new" in text
    assert "blame" not in advice.readme(Slot(name="cpu0"), scene.lease(), Outcome.FAILED, None)
