"""Whole numbers against a reference's: what rose, fell, or was never steady."""

from backburn import counts
from backburn.references import Machine, Reference


def reference(**figures):
    named = {name.replace("_", " ", 1): runs if type(runs) is tuple else (runs, runs) for name, runs in figures.items()}
    return Reference(stage="profile", training="it", machine=Machine(hardware="cpu"), seeds=(0, 1), figures=named)


def test_a_difference_is_one_more_or_one_less_and_what_is_missing_is_none():
    now = {"ops a": 3, "ops b": 1, "ops new": 2, "ops same": 5, "flops x": 9}
    changes = counts.changes([now], reference(ops_a=2, ops_b=2, ops_gone=4, ops_same=5, flops_x=1), "ops")
    assert [str(one) for one in changes] == ["new 0 → 2 (+2)", "a 2 → 3 (+1)", "b 2 → 1 (-1)", "gone 4 → 0 (-4)"]
    assert [one.rise for one in changes] == [2, 1, -1, -4]


def test_the_count_nearest_to_the_reference_is_told_and_between_two_is_no_difference():
    known = reference(ops_up=5, ops_down=5, ops_between=5)
    counted = [{"ops up": 9, "ops down": 1, "ops between": 4}, {"ops up": 7, "ops down": 3, "ops between": 6}]
    assert [(one.name, one.now) for one in counts.changes(counted, known, "ops")] == [("up", 7), ("down", 3)]


def test_what_another_seed_changes_may_be_half_as_much_again():
    known = reference(ops_a=(10, 20), ops_b=(0, 4), ops_c=(20, 10))
    for now, rise in ((30, 0), (31, 11), (7, 0), (6, -4)):
        changes = counts.changes([{"ops a": now, "ops b": 6, "ops c": now}], known, "ops")
        assert [(one.name, one.rise) for one in changes] == ([("a", rise), ("c", rise)] if rise else [])


def test_a_finding_for_each_phase_and_those_fewer_than_its_steps_are_notices():
    moved = {"p a": 3, "p b": 6, "validation a": 2, "data a": -9, "p with gradient": 1}
    changed = [counts.Change("ops", name, max(0, -by), max(0, by)) for name, by in moved.items()]
    found = list(counts.rises(changed, {"": 10, "validation": 2}))
    assert [(one.level, one.message) for one in found] == [
        ("notice", "p: a 0 → 3 (+3), b 0 → 6 (+6), with gradient 0 → 1 (+1)"),
        ("error", "validation: a 0 → 2 (+2)"),
    ]
    assert [one.level for one in counts.rises(changed, {"": 9, "validation": 3})] == ["error", "notice"]
    (win,) = counts.falls("operations", changed[3:4])
    assert (win.level, win.message) == ("notice", "fewer operations than in the reference: data a 9 → 0 (-9)")
    assert not list(counts.falls("operations", changed)) and not list(counts.falls("operations", []))


def test_a_timed_figure_is_nothing_counted():
    known = reference(step_seconds=0.5)
    assert counts.changes([{"ops a": 0}], known, "ops", "step time") == []


def test_how_many_autograd_recorded_comes_last():
    changes = counts.changes([{"ops a": 1, "ops f with gradient": 9}], reference(), "ops")
    assert [one.name for one in changes] == ["a", "f with gradient"]


def test_what_differs_or_is_not_in_every_count_varies():
    assert counts.varying([{"a@13": 1, "a@8": 1, "b": 1}, {"a@13": 2, "b": 1}]) == ["a@8", "a@13"]
    assert counts.varying([{"a": 1}]) == counts.varying([]) == []


def test_the_first_few_are_named_and_the_rest_counted():
    assert counts.listed(["a", "b"]) == "a, b"
    assert counts.listed(list("abcdefg")) == "a, b, c, d, e and 2 more"
    assert counts.in_full(["a", "b"]) == ""
    assert counts.in_full(list("abcdefg")).splitlines() == list("abcdefg")
