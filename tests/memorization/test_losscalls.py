import msgspec
import pytest

from backburn.memorization import losscalls
from backburn.memorization.falling import loss_is_finite
from backburn.memorization.losscalls import LossCalls, Pairing, Term, Unpaired
from backburn.report import Level

from .evidence import found as found_by
from .evidence import seen as seen_with
from .losses import MSE, NLL, SOUND, TERM, changes, evidence, found, reference, with_call, with_terms

SOUND_ONES = {
    "classes": SOUND,
    "squares": with_call(MSE),
    "log-probabilities": with_call(NLL),
    "a sum": with_call(weight=1.0, value=44.0, chance=44.0),
    "a masked language model": with_call(target=(32, 64), targets=2048, counted=300),
    "targets that are tokens": with_call(shift=1, causal=True),
    "a GAN's": msgspec.structs.replace(SOUND, manual=True, terms=(TERM, msgspec.structs.replace(TERM, sign=-1))),
    "a target that is one number": with_call(MSE, target=(), targets=1, different=1),
    "a regulariser too": msgspec.structs.replace(SOUND, terms=(TERM, Term(kind="weights", factor=9.0, size=9, sign=0))),
    "a margin that is kept": msgspec.structs.replace(
        SOUND, value=0.0, terms=(Term(kind="hinges", factor=0, size=8, sign=0),)
    ),
}


@pytest.mark.parametrize("name", SOUND_ONES)
def test_a_sound_loss_is_silent(name):
    assert found(SOUND_ONES[name]) == {}


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
    "one class": (with_call(classes=1, input=(32, 1)), "loss-has-classes", "always 0"),
    "all ignored": (with_call(target=(32, 64), targets=2048, counted=3), "loss-counts-targets", "ignores 2045 of 2048"),
    "no shares": (with_call(name="binary_cross_entropy", no_shares=0.5), "loss-fits-targets", "no lower bound"),
    "not shifted": (with_call(shift=0, causal=True), "targets-are-shifted", "the very tokens"),
    "shifted twice": (with_call(shift=2, causal=True), "targets-are-shifted", "after next"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_a_broken_one_is_named_and_fails(name):
    told, check, said = ERRORS[name]
    names = found(told)
    assert check in names
    assert said in names[check][0].message
    assert names[check][0].level is Level.ERROR


SUSPECTED = {
    "class ids": (with_call(MSE, whole=True, lowest=0.0, highest=3.0, different=4), "loss-fits-targets"),
    "targets out of reach": (with_call(MSE, made_by="Sigmoid", unreachable=0.4), "loss-fits-targets"),
    "targets that were lost": (with_call(different=1, taken=""), "loss-fits-targets"),
    "several labels": (with_call(floating=True, most_in_row=3.0, counted=None), "loss-fits-targets"),
    "most ignored": (with_call(counted=3), "loss-counts-targets"),
    "an autoencoder of tokens": (with_call(shift=0), "targets-are-shifted"),
    "a broadcast of samples": (with_call(MSE, input=(32, 5), target=(32, 1)), "loss-shapes-agree"),
}


@pytest.mark.parametrize("name", SUSPECTED)
def test_a_suspicion_warns_and_fails_where_it_is_new(name):
    told, check = SUSPECTED[name]
    assert [one.level for one in found(told)[check]] == [Level.WARNING]
    assert {one.level for one in found(told, reference())[check]} == {Level.ERROR}
    assert found(told, reference(found=check))[check][-1].level is Level.NOTICE


def test_another_loss():
    fits = losscalls.loss_fits_targets
    assert "one of squares, and was one of classes" in changes(fits, with_terms("squares"), SOUND)[0]
    assert changes(fits, with_terms(""), SOUND) == []


def test_targets_that_are_no_longer_the_batch_s():
    fits = losscalls.loss_fits_targets
    assert "targets are no part of the batch, and were" in changes(fits, with_call(taken=""), SOUND)[0]
    assert changes(fits, with_call(taken="batch['labels']"), SOUND) == []


def test_targets_of_another_sample():
    wrong = Unpaired(name="cross_entropy", where=("lit.py", 41), target=4, output=1)
    for unpaired, count in (((), 0), ((wrong,), 1)):
        seen = evidence(SOUND)
        seen = msgspec.structs.replace(
            seen, told=msgspec.structs.replace(seen.told, pairing=Pairing(unpaired=unpaired))
        )
        said = [one.message for one in losscalls.loss_pairs_outputs(seen, None)]
        assert len(said) == count and all("row 4 of the targets moved, and row 1" in one for one in said)


@pytest.mark.parametrize("made, levels", [("", []), ("Softmax", ["warning"]), ("Sigmoid", ["warning"])])
def test_a_logarithm_of_what_rounds_to_zero_is_said(made, levels):
    findings = found_by((loss_is_finite,), seen_with(loss_calls=LossCalls(underflows=made))).get("loss-is-finite", ())
    assert [one.level.value for one in findings] == levels
    assert all(made.lower() in one.message for one in findings)


def test_labels_that_are_missing_are_not_to_be_learned_from():
    lacking = msgspec.structs.replace(SOUND, missing=15)
    (finding,) = found(lacking)["loss-counts-targets"]
    assert finding.level is Level.WARNING and "learns from 15 targets that are missing" in finding.message
    (finding,) = found(lacking, reference(SOUND))["loss-counts-targets"]
    assert finding.level is Level.ERROR


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
