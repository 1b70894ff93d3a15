"""Listeners of a simulation do what actions/runner does: research and issues name each."""

import pytest

from ..worlds import MINUTE, job, quiet


def alone(**given):
    """A container that was started by hand, and no supervisor."""
    soak = quiet(**given)
    soak.go(20.0)
    (one,) = soak.listeners.alive.values()
    soak._life += 1  # its workers come round no more
    return soak, one


def test_a_job_leaves_a_marker_an_exit_code_and_no_registration():
    soak, one = alone()
    work = job(soak, 30.0)
    soak.go(5.0)
    assert one.box.files and one.box.state == "running"
    soak.go(40.0)
    assert work.progress == "finished" and one.box.code in (100, 102, 103)
    assert soak.hub.named(one.box.name) is None


def test_one_whose_registration_is_removed_ends_well_within_a_poll():
    soak, one = alone()
    soak.hub.remove(soak.hub.named(one.box.name).id)
    soak.go(75.0)
    assert (one.box.state, one.box.code) == ("exited", 0)


def test_a_second_session_is_a_conflict():
    soak, one = alone()
    soak.listeners._begun(one.box)
    soak.go(10.0)
    assert (one.box.state, one.box.code) == ("exited", 5)


@pytest.mark.parametrize(("fate", "state", "code"), [("hangs", "running", 0), ("crashes", "exited", 134)])
def test_bad_ends(fate, state, code):
    soak, one = alone()
    setattr(soak.listeners, fate, 1.0)
    work = job(soak, 30.0)
    soak.go(3 * MINUTE)
    assert (one.box.state, one.box.code) == (state, code)
    assert work.progress == ("finished" if fate == "hangs" else "running")
    soak.go(20 * MINUTE)
    assert work.progress == ("finished" if fate == "hangs" else "lost")
