"""Where two trainings part, over all of their steps."""

import msgspec
import pytest

from backburn import evidence
from backburn.reproduction import divergence
from backburn.reproduction.divergence import Divergence
from backburn.reproduction.pair import Kind
from backburn.reproduction.steps import Step
from tests.reproduction.symbols import at, trained

SOUND = trained()
RATE = trained(at("lr", 7, 0.02))


def test_the_interval_is_between_the_last_equal_and_the_first_different_step():
    assert divergence.interval(SOUND, SOUND) is None
    assert divergence.interval(SOUND, RATE) == (6, 7)
    assert divergence.interval(SOUND[::3], RATE[::3]) == (4, 7)
    assert divergence.interval(SOUND, trained(at("order"))) == (0, 1)


@pytest.mark.parametrize("place", ["augment", "second", "loss", "scale", "clip", "lr", "state", "average", "mean"])
def test_the_step_is_exact_wherever_it_begins(place):
    for step in range(1, 13):
        found = divergence.first(SOUND, trained(at(place, step, None if place != "lr" else 0.5)))
        assert (found.step, found.since, found.exact) == (step, step - 1, True)


def test_more_steps_in_one_of_them_are_no_difference():
    assert divergence.first(SOUND, SOUND[:5]) is None
    assert divergence.first(SOUND[3:], SOUND[:5]) is None
    assert divergence.first(SOUND, ()) is None


def test_a_buffer_that_differs_once_and_never_again_is_seen():
    once = tuple(
        msgspec.structs.replace(one, buffers={"net.norm.running_mean": "other"}) if one.step == 2 else one
        for one in SOUND
    )
    found = divergence.first(SOUND, once)
    assert (found.step, found.kind) == (2, Kind.BUFFER)


def test_the_sentence_names_step_and_kind():
    assert str(divergence.first(SOUND, RATE)) == "step 7, optimizer: lr of the optimizer is 0.02, was 0.01"
    assert divergence.first(SOUND[::5], trained(at("second", 4))[::5]).where == "steps 2-6"
    far = divergence.first(trained(grid=(1, 8), detailed=False), trained(at("second", 6), grid=(1, 8), detailed=False))
    assert str(far).startswith("steps 2-8, loss: loss, gradients, optimizer, parameters differ; batch, random state")


def test_a_validation_before_the_weights_are_known_waits_for_them():
    grid = (1, 2, 3, 5, 8)
    base = trained(grid=grid[:3] + grid[4:], detailed=False)  # a validation behind step 4, which was not recorded
    only = trained(lambda place, value, step: "x" if place == "evaluation" and step == 4 else value,
                   grid=grid[:3] + grid[4:], detailed=False)  # fmt: skip
    found = divergence.first(base, only)
    assert (found.step, found.kind, found.exact) == (4, Kind.EVALUATION, True)
    both = trained(at("second", 4), grid=grid[:3] + grid[4:], detailed=False)
    found = divergence.first(base, both)
    assert (found.step, found.since, found.kind, found.part) == (4, 3, None, "validation")
    assert found.said.startswith("the evaluation differs: val_accuracy is ")


def test_a_validation_alone_is_no_step_that_was_the_same():
    """After it the next step is not near: what the step of the validation did was not recorded."""
    base, head = (trained(one, grid=(1, 2, 5), steps=5, detailed=False) for one in (at("none"), at("second", 5)))
    found = divergence.first(base, head)
    assert (found.since, found.step, found.exact) == (2, 5, False)


def test_a_training_that_went_on_is_counted_as_if_it_had_never_stopped():
    rest = tuple(msgspec.structs.replace(one, step=one.step - 6) for one in SOUND[6:])
    assert divergence.shifted(rest, 6) == SOUND[6:]
    assert divergence.first(SOUND, divergence.shifted(rest, 6)) is None
    late = divergence.first(SOUND, divergence.shifted(tuple(rest), 5))
    assert (late.step, late.exact, late.kind) == (6, False, Kind.RNG)


def test_it_is_plain_data():
    found = divergence.first(SOUND, RATE)
    assert msgspec.convert(evidence.plain(found), Divergence) == found
    assert evidence.plain(found)["kind"] == "optimizer"


def test_of_many_names_some_are_kept():
    one = Step(step=1, before={f"w{number}": "a" for number in range(99)})
    other = Step(step=1, before={f"w{number}": "b" for number in range(99)})
    assert len(divergence.first((one,), (other,)).names) == 50
