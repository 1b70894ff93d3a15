"""What a night has for its issues: troubles by their key, and what is over. Nights in a row: test_issues.py."""

import pytest

from backburn.history.nightly import Nightly
from backburn.history.state import Key, State

from .conftest import report, three
from .test_issues import blame, measured, tonight

FAILED = Key("reproduce failed", "digits")


def test_the_page_is_a_link_where_it_has_an_address():
    one = tonight(*three(), run=7)
    assert (one.page, one.home) == ("[run 7](https://h/o/r/actions/runs/7)", "https://h/o/r")
    here = Nightly(run=one.run.__class__(id=7), night=one.night, reports={})
    assert (here.page, here.home) == ("run 7", "")


def test_a_sound_night_has_no_trouble_and_one_that_failed_names_hardware_and_commit():
    assert tonight(*three()).troubles == {}
    one = tonight(*three(reproduce=measured("no", hardware="cpu-avx2", standing="changed")), blame=blame())
    ((key, trouble),) = one.troubles.items()
    assert key == Key("reproduce failed", "digits", "cpu-avx2", "a" * 40)
    assert (trouble.standing, trouble.blame.cause) == ("changed", "optimizer")


def test_a_stage_that_did_not_tell_its_hardware_has_that_of_the_others():
    one = tonight(*three(reproduce=measured(hardware="cpu-avx2"), profile=report("profile", said="it crashed")))
    assert list(one.troubles) == [Key("profile failed", "digits", "cpu-avx2")]


def test_no_verdict_names_no_commit():
    (key,) = tonight(*three(reproduce=report(unjudged="no GPU")), blame=blame()).troubles
    assert key == Key("no verdict", "digits")


@pytest.mark.parametrize(
    ("key", "state", "said"),
    [
        (FAILED, State(clean=1, run=6), "the second clean night"),
        (FAILED, State(clean=0, run=6), ""),
        (FAILED, State(clean=1, run=7), ""),  # this very night, told before
        (FAILED, State(reference="old"), "another reference was blessed"),
        (FAILED, State(reference="new"), ""),
        (Key("no verdict", "digits"), State(), "Over with"),
        (Key("no verdict"), State(), "Over with"),
        (Key("no verdict", "speech"), State(), ""),
        (Key("reproduce failed", "speech"), State(clean=1), ""),
        (Key("reproduce failed", "digits", "nvidia-h200"), State(clean=1, workflow="other"), ""),
    ],
)
def test_what_is_over(key, state, said):
    sound = tonight(*three(reproduce=measured(reference="new", hardware="cpu-avx2")), run=7)
    assert said in sound.over(key, state) and bool(said) is bool(sound.over(key, state))
    assert tonight(*three(), result="cancelled", run=7).over(key, state) == ""


def test_a_training_that_is_gone_is_known_no_more():
    one = tonight(*three(reproduce=report(training="new"), profile=report("profile", "new")))
    assert one.outlives(FAILED, State(workflow="nightly")) and not one.outlives(FAILED, State(workflow="other"))
    assert not tonight(*three()).outlives(FAILED, State(workflow="nightly"))
