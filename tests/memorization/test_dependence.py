"""The checks of dependence, on evidence: sound, and with one thing broken."""

import msgspec
import pytest

from backburn.memorization import dependence
from backburn.memorization.dependence import Ahead, Dependence, Leak, Linear, Order, Padding, Parts, Reordered, Use

from .evidence import found, reference, seen, skipped

HERE = ("/x/train.py", 41)
SOUND = Dependence(
    leak=Leak(output="cross_entropy", far=0.0, supervised=True, where=HERE),
    use=Use(used=("batch['ids']", "batch['mask']"), supervised=True),
    future=Ahead(far=0.0, position=8, length=16, where=HERE),
    padding=Padding(far=0.0, mask="batch['mask']", given=True),
    linear=Linear(output="net", bend=0.2, matrices=3),
    order=Order(unmoved=False),
    step=HERE,
)


def judged(reviewed=None, **change):
    against = reference(dependence, seen(dependence=reviewed)) if reviewed is not None else None
    broken = msgspec.structs.replace(SOUND, **change)
    return found(dependence.CHECKS, seen(dependence=broken, reference=against))


MIXED = {"leak": Leak(output="cross_entropy", far=0.3, supervised=True, where=HERE)}
NAN = {"leak": Leak(output="cross_entropy", far=float("nan"), supervised=True, where=HERE)}
STATISTICS = {"leak": Leak(output="critic", far=0.3)}
BLIND = {"use": Use(ignored=("batch['ids']",), all=True, supervised=True)}
DUMMY = {"use": Use(ignored=("batch[0]",), all=True)}
HALF_BLIND = {"use": Use(used=("batch['ids']",), ignored=("batch['mask']",), supervised=True)}
AHEAD = {"future": Ahead(far=0.01, position=8, length=16, where=HERE)}
ENCODED = {"future": Ahead(far=0.01, position=8, length=16, ways=2, where=HERE)}
PADDED = {"padding": Padding(far=0.2, mask="batch['mask']", given=True)}
FLAT = {"linear": Linear(output="net", bend=1e-7, matrices=3)}
BAG = {"order": Order(unmoved=True)}
UNGIVEN = {"padding": Padding(far=0.2, mask="batch['mask']")}
LONGER = {"padding": Padding(far=0.2, mask="batch['ids']", value=0)}


@pytest.mark.parametrize(
    "change, check, level",
    [
        (MIXED, "samples-are-independent", "error"),
        (NAN, "samples-are-independent", "error"),
        (STATISTICS, "samples-are-independent", "warning"),
        (BLIND, "inputs-are-used", "error"),
        (DUMMY, "inputs-are-used", "warning"),
        (HALF_BLIND, "inputs-are-used", "warning"),
        (AHEAD, "future-is-hidden", "error"),
        (ENCODED, "future-is-hidden", "warning"),
        (PADDED, "padding-is-ignored", "warning"),
        (FLAT, "model-is-nonlinear", "warning"),
        (BAG, "order-matters", "warning"),
    ],
)
def test_one_broken_thing_is_found_by_one_check(change, check, level):
    ((name, (finding,)),) = judged(**change).items()
    assert (name, finding.level.value, finding.line) == (check, level, 41)
    assert finding.hint
    ((name, (finding,)),) = judged(reviewed=SOUND, **change).items()
    assert (name, finding.level.value) == (check, "error")


def test_a_sound_one_is_silent():
    assert judged() == judged(reviewed=SOUND) == {}
    assert judged(**LONGER) == {}  # a mean over all positions: only what was otherwise is known to be wrong
    assert list(judged(reviewed=SOUND, **LONGER)) == ["padding-is-ignored"]


@pytest.mark.parametrize(("now", "names"), [(0.07, []), (1.0, ["samples-are-independent"])])
def test_a_mixup_that_becomes_one_of_all_samples_is_found(now, names):
    mixup = Leak(output="net", far=0.0, mixes=True, share=0.07)
    reviewed = msgspec.structs.replace(SOUND, leak=mixup)
    assert list(judged(reviewed=reviewed, leak=msgspec.structs.replace(mixup, share=now))) == names


@pytest.mark.parametrize("change", [STATISTICS, DUMMY, ENCODED, PADDED, FLAT, BAG])
def test_what_was_reviewed_is_a_notice(change):
    ((_, (finding,)),) = judged(reviewed=msgspec.structs.replace(SOUND, **change), **change).items()
    assert finding.level.value == "notice"


def test_an_input_that_is_no_longer_used_is_named():
    (finding,) = judged(reviewed=SOUND, **HALF_BLIND)["inputs-are-used"]
    assert finding.message == "the outputs no longer follow batch['mask'], as they did when it was reviewed"


def test_what_was_not_seen_is_skipped_with_the_reason():
    told = Dependence(untold={"leak": "its samples are a graph's"})
    reasons = skipped(dependence.CHECKS, seen(dependence=told))
    assert reasons["samples-are-independent"] == "its samples are a graph's" and len(reasons) == 6


@pytest.mark.parametrize(("told", "says"), [(UNGIVEN, True), (PADDED, False)])
def test_a_mask_that_no_module_is_given_is_said(told, says):
    (finding,) = judged(**told)["padding-is-ignored"]
    assert ("No module is given batch['mask']" in finding.hint) is says


MASKED = Parts(followed=("batch['ids']", "batch['mask']"), unfollowed=("batch['name']",))
KNOWN = msgspec.structs.replace(
    SOUND,
    parts=MASKED,
    reordered=Reordered(before=1.5, after=1.5, far=1e-7),
    sees={"batch['ids']": 1},
    padding=Padding(far=0.0, mask="batch['mask']", given=True, taught=False),
)
UNREAD = {"parts": Parts(followed=("batch['ids']",), unfollowed=("batch['mask']", "batch['name']"))}
BY_ROW = {"reordered": Reordered(before=1.5, after=1.4, far=0.07)}
LATER = {"sees": {"batch['ids']": -1}}
THERE = {"sees": {"batch['ids']": 0}}
TAUGHT = {"padding": Padding(far=0.0, mask="batch['mask']", given=True, taught=True)}


@pytest.mark.parametrize(
    "change, check, says",
    [
        (UNREAD, "inputs-are-used", "neither the loss nor any output follows batch['mask'] any more"),
        (BY_ROW, "samples-are-independent", "in another order have a loss of 1.4 instead of 1.5"),
        (LATER, "future-is-hidden", "follow what comes later in batch['ids']"),
        (THERE, "future-is-hidden", "follow what is there in batch['ids']"),
        (TAUGHT, "padding-is-ignored", "the loss follows targets where batch['mask'] says padding"),
    ],
)
def test_what_was_otherwise_when_it_was_reviewed_is_an_error(change, check, says):
    ((name, (finding,)),) = judged(reviewed=KNOWN, **change).items()
    assert (name, finding.level.value) == (check, "error") and says in finding.message
    assert "bless" in finding.hint and finding.line == 41
    assert judged(reviewed=SOUND, **change) == {}  # a reference from before this was looked at
    assert judged(reviewed=msgspec.structs.replace(KNOWN, **change), **change) == {}


def test_without_a_reference_an_order_that_matters_is_a_warning():
    ((name, (finding,)),) = judged(**BY_ROW).items()
    assert (name, finding.level.value) == ("samples-are-independent", "warning")
    assert judged(**UNREAD) == judged(**LATER) == judged(**TAUGHT) == {}


def test_a_mask_that_matters_no_more_is_told_as_padding():
    before = Dependence(parts=Parts(followed=("batch[0]", "batch[1]")), padding=Padding(far=0.0, mask="batch[1]"))
    now = Dependence(
        parts=Parts(followed=("batch[0]",), unfollowed=("batch[1]",)), padding=Padding(far=0.3, mask="batch[1]")
    )
    held = reference(dependence, seen(dependence=before))
    assert list(found(dependence.CHECKS, seen(held, dependence=now))) == ["padding-is-ignored"]
