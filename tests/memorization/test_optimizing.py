"""The checks of the first optimizer steps, each on evidence: sound, and with one thing broken."""

import msgspec
import pytest

from backburn.memorization import optimizing
from backburn.memorization.optimizing import Idle, Optimizing, Schedule, Stepped
from backburn.report import Level

from .evidence import found, reference, seen

NAN = float("nan")
ADAM = Stepped(
    name="Adam", parameters=4, ratios=(1e-3,) * 8, along=(-0.7,) * 8, shrink=(0.1,) * 8,
    pull=(-0.1,) * 8, decay=(20.0,) * 8, kept=(1.0,) * 8, rates=(1e-3,) * 8, highest=1e-3, windows=8,
    options={"weight_decay": 0.01, "eps": 1e-8, "beta1": 0.9, "beta2": 0.999, "maximize": 0.0},
)  # fmt: skip
FALLING = Schedule(name="StepLR", planned=1000.0, tried=300, highest=1e-3, low=20)
STANDS = {"losses": (1.4, 1.4, 1.39), "ended": "futile"}
EIGHT = {name: (0.0,) * 8 for name in ("kept", "rates")}


def adam(**change):
    return Optimizing(count=8, backwards=8, optimizers=(msgspec.structs.replace(ADAM, **change),))


def options(**change):
    return adam(options={**ADAM.options, **change})


def schedule(**change):
    return Optimizing(count=8, backwards=8, optimizers=(ADAM,), schedules=(msgspec.structs.replace(FALLING, **change),))


BROKEN = {
    "stale": ("gradients-are-fresh", adam(stale=("a.weight",)), {}, "1 of 4 parameters of Adam (a.weight) still held"),
    "wiped": ("gradients-are-kept", adam(kept=EIGHT["kept"]), {}, "found none of them in any of 8 steps"),
    "clipped": ("gradients-are-kept", adam(kept=(1e-5,) * 8), {}, "cut to 1e-05 of their length"),
    "zero": (
        "gradients-reach",
        adam(),
        {"zero_gradient": ("a.weight",), "zero_share": 0.95},
        "the gradient is always 0",
    ),
    "ascends": ("optimizer-descends", adam(along=(0.7,) * 8), {}, "all 8 steps of Adam go along the gradient"),
    "unmoved": ("parameters-move", adam(), {"unmoved": ("a.weight",)}, "got a gradient and never moved"),
    "no step": ("parameters-move", Optimizing(count=64, backwards=64), {}, "no optimizer took a step"),
    "small": ("updates-are-sized", adam(ratios=(1e-6,) * 8), STANDS, "by 1e-06 of their size"),
    "none": ("updates-are-sized", adam(ratios=(1e-8,) * 8), {}, "by 1e-08 of their size"),
    "large": ("updates-are-sized", adam(ratios=(5.0,) * 8), {"losses": (1.4, 99.0, 1.0)}, "by 5 of their size"),
    "betas": ("updates-are-sized", options(beta1=0.999, beta2=0.9), {}, "betas (0.999, 0.9)"),
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


def test_sound_evidence_says_nothing():
    assert found(optimizing.CHECKS, seen(optimizing=adam())) == {}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_found(name):
    check, steps, told, message = BROKEN[name]
    outcome = found(optimizing.CHECKS, seen(optimizing=steps, **told))
    assert list(outcome) == [check]
    (finding,) = outcome[check]
    assert finding.level is Level.ERROR and message in finding.message


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
    assert found(optimizing.CHECKS, seen(optimizing=steps, **told)) == {}


def test_what_a_reference_is_held_against():
    held = reference(optimizing, seen(optimizing=adam()))
    for ratio, alarm in ((1e-3 / 12, False), (1e-3 / 50, True), (1e-3 * 12, False), (1e-3 * 50, True)):
        outcome = found(optimizing.CHECKS, seen(held, optimizing=adam(ratios=(ratio,) * 8)))
        assert list(outcome) == ["updates-are-sized"] * alarm
    other = adam(name="SGD", ratios=(1e-5,) * 8)
    assert found(optimizing.CHECKS, seen(held, optimizing=other)) == {}


def test_a_gradient_of_0_is_suspected_and_new_where_it_is_more_than_reviewed():
    part = {"zero_gradient": ("a.weight",), "zero_share": 0.3, "optimizing": adam()}
    (alone,) = found(optimizing.CHECKS, seen(**part))["gradients-reach"]
    (new,) = found(optimizing.CHECKS, seen(reference(optimizing, seen(optimizing=adam())), **part))["gradients-reach"]
    (known,) = found(optimizing.CHECKS, seen(reference(optimizing, seen(**part)), **part))["gradients-reach"]
    assert (alone.level, new.level, known.level) == (Level.WARNING, Level.ERROR, Level.NOTICE)


def levels(held, steps, check):
    return [one.level for one in found(optimizing.CHECKS, seen(held, optimizing=steps)).get(check, ())]


@pytest.mark.parametrize(
    ("check", "broken", "words"),
    [
        (
            "parameters-move",
            msgspec.structs.replace(adam(), count=64, idle=(Idle(name="SGD", parameters=("head.weight",)),)),
            "SGD, one of 1 optimizers, took no step in 64: 1 of 4 trainable parameters (head.weight)",
        ),
        ("learning-rate-holds", schedule(low=None, peak=100, planned=3.0), "warms up for 100 of its steps"),
    ],
)
def test_what_may_be_meant_is_suspected(check, broken, words):
    sound = reference(optimizing, seen(optimizing=adam()))
    (finding,) = found(optimizing.CHECKS, seen(optimizing=broken))[check]
    assert words in finding.message
    known = reference(optimizing, seen(optimizing=broken))
    told = [levels(held, broken, check) for held in (None, sound, known)]
    assert told == [[Level.WARNING], [Level.ERROR], [Level.NOTICE]]


def test_parameters_of_an_idle_optimizer_are_told_once():
    idle = msgspec.structs.replace(adam(), idle=(Idle(name="SGD", parameters=("a.weight",)),))
    assert list(found(optimizing.CHECKS, seen(optimizing=idle, without_gradient=("a.weight",)))) == ["parameters-move"]


@pytest.mark.parametrize(
    ("by_epoch", "name", "new"), [(True, "StepLR", True), (False, "StepLR", False), (True, "X", False)]
)
def test_a_schedule_that_is_stepped_otherwise_is_new(by_epoch, name, new):
    held = reference(optimizing, seen(optimizing=schedule(low=None)))
    now = schedule(low=None, by_epoch=by_epoch, name=name)
    assert levels(held, now, "learning-rate-holds") == [Level.ERROR] * new
