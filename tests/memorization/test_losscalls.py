import msgspec
import pytest

from backburn.errors import Skip
from backburn.memorization import losscalls
from backburn.memorization.falling import loss_is_finite
from backburn.memorization.losscalls import Call, LossCalls, Pairing, Term, Unpaired
from backburn.memorization.seen import Evidence, Told
from backburn.references import Machine, Reference
from backburn.report import Level, name_of
from backburn.training import Ended

from .evidence import found as found_by
from .evidence import seen as seen_with

CE = Call(
    name="cross_entropy",
    where=("lit.py", 41),
    value=1.4,
    weight=1.0,
    sign=1,
    made_by="Addmm",
    trains=True,
    reduction="mean",
    input=(32, 4),
    target=(32,),
    taken="batch[1]",
    low=-1.0,
    high=1.0,
    chance=1.386,
    whole=True,
    targets=32,
    highest=3.0,
    different=4,
    classes=4,
    normalised=False,
    counted=32,
)
MSE = msgspec.structs.replace(
    CE,
    name="mse_loss",
    input=(32, 1),
    target=(32, 1),
    whole=False,
    floating=True,
    classes=0,
    counted=None,
    different=32,
)
NLL = msgspec.structs.replace(CE, name="nll_loss", made_by="LogSoftmax", normalised=True, chance=None)
TERM = Term(kind="classes", factor=1.0, size=1, sign=1)
SOUND = LossCalls(calls=(CE,), terms=(TERM,), sign=1, functions="cross_entropy", value=1.4, size=32)


def evidence(told, reference=None):
    ended = Ended(command=("train",), code=0, seconds=1.0)
    return Evidence(ended=ended, told=Told(ended="memorized", loss_calls=told), reference=reference)


def with_call(call=CE, /, **changed):
    return msgspec.structs.replace(SOUND, calls=(msgspec.structs.replace(call, **changed),))


def with_term(**changed):
    return msgspec.structs.replace(SOUND, sign=0, terms=(msgspec.structs.replace(TERM, **changed),))


def found(told, reference=None):
    names = {}
    for check in losscalls.CHECKS:
        try:
            for finding in check(evidence(told, reference), None):
                names.setdefault(name_of(check), []).append(finding)
        except Skip:
            continue
    return names


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
    "the sign": (
        msgspec.structs.replace(SOUND, sign=-1, functions="-1.00 × cross_entropy"),
        "loss-sign",
        "-1.00 × cross_entropy: minimised with the wrong sign",
    ),
    "the sign by hand": (with_term(kind="squares", sign=-1), "loss-sign", "falls as squared errors grow"),
    "a factor": (with_term(factor=1e-6), "loss-scale", "1e-06"),
    "a clamp": (with_term(factor=0.0), "loss-scale", "its gradient is 0"),
    "a first loss far from chance": (with_call(value=70.0), "initial-loss", "50.5 times"),
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
    "a term of weight 0": (
        msgspec.structs.replace(SOUND, calls=(CE, msgspec.structs.replace(CE, weight=0.0))),
        "loss-scale",
    ),
    "a large factor": (with_term(factor=500.0), "loss-scale"),
    "a tied embedding": (msgspec.structs.replace(with_call(value=14.0), tied=True), "initial-loss"),
    "inputs that are not scaled": (msgspec.structs.replace(with_call(value=70.0), largest=255.0), "initial-loss"),
    "targets not scaled": (with_call(MSE, value=90.0, chance=1.0), "initial-loss"),
    "a broadcast of samples": (with_call(MSE, input=(32, 5), target=(32, 1)), "loss-shapes-agree"),
}


@pytest.mark.parametrize("name", SUSPECTED)
def test_a_suspicion_warns_and_fails_where_it_is_new(name):
    told, check = SUSPECTED[name]
    assert [one.level for one in found(told)[check]] == [Level.WARNING]
    assert {one.level for one in found(told, reference())[check]} == {Level.ERROR}
    assert found(told, reference(found=check))[check][-1].level is Level.NOTICE


def reference(told=SOUND, **settings):
    seen = evidence(told)
    return Reference(
        stage="memorize",
        training="net",
        machine=Machine(hardware="any"),
        seeds=(0,),
        figures={name: (value,) for name, value in losscalls.figures(seen).items()},
        settings=losscalls.kept(seen) | {"found": ""} | settings,
    )


def changes(told, reviewed=SOUND, check=losscalls.as_reviewed):
    return [one.message for one in check(evidence(told, reference(reviewed)), None)]


def with_terms(*kinds, calls=(CE,)):
    terms = tuple(Term(kind=kind, factor=1.0, size=1, sign=1) for kind in kinds)
    return msgspec.structs.replace(SOUND, terms=terms, calls=calls)


def test_what_was_reviewed_is_no_change():
    assert changes(SOUND) == []
    assert changes(msgspec.structs.replace(SOUND, value=2.8)) == []
    with pytest.raises(Skip, match="no reference"):
        list(losscalls.as_reviewed(evidence(SOUND), None))


def test_a_term_that_is_gone():
    two = with_terms("classes", "squares")
    assert changes(two, two) == []
    assert "classes, squares when it was reviewed, and are classes now" in changes(SOUND, two)[0]
    assert changes(with_terms("classes", ""), two) == []  # written by hand, it may be there


def test_a_term_that_is_computed_and_no_longer_added():
    idle = msgspec.structs.replace(CE, weight=0.0)
    two = with_terms("classes", "classes", calls=(CE, CE))
    assert "classes, classes when" in changes(with_terms("classes", calls=(CE, idle)), two)[0]
    assert changes(SOUND, two) == []  # mixed labels instead of two losses


def test_another_loss():
    fits = losscalls.loss_fits_targets
    assert "one of squares, and was one of classes" in changes(with_terms("squares"), SOUND, fits)[0]
    assert changes(with_terms(""), SOUND, fits) == []


def test_targets_that_are_no_longer_the_batch_s():
    fits = losscalls.loss_fits_targets
    assert "targets are no part of the batch, and were" in changes(with_call(taken=""), SOUND, fits)[0]
    assert changes(with_call(taken="batch['labels']"), SOUND, fits) == []


def test_a_sign_that_was_another_where_no_term_is_known():
    before, after = (
        msgspec.structs.replace(
            SOUND, calls=(), value=1.4 * way, terms=(Term(kind="", factor=1.0, size=1, sign=0, way=way),)
        )
        for way in (1, -1)
    )
    sign = losscalls.loss_sign
    assert "the other sign than when it was reviewed" in changes(after, before, sign)[0]
    for same in (before, msgspec.structs.replace(after, value=1.4)):  # the latter is a product, written otherwise
        with pytest.raises(Skip, match="not known"):
            changes(same, before, sign)


def test_outputs_that_are_detached_from_a_loss_that_shrinks_weights():
    lone = with_term(kind="weights", factor=9.0, sign=0)
    assert (
        "cross_entropy gets outputs without a gradient"
        in [one.message for one in losscalls.detached(evidence(lone))][0]
    )
    assert list(losscalls.detached(evidence(SOUND))) == []


def test_a_loss_of_detached_outputs_has_no_scale_to_look_at():
    lone = LossCalls(
        calls=(msgspec.structs.replace(CE, weight=None),), terms=(Term(kind="weights", factor=1, size=1, sign=1),)
    )
    assert list(losscalls.loss_scale(evidence(lone), None)) == []


def test_a_first_loss_of_another_size():
    assert "the first loss is 44.8, and was 1.4" in changes(msgspec.structs.replace(SOUND, value=44.8))[0]


def test_targets_of_another_sample():
    wrong = Unpaired(name="cross_entropy", where=("lit.py", 41), target=4, output=1)
    for unpaired, count in (((), 0), ((wrong,), 1)):
        seen = evidence(SOUND)
        seen = msgspec.structs.replace(
            seen, told=msgspec.structs.replace(seen.told, pairing=Pairing(unpaired=unpaired))
        )
        said = [one.message for one in losscalls.loss_pairs_outputs(seen, None)]
        assert len(said) == count and all("row 4 of the targets moved, and row 1" in one for one in said)


def test_a_loss_that_was_reviewed_as_high_stays_silent():
    high = msgspec.structs.replace(with_call(value=14.0), tied=True)
    assert found(high, reference(high)) == {}


@pytest.mark.parametrize("made, levels", [("", []), ("Softmax", ["warning"]), ("Sigmoid", ["warning"])])
def test_a_logarithm_of_what_rounds_to_zero_is_said(made, levels):
    findings = found_by((loss_is_finite,), seen_with(loss_calls=LossCalls(underflows=made))).get("loss-is-finite", ())
    assert [one.level.value for one in findings] == levels
    assert all(made.lower() in one.message for one in findings)
