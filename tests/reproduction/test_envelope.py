"""How far a rounding drives a training, and what is further off than that."""

import math

import msgspec
import pytest

from backburn.references import Machine, Reference
from backburn.reproduction import envelope

STEPS = (1, 2, 3, 5, 8, 13)
BASE = {
    "steps": 100, "samples": 50, "final val_loss": 0.5, "final acc": 0.9,
    **{f"loss@{n}": 2.0 / n for n in STEPS}, **{f"norm@{n}": 1.0 + n for n in STEPS},
    **{f"rate@{n}": 0.1 for n in STEPS}, **{f"mean loss@{n}": 2.0 / n for n in (1, 2, 4, 8, 16)},
}  # fmt: skip


def seeds(spread=0.1):
    figures = {name: (value, value * (1 + spread), value * (1 - spread)) for name, value in BASE.items()}
    return Reference(
        stage="reproduce", training="it", machine=Machine(hardware="cpu"), seeds=(1, 2, 3), figures=figures
    )


def rounded(size, growth=2.0):
    """A run whose distance grows with every step of the grid."""
    return {name: value * (1 + size * growth ** _place(name)) for name, value in BASE.items() if "@" in name}


def _place(name):
    family, _, step = name.partition("@")
    return (1, 2, 4, 8, 16).index(int(step)) if family == "mean loss" else STEPS.index(int(step))


ONE = msgspec.structs.replace(seeds(), envelope=envelope.of(BASE, [rounded(1e-7), rounded(-3e-7)], seeds()))


def test_the_envelope_is_the_largest_distance_so_far():
    assert ONE.envelope["loss@1"] == pytest.approx(3e-7) and ONE.envelope["loss@13"] == pytest.approx(96e-7)
    shrinking = envelope.of(BASE, [rounded(1e-6, 0.5)], seeds())
    assert shrinking["loss@13"] == pytest.approx(1e-6) == shrinking["loss@1"]
    assert not [name for name in ONE.envelope if name.startswith(("rate", "final", "steps"))]


def test_it_ends_where_a_rounding_is_as_large_as_a_seed():
    chaotic = envelope.of(BASE, [rounded(1e-7, 30.0)], seeds())
    assert [name for name in chaotic if name.startswith("loss")] == ["loss@1", "loss@2", "loss@3"]
    assert "loss@5" in envelope.of(BASE, [rounded(1e-7, 30.0)], seeds(0.5))
    assert envelope.of(BASE, [rounded(math.inf)], seeds()) == {} == envelope.of(BASE, [], seeds())


def test_it_ends_where_the_rounded_runs_do():
    short = {name: value for name, value in rounded(1e-7).items() if name in ("loss@1", "loss@2", "norm@1")}
    assert list(envelope.of(BASE, [short], seeds())) == ["loss@1", "loss@2", "norm@1"]


def test_a_metric_is_held_to_ten_times_what_roundings_did_to_it_at_a_validation():
    base = {"val_loss": ((20, 0.5), (40, 0.4)), "acc": ((20, 0.9), (40, 0.9))}
    rounded = [{"val_loss": ((20, 0.5001), (40, 0.4)), "acc": ((20, 0.9),)}, {"val_loss": ((20, 0.49995),)}, {}]
    assert envelope.evaluated(base, rounded, seeds()) == {"final val_loss": pytest.approx(2e-4)}
    assert envelope.evaluated(base, rounded, seeds(1e-5)) == {}  # as far as other seeds lie
    assert (
        envelope.evaluated(base, [{"acc": ((20, math.nan),)}], seeds()) == {} == envelope.evaluated(base, [], seeds())
    )
    one = msgspec.structs.replace(ONE, envelope=ONE.envelope | {"final val_loss": 2e-4})
    assert envelope.leaves(one, BASE | {"final val_loss": 0.5 * 1.0019}) == ""
    assert envelope.leaves(one, BASE | {"final val_loss": 0.5 * 1.0021}).startswith(
        "final val_loss is 0.0021 of itself"
    )
    assert envelope.leaves(one, BASE | {"final acc": 0.9 * 1.0001}).startswith("final acc")
    alone = envelope.leaves(one, BASE | {"final val_loss": 0.5 * 1.0019}, moved=False)  # the training is the same
    assert alone.startswith("final val_loss is 0.0019 of itself off, a rounding at most 1e-05")


def test_all_rounded_runs_together_cost_about_one_run():
    assert [envelope.steps_of(1000, number, 20) for number in range(1, 9)] == [500, 250, 125, 62, 31, 20, 20, 20]
    assert envelope.steps_of(10, 1, 20) == 10 and envelope.steps_of(10, 1, 0) == 5


def test_the_same_and_a_rounding_are_within_it():
    assert envelope.leaves(ONE, BASE) == "" == envelope.leaves(ONE, BASE | rounded(2e-7))


BEYOND = {  # a rounding, and that -> what is said first
    "a learning rate": ({"rate@13": 0.1001}, "rate@13 is 0.001 of itself off, a rounding at most 1e-05"),
    "a loss": ({"loss@2": BASE["loss@2"] * 1.001}, "loss@2 is 0.001 of itself off"),
    "a mean": ({"mean loss@4": BASE["mean loss@4"] * 1.01}, "mean loss@4 is 0.01"),
    "a gradient": ({"norm@3": BASE["norm@3"] * 0.99}, "norm@3 is 0.01"),
    "a NaN": ({"norm@3": math.nan}, "norm@3 is inf"),
    "a metric that no loss explains": ({"final acc": 0.91}, "final acc is 0.011 of itself off"),
    "another number of steps": ({"steps": 101}, "steps is 0.01"),
    "an earlier step first": ({"loss@2": 9.0, "loss@1": 9.0}, "loss@1 is 3.5"),
}


@pytest.mark.parametrize("what", BEYOND)
def test_more_than_a_rounding_is_named(what):
    changed, said = BEYOND[what]
    assert envelope.leaves(ONE, BASE | rounded(1e-7) | changed).startswith(said)


def test_a_metric_may_move_as_far_as_the_loss_explains():
    """The envelope ends at step 3; a loss that is further off at step 13 is for the seeds, and metrics follow it."""
    short = {name: value for name, value in ONE.envelope.items() if not name.endswith(("@5", "@8", "@13", "@16"))}
    one = msgspec.structs.replace(ONE, envelope=short)
    late = BASE | {"loss@13": BASE["loss@13"] * 1.02, "final acc": 0.91}
    assert envelope.leaves(one, late) == "" and envelope.drift(one, late) == pytest.approx(0.02)
    assert envelope.leaves(one, BASE | {"final acc": 0.91}).startswith("final acc")


def test_what_cannot_be_known_is_no_rounding():
    assert envelope.leaves(seeds(), BASE) == "the reference knows nothing of roundings"
    assert envelope.leaves(ONE, {k: v for k, v in BASE.items() if k != "final acc"}) == "final acc was not measured"


def test_what_was_nothing_has_to_stay_nothing():
    one = msgspec.structs.replace(ONE, figures=ONE.figures | {"final errors": (0, 0, 0)})
    assert envelope.leaves(one, BASE | {"final errors": 0}) == ""
    assert envelope.leaves(one, BASE | {"final errors": 1}).startswith("final errors is inf")


def test_what_parts_late_is_held_to_what_a_rounding_does_in_as_many_steps():
    """A bug that begins at step 9 is no rounding, though roundings since the start may be that far by step 13."""
    short = msgspec.structs.replace(
        ONE, envelope={name: ONE.envelope[name] for name in ONE.envelope if "13" not in name}
    )
    late = BASE | {"loss@13": BASE["loss@13"] * 1.01}
    assert "loss@13" in envelope.leaves(short, late)  # beyond the rounded runs, five steps after it was the same
    assert not envelope.leaves(short, BASE | {"loss@13": BASE["loss@13"] * (1 + 1e-5)})
    early = BASE | {name: value * (1 + 1e-6) for name, value in BASE.items() if name.startswith("loss@")}
    assert not envelope.leaves(short, early | {"loss@13": BASE["loss@13"] * 1.01})  # for the seeds to judge
