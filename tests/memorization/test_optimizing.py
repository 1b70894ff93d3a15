"""What is told of the first optimizer steps: sound ones, of which no check says anything."""

import pytest

from backburn.memorization.optimizing import Stepped

from .evidence import found, seen
from .steps import PAGES, STANDS, adam, options, schedule

NAN = float("nan")


def test_sound_evidence_says_nothing():
    assert found(PAGES.CHECKS, seen(optimizing=adam())) == {}


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        (adam(ratios=(1e-6,) * 8), {}),  # small, and it memorizes
        (adam(ratios=(5.0,) * 8), {}),  # from a small start
        (adam(ratios=(1e-8,) * 8, rates=(1e-8,) * 8, highest=1e-2), STANDS),  # a warm-up begins
        (adam(ratios=(NAN,) * 8, along=(0.0,) * 8, kept=(NAN,) * 8), STANDS),  # LBFGS has no one gradient
        (adam(along=(-0.1,) + (0.4,) * 7), {}),  # momentum
        (schedule(low=290), {}),
        (schedule(planned=30.0), {}),
        (schedule(planned=float("inf"), by_epoch=True), {}),  # 20 epochs of StepLR(10)
        (adam(kept=(1e-6,) * 8, left=(0.5,) * 8), {}),  # a loss in dollars, clipped
        (adam(name="Lion", decay=(200.0,) * 8, options={"weight_decay": 3.0}), {}),
        (options(weight_decay=10.0, decoupled_weight_decay=1.0), {}),
        (schedule(low=None), {}),
        (adam(lost=1), {}),
    ],
)
def test_what_is_sound_all_the_same(steps, told):
    assert found(PAGES.CHECKS, seen(optimizing=steps, **told)) == {}


def test_the_ratio_is_that_of_the_highest_rate():
    warming = Stepped(ratios=(NAN, 1e-5, 1e-3), rates=(1e-4, 1e-4, 0.0), highest=1e-3)
    assert (warming.steps, warming.ratio) == (3, pytest.approx(1e-4))
