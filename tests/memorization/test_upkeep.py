"""What holds from step to step, each on evidence with one thing broken."""

import pytest

from backburn.report import Level

from .evidence import found, reference, seen
from .steps import EIGHT, PAGES, adam, levels, options, schedule

BROKEN = {
    "a rate of 0": ("learning-rate-holds", adam(rates=EIGHT["rates"]), {}, "is 0 in all of its 8 first steps"),
    "falls": ("learning-rate-holds", schedule(), {}, "below 1 % of its highest at its step 20 of 1000"),
    "falls, no plan": ("learning-rate-holds", schedule(planned=float("inf")), {}, "at its step 20"),
    "never rises": ("learning-rate-holds", schedule(highest=0.0), {}, "at 0 in all of 300 steps"),
    "falls at once": ("learning-rate-holds", adam(rates=(1.0,) * 7 + (1e-3,)), {}, "fell from 1 to 0.001"),
    "state": ("optimizer-keeps-state", adam(lost=7), {}, "began all of its 8 steps anew"),
    "precision": ("precision-keeps-updates", adam(low="bfloat16", lost_in_precision=0.8), {}, "80% of the bfloat16"),
    "decay": ("decay-is-small", options(weight_decay=100.0), {}, "takes 10% off the weights at each step"),
    "coupled": ("decay-is-small", options(weight_decay=10.0), {}, "is 200 times the gradient of the loss"),
    "penalty": ("decay-is-small", adam(shrink=(0.9,) * 8, pull=(0.95,) * 8), {}, "a penalty on them dominates"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_found(name):
    check, steps, told, message = BROKEN[name]
    outcome = found(PAGES.CHECKS, seen(optimizing=steps, **told))
    assert list(outcome) == [check]
    (finding,) = outcome[check]
    assert finding.level is Level.ERROR and message in finding.message


def test_a_warm_up_beyond_the_plan_is_suspected():
    check, words = "learning-rate-holds", "warms up for 100 of its steps"
    broken = schedule(low=None, peak=100, planned=3.0)
    sound = reference(PAGES, seen(optimizing=adam()))
    (finding,) = found(PAGES.CHECKS, seen(optimizing=broken))[check]
    assert words in finding.message
    known = reference(PAGES, seen(optimizing=broken))
    told = [levels(held, broken, check) for held in (None, sound, known)]
    assert told == [[Level.WARNING], [Level.ERROR], [Level.NOTICE]]


@pytest.mark.parametrize(
    ("matrices", "others", "told"),
    [(0.0, 0.05, [Level.WARNING, Level.ERROR, Level.NOTICE]), (0.05, 0.05, [None] * 3), (0.0, 0.0, [None] * 3)],
)
def test_a_decay_of_all_but_matrices_is_suspected(matrices, others, told):
    steps = options(**{"decay of matrices": matrices, "decay of others": others})
    held = (None, reference(PAGES, seen(optimizing=adam())), reference(PAGES, seen(optimizing=steps)))
    assert [(levels(one, steps, "decay-is-small") or [None])[0] for one in held] == told


@pytest.mark.parametrize(
    ("by_epoch", "name", "new"), [(True, "StepLR", True), (False, "StepLR", False), (True, "X", False)]
)
def test_a_schedule_that_is_stepped_otherwise_is_new(by_epoch, name, new):
    held = reference(PAGES, seen(optimizing=schedule(low=None)))
    now = schedule(low=None, by_epoch=by_epoch, name=name)
    assert levels(held, now, "learning-rate-holds") == [Level.ERROR] * new
