from backburn.renderers import annotations
from backburn.report import Level, Look
from tests.renderers.reports import BROKEN, SOUND, many


def test_the_cause_comes_first_and_odd_characters_stay_inside():
    lines = annotations.render([BROKEN]).splitlines()
    assert lines[0].startswith(
        "::error file=src/a%2C b%3Ac/mödel.py,line=7,col=3,title=memorize/loss-falls [digits]::50%25 of <b>"
    )
    assert "%0Asecond line" in lines[0]
    assert lines[0].endswith("%0ALower the <lr>, then `backburn memorize`.")
    assert lines[1] == "::error title=memorize/on-gpu::unjudged: no GPU was seen"
    assert lines[2].startswith("::warning title=memorize/loss-falls [digits]::slow")
    assert len(lines) == 3


def test_what_could_not_be_judged_may_be_a_warning():
    text = annotations.render([BROKEN], Look(unjudged=Level.WARNING))
    assert "::warning title=memorize/on-gpu::unjudged" in text


def test_a_sound_report_says_nothing():
    assert annotations.render([SOUND]) == ""


def test_ten_at_most_the_rest_counted():
    assert len(annotations.render([many(10)]).splitlines()) == 10
    lines = annotations.render([many(37)]).splitlines()
    assert len(lines) == 10
    assert lines[-1] == "::error title=backburn::28 more: see the job's summary"
