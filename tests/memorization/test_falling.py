"""The loss while a batch is memorized: finite, and far enough down."""

import math

import msgspec
import pytest

from backburn.memorization import falling
from backburn.memorization.falling import Origin, loss_falls, loss_is_finite, progress
from backburn.memorization.losscalls import Call, LossCalls
from backburn.memorization.parameters import Parameters

from .evidence import found, reference, seen, skipped

UNKNOWN = {"bound": None, "sign": 0, "constant": None}
STUCK = {"ended": "steps", "steps": 300}


def said(check, evidence, **config):
    ((name, findings),) = found([check], evidence, **config).items()
    assert name == check.__name__.replace("_", "-")
    return findings[0]


# Finite


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"losses": (1.0, math.nan)}, "the loss is nan at step 2 (before: 1)"),
        ({"losses": (math.inf,)}, "the loss is inf at step 1"),
        ({"losses": ()}, "training_step returned no loss"),
        ({"losses": (1.0, math.nan), "origin": Origin(kind="batch", name="batch[0]")}, "; batch[0] holds NaN"),
        (
            {"losses": (math.nan,), "origin": Origin(kind="parameter", name="a.weight")},
            "parameter a.weight holds NaN",
        ),
        (
            {"losses": (math.nan,), "origin": Origin(kind="forward", name="net.2", type="Sqrt", largest=4.0)},
            "first appears in net.2 (Sqrt): inputs finite, at most 4",
        ),
        (
            {"losses": (math.nan,), "origin": Origin(kind="step", name="training_step")},
            "comes from training_step itself",
        ),
    ],
)
def test_a_loss_that_is_no_number_is_told_with_its_origin(told, words):
    assert words in said(loss_is_finite, seen(**told)).message


def test_the_line_of_a_loss_function_is_the_findings():
    finding = said(
        loss_is_finite,
        seen(losses=(math.nan,), origin=Origin(kind="loss", name="mse_loss", where=("/a/train.py", 4))),
    )
    assert (finding.path, finding.line) == ("/a/train.py", 4)


def test_manual_optimization_need_not_show_a_loss():
    assert found([loss_is_finite], seen(losses=(), manual=True)) == {}
    assert "logs none" in skipped([loss_is_finite], seen(losses=(), manual=True))["loss-is-finite"]


# Far enough


@pytest.mark.parametrize(
    ("told", "config"),
    [
        ({}, {}),
        ({"ended": "steps", "losses": (1.4, 0.3, 0.3, 0.3)}, {}),
        ({"ended": "steps", "losses": (-1.0, -2.9, -2.9, -2.9)} | UNKNOWN, {"floor": -3.0}),
        ({"ended": "fallen", "losses": (10.0, 9.5, 8.0)} | UNKNOWN, {}),
        ({"ended": "fallen", "losses": (0.5, -2.0)} | UNKNOWN, {}),
    ],
)
def test_a_loss_that_falls_is_silent(told, config):
    assert found([loss_falls], seen(**told), **config) == {}


@pytest.mark.parametrize(
    "told",
    [
        {"losses": (1.4, 0.9, 0.5)},
        {"losses": (1.4, 0.1, 0.1, 0.5)},
        {"losses": (1.4, 0.55, 0.5, 0.45), "bound": 0.2, "constant": 1.5},
        {"losses": (0.0, 0.0, 0.0, 0.0), "constant": 0.0},
    ],
)
def test_a_loss_that_does_not_fall_is_an_error(told):
    finding = said(loss_falls, seen(**STUCK | told))
    assert finding.level.value == "error" and "; memorizing takes " in finding.message


def test_one_that_is_only_slow_is_a_warning():
    losses = tuple(1.4 * 0.997**step for step in range(300))
    finding = said(loss_falls, seen(**STUCK, losses=losses))
    assert finding.level.value == "warning" and "at this rate about 46" in finding.message


@pytest.mark.parametrize(("taken", "classes", "silent"), [("", 32, True), ("batch[1]", 32, False), ("", 10, False)])
def test_samples_told_from_each_other_need_not_come_down_to_0(taken, classes, silent):
    call = Call(name="cross_entropy", weight=1.0, targets=32, taken=taken, classes=classes)
    told = LossCalls(calls=(call,), size=16)
    assert (found([loss_falls], seen(**STUCK, losses=(4.1, 2.2, 2.2, 2.2), loss_calls=told)) == {}) is silent


def test_a_model_with_fewer_numbers_than_it_takes_is_suspected_only():
    finding = said(loss_falls, seen(**STUCK, losses=(1.4, 1.2, 1.2, 1.2), elements=9))
    assert finding.level.value == "warning" and "9 trainable numbers" in finding.message


@pytest.mark.parametrize(("still", "level"), [(0.96, "warning"), (0.5, "error")])
def test_adapters_on_a_frozen_base_are_suspected_only(still, level):
    told = seen(**STUCK, losses=(1.4, 1.2, 1.2, 1.2), parameters=Parameters(still=still))
    assert said(loss_falls, told).level.value == level


def test_without_a_floor_it_has_to_fall_at_all():
    stands = seen(**STUCK | UNKNOWN, losses=(10.0, 9.9, 9.95))
    finding = said(loss_falls, stands)
    assert finding.level.value == "warning" and "1.0% of its size" in finding.message
    before = reference(_Module, seen(**UNKNOWN, losses=(10.0, 4.0)))
    assert said(loss_falls, msgspec.structs.replace(stands, reference=before)).level.value == "error"
    slow = reference(_Module, seen(**UNKNOWN, losses=(10.0, 9.8)))
    assert found([loss_falls], msgspec.structs.replace(stands, reference=slow)) == {}


class _Module:
    CHECKS = (loss_falls,)
    figures = staticmethod(falling.figures)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"optimizers": 2}, "2 optimizers"),
        ({"losses": ()}, "no loss was seen"),
        ({"ended": "steps", "losses": (0.1, 0.1, 0.09)}, "it starts at its floor: 0.1, where guessing costs 1.38"),
    ],
)
def test_what_cannot_fall_is_a_skip(told, why):
    assert skipped([loss_falls], seen(**told))["loss-falls"].startswith(why)


@pytest.mark.parametrize(
    ("losses", "share"),
    [((4.0, 1.0), 0.75), ((0.0, 0.0), 0.0), ((1.0, 2.0), 0.0), ((0.5, -2.0), 1.25), ((math.inf, 1.0), 0.0)],
)
def test_progress_is_a_share_of_the_size(losses, share):
    assert progress(losses) == share


def test_a_reference_notes_progress_only_of_numbers():
    assert falling.figures(seen(losses=(4.0, 1.0)))["progress"] == 0.75
    assert "progress" not in falling.figures(seen(losses=(4.0, math.nan)))


@pytest.mark.parametrize(
    ("taken", "loss", "level"), [("", 0.4, "warning"), ("", 0.9, "error"), ("batch[1]", 0.4, "error")]
)
def test_targets_that_move_with_the_model_are_only_slow(taken, loss, level):
    """A value that is bootstrapped from the next state's: its loss has no floor at 0 while the target moves."""
    calls = (Call(name="mse_loss", weight=1.0, targets=64, taken=taken),)
    told = {"losses": (1.0,) + (loss,) * 100, "loss_calls": LossCalls(calls=calls)} | STUCK
    assert said(loss_falls, seen(**told)).level.value == level


@pytest.mark.parametrize("made, levels", [("", []), ("Softmax", ["warning"]), ("Sigmoid", ["warning"])])
def test_a_logarithm_of_what_rounds_to_zero_is_said(made, levels):
    findings = found((loss_is_finite,), seen(loss_calls=LossCalls(underflows=made))).get("loss-is-finite", ())
    assert [one.level.value for one in findings] == levels
    assert all(made.lower() in one.message for one in findings)
