"""What the probe tells of sound optimizer steps, to change one thing of, and all pages of checks that judge them."""

import types

import msgspec

from backburn.memorization import gradients, updates, upkeep
from backburn.memorization.optimizing import Optimizing, Schedule, Stepped

from .evidence import found, seen

PAGES = types.SimpleNamespace(
    CHECKS=(*gradients.CHECKS, *updates.CHECKS, *upkeep.CHECKS),
    kept=lambda seen: gradients.kept(seen) | updates.kept(seen) | upkeep.kept(seen),
)

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


def levels(held, steps, check):
    return [one.level for one in found(PAGES.CHECKS, seen(held, optimizing=steps)).get(check, ())]
