"""What must hold after memorizing: metrics, the checkpoint, accumulation."""

import msgspec
import pytest

from backburn.memorization import afterwards, draws
from backburn.memorization.afterwards import Accumulation, After, Checkpoint, Metric, Metrics, Validated
from backburn.memorization.draws import Draws
from backburn.memorization.losscalls import LossCalls

from .evidence import found, reference, seen, skipped
from .losses import CE

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
        ({"validated": Validated(losses=(2.5, 0.1))}, "a loss of 2.5 where training_step, in eval mode, has 0.1"),
        ({"validated": Validated(losses=(0.1001, 0.1))}, ""),
        ({"validated": None}, ""),
    ],
)
def test_validation_is_held_against_what_was_reviewed(change, words):
    sound = msgspec.structs.replace(SOUND, logged=LOGGED, validated=Validated(losses=(0.1, 0.1)))
    healthy = reference(afterwards, seen(after=sound))
    now = seen(after=msgspec.structs.replace(sound, **change), reference=healthy)
    findings = found([afterwards.metric_agrees], now).get("metric-agrees", ())
    assert [words in one.message for one in findings] == ([True] if words else [])
    assert all(one.level.value == "error" for one in findings)


@pytest.mark.parametrize(
    ("alike", "options", "drawn", "silent"),
    [
        (True, (), {}, False),
        (True, ("label_smoothing",), {}, True),
        (False, ("label_smoothing",), {}, False),
        (False, (), {"orders": 1}, True),
    ],
)
def test_a_loss_that_only_training_changed_is_no_wrong_validation(alike, options, drawn, silent):
    """Label smoothing is given to training alone, a mixup mixes what training alone is given."""

    def told(apart, options=(), drawn=None):
        drawn = drawn or {}
        looks = {
            "draws": Draws(used=drawn, drawn=drawn),
            "loss_calls": LossCalls(calls=(msgspec.structs.replace(CE, options=options),)),
        }
        one = msgspec.structs.replace(SOUND, validated=Validated(losses=(0.1, apart), alike=alike))
        return seen(after=msgspec.structs.replace(one, logged={"training_step/acc": 0.1 if drawn else 1.0}), **looks)

    healthy = reference(afterwards, told(0.1))
    healthy = msgspec.structs.replace(healthy, settings=healthy.settings | reference(draws, told(0.1)).settings)
    now = msgspec.structs.replace(told(0.5, options, drawn), reference=healthy)
    assert (found([afterwards.metric_agrees], now) == {}) == silent


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
    same = reference(afterwards, seen(after=msgspec.structs.replace(sound, validated=Validated(losses=(0.1, 0.1)))))
    assert list(found([afterwards.metric_agrees], seen(after=low, reference=same))) == ["metric-agrees"]


def test_a_batch_that_was_not_memorized_says_nothing_of_metrics():
    sound = msgspec.structs.replace(SOUND, logged=LOGGED)
    healthy = reference(afterwards, seen(after=sound))
    low = msgspec.structs.replace(sound, logged={"validation_step/val_acc": 0.1})
    assert found([afterwards.metric_agrees], seen(after=low, ended="steps", reference=healthy)) == {}


@pytest.mark.parametrize(
    ("was", "now", "right", "ended", "silent"),
    [
        (1.0, 0.5, 1.0, "fallen", False),  # the floor is not known, and all is right
        (1.0, 0.5, 0.9, "fallen", True),
        (0.98, 0.5, 1.0, "fallen", True),  # it may be of probabilities
        (0.8, 0.0, 0.96, "memorized", False),
        (0.8, 0.1, 0.96, "memorized", True),  # the mean over classes that are not all there
        (0.8, 0.0, 0.7, "memorized", True),
    ],
)
def test_a_metric_is_held_against_what_is_right(was, now, right, ended, silent):
    def told(value):
        logged = {"validation_step/val_f1": value}
        one = msgspec.structs.replace(SOUND, logged=logged, right={"validation_step": right})
        return msgspec.structs.replace(one, validated=Validated(losses=(0.1, 0.1)))

    healthy = reference(afterwards, seen(after=told(was), ended=ended))
    held = seen(after=told(now), ended=ended, reference=healthy)
    assert (found([afterwards.metric_agrees], held) == {}) == silent


EARLY = Metrics(metrics=(msgspec.structs.replace(RIGHT, value=0.25, right=0.25, by_class=0.3, plain=True),))
UNTRUE = Metrics(metrics=(msgspec.structs.replace(RIGHT, value=0.75, right=0.25, by_class=0.3, plain=True),))


@pytest.mark.parametrize(
    ("then", "now", "words"),
    [
        (EARLY, EARLY, ""),
        (EARLY, UNTRUE, "acc = 0.75 where 25.0% of its predictions are right, and was true when it was reviewed"),
        (UNTRUE, UNTRUE, ""),  # of another kind of its own: the five best, a part of the tokens
        (None, UNTRUE, ""),  # seen once, it may have been so by chance
    ],
)
def test_a_metric_that_was_true_before_all_was_right_stays_so(then, now, words):
    healthy = reference(afterwards, seen(after=SOUND, metrics_first=then, metrics_moved=EARLY))
    told = seen(after=SOUND, metrics_first=now, metrics_moved=EARLY, reference=healthy)
    findings = found([afterwards.metric_agrees], told).get("metric-agrees", ())
    assert [words in one.message for one in findings] == ([True] if words else [])


@pytest.mark.parametrize(("borrowed", "names"), [(True, ["metric-agrees"]), (False, [])])
def test_a_step_without_a_loss_is_compared_where_the_model_says_what_it_says_in_training(borrowed, names):
    """What is validated by averaged weights is not."""
    healthy = reference(afterwards, seen(after=msgspec.structs.replace(SOUND, logged=LOGGED)))
    low = Metric(hook="validation_step", name="val_acc", value=0.1, right=0.95, by_class=0.95, borrowed=borrowed)
    told = After(metrics=(low,), logged=LOGGED | {"validation_step/val_acc": 0.1})
    assert list(found([afterwards.metric_agrees], seen(after=told, reference=healthy))) == names


def test_a_step_without_a_loss_may_count_other_samples():
    """The nodes of another mask: that all of training's are right says nothing of these."""
    mask = msgspec.structs.replace(RIGHT, hook="validation_step", name="val_acc", value=0.9, borrowed=True)
    assert found([afterwards.metric_agrees], seen(after=After(metrics=(RIGHT, mask)))) == {}
    own = msgspec.structs.replace(mask, borrowed=False)
    assert list(found([afterwards.metric_agrees], seen(after=After(metrics=(RIGHT, own))))) == ["metric-agrees"]


@pytest.mark.parametrize(("now", "names"), [(True, []), (None, []), (False, ["metric-agrees"])])
def test_a_validation_without_a_loss_is_of_what_training_has(now, names):
    healthy = reference(afterwards, seen(after=msgspec.structs.replace(SOUND, alike=True)))
    told = msgspec.structs.replace(SOUND, alike=now)
    assert list(found([afterwards.metric_agrees], seen(after=told, reference=healthy))) == names
    assert found([afterwards.metric_agrees], seen(after=told)) == {}
