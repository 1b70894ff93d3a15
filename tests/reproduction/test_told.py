"""What a run told: whole or not, how far it came, and what of it is compared."""

import math

import pytest

from backburn.reproduction.told import Told, coverage, figures, how_far, is_whole, not_finite, seed
from backburn.training import Ended

FINE = Ended(command=("python",), code=0, seconds=9.0)
ONE = Told(
    ended="fit",
    steps=8,
    planned=10,
    losses=((1, 2.0), (8, 1.0)),
    means=((1, 2.0), (8, 1.1)),
    rates=((1, 0.1),),
    metrics={"val_loss": 0.5, "epoch_time": 3.0},
    samples=100,
)


def but(**changed):
    return Told(**{name: getattr(ONE, name) for name in ONE.__struct_fields__} | changed)


@pytest.mark.parametrize(
    ("told", "ended", "whole"),
    [
        (ONE, FINE, True),
        (but(ended="budget"), FINE, True),
        (but(ended="until"), FINE, False),
        (but(ended="running"), FINE, False),
        (but(steps=0), FINE, False),
        (ONE, Ended(command=(), code=1, seconds=1.0), False),
        (ONE, Ended(command=(), code=0, seconds=1.0, timed_out=True), False),
        (None, FINE, False),
    ],
)
def test_a_run_is_whole_that_came_to_its_end_or_to_that_of_its_hours(told, ended, whole):
    assert is_whole(ended, told) is whole


def test_how_far_it_came():
    assert how_far(FINE, ONE) == "the fit ended at step 8 of 10"
    assert how_far(FINE, but(ended="running", planned=0)) == "reached at least step 8"
    assert how_far(FINE, None) == "no fit was seen; it took 9 s"
    assert coverage(ONE) == "" and coverage(but(ended="budget")) == "80 % of 10 steps"
    assert coverage(but(ended="budget", planned=0)) == "8 steps"


def test_the_figures_of_a_whole_run_are_those_of_its_steps_and_its_end():
    assert figures(ONE) == {
        "steps": 8, "samples": 100, "final val_loss": 0.5, "loss@1": 2.0, "loss@8": 1.0, "mean loss@1": 2.0,
        "mean loss@8": 1.1, "rate@1": 0.1,
    }  # fmt: skip
    assert set(figures(but(ended="budget"))) == {"loss@1", "loss@8", "mean loss@1", "mean loss@8", "rate@1"}


def test_a_training_that_went_on_from_a_checkpoint_counts_from_its_own_beginning():
    gone_on = figures(but(start=100))
    assert (gone_on["loss@108"], gone_on["start"], gone_on["steps"]) == (1.0, 100, 108)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, ""),
        ({"losses": ((1, math.inf), (8, math.nan))}, "the loss is inf at step 1 of 8"),
        ({"validations": {"val_acc": ((4, math.nan),)}}, "val_acc is nan at step 4 of 8"),
        ({"metrics": {"val_loss": math.nan}}, "val_loss is nan at the end"),
    ],
)
def test_what_is_not_finite_is_named(changed, said):
    assert not_finite(but(**changed)) == said


def test_its_seed_is_the_script_s_first_or_the_one_that_was_set():
    assert seed(but(seeded=(7, 8), shift=2), 42) == 9 and seed(but(shift=1), 42) == 43
