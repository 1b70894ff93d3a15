"""What a body keeps from night to night: it comes back, an older version's too, and what is foreign is nothing."""

import pytest

from backburn.history import state
from backburn.history.state import Key, State

COMMIT = "0123456789abcdef" * 2 + "01234567"
KEY = Key("reproduce failed", "digits", "nvidia-h200", COMMIT)
FULL = State(3, 7, "reproduce/curve-holds", "nightly", "nvidia-h200", COMMIT, 1, "1a2b3c4+-2026-11-20", "CHANGED")


@pytest.mark.parametrize("one", [FULL, State(1, 2, "x", "nightly"), FULL._replace(commit="", hardware="", clean=0)])
def test_it_comes_back_as_it_was(one):
    key = KEY._replace(hardware=one.hardware, commit=one.commit)
    assert state.read(f"We know.\n{state.marked(key, one)}\n\nIt fails.") == (key, one)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<!-- nights: 2, run: 7, cause: a/b, workflow: nightly -->", State(2, 7, "a/b", "nightly")),
        ("<!-- nights: 2, run: 7, cause: a/b -->", State(2, 7, "a/b")),
        ("<!-- nights: 2, run: 7, cause:  -->", State(2, 7)),
        ("<!-- nights: 2, run: 7, cause: a, commit: main -->", State(2, 7, "a")),
        ("<!-- nights: 2, run: 7, cause: a, clean: many -->", State(2, 7, "a")),
        ("<!-- nights: 2, run: 7, cause: a, later: word -->", State(2, 7, "a")),
        ("<!-- nights: two, run: 7, cause: a -->", State()),
        ("", State()),
    ],
)
def test_what_an_older_or_a_newer_version_wrote_is_read_as_far_as_it_goes(text, told):
    assert state.read(f"<!-- backburn: reproduce failed [digits] -->\n{text}")[1] == told


def test_a_body_without_a_marker_is_none_of_ours():
    assert state.read(str(FULL))[0] is None and state.read("<!-- backburn: @all failed -->")[0] is None


@pytest.mark.parametrize("before", [state.marked(KEY, State(1, 2, "x", "nightly")), "<!-- backburn: unit failed -->"])
def test_how_it_stands_is_written_over_what_was_there(before):
    text = state.standing(f"Mine.\n{before}\nIt fails.", FULL)
    assert state.read(text)[1] == FULL and text.startswith("Mine.\n<!-- backburn: ") and "It fails." in text
    assert text.count("<!-- nights") == 1


def test_the_title_says_what_is_known():
    assert KEY.title == "nightly: reproduce failed [digits] on nvidia-h200 since 0123456"
    assert Key("no verdict").title == "nightly: no verdict"


@pytest.mark.parametrize(
    ("one", "workflow", "same"),
    [
        (KEY, "other", True),
        (KEY._replace(hardware=""), "other", True),  # an older version's
        (KEY._replace(commit=""), "other", True),  # not known yet
        (KEY._replace(commit="f" * 40), "nightly", False),
        (KEY._replace(hardware="nvidia-l4"), "nightly", False),
        (KEY._replace(training="speech"), "nightly", False),
        (KEY._replace(kind="profile failed"), "nightly", False),
    ],
)
def test_an_issue_is_about_a_trouble(one, workflow, same):
    assert state.is_same(one, State(workflow="nightly"), KEY, workflow) is same


@pytest.mark.parametrize(("workflow", "same"), [("nightly", True), ("other", False)])
def test_a_hardware_that_is_not_known_is_that_of_the_workflow(workflow, same):
    assert state.is_same(KEY, State(workflow="nightly"), KEY._replace(hardware=""), workflow) is same


@pytest.mark.parametrize(("before", "run", "nights"), [((0, 4), 5, 1), ((1, 4), 5, 2), ((1, 5), 5, 1), ((0, 5), 5, 1)])
def test_clean_nights_are_runs(before, run, nights):
    clean, last = before
    assert state.is_clean(State(clean=clean, run=last), run) == nights


def test_a_culprit_is_found_again_between_its_marks():
    assert state.culprit(f"a\n{state.culprit_marked('x `y`')}\nb") == "x `y`"
    assert state.culprit("a") == "" == state.culprit_marked("")


def test_a_word_cannot_end_a_comment():
    assert state.word("a, b: c --> <!-- \n") == "a-b-c-"
    assert state.word("") == "-" and len(state.word("x" * 200)) == 100
