"""The check of modes, on evidence: sound, and with one thing broken."""

import pytest

from backburn.memorization import modes
from backburn.memorization.modes import Modes
from backburn.report import Level

from .evidence import found, reference, seen, skipped

CHECK = "trains-in-train-mode"
SOUND = Modes(count=3, step=("/x/train.py", 41), validation=("/x/train.py", 52))


@pytest.mark.parametrize(
    "broken, level, line",
    [
        (Modes(count=3, asleep=("net.drop", "net.norm"), step=("/x/train.py", 41)), "error", 41),
        (Modes(count=3, partly=("net.drop",), step=("/x/train.py", 41)), "warning", 41),
        (Modes(count=3, awake=("net.drop",), validation=("/x/train.py", 52)), "error", 52),
    ],
)
def test_a_layer_in_the_wrong_mode_is_named(broken, level, line):
    (finding,) = found(modes.CHECKS, seen(modes=broken))["trains-in-train-mode"]
    assert (finding.level.value, finding.line) == (level, line)
    assert "net" in finding.message and "of 3" in finding.message and finding.hint


def test_a_sound_one_is_silent_and_without_such_layers_it_does_not_apply():
    assert found(modes.CHECKS, seen(modes=SOUND)) == {}
    assert list(skipped(modes.CHECKS, seen())) == ["trains-in-train-mode"]


def test_an_adapter_in_a_sleeping_model_fails_only_where_it_is_new():
    partly = seen(modes=Modes(count=3, partly=("net.drop",)))
    (finding,) = found(modes.CHECKS, seen(modes=partly.told.modes, reference=reference(modes, partly)))[
        "trains-in-train-mode"
    ]
    assert finding.level is Level.NOTICE
    healthy = reference(modes, seen(modes=SOUND))
    (finding,) = found(modes.CHECKS, seen(modes=partly.told.modes, reference=healthy))["trains-in-train-mode"]
    assert finding.level is Level.ERROR


def test_a_teacher_that_was_put_into_eval_mode_stays_there():
    def judged(before, now):
        held = reference(modes, seen(modes=Modes(fixed=before)))
        return [one.message for one in found(modes.CHECKS, seen(modes=Modes(fixed=now), reference=held)).get(CHECK, ())]

    (said,) = judged({"teacher.norm": True}, {"teacher.norm": False})
    assert "teacher.norm), called without gradients, are in train mode, and were not when reviewed" in said
    for before, now in ((True, True), (False, False), (False, True)):
        assert judged({"teacher.norm": before}, {"teacher.norm": now}) == []
    assert judged({"teacher.norm": True}, {"another.norm": False}) == []
