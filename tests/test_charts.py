import math
import re

import pytest

from backburn import charts
from backburn.report import Curve


def chart(*values, name="loss", steps=(), others=()):
    return charts.drawn([Curve(name=name, values=values, steps=steps), *others])[0]


def test_a_line_goes_from_corner_to_corner():
    one = chart(3.0, 2.0, 1.0)
    assert one.lines == "M0 0L500 500L1000 1000"
    assert [(label.place, label.text) for label in one.columns] == [(0, "1"), (500, "2"), (1000, "3")]
    assert [(label.place, label.text) for label in one.rows] == [
        (1000, "1"),
        (750, "1.5"),
        (500, "2"),
        (250, "2.5"),
        (0, "3"),
    ]
    assert one.words == "least 1 at step 3; most 3 at step 1; last 1 at step 3"
    assert (one.log, one.dots, one.lost) == (False, "", ())


def test_orders_of_magnitude_are_shown_on_a_logarithmic_scale():
    one = chart(100.0, 10.0, 1.0, 0.1)
    assert one.log and one.lines == "M0 0L333 333L667 667L1000 1000"
    assert [label.text for label in one.rows] == ["0.1", "0.3", "1", "3", "10", "30", "100"]
    assert not chart(49.0, 1.0).log
    assert not chart(1000.0, 0.0).log and not chart(1000.0, -1.0).log


def test_steps_that_grow_are_too():
    one = chart(1.0, 2.0, 3.0, steps=(1, 10, 100))
    assert one.lines == "M0 1000L500 500L1000 0"
    assert [label.text for label in one.columns] == ["1", "3", "10", "30", "100"]
    assert one.words.endswith("last 3 at step 100")


def test_what_is_not_finite_is_a_gap_with_a_mark():
    one = chart(math.nan, 2.0, 1.0, math.inf, 2.0)
    assert one.lines == "M250 0L500 1000"
    assert one.dots == "M1000 0h0"  # alone between gaps: no line reaches it
    assert one.lost == (0, 750)
    assert one.words.endswith("2 of 5 not finite, the first at step 1 (nan)")
    assert [spot.text for spot in one.spots][3] == "step 4: inf"


@pytest.mark.parametrize(
    ("values", "words"), [((), "no value was measured"), ((math.nan,), "1 of 1 not finite, the first at step 1 (nan)")]
)
def test_nothing_to_draw_is_said(values, words):
    one = chart(*values)
    assert (one.lines, one.dots, one.rows, one.words) == ("", "", (), words)


@pytest.mark.parametrize(
    "values",
    [
        (1.0,), (0.0, 0.0, -0.0), (1e308, -1e308), (5e-324, 1e308), (1e-320, 2e-320), (1.0, 1 + 2e-16), (1e9, 1e9 + 1),
        (-1e300, 0.0), (10**15, 1),
    ],
)  # fmt: skip
def test_every_float_has_its_place(values):
    one = chart(*values)
    places = [int(place) for place in re.findall(r"-?\d+", one.lines + one.dots.replace("h0", ""))]
    assert places and all(0 <= place <= charts.SIZE for place in places)
    assert 1 <= len(one.rows) <= 12
    assert all(0 <= label.place <= charts.SIZE for label in one.rows + one.columns)


def test_times_are_dots_about_their_median_in_milliseconds():
    one = chart(0.003, 0.005, 0.001, 0.004, 0.002, name="step seconds")
    assert (one.unit, one.lines, one.median) == ("ms", "", 500)
    assert one.dots == "M0 500h0M250 0h0M500 1000h0M750 250h0M1000 750h0"
    assert one.words.startswith("median 3 ms; least 1 ms at step 3; most 5 ms at step 2")


def test_the_reference_is_drawn_into_the_same_plot():
    reference = Curve(name="reference loss", values=(4.0, 2.0), steps=(1, 3))
    own, *more = charts.drawn([Curve(name="loss", values=(3.0, 2.0, 1.0)), reference])
    assert more == []
    assert own.reference == "M0 0L1000 667"
    assert own.lines == "M0 333L500 667L1000 1000"
    assert own.words.startswith("least 1 at step 3; most 3")  # its own, not the reference's
    elsewhere = Curve(name="reference loss", values=(1.0,), training="other")
    assert len(charts.drawn([Curve(name="loss", values=(1.0,)), elsewhere])) == 2
    assert len(charts.drawn([reference])) == 1


def test_a_long_curve_is_thinned_and_keeps_its_peaks_and_gaps():
    values = [1.0] * 100_000
    values[40_000], values[70_000], values[99_999] = 7.0, math.nan, 2.0
    one = chart(*values)
    assert len(one.lines) < 8000 and len(one.spots) <= 100
    assert "L400 0" in one.lines and one.lost == (700,)
    assert "most 7 at step 40,001" in one.words and "1 of 100000 not finite, the first at step 70,001" in one.words


def test_the_median_is_of_all_values():
    assert chart(*[0.001] * 900, *[0.002] * 100, name="step seconds").words.startswith("median 1 ms")


def test_spots_cover_the_plot():
    spots = chart(3.0, 2.0, 1.0).spots
    assert [(spot.place, spot.width) for spot in spots] == [(0, 250), (250, 500), (750, 250)]
