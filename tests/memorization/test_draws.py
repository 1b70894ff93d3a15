"""The check of what training_step draws, on evidence: sound, and with one thing broken."""

import msgspec
import pytest

from backburn.memorization import draws
from backburn.memorization.draws import Draws

from .evidence import found, reference, seen, skipped

SOUND = Draws(used={"normal": 1, "integers": 1}, drawn={"normal": 1, "integers": 1}, size=16)
MIXUP = Draws(used={"orders": 1, "numpy": 1}, drawn={"orders": 1, "numpy": 1}, size=16)
MANY = Draws(used={"uniform": 12}, drawn={"uniform": 12}, loose=("uniform",))
NAME = "noise-is-as-reviewed"


def counts(**now):
    return {"used": now, "drawn": now}


def messages(sound=SOUND, **change):
    evidence = seen(draws=msgspec.structs.replace(sound, **change), reference=reference(draws, seen(draws=sound)))
    return [one.message for one in found(draws.CHECKS, evidence).get(NAME, ())]


def test_what_was_drawn_is_noted_tersely():
    assert draws.kept(seen(draws=SOUND)) == {"draws": "integers=1 normal=1", "draws many": "integers normal"}
    assert draws.kept(seen(draws=MANY)) == {"draws": ""} and draws.kept(seen()) == {}
    idle = Draws(used={"normal": 1}, drawn={"normal": 1, "uniform": 2}, size=16)
    assert draws.kept(seen(draws=idle)) == {"draws": "normal=1", "draws many": "normal"}


@pytest.mark.parametrize(
    "change, said",
    [
        (counts(integers=1), "draws no normal numbers, and drew them once when it was reviewed"),
        (counts(integers=1, uniform=1), "there are uniform numbers instead"),
        (counts(normal=1), "draws no random integers"),
        (counts(normal=2, integers=1), "draws normal numbers 2 times, and drew them once"),
        ({"single": ("integers",)}, "draws random integers one at a time, and drew many at once when it was reviewed"),
        ({"used": {"integers": 1}}, "draws normal numbers that its loss does not follow from"),
        ({"drawn": {"normal": 2, "integers": 1}}, "draws normal numbers 2 times"),
    ],
)
def test_what_is_not_drawn_any_more_is_an_error(change, said):
    assert [said in one for one in messages(**change)] == [True]


@pytest.mark.parametrize(
    "change",
    [
        {},
        counts(normal=1, integers=1, uniform=2),  # a new kind: an augmentation
        counts(normal=16, integers=1),  # one for each sample
        counts(integers=1, numpy=1),  # the same numbers by numpy
        counts(integers=1) | {"loose": ("normal",)},
        counts(normal=1, integers=16) | {"single": ("integers",)},  # one after the other
        counts(integers=1) | {"loose": ("python",)},
    ],
)
def test_what_has_a_sound_reading_is_silent(change):
    assert messages(**change) == []


def test_many_may_be_more_or_fewer_but_not_none():
    several = Draws(**counts(normal=4), size=16)
    assert messages(several, **counts(normal=7)) == messages(several, **counts(normal=1)) == []
    assert len(messages(several, **counts(uniform=4))) == 1 and messages(MANY, used={}, drawn={}, loose=()) == []


def test_a_mixture_that_is_gone_is_an_error_however_its_share_is_drawn():
    assert len(messages(MIXUP, used={}, drawn={})) == 2
    assert messages(MIXUP, **counts(orders=1, gammas=1)) == []


def test_nothing_is_said_without_a_reference_that_knows():
    assert found(draws.CHECKS, seen(draws=SOUND)) == {}
    old = msgspec.structs.replace(reference(draws, seen(draws=SOUND)), settings={"found": ""})
    assert skipped(draws.CHECKS, seen(draws=Draws(), reference=old))[NAME].endswith("does not say what was drawn")
