import msgspec
import pytest

from backburn.errors import Skip
from backburn.memorization import lossterms
from backburn.memorization.losscalls import LossCalls, Term
from backburn.report import Level

from .losses import CE, MSE, SOUND, TERM, changes, evidence, found, reference, with_call, with_term, with_terms

ERRORS = {
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
    "a term of weight 0": (
        msgspec.structs.replace(SOUND, calls=(CE, msgspec.structs.replace(CE, weight=0.0))),
        "loss-scale",
    ),
    "a large factor": (with_term(factor=500.0), "loss-scale"),
    "a tied embedding": (msgspec.structs.replace(with_call(value=14.0), tied=True), "initial-loss"),
    "inputs that are not scaled": (msgspec.structs.replace(with_call(value=70.0), largest=255.0), "initial-loss"),
    "targets not scaled": (with_call(MSE, value=90.0, chance=1.0), "initial-loss"),
}


@pytest.mark.parametrize("name", SUSPECTED)
def test_a_suspicion_warns_and_fails_where_it_is_new(name):
    told, check = SUSPECTED[name]
    assert [one.level for one in found(told)[check]] == [Level.WARNING]
    assert {one.level for one in found(told, reference())[check]} == {Level.ERROR}
    assert found(told, reference(found=check))[check][-1].level is Level.NOTICE


def test_what_was_reviewed_is_no_change():
    assert changes(lossterms.as_reviewed, SOUND) == []
    assert changes(lossterms.as_reviewed, msgspec.structs.replace(SOUND, value=2.8)) == []
    with pytest.raises(Skip, match="no reference"):
        list(lossterms.as_reviewed(evidence(SOUND), None))


def test_a_term_that_is_gone():
    two = with_terms("classes", "squares")
    assert changes(lossterms.as_reviewed, two, two) == []
    assert "classes, squares when it was reviewed, and are classes now" in changes(lossterms.as_reviewed, SOUND, two)[0]
    assert changes(lossterms.as_reviewed, with_terms("classes", ""), two) == []  # written by hand, it may be there


def test_a_term_that_is_written_otherwise_is_not_gone():
    """A focal loss in the place of cross entropy, beside a Dice."""
    two = with_terms("classes", "")
    assert changes(lossterms.as_reviewed, with_terms("", ""), two) == []
    assert (
        "classes, other when it was reviewed, and are other" in changes(lossterms.as_reviewed, with_terms(""), two)[0]
    )


def test_a_first_loss_of_what_crosses_zero_has_no_size():
    """The cosine of two views: 0.06 with one seed, -0.01 with another."""
    near, other = (msgspec.structs.replace(with_terms(""), value=value) for value in (0.06, -0.01))
    for fell, silent in ((1.06, True), (0.9, False)):
        held = reference(near)
        held = msgspec.structs.replace(held, figures=held.figures | {"progress": (fell,)})
        assert (list(lossterms.as_reviewed(evidence(other, held), None)) == []) == silent


def test_a_term_that_is_computed_and_no_longer_added():
    idle = msgspec.structs.replace(CE, weight=0.0)
    two = with_terms("classes", "classes", calls=(CE, CE))
    assert "classes, classes when" in changes(lossterms.as_reviewed, with_terms("classes", calls=(CE, idle)), two)[0]
    assert changes(lossterms.as_reviewed, SOUND, two) == []  # mixed labels instead of two losses


def test_a_function_that_is_computed_and_no_longer_followed():
    """A distillation whose student is detached: its target may be what is trained, as far as terms tell."""
    kl = msgspec.structs.replace(CE, name="kl_div", value=0.25)
    both = with_terms("classes", calls=(CE, kl))
    for cut in (msgspec.structs.replace(kl, weight=None, trains=False), msgspec.structs.replace(kl, weight=0.0)):
        said = changes(lossterms.as_reviewed, with_terms("classes", calls=(CE, cut)), both)
        assert ["kl_div (0.25) is computed, and the loss follows it no longer" in one for one in said] == [True]
    assert changes(lossterms.as_reviewed, with_terms("classes"), both) == []  # it is another training, without it
    logged = with_terms("classes", calls=(CE, msgspec.structs.replace(CE, weight=None)))
    assert changes(lossterms.as_reviewed, logged, SOUND) == []
    assert changes(lossterms.as_reviewed, logged, logged) == []


def test_a_sign_that_was_another_where_no_term_is_known():
    before, after = (
        msgspec.structs.replace(
            SOUND, calls=(), value=1.4 * way, terms=(Term(kind="", factor=1.0, size=1, sign=0, way=way),)
        )
        for way in (1, -1)
    )
    sign = lossterms.loss_sign
    assert "the other sign than when it was reviewed" in changes(sign, after, before)[0]
    for same in (before, msgspec.structs.replace(after, value=1.4)):  # the latter is a product, written otherwise
        with pytest.raises(Skip, match="not known"):
            changes(sign, same, before)


def test_outputs_that_are_detached_from_a_loss_that_shrinks_weights():
    lone = with_term(kind="weights", factor=9.0, sign=0)
    assert (
        "cross_entropy gets outputs without a gradient"
        in [one.message for one in lossterms.detached(evidence(lone))][0]
    )
    assert list(lossterms.detached(evidence(SOUND))) == []


def test_a_loss_of_detached_outputs_has_no_scale_to_look_at():
    lone = LossCalls(
        calls=(msgspec.structs.replace(CE, weight=None),), terms=(Term(kind="weights", factor=1, size=1, sign=1),)
    )
    assert list(lossterms.loss_scale(evidence(lone), None)) == []


def test_a_first_loss_of_another_size():
    assert (
        "the first loss is 44.8, and was 1.4"
        in changes(lossterms.as_reviewed, msgspec.structs.replace(SOUND, value=44.8))[0]
    )


def test_a_loss_that_was_reviewed_as_high_stays_silent():
    high = msgspec.structs.replace(with_call(value=14.0), tied=True)
    assert found(high, reference(high)) == {}


def test_a_term_with_another_sign_than_reviewed():
    def ways(*signs):
        terms = (TERM, *(Term(kind="squares", factor=1.0, size=9, sign=sign, way=sign) for sign in signs))
        return msgspec.structs.replace(SOUND, terms=terms)

    for before, now in (((1,), (-1,)), ((1, 1), (1, -1))):
        assert "squares lower the loss" in changes(lossterms.loss_sign, ways(*now), ways(*before))[0]
    for before, now in (((1, 1), (1,)), ((1, -1), (1, -1)), ((1,), (1, -1))):
        assert changes(lossterms.loss_sign, ways(*now), ways(*before)) == []
