"""Figures of what was timed, and how far each may go."""

import math

import pytest

from backburn import timings


def test_figures_of_steps_and_waits():
    assert timings.figures((0.03, 0.01, 0.02), (0.01, 0.01), (0.005, 0.004)) == {
        "step seconds": 0.02, "least step seconds": 0.004, "least wall seconds": 0.01, "waiting share": 0.25,
    }  # fmt: skip
    assert timings.figures((), (), ()) == {}


@pytest.mark.parametrize(
    ("limit", "before", "most", "level"),
    [
        (timings.STEP, 0.01, 0.02, "warning"),
        (timings.CLOCK, 0.01, 0.05, "warning"),
        (timings.WAITING, 0.25, 0.45, "warning"),
        (timings.RESIDENT, 400.0, 500.0, "warning"),
        (timings.PEAK, 100.0, 102.0, "error"),
    ],
)
def test_up_to_the_limit_nothing_is_said(limit, before, most, level):
    assert limit.finding(before, most) is limit.finding(before, 0.0) is None
    assert limit.finding(before, 1.001 * most).level == limit.finding(before, math.nan).level == level


def test_the_table_has_the_longest_first():
    head, *lines = timings.table({"short": (3, 1.0), "whole of it": (1, 4.0)}).splitlines()
    assert [line.split()[-1] for line in lines] == ["100.0%", "25.0%"]
    assert len({len(line) for line in lines}) == 1
    assert timings.table({}).startswith("action")
