"""What must hold after memorizing: metrics, the checkpoint, accumulation."""

import msgspec
import pytest

from backburn.memorization import afterwards
from backburn.memorization.afterwards import Accumulation, After, Checkpoint, Metric

from .evidence import found, reference, seen, skipped

RIGHT = Metric(hook="training_step", name="acc", value=1.0, right=1.0, by_class=1.0)
SAVED = Checkpoint(before=0.1, after=0.1)
SOUND = After(metrics=(RIGHT,), checkpoint=SAVED, accumulation=Accumulation(times=4, difference=0.001))
BROKEN = [
    ("metric-agrees", {"metrics": (msgspec.structs.replace(RIGHT, value=0.25),)}, "acc = 0.25 where 100.0%"),
    ("checkpoint-restores", {"checkpoint": msgspec.structs.replace(SAVED, after=1.4)}, "a loss of 1.4 instead of 0.1"),
    (
        "checkpoint-restores",
        {"checkpoint": msgspec.structs.replace(SAVED, after=1.4, names=("memory",))},
        "(state_dict lacks or does not know memory)",
    ),
    ("accumulation-agrees", {"accumulation": Accumulation(times=4, difference=0.3)}, "differs by 30%"),
]


def test_a_sound_training_passes():
    assert found(afterwards.CHECKS, seen(after=SOUND)) == {}
    assert skipped(afterwards.CHECKS, seen(after=SOUND)) == {}


@pytest.mark.parametrize(("check", "change", "words"), BROKEN)
def test_a_broken_one_is_suspected_and_new_against_a_reference(check, change, words):
    evidence = seen(after=msgspec.structs.replace(SOUND, **change))
    ((name, (finding,)),) = found(afterwards.CHECKS, evidence).items()
    assert (name, finding.level.value) == (check, "warning") and words in finding.message and finding.hint
    sound = reference(afterwards, seen(after=SOUND))
    against = found(afterwards.CHECKS, msgspec.structs.replace(evidence, reference=sound))
    assert [one.level.value for one in against[check]] == ["error"]
    reviewed = reference(afterwards, evidence)
    against = found(afterwards.CHECKS, msgspec.structs.replace(evidence, reference=reviewed))
    assert [one.level.value for one in against[check]] == ["notice"]


def test_what_was_not_seen_is_a_skip_with_its_reason():
    untold = {"metrics": "no metric", "checkpoint": "no parameter", "accumulation": "no gradients are accumulated"}
    why = skipped(afterwards.CHECKS, seen(after=After(untold=untold)))
    assert list(why.values()) == list(untold.values())
    assert set(skipped(afterwards.CHECKS, seen(untold={"after": "it ended early"})).values()) == {"it ended early"}


@pytest.mark.parametrize(("precision", "loss", "silent"), [("32", 0.102, False), ("bf16-mixed", 0.102, True)])
def test_a_precision_of_few_bits_is_allowed_for(precision, loss, silent):
    one = Checkpoint(before=0.1, after=loss, precision=precision)
    close = seen(after=msgspec.structs.replace(SOUND, checkpoint=one), losses=(0.12, 0.1))
    assert (found([afterwards.checkpoint_restores], close) == {}) == silent


LOGGED = {"validation_step/val_acc": 1.0, "training_step/train_f1": 0.2}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"logged": LOGGED | {"validation_step/val_acc": 0.08}}, "val_acc = 0.08 of a memorized batch, and 1 when"),
        ({"logged": LOGGED | {"training_step/train_f1": 0.0}}, ""),  # it was no good when it was reviewed
        ({"logged": {}}, ""),
        ({"validated": (2.5, 0.1)}, "a loss of 2.5 where training_step, in eval mode, has 0.1"),
        ({"validated": (0.1001, 0.1)}, ""),
        ({"validated": ()}, ""),
    ],
)
def test_validation_is_held_against_what_was_reviewed(change, words):
    sound = msgspec.structs.replace(SOUND, logged=LOGGED, validated=(0.1, 0.1))
    healthy = reference(afterwards, seen(after=sound))
    now = seen(after=msgspec.structs.replace(sound, **change), reference=healthy)
    findings = found([afterwards.metric_agrees], now).get("metric-agrees", ())
    assert [words in one.message for one in findings] == ([True] if words else [])
    assert all(one.level.value == "error" for one in findings)


def test_a_metric_that_is_true_of_its_predictions_is_not_wrong():
    """Of averaged weights, which lag behind."""
    sound = msgspec.structs.replace(SOUND, logged=LOGGED)
    healthy = reference(afterwards, seen(after=sound))
    behind = Metric(hook="validation_step", name="val_acc", value=0.4, right=0.4, by_class=0.4, plain=True)
    told = After(metrics=(behind,), logged={"validation_step/val_acc": 0.4})
    assert found([afterwards.metric_agrees], seen(after=told, reference=healthy)) == {}


def test_validation_that_had_another_loss_may_be_of_other_weights():
    sound = msgspec.structs.replace(SOUND, logged=LOGGED)
    low = msgspec.structs.replace(sound, logged={"validation_step/val_acc": 0.1})
    healthy = reference(afterwards, seen(after=sound))
    assert found([afterwards.metric_agrees], seen(after=low, reference=healthy)) == {}
    same = reference(afterwards, seen(after=msgspec.structs.replace(sound, validated=(0.1, 0.1))))
    assert list(found([afterwards.metric_agrees], seen(after=low, reference=same))) == ["metric-agrees"]


def test_a_batch_that_was_not_memorized_says_nothing_of_metrics():
    sound = msgspec.structs.replace(SOUND, logged=LOGGED)
    healthy = reference(afterwards, seen(after=sound))
    low = msgspec.structs.replace(sound, logged={"validation_step/val_acc": 0.1})
    assert found([afterwards.metric_agrees], seen(after=low, ended="steps", reference=healthy)) == {}
