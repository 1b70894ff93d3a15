"""Whole numbers against a reference's: what rose, fell, or was never steady."""

from backburn import counts
from backburn.references import Machine, Reference


def reference(unsteady="", **figures):
    named = {name.replace("_", " ", 1): (value, value) for name, value in figures.items()}
    settings = {"unsteady": unsteady} if unsteady else {}
    return Reference(
        stage="profile", training="it", machine=Machine(hardware="cpu"), seeds=(0, 1), figures=named, settings=settings
    )


def test_a_difference_is_one_more_or_one_less_and_what_is_missing_is_none():
    now = {"ops a": 3, "ops b": 1, "ops new": 2, "ops same": 5, "flops x": 9}
    changes = counts.changes([now], reference(ops_a=2, ops_b=2, ops_gone=4, ops_same=5, flops_x=1), "ops")
    assert [str(one) for one in changes] == ["new 0 → 2 (+2)", "a 2 → 3 (+1)", "b 2 → 1 (-1)", "gone 4 → 0 (-4)"]
    assert [one.rise for one in changes] == [2, 1, -1, -4]


def test_the_count_nearest_to_the_reference_is_told_and_between_two_is_no_difference():
    known = reference(ops_up=5, ops_down=5, ops_between=5)
    counted = [{"ops up": 9, "ops down": 1, "ops between": 4}, {"ops up": 7, "ops down": 3, "ops between": 6}]
    assert [(one.name, one.now) for one in counts.changes(counted, known, "ops")] == [("up", 7), ("down", 3)]


def test_what_the_reference_calls_unsteady_is_no_difference():
    known = reference(unsteady="ops a, ops b", ops_c=1)
    assert counts.left_out(known) == {"ops a", "ops b"}
    assert [one.name for one in counts.changes([{"ops a": 9, "ops b": 9, "ops c": 2}], known, "ops")] == ["c"]
    assert counts.left_out(reference()) == set()


def test_a_timed_figure_is_nothing_counted():
    known = reference(step_seconds=0.5)
    assert counts.changes([{"ops a": 0}], known, "ops", "step time") == []


def test_how_many_autograd_recorded_comes_last():
    changes = counts.changes([{"ops a": 1, "ops f with gradient": 9}], reference(), "ops")
    assert [one.name for one in changes] == ["a", "f with gradient"]


def test_unsteady_is_what_differs_or_is_not_in_every_count():
    assert counts.unsteady([{"a@13": 1, "a@8": 1, "b": 1}, {"a@13": 2, "b": 1}]) == ["a@8", "a@13"]
    assert counts.unsteady([{"a": 1}]) == counts.unsteady([]) == []


def test_the_first_few_are_named_and_the_rest_counted():
    assert counts.listed(["a", "b"]) == "a, b"
    assert counts.listed(list("abcdefg")) == "a, b, c, d, e and 2 more"
    assert counts.in_full(["a", "b"]) == ""
    assert counts.in_full(list("abcdefg")).splitlines() == list("abcdefg")
