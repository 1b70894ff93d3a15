import math

import pytest

from backburn.report import Curve, Figure, Finding, Level, Outcome, Report, Verdict

ERROR, WARNING = Finding(message="bad"), Finding(message="odd", level=Level.WARNING)


def outcome(**about):
    return Outcome(check="memorize/loss-falls", claim="The loss falls.", **about)


@pytest.mark.parametrize(
    ("about", "verdict"),
    [
        ({}, Verdict.PASS),
        ({"findings": (WARNING,)}, Verdict.PASS),
        ({"findings": (WARNING, ERROR)}, Verdict.FAIL),
        ({"skipped": "after x"}, Verdict.SKIP),
        ({"unjudged": "no GPU"}, Verdict.UNJUDGED),
        ({"unjudged": "no GPU", "findings": (WARNING,)}, Verdict.UNJUDGED),
    ],
)
def test_outcome_verdict_is_derived(about, verdict):
    assert outcome(**about).verdict is verdict


PASS, FAIL = outcome(), outcome(findings=(ERROR,))
SKIP, UNJUDGED = outcome(skipped="n/a"), outcome(unjudged="no GPU")


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        ((), Verdict.UNJUDGED),
        ((SKIP,), Verdict.UNJUDGED),
        ((PASS, SKIP), Verdict.PASS),
        ((PASS, UNJUDGED), Verdict.UNJUDGED),
        ((UNJUDGED, FAIL, PASS), Verdict.FAIL),
    ],
)
def test_report_verdict_is_derived(outcomes, verdict):
    assert Report(stage="memorize", question="?", outcomes=outcomes).verdict is verdict


def test_the_cause_stands_first():
    warned = outcome(findings=(WARNING,))
    report = Report(stage="memorize", question="?", outcomes=(PASS, SKIP, warned, UNJUDGED, FAIL))
    assert report.worst_first == (FAIL, UNJUDGED, warned, PASS, SKIP)


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        (Figure(name="steps", value=12000), "12,000"),
        (Figure(name="loss", value=0.123456), "0.1235"),
        (Figure(name="seconds", value=1.5, unit="s"), "1.5 s"),
        (Figure(name="device", text="cpu (rehearsal)"), "cpu (rehearsal)"),
        (Figure(name="loss", value=math.nan), "nan"),
        (Figure(name="loss"), "unknown"),
    ],
)
def test_figure_reads_as_a_person_would_say_it(figure, text):
    assert str(figure) == text


def test_sparkline_falls_with_the_loss_and_marks_what_is_not_finite():
    assert Curve(name="loss", values=(8.0, 4.0, 1.0)).sparkline() == "█▄▁"
    assert Curve(name="loss", values=(2.0, math.nan, 1.0)).sparkline() == "█·▁"
    assert Curve(name="loss", values=(3.0, 3.0)).sparkline() == "▁▁"
    assert Curve(name="loss", values=()).sparkline() == ""
    assert len(Curve(name="loss", values=tuple(range(1000))).sparkline(40)) == 40
    assert Curve(name="loss", values=(1e308, -1e308)).sparkline() == "█▁"
    assert Curve(name="loss", values=(-1e308,) * 40 + (1e308,) * 40).sparkline() == "▁" * 20 + "█" * 20
