"""The ways in which an answer can fail to come are four, and none is another; and a secret is not shown."""

import traceback

import pytest

from backburn.pool.registrar import Later, Refused, Registered, Removal, Taken, Uncertain

SECRET = "eyJjYW5hcnkiOiJjYW5hcnkifQ"


def test_a_registered_runner_does_not_show_its_configuration():
    made = Registered(id=7, configuration=SECRET)
    for shown in (repr(made), str(made), f"{made}", f"{[made]}", "%s" % (made,)):
        assert SECRET not in shown and "26 characters" in shown


def test_nor_does_an_exception_that_carries_it():
    try:
        raise ValueError(Registered(id=7, configuration=SECRET))
    except ValueError as error:
        assert SECRET not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("one", [Later, Uncertain, Taken, Refused])
def test_no_failure_is_caught_as_another(one):
    """What may have been done must not be taken for what was not."""
    assert one.__mro__[1] is Exception


def test_what_they_carry():
    assert Later("503", 4.5).seconds == 4.5 and str(Later("503", 4.5)) == "503"
    assert Refused("403", "Ask for it.").hint == "Ask for it." and Refused("403").hint == ""


def test_a_removal_is_one_of_two():
    assert set(Removal) == {"gone", "busy"}
