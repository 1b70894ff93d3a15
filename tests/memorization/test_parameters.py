"""The checks of parameters, each on evidence: sound, and with one thing broken."""

import msgspec
import pytest

from backburn.memorization import lossterms, parameters
from backburn.memorization.losscalls import LossCalls
from backburn.memorization.parameters import Parameters
from backburn.report import Level

from .evidence import found, reference, seen
from .losses import MSE

A = ("a.weight", "a.bias")
BACKBONE = ("backbone.0.weight", "backbone.0.bias", "backbone.2.weight", "backbone.2.bias")
SOUND = Parameters(trainable=4, step=("/it/train.py", 7), optimizer=("/it/train.py", 30))


def evidence(held=None, **change):
    names = change.get("disconnected", ()) + change.get("detached", ())
    return seen(held, parameters=msgspec.structs.replace(SOUND, **change), without_gradient=names)


BROKEN = {
    "a list": ("parameters-are-registered", {"unregistered": ("4 x 4",)}, "error", "are in no module (4 x 4)"),
    "none": ("parameters-are-connected", {"trainable": 0}, "error", "no parameter is trainable"),
    "detached": (
        "parameters-are-connected",
        {"disconnected": A, "detached": A, "shares": {"disconnected": 0.3, "detached": 0.3}},
        "error",
        "(a.{weight,bias}) change the loss, and no gradient reaches them: 30% of the weights",
    ),
    "unused": ("parameters-are-connected", {"disconnected": A}, "warning", "do not take part in the loss"),
    "foreign": ("parameters-are-optimized", {"foreign": ("4 x 4",)}, "error", "holds 1 tensors"),
    "missing": ("parameters-are-optimized", {"missing": A}, "error", "are in no optimizer"),
    "resting": ("parameters-are-optimized", {"missing": A, "resting": A}, "warning", "are in eval mode"),
    "shared": ("parameters-are-optimized", {"shared": A}, "warning", "in more than one optimizer"),
    "frozen": ("parameters-stay-trainable", {"frozen": A, "frozen_parts": ("a",)}, "warning", "2 of 6 parameters"),
    "a frozen backbone": (
        "parameters-stay-trainable",
        {"frozen": BACKBONE, "frozen_parts": ("backbone",)},
        "notice",
        "are frozen",
    ),
}


def test_sound_evidence_says_nothing():
    assert found(parameters.CHECKS, evidence()) == {}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_found(name):
    check, change, level, message = BROKEN[name]
    outcome = found(parameters.CHECKS, evidence(**change))
    assert list(outcome) == [check]
    (finding,) = outcome[check]
    assert finding.level == level and message in finding.message


@pytest.mark.parametrize("name", ["unused", "shared", "frozen", "a frozen backbone"])
def test_what_was_reviewed_is_no_error_and_what_is_new_is(name):
    check, change, _, _ = BROKEN[name]
    held = reference(parameters, evidence(**change))
    again = found(parameters.CHECKS, evidence(held, **change))
    assert all(one.level is Level.NOTICE for many in again.values() for one in many)
    new = found(parameters.CHECKS, evidence(reference(parameters, evidence()), **change))
    assert [one.level for one in new[check]] == [Level.ERROR]


def test_a_renamed_backbone_is_as_frozen_as_before():
    held = reference(parameters, evidence(frozen=BACKBONE, frozen_parts=("backbone",)))
    renamed = tuple(name.replace("backbone", "encoder") for name in BACKBONE)
    assert found(parameters.CHECKS, evidence(held, frozen=renamed, frozen_parts=("encoder",))) == {}
    more = (*renamed, "neck.weight")
    assert list(found(parameters.CHECKS, evidence(held, frozen=more))) == ["parameters-stay-trainable"]


def test_what_is_declared_a_twin_or_stepped_later_is_sound():
    declared = found(parameters.CHECKS, evidence(frozen=A), frozen=("a.*",))
    assert declared == {} == found(parameters.CHECKS, evidence(frozen=A, twins=A))
    later = seen(parameters=msgspec.structs.replace(SOUND, disconnected=A, detached=A), without_gradient=())
    assert found(parameters.CHECKS, later) == {}


def test_an_expert_that_this_batch_is_not_routed_to_is_never_an_error():
    held = reference(parameters, evidence())
    outcome = found(parameters.CHECKS, evidence(held, disconnected=("experts.3.weight",)))
    assert [one.level for one in outcome["parameters-are-connected"]] == [Level.NOTICE]


@pytest.mark.parametrize("rest", ["net.experts.3.2.weight", "net.experts.1.0.weight"])
def test_a_layer_of_an_expert_that_is_used_is_unused_all_the_same(rest):
    idle = ("net.experts.0.0.weight",)  # when it was reviewed, the batch was not routed there
    held = reference(parameters, evidence(disconnected=idle, trained=(rest,)))
    outcome = found(parameters.CHECKS, evidence(held, disconnected=("net.experts.3.0.weight",), trained=(rest,)))
    level = Level.ERROR if ".3." in rest else Level.NOTICE
    assert [one.level for one in outcome["parameters-are-connected"]] == [level]
    looked = msgspec.structs.replace(SOUND, disconnected=("net.experts.3.0.weight", rest))  # a later step goes there
    later = seen(held, parameters=looked, without_gradient=("net.experts.3.0.weight",))
    assert [one.level for one in found(parameters.CHECKS, later)["parameters-are-connected"]] == [level]


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"trained": (*BACKBONE, "head.weight")}, "backbone.* (4 parameters) are trained, and were frozen"),
        ({"trained": BACKBONE[2:], "frozen": BACKBONE[:2]}, "backbone.* (2 parameters) are trained"),
        ({"trained": ("backbone.0.lora",), "frozen": BACKBONE}, None),
        ({"trained": ("encoder.0.weight", "head.weight")}, None),  # it was renamed, or is gone
        ({"trained": ()}, None),  # no gradient, or no optimizer: it stays what it is
    ],
)
def test_what_was_frozen_when_it_was_reviewed_and_is_trained_is_an_error(now, said):
    held = reference(parameters, evidence(frozen=BACKBONE, frozen_parts=("backbone",)))
    found_now = found(parameters.CHECKS, evidence(held, **now)).get("parameters-stay-trainable", ())
    assert [said in one.message for one in found_now if one.level is Level.ERROR] == ([True] if said else [])
    assert "parameters-stay-trainable" not in found(parameters.CHECKS, evidence(trained=now["trained"]))


@pytest.mark.parametrize(
    ("now", "trainable", "said"),
    [
        ((0, 4), 4, None),
        ((2, 4), 4, "2 parameters get no gradient of mse_loss any more"),
        ((2, 4), 6, None),  # another model
        ((4,), 4, None),  # another number of calls
    ],
)
def test_a_call_gives_gradients_to_what_it_gave_them_when_it_was_reviewed(now, trainable, said):
    held = reference(lossterms, calls((0, 4), 4))
    findings = found(parameters.CHECKS, calls(now, trainable, held)).get("parameters-are-connected", ())
    assert [said in one.message for one in findings] == ([True] if said else [])
    assert found(parameters.CHECKS, calls(now, trainable)) == {}


def calls(unreached, trainable, held=None):
    told = tuple(msgspec.structs.replace(MSE, unreached=count) for count in unreached)
    looked = msgspec.structs.replace(SOUND, trainable=trainable)
    return seen(held, loss_calls=LossCalls(calls=told, value=1.0), parameters=looked)
