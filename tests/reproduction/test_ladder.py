"""What a night comes to: a table of nights, one row for each class, and what the ladder says on the way."""

import random
from dataclasses import replace

import msgspec
import pytest

from backburn import comparison
from backburn.references import Machine, Reference
from backburn.reproduction import digests, envelope, ladder
from backburn.reproduction.ladder import Night, Repeat, Rung

GRID, OCTAVES = (1, 2, 3, 5, 8, 13), (1, 2, 4, 8, 13)


def run(seed):
    draw = random.Random(seed)
    curves = {f"loss@{n}": 2.0 / n * 1.1 ** draw.gauss(0, 1) for n in GRID} | {f"rate@{n}": 0.1 for n in GRID}
    curves |= {f"mean loss@{n}": 2.0 / n * 1.02 ** draw.gauss(0, 1) for n in OCTAVES}
    return {"steps": 13, "samples": 100, "final val_loss": 0.4 * 1.02 ** draw.gauss(0, 1)} | curves


def roots(since=99, parts=()):
    """Of every recorded part and step; those in `parts` are others from step `since` on."""
    return {
        f"{part}@{n}": f"{part} {n}{' other' if part in parts and n >= since else ''}"
        for part in ("batch", "rng", *digests.STATE)
        for n in GRID
    }


SEEDS = [run(seed) for seed in range(5)]
BASE = SEEDS[0]


def times(factor, *names, since=0):
    return {name: BASE[name] * factor for name in names if "@" not in name or comparison.step_of(name) >= since}


CURVES = [name for name in BASE if "loss" in name]
ONE = Reference(
    stage="reproduce", training="it", machine=Machine(hardware="cpu"), seeds=(42, 43, 44, 45, 46), hashes=roots(),
    figures=comparison.merged(SEEDS), repeated=20,
)  # fmt: skip
ONE = msgspec.structs.replace(ONE, envelope=envelope.of(BASE, [BASE | times(1 + 3e-7, *CURVES)], ONE))
SAME = Repeat(figures={}, roots=roots(), steps=13)
SOUND = Night(figures=BASE, roots=roots(), seed=42)


def night(figures=None, since=99, parts=(), **about):
    """Another night, which repeats unless it is said how."""
    made = roots(since, parts)
    about = {"figures": BASE | (figures or {}), "roots": made} | about
    return replace(SOUND, **{"repeat": Repeat(figures=about["figures"], roots=made, steps=13)} | about)


BAD = times(3.0, "final val_loss")
ROUNDED = times(1 + 1e-7, *CURVES)
WITHIN = times(1.01, "loss@8", "loss@13", "mean loss@8", "mean loss@13", "final val_loss")
NIGHTS = {
    "the same": (SOUND, Rung.IDENTICAL),
    "no run recorded": (night(roots={}), Rung.IDENTICAL),
    "another batch without effect": (night(since=2, parts=("batch", "rng")), Rung.IDENTICAL),
    "a rounding": (night(ROUNDED, 1, digests.STATE), Rung.ULP_EQUIVALENT),
    "a rounding that shows in tensors alone": (night(None, 2, ("parameters", "gradients")), Rung.ULP_EQUIVALENT),
    "another buffer alone": (night(times(1.001, "final val_loss"), 2, ("buffers",)), Rung.CHANGED),
    "another buffer that nothing feels": (night(None, 2, ("buffers",)), Rung.ULP_EQUIVALENT),
    "a loss within seeds": (night(WITHIN, 8, ("loss", "parameters")), Rung.CHANGED),
    "a metric alone": (night(times(1.001, "final val_loss")), Rung.CHANGED),
    "another seed": (night(run(7), 1, digests.STATE, seed=49), Rung.CHANGED),
    "no reference of roundings": (night(ROUNDED, 1, digests.STATE), Rung.CHANGED),
    "a metric far off": (night(BAD), Rung.REGRESSED),
    "far off, confirmed": (night(BAD, wanted=2, fresh=[run(8) | BAD, run(9) | BAD]), Rung.REGRESSED),
    "far off, cleared": (night(times(1.1, "final val_loss"), wanted=2, fresh=[run(8), run(9)]), Rung.CHANGED),
    "it does not repeat": (night(WITHIN, 8, ("loss",), repeat=SAME), Rung.NOT_REPEATABLE),
    "it does not repeat and is far off": (night(BAD, 8, ("loss",), repeat=SAME), Rung.REGRESSED),
    "it draws its seed": (
        night(WITHIN, 8, ("loss",), repeat=replace(SAME, roots={}, seed=False)), Rung.NOT_REPEATABLE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", NIGHTS)
def test_a_night_is_on_the_first_rung_that_holds(what):
    seen, rung = NIGHTS[what]
    one = msgspec.structs.replace(ONE, envelope={}) if what == "no reference of roundings" else ONE
    assert ladder.rung(one, seen, 0.003) is rung


def test_every_rung_has_a_night():
    assert {rung for _, rung in NIGHTS.values()} == set(Rung)


def test_an_old_reference_without_hashes_is_held_to_its_figures():
    old = msgspec.structs.replace(ONE, hashes={}, envelope={})
    assert ladder.rung(old, SOUND, 0.003) is Rung.IDENTICAL
    assert ladder.rung(old, night(ROUNDED, 1, digests.STATE), 0.003) is Rung.CHANGED


UNSTEADY = {  # the second run -> what is said of it
    "the same": ({}, {}, ""),
    "gradients": ({"roots": roots(2, ("gradients",))}, {}, "at step 2: gradients (backward)"),
    "data": ({"roots": roots(1, ("batch", "loss"))}, {}, "at step 1: batch and loss (data)"),
    "nothing recorded": ({"roots": {}, "figures": {"loss@5": 9.0, "norm@8": 1.0}}, {}, "at or before step 5: loss"),
    "evaluation": ({"figures": BASE | {"final val_loss": 9.0}}, {}, "in its evaluation alone: val_loss (evaluation)"),
    "a seed of its own": ({"seed": False}, {}, "it draws another seed each time (rng)"),
    "no number twice": ({"figures": {"norm@8": float("nan")}}, {"norm@8": float("nan")}, ""),
}


@pytest.mark.parametrize("what", UNSTEADY)
def test_a_training_that_does_not_repeat_has_its_kind_found_and_said(what):
    changed, tonight, said = UNSTEADY[what]
    assert ladder.unsteady(night(tonight, repeat=replace(SAME, **changed))) == said


def test_without_a_second_run_nothing_is_known():
    assert ladder.unsteady(SOUND) == "" and not ladder.proven(SOUND, ONE)


@pytest.mark.parametrize(
    ("seen", "until"),
    [
        (SOUND, 0),
        (night(times(1.01, "loss@8")), 8),
        (night(times(1.01, "loss@8"), 3, ("parameters",)), 3),
        (night(times(1.01, "final val_loss")), 0),
    ],
)
def test_the_first_step_that_is_known_to_differ(seen, until):
    assert ladder.differs_from(ONE, seen.figures, seen.roots) == until


def test_a_difference_is_proven_by_a_second_run_as_far_as_that():
    late = night(times(1.01, "loss@8"), 8, ("loss",))
    assert ladder.proven(late, ONE)
    assert not ladder.proven(replace(late, repeat=replace(late.repeat, steps=7)), ONE)
    end = night(times(1.01, "final val_loss"))
    assert ladder.proven(end, ONE)
    short = {name: value for name, value in end.figures.items() if "@" in name}
    assert not ladder.proven(replace(end, repeat=replace(end.repeat, figures=short)), ONE)


def test_why_it_is_no_rounding():
    assert ladder.rounding(ONE, night(seed=7)) == "another seed: 42 → 7"
    assert ladder.rounding(ONE, night(times(1.01, "final val_loss"), 2, ("buffers",))).startswith(
        "final val_loss is 0.01"
    )
    assert ladder.rounding(ONE, night(times(1 + 1e-7, "final val_loss"), 2, ("buffers",))) == ""
    blind = msgspec.structs.replace(ONE, figures=ONE.figures | {"samples": (0,)})
    assert ladder.rounding(blind, night(None, 2, ("buffers",))).startswith("buffers differ where nothing else does")
    assert ladder.rounding(ONE, night(times(1.001, "rate@8"))).startswith("rate@8 is 0.001 of itself off")
    assert ladder.first(ONE, night(None, 2, ("loss",))).step == 2 and ladder.first(ONE, SOUND) is None
