"""The outputs that loss functions are given, each on evidence with one thing broken."""

import msgspec
import pytest

from backburn.report import Level

from .losses import MSE, NLL, SOUND, found, reference, with_call

ERRORS = {
    "softmax": (with_call(made_by="Softmax", probabilities=True), "loss-takes-logits", "about 0.74"),
    "an average of softmaxes": (
        with_call(made_by="Mean", probabilities=True),
        "loss-takes-logits",
        "every row sums to 1",
    ),
    "sigmoid": (with_call(name="binary_cross_entropy_with_logits", made_by="Sigmoid"), "loss-takes-logits", "sigmoid"),
    "relu": (with_call(made_by="Relu", zeros=0.5), "loss-takes-logits", "50% of them exactly 0"),
    "by hand": (
        msgspec.structs.replace(SOUND, calls=(), squeezed="Softmax"),
        "loss-takes-logits",
        "log_softmax of what softmax returned",
    ),
    "probabilities": (
        with_call(NLL, made_by="Softmax", probabilities=True),
        "loss-takes-log-probabilities",
        "no logarithms",
    ),
    "logits": (with_call(NLL, made_by="Addmm", normalised=False), "loss-takes-log-probabilities", "no row"),
    "broadcast": (with_call(MSE, target=(32,)), "loss-shapes-agree", "compared (32, 32) values"),
    "broadcast by hand": (
        msgspec.structs.replace(SOUND, spread="(32,) gave (32, 32)"),
        "loss-shapes-agree",
        "(32, 32)",
    ),
    "another axis": (with_call(other_axis=True), "loss-shapes-agree", "takes axis 1"),
    "the samples' axis": (with_call(other_axis=True, target=(32, 4)), "loss-shapes-agree", "sum to 1 over the samples"),
    "one class": (with_call(classes=1, input=(32, 1)), "loss-has-classes", "always 0"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_a_broken_one_is_named_and_fails(name):
    told, check, said = ERRORS[name]
    names = found(told)
    assert check in names
    assert said in names[check][0].message
    assert names[check][0].level is Level.ERROR


SUSPECTED = {
    "a broadcast of samples": (with_call(MSE, input=(32, 5), target=(32, 1)), "loss-shapes-agree"),
    "a broadcast of maps by hand": (
        msgspec.structs.replace(SOUND, spread="(8, 1, 5) against the targets gave (8, 8, 5)"),
        "loss-shapes-agree",
    ),
}


@pytest.mark.parametrize("name", SUSPECTED)
def test_a_suspicion_warns_and_fails_where_it_is_new(name):
    told, check = SUSPECTED[name]
    assert [one.level for one in found(told)[check]] == [Level.WARNING]
    assert {one.level for one in found(told, reference())[check]} == {Level.ERROR}
    assert found(told, reference(found=check))[check][-1].level is Level.NOTICE
