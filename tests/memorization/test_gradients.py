"""Gradients until the step, each on evidence with one thing broken."""

import msgspec
import pytest

from backburn.report import Level

from .evidence import found, reference, seen
from .steps import EIGHT, PAGES, adam

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
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_found(name):
    check, steps, told, message = BROKEN[name]
    outcome = found(PAGES.CHECKS, seen(optimizing=steps, **told))
    assert list(outcome) == [check]
    (finding,) = outcome[check]
    assert finding.level is Level.ERROR and message in finding.message


def test_a_gradient_of_0_is_suspected_and_new_where_it_is_more_than_reviewed():
    part = {"zero_gradient": ("a.weight",), "zero_share": 0.3, "optimizing": adam()}
    (alone,) = found(PAGES.CHECKS, seen(**part))["gradients-reach"]
    (new,) = found(PAGES.CHECKS, seen(reference(PAGES, seen(optimizing=adam())), **part))["gradients-reach"]
    (known,) = found(PAGES.CHECKS, seen(reference(PAGES, seen(**part)), **part))["gradients-reach"]
    assert (alone.level, new.level, known.level) == (Level.WARNING, Level.ERROR, Level.NOTICE)


PARTS = {
    "reused": ("gradients-are-fresh", adam(reused=6), "in 6 of 8 steps of Adam, gradients of the step before"),
    "wiped": ("gradients-are-kept", msgspec.structs.replace(adam(), wiped=4), "of 4 of 8 calls of backward were wiped"),
}


@pytest.mark.parametrize("name", PARTS)
def test_what_an_attack_may_do_is_suspected_and_new_against_a_reference(name):
    check, steps, message = PARTS[name]
    (alone,) = found(PAGES.CHECKS, seen(optimizing=steps))[check]
    (new,) = found(PAGES.CHECKS, seen(reference(PAGES, seen(optimizing=adam())), optimizing=steps))[check]
    assert (alone.level, new.level) == (Level.WARNING, Level.ERROR) and message in alone.message
    few = msgspec.structs.replace(steps, wiped=2, optimizers=adam(reused=2).optimizers)
    assert found(PAGES.CHECKS, seen(optimizing=few)) == {}


def test_gradients_of_an_optimizer_that_is_never_stepped_are_not_what_is_wrong():
    never = msgspec.structs.replace(adam(), wiped=8, optimizers=())
    assert "gradients-are-kept" not in found(PAGES.CHECKS, seen(optimizing=never))
