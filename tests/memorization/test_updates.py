"""What a step does to the parameters, each on evidence with one thing broken."""

import msgspec
import pytest

from backburn.memorization.optimizing import Idle, Optimizing
from backburn.report import Level

from .evidence import found, reference, seen
from .steps import PAGES, STANDS, adam, levels, options

BROKEN = {
    "ascends": ("optimizer-descends", adam(along=(0.7,) * 8), {}, "all 8 steps of Adam go along the gradient"),
    "unmoved": ("parameters-move", adam(), {"unmoved": ("a.weight",)}, "got a gradient and never moved"),
    "no step": ("parameters-move", Optimizing(count=64, backwards=64), {}, "no optimizer took a step"),
    "small": ("updates-are-sized", adam(ratios=(1e-6,) * 8), STANDS, "by 1e-06 of their size"),
    "none": ("updates-are-sized", adam(ratios=(1e-8,) * 8), {}, "by 1e-08 of their size"),
    "large": ("updates-are-sized", adam(ratios=(5.0,) * 8), {"losses": (1.4, 99.0, 1.0)}, "by 5 of their size"),
    "betas": ("updates-are-sized", options(beta1=0.999, beta2=0.9), {}, "betas (0.999, 0.9)"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_found(name):
    check, steps, told, message = BROKEN[name]
    outcome = found(PAGES.CHECKS, seen(optimizing=steps, **told))
    assert list(outcome) == [check]
    (finding,) = outcome[check]
    assert finding.level is Level.ERROR and message in finding.message


def test_what_a_reference_is_held_against():
    held = reference(PAGES, seen(optimizing=adam()))
    for ratio, alarm in ((1e-3 / 12, False), (1e-3 / 50, True), (1e-3 * 12, False), (1e-3 * 50, True)):
        outcome = found(PAGES.CHECKS, seen(held, optimizing=adam(ratios=(ratio,) * 8)))
        assert list(outcome) == ["updates-are-sized"] * alarm
    other = adam(name="SGD", ratios=(1e-5,) * 8)
    assert found(PAGES.CHECKS, seen(held, optimizing=other)) == {}


def test_an_idle_optimizer_is_suspected():
    check = "parameters-move"
    words = "SGD, one of 1 optimizers, took no step in 64: 1 of 4 trainable parameters (head.weight)"
    broken = msgspec.structs.replace(adam(), count=64, idle=(Idle(name="SGD", parameters=("head.weight",)),))
    sound = reference(PAGES, seen(optimizing=adam()))
    (finding,) = found(PAGES.CHECKS, seen(optimizing=broken))[check]
    assert words in finding.message
    known = reference(PAGES, seen(optimizing=broken))
    told = [levels(held, broken, check) for held in (None, sound, known)]
    assert told == [[Level.WARNING], [Level.ERROR], [Level.NOTICE]]


def test_parameters_of_an_idle_optimizer_are_told_once():
    idle = msgspec.structs.replace(adam(), idle=(Idle(name="SGD", parameters=("a.weight",)),))
    assert list(found(PAGES.CHECKS, seen(optimizing=idle, without_gradient=("a.weight",)))) == ["parameters-move"]
