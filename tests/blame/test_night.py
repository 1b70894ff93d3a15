"""Where a search looks first, from what a night recorded beside its reference."""

import msgspec
import pytest

from backburn.blame import night
from backburn.references import Machine, Reference
from backburn.reproduction.told import Told

STEPS = (1, 2, 4, 8, 16)
ONE = Reference(
    stage="reproduce",
    training="it",
    machine=Machine(hardware="cpu-test"),
    figures={"steps": (16,), "samples": (3,), "final acc": (0.5,), **{f"loss@{step}": (1.0,) for step in STEPS}},
    hashes={f"parameters@{step}": "same" for step in STEPS},
)


def told(since=99, acc=0.5):
    losses = tuple((step, 1.0 if step < since else 2.0) for step in STEPS)
    validations = {"acc": ((6, 0.2), (12, acc))}
    return Told(ended="fit", steps=16, samples=3, losses=losses, metrics={"acc": acc}, validations=validations)


def roots(since=99):
    return {f"parameters@{step}": "same" if step < since else "other" for step in STEPS}


@pytest.mark.parametrize(
    ("now", "weights", "between"),
    [
        (told(), roots(), (0, 0)),
        (told(since=4), roots(since=4), (2, 4)),
        (told(since=1), roots(since=1), (0, 1)),
        (told(since=16, acc=0.4), roots(since=8), (4, 8)),  # weights before their loss
        (told(since=8), roots(since=16), (4, 8)),  # a loss that no weight follows
        (told(acc=0.4), roots(), (6, 7)),  # an evaluation: behind the step of the first
        (told(since=4), {}, (0, 4)),  # nothing was recorded but curves
    ],
)
def test_what_a_night_tells(now, weights, between):
    assert night.between(ONE, now, weights) == between


def test_steps_are_those_of_the_process_where_it_went_on_from_a_checkpoint():
    losses = ((2, 1.0), (6, 2.0))  # behind ten others
    one = msgspec.structs.replace(ONE, hashes={"parameters@12": "same"}, figures={"loss@12": (1.0,), "loss@16": (1.0,)})
    resumed = Told(ended="fit", start=10, steps=6, losses=losses)
    assert night.between(one, resumed, {"parameters@12": "same"}) == (2, 6)


def test_an_evaluation_that_is_never_told_of_says_nothing():
    assert night.between(ONE, Told(ended="fit", steps=16, samples=3, metrics={"acc": 0.4}), {}) == (0, 0)
