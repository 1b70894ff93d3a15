import math

import pytest

from backburn.memorization.planted import Caught, caught, concluded
from backburn.memorization.seen import Evidence, Planted, Told
from backburn.report import Finding, Level, after
from backburn.training import Ended

SOUND = Told(ended="memorized", losses=(1.0, 0.1))


def root(seen, config):
    """R."""
    if not seen.told.losses[0] >= 0:
        yield Finding(message="no number" if math.isnan(seen.told.losses[0]) else "negative")


@after(root)
def symptom(seen, config):
    """S."""
    if not seen.told.losses[-1] <= 0.5:
        yield Finding(message="high", level=Level.WARNING)


def always(seen, config):
    """A."""
    yield Finding(message="as ever", level=Level.NOTICE)


CHECKS = (always, root, symptom)


def rows(*planted, checks=CHECKS):
    told = Told(ended="memorized", losses=(1.0, 0.1), planted=planted)
    return caught(Evidence(ended=Ended(command=("x",), code=0, seconds=1.0), told=told), None, checks)


def bug(*losses):
    return Planted(name="b", bug="a bug", told=Told(ended="steps", losses=losses))


def test_the_first_check_that_fails_is_named_and_what_follows_from_it_is_not():
    assert rows(bug(math.nan, math.nan)) == [Caught(bug="a bug", check="root", level=Level.ERROR)]
    assert rows(bug(1.0, 1.0)) == [Caught(bug="a bug", check="symptom", level=Level.WARNING)]


def test_what_the_sound_training_has_too_catches_nothing():
    assert rows(bug(1.0, 0.1)) == [Caught(bug="a bug")]
    assert rows(bug(-1.0, 0.1), checks=(always,)) == [Caught(bug="a bug")]
    assert rows() == []


@pytest.mark.parametrize(
    ("row", "level", "said", "line"),
    [
        (Caught(bug="b", check="root", level=Level.ERROR), Level.NOTICE, "1 of 1 planted", "✓ b  root"),
        (Caught(bug="b", check="soft", level=Level.WARNING), Level.NOTICE, "1 is a warning", "! b  soft (a warning)"),
        (Caught(bug="b"), Level.WARNING, "not caught: b", "✗ b  NOT CAUGHT"),
        (
            Caught(bug="b", untold="no head"),
            Level.NOTICE,
            "1 cannot be planted",
            "- b  cannot be planted here: no head",
        ),
    ],
)
def test_the_conclusion_is_never_an_error(row, level, said, line):
    (finding,) = concluded([row])
    assert finding.level is level and said in finding.message and finding.detail == line
