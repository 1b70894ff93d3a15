"""What an issue says, piece by piece. How it looks night after night: test_issues.py."""

import pytest

from backburn.history import wording
from backburn.history.night import Cause
from backburn.history.nightly import Trouble
from backburn.history.state import Key, State

from .conftest import three
from .test_issues import blame, measured, tonight

CAUSE = Cause(check="reproduce/curve-holds", said="it differs", where="src/train.py:12", hint="Look there.")
KEY = Key("reproduce failed", "digits")


def test_what_stands_first_has_its_class_before_it():
    assert wording.said(Trouble(cause=CAUSE)) == "**`reproduce/curve-holds`** `it differs` at `src/train.py:12`"
    assert wording.said(Trouble(cause=CAUSE, standing="changed")).startswith("`changed` **`reproduce/")
    assert wording.said(Trouble(cause=Cause(said="unit: no report"))) == "`unit: no report`"


@pytest.mark.parametrize(
    ("trouble", "before", "said"),
    [
        (Trouble(cause=CAUSE), State(cause="reproduce/curve-holds"), ""),
        (Trouble(cause=CAUSE), State(cause="reproduce/x"), "Another cause since [run 1]"),
        (Trouble(cause=CAUSE, standing="A"), State(cause="reproduce/curve-holds", standing="B"), "Since [run 1]("),
        (Trouble(cause=CAUSE, standing="A"), State(cause="reproduce/curve-holds", standing="A"), ""),
        (Trouble(cause=CAUSE, standing="A"), State(cause="reproduce/curve-holds"), ""),  # an older version's
        (Trouble(cause=CAUSE, blame=blame()), State(cause="reproduce/curve-holds"), "**First bad commit:**"),
        (Trouble(cause=CAUSE, blame=blame()), State(cause="reproduce/curve-holds", commit="a" * 40), ""),
    ],
)
def test_a_comment_is_written_of_what_changed_and_of_nothing_else(trouble, before, said):
    text = wording.news(tonight(*three()), trouble, before, again=False)
    assert text.startswith(said) and bool(text) is bool(said)


def test_a_body_keeps_the_culprit_of_an_earlier_night_until_another_is_found():
    night, state = tonight(*three(reproduce=measured("it differs"))), State(nights=1, run=1, cause="x")
    first = wording.body(night, KEY, Trouble(cause=CAUSE, blame=blame("a" * 40)), state)
    assert first.count("`aaaaaaaaaaaa`") == 1
    second = wording.body(night, KEY, Trouble(cause=CAUSE), state, first)
    assert second.count("`aaaaaaaaaaaa`") == 1
    third = wording.body(night, KEY, Trouble(cause=CAUSE, blame=blame("b" * 40)), state, second)
    assert "aaaaaaaaaaaa" not in third and third.count("`bbbbbbbbbbbb`") == 1


def test_the_next_step_of_a_stage_that_left_nothing_is_the_run():
    night = tonight(*three())
    text = wording.body(night, Key("no verdict"), Trouble(cause=Cause(said="unit: no report")), State())
    assert "Look at the run" in text and "What to do" not in text
