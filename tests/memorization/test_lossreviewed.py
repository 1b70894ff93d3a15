"""The loss held against the reference, each on evidence: as reviewed, and with one thing changed."""

import msgspec
import pytest

from backburn.memorization import losstargets
from backburn.memorization.dependence import Dependence, Leak
from backburn.memorization.draws import Draws
from backburn.memorization.losscalls import Term
from backburn.report import Level

from .losses import MSE, SOUND, changes, evidence, found, reference, with_call, with_terms


def test_another_loss():
    fits = losstargets.loss_fits_targets
    assert "one of squares, and was one of classes" in changes(fits, with_terms("squares"), SOUND)[0]
    assert changes(fits, with_terms(""), SOUND) == []


def test_targets_that_are_no_longer_the_batch_s():
    fits = losstargets.loss_fits_targets
    assert "targets are no part of the batch, and were" in changes(fits, with_call(taken=""), SOUND)[0]
    assert changes(fits, with_call(taken="batch['labels']"), SOUND) == []


def test_targets_that_a_mixup_mixes_with_its_inputs():
    """It was not there when it was reviewed, and is drawn anew; what mixes labels alone has no inputs mixed."""

    def judged(both, drawn):
        leak = Leak(output="head", far=0.0, mixes=both, both=both)
        looks = {"dependence": Dependence(leak=leak), "draws": Draws(used=drawn, drawn=drawn)}
        told = msgspec.structs.replace(evidence(with_call(taken="")).probe, **looks)
        held = msgspec.structs.replace(evidence(SOUND), told=told, reference=reference(SOUND, draws=""))
        return [one.message for one in losstargets.loss_fits_targets(held, None)]

    assert judged(True, {"orders": 1}) == []
    for broken in (judged(False, {"orders": 1}), judged(True, {})):
        assert "targets are no part of the batch" in broken[0]


def test_a_mixup_may_give_each_sample_the_label_of_another_one():
    held = reference(SOUND)
    now = with_call(taken="another order of batch[1]")
    assert list(found(now, held)) == ["loss-fits-targets"]
    mixing = msgspec.structs.replace(held, settings=held.settings | {"draws": "gammas=1 orders=1"})
    assert found(now, mixing) == {}


GAN = [("1", True), ("0", False)]


def gan(*sides):
    calls = [
        msgspec.structs.replace(
            MSE, different=1, lowest=float(side), highest=float(side), targets=32, taken="", fed=fed
        )
        for side, fed in sides
    ]
    return msgspec.structs.replace(SOUND, calls=tuple(calls), manual=True)


def held(share):
    return Term(kind="classes", factor=1.0, size=99, sign=1, way=1, share=share)


def numbers(**related):
    return msgspec.structs.replace(
        with_call(MSE), size=128, related={f"target:batch[{key[1:]}]": r for key, r in related.items()}
    )


REVIEWED = {
    "padding": (with_call(share=0.7), with_call(share=1.0), "loss-counts-targets", "counts all 32 targets, and 70% of"),
    "most is ignored": (with_call(share=0.9), with_call(share=0.4), "loss-counts-targets", "counts 40% of 32 targets"),
    "by hand": (
        msgspec.structs.replace(with_terms("classes", calls=()), terms=(held(0.6),)),
        msgspec.structs.replace(with_terms("classes", calls=()), terms=(held(1.0),)),
        "loss-counts-targets",
        "the loss counts all targets, and 60%",
    ),
    "tokens of padding": (
        with_call(share=0.5, never=(0, 1)),
        with_call(share=0.7, always=(3, 0)),
        "loss-counts-targets",
        "each target at tokens of 0",
    ),
    "another class is ignored": (
        with_call(share=0.8, ignored=(12,)),
        with_call(share=0.8, ignored=(11,)),
        "loss-counts-targets",
        "ignores targets of 11, and ignored those of 12",
    ),
    "weights that are not given": (
        with_call(weights=(1.0, 2.0, 1.0, 4.0)),
        with_call(),
        "loss-counts-targets",
        "weighs all classes alike, and did not when it was reviewed",
    ),
    "weights the other way": (
        with_call(weights=(1.0, 2.0, 1.0, 4.0)),
        with_call(weights=(1.0, 0.5, 1.0, 0.25)),
        "loss-counts-targets",
        "weighs more what weighed less",
    ),
    "an activation": (SOUND, msgspec.structs.replace(SOUND, ends=("Relu",)), "loss-takes-logits", "go through relu"),
    "fakes that are real": (gan(*GAN), gan(("1", True), ("1", False)), "loss-fits-targets", "are 1, 1, and were 1, 0"),
    "no real ones": (gan(*GAN), gan(("1", False), ("0", False)), "loss-fits-targets", "(call 1) do not follow"),
    "the target's sign": (numbers(b0=0.7), numbers(b0=-0.7), "loss-fits-targets", "correlation of -0.70 with batch[0]"),
    "the very part": (numbers(b0=0.7), numbers(b0=1.0), "loss-fits-targets", "of 0.70 when it was reviewed"),
    "no relation": (numbers(b0=1.0), numbers(b0=0.02), "loss-fits-targets", "correlation of 0.02"),
}


@pytest.mark.parametrize("name", REVIEWED)
def test_what_is_other_than_reviewed(name):
    before, now, check, said = REVIEWED[name]
    assert said in found(now, reference(before))[check][0].message
    assert check not in found(now) and check not in found(now, reference(now)) and check not in found(before)
    old = msgspec.structs.replace(reference(before), figures={}, settings={"found": ""})
    assert check not in found(now, old)


ALIKE = {
    "a little more padding": (with_call(share=0.7), with_call(share=0.5)),
    "other weights": (with_call(weights=(1.0, 2.0, 1.0, 4.0)), with_call(weights=(0.7, 1.4, 0.9, 2.0))),
    "weights by hand": (with_call(weights=(1.0, 2.0, 1.0, 4.0)), with_call(reduction="none")),
    "weights of the like": (with_call(weights=(1.0, 1.1, 1.0, 1.0)), with_call()),
    "a masked language model": (with_call(share=0.15), with_call(share=0.2)),
    "few samples": (with_call(share=0.7), msgspec.structs.replace(with_call(share=1.0), size=2)),
    "labels that are smoothed": (gan(*GAN), gan(("1", True), ("0.1", False))),
    "one more critic": (gan(*GAN), gan(*GAN, ("0", False))),
    "tokens that come next": (with_call(never=(0,)), with_call(always=(0,), shift=1)),
    "a probability for a logit": (msgspec.structs.replace(SOUND, ends=("Sigmoid*",)), with_call()),
    "a logit for a probability": (with_call(), msgspec.structs.replace(SOUND, ends=("Sigmoid*",))),
    "a mixture": (numbers(b0=0.6), numbers(b0=0.8)),
    "another draw": (numbers(b0=0.6), numbers()),
    "an augmentation within the model": (
        msgspec.structs.replace(numbers(), related={"input:batch[0]": 0.74}),
        msgspec.structs.replace(numbers(), related={"input:batch[0]": 1.0}),
    ),
    "few numbers": (
        msgspec.structs.replace(numbers(b0=0.4), size=16),
        msgspec.structs.replace(numbers(b0=-0.1), size=16),
    ),
}


@pytest.mark.parametrize("name", ALIKE)
def test_what_is_as_reviewed_is_silent(name):
    before, now = ALIKE[name]
    assert found(now, reference(before)) == {}


def test_absolute_values_for_squares_are_a_notice():
    findings = found(with_terms("distances", calls=(MSE,)), reference(with_terms("squares", calls=(MSE,))))
    assert [one.level for one in findings["loss-fits-targets"]] == [Level.NOTICE]


def test_what_is_left_of_a_loss_is_no_exchange():
    """A penalty alone: the outputs were cut off, which parameters-are-connected says."""
    left = found(with_terms("weights", calls=(MSE,)), reference(with_terms("squares", calls=(MSE,))))
    assert "loss-fits-targets" not in left
    other = found(with_terms("classes", calls=(MSE,)), reference(with_terms("squares", calls=(MSE,))))
    assert "loss-fits-targets" in other
