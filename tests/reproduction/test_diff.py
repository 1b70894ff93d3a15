"""What differs between two recorded trainings, and what does not count as a difference."""

import math

import msgspec
import pytest

from backburn import evidence
from backburn.errors import UserError
from backburn.reproduction import diff as module
from backburn.reproduction import recorded
from backburn.reproduction.diff import Diff, diff
from backburn.reproduction.pair import Kind
from tests.reproduction.evidence import MACHINE, folder, reference
from tests.reproduction.symbols import at, trained

SOUND = trained(steps=5, detailed=False)


@pytest.fixture
def base(tmp_path):
    return recorded.read(folder(tmp_path / "base", SOUND))


@pytest.fixture
def head(tmp_path):
    """A training that differs as it is told to."""

    def made(steps=SOUND, **told):
        return recorded.read(folder(tmp_path / "head", steps, **told))

    return made


def test_two_that_are_the_same(base, head):
    found = diff(base, head())
    assert found.same and found.divergence is None and found.compared == 5
    assert {one.name: one.points for one in found.curves} == {
        "loss": 3, "mean loss": 2, "rate": 1, "validation val_loss": 3,
    }  # fmt: skip
    assert [one.name for one in found.metrics] == ["steps", "samples", "val_loss"]
    assert (found.hard, found.others) == ((), ())


def test_a_curve_says_where_it_first_differs_and_where_most(base, head):
    found = diff(base, head(losses=[[1, 2.5], [2, 2.1], [3, 3.0], [5, 1.0]]))
    (loss,) = [one for one in found.curves if one.name == "loss"]
    assert (loss.points, loss.step, loss.before, loss.now) == (3, 2, 2.0, 2.1)
    assert (loss.largest, loss.largest_step) == (1.0, 3)
    assert not found.same and not any(one.step for one in found.curves if one.name != "loss")


def test_metrics_at_the_end(base, head):
    found = diff(base, head(steps=SOUND, metrics={"val_loss": 0.33, "val_acc": 0.9}))
    assert [(one.name, one.before, one.now, one.differs) for one in found.metrics][2:] == [
        ("val_loss", 0.3, 0.33, True),
        ("val_acc", None, 0.9, False),
    ]
    assert not found.same


def test_settings_data_and_environment(base, head):
    other = MACHINE.__struct_fields__ and {"hardware": "cpu-avx2", "hard": {"torch": "2.14.0", "threads": "1"}}
    found = diff(
        base, head(settings={"hparams.lr": "0.02"}, seeded=[43], data={"train batches": "f" * 32}, machine=other)
    )
    assert found.hard == ("torch: 2.13.0 → 2.14.0",)
    assert [(one.said, one.counts, one.lines[0]) for one in found.others] == [
        ("other settings", True, "hparams.lr: 0.01 → 0.02"),
        ("another seed", True, "seed: 42 → 43"),
        ("other batches", False, "train batches: 01234567… → ffffffff…"),
        ("a slightly other machine", False, "kernel: 6.1 → -"),
    ]
    assert not found.same


@pytest.mark.parametrize(
    "told",
    [
        {"settings": {"hparams.lr": "0.01"}, "machine": msgspec.to_builtins(MACHINE) | {"soft": {"kernel": "6.2"}}},
        {"seeded": []},  # not known
        {"machine": None},
        {"metrics": {"val_loss": 0.3, "epoch_time": 9.5}},
        {"metrics": {"val_loss": 0.3, "val_acc": 0.9}},  # a new one
    ],
)
def test_what_makes_no_other_training_of_it(base, head, told):
    assert diff(base, head(training="", **told)).same


def test_folders_and_times_do_not_count(tmp_path, base, head):
    before = recorded.read(folder(tmp_path / "a", SOUND, settings={"hparams.root": "/home/a/data"}))
    found = diff(before, head(settings={"hparams.root": "/home/b/data"}))
    assert [one.said for one in found.others] == ["other folders or times"] and found.same


def test_nan_is_the_same_as_nan(tmp_path):
    base, head = (recorded.read(folder(tmp_path / name, losses=[[1, "nan"], [2, last]])) for name, last in
                  (("a", "nan"), ("b", 1.0)))  # fmt: skip
    assert diff(base, base).same
    loss, *_ = diff(base, head).curves
    assert (loss.step, loss.largest) == (2, math.inf)
    assert (module.relative(0.0, 1.0), module.relative(0.0, 0.0), module.relative(2.0, 1.0)) == (math.inf, 0.0, 0.5)


def test_the_first_divergence_and_the_distance_of_modules(base, head):
    moved = trained(lambda place, value, step: (9.0, 5.0) if place == "norm.net.second.weight" and step > 2
                    else at("update.net.second.weight", 3)(place, value, step), steps=5, detailed=False)  # fmt: skip
    found = diff(base, head(moved))
    assert (found.divergence.step, found.divergence.kind) == (3, Kind.OPTIMIZER)
    assert found.module_step == 5
    assert [(one.name, one.parameters, one.identical) for one in found.modules] == [
        ("net.second", 1, 0), ("net.first", 1, 0), ("net.norm", 1, 0),
    ]  # fmt: skip
    assert found.modules[0].change == pytest.approx(0.8 / 4.2) and found.modules[1].change == 0.0
    assert [one.identical for one in diff(base, head()).modules] == [1, 1, 1]
    assert not found.same


def test_a_reference_is_a_side_too(base):
    one = recorded.of_reference(reference(), "references/reproduce/digits/cpu-avx2.json")
    found = diff(one, base)
    assert found.same and found.compared == 0 and found.modules == ()
    assert [curve.name for curve in found.curves] == ["loss"]
    assert [metric.name for metric in found.metrics] == ["steps", "samples", "val_loss", "recall@5"]
    other = recorded.of_reference(reference(figures={"loss@1": (2.5, 1), "loss@2": (2.0, 1), "loss@3": (1.0, 1)}), "a")
    assert not diff(other, base).same


def test_what_cannot_be_compared_is_refused(base):
    with pytest.raises(UserError, match="is of 'digits', other of 'wine'"):
        diff(base, recorded.of_reference(reference(training="wine"), "other"))
    with pytest.raises(UserError, match="is of 'reproduce', other of 'profile'"):
        diff(base, recorded.of_reference(reference(stage="profile"), "other"))


def test_it_is_plain_data(base, head):
    found = diff(base, head(trained(at("lr", 2, 0.02), steps=5, detailed=False), losses=[[1, "inf"]]))
    assert evidence.convert(evidence.plain(found), Diff, "a") == found
