"""The checks of the forward, on evidence: sound, and with one thing broken."""

import msgspec
import pytest

from backburn.memorization import forward
from backburn.memorization.forward import Forward

from .evidence import found, reference, seen

SOUND = Forward(step=("/x/train.py", 41))
CHANGES, REPEATS = "forward-leaves-parameters", "evaluation-repeats"
ONCE = {"changed": ("critic.0.weight",)}
EACH_TIME = {"changed": ("net.0.weight",), "again": ("net.0.weight",)}
SAMPLES = {"noisy": ("net",)}
MASKS = {"noisy": ("net",), "masked": ("net",)}
DROPS = {"dropped": (("net", 0.5, ("/x/model.py", 7)),), **SAMPLES}


def levels(reviewed=None, **change):
    against = None
    if reviewed is not None:
        against = reference(forward, seen(forward=msgspec.structs.replace(SOUND, **reviewed)))
    evidence = seen(forward=msgspec.structs.replace(SOUND, **change), reference=against)
    found_ = found(forward.CHECKS, evidence)
    return {name: [one.level.value for one in findings] for name, findings in found_.items()}


@pytest.mark.parametrize(
    "change, said",
    [
        ({}, {}),
        (EACH_TIME, {CHANGES: ["error"]}),
        (EACH_TIME | {"manual": True}, {CHANGES: ["warning"]}),  # an update by hand
        (ONCE, {}),  # weights that are clipped or normalised
        (DROPS, {REPEATS: ["error"]}),
        (MASKS, {REPEATS: ["warning"]}),
        (SAMPLES, {}),  # a VAE
    ],
)
def test_what_has_no_healthy_reading_fails(change, said):
    assert levels(**change) == said


@pytest.mark.parametrize(
    "change, said",
    [
        (ONCE, {CHANGES: ["error"]}),
        (MASKS, {REPEATS: ["error"]}),
        (SAMPLES, {REPEATS: ["error"]}),
    ],
)
def test_what_is_new_fails_and_what_was_reviewed_does_not(change, said):
    assert levels(reviewed={}, **change) == said
    assert levels(reviewed=change, **change) == {}


def test_a_dropout_is_named_with_its_line():
    evidence = seen(forward=msgspec.structs.replace(SOUND, **DROPS))
    (finding,) = found(forward.CHECKS, evidence)[REPEATS]
    assert finding.message == "a dropout of 0.5 in net (model.py:7) is on in eval mode"
    assert (finding.file, finding.line) == ("/x/model.py", 7)
