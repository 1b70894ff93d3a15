"""The targets that loss functions are given, each on evidence with one thing broken."""

import msgspec
import pytest

from backburn.memorization import losstargets
from backburn.memorization.losscalls import Pairing, Unpaired
from backburn.report import Level

from .losses import MSE, SOUND, evidence, found, reference, with_call

ERRORS = {
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
}


@pytest.mark.parametrize("name", SUSPECTED)
def test_a_suspicion_warns_and_fails_where_it_is_new(name):
    told, check = SUSPECTED[name]
    assert [one.level for one in found(told)[check]] == [Level.WARNING]
    assert {one.level for one in found(told, reference())[check]} == {Level.ERROR}
    assert found(told, reference(found=check))[check][-1].level is Level.NOTICE


def test_targets_of_another_sample():
    wrong = Unpaired(name="cross_entropy", where=("lit.py", 41), target=4, output=1)
    for unpaired, count in (((), 0), ((wrong,), 1)):
        seen = evidence(SOUND)
        seen = msgspec.structs.replace(
            seen, told=msgspec.structs.replace(seen.told, pairing=Pairing(unpaired=unpaired))
        )
        said = [one.message for one in losstargets.loss_pairs_outputs(seen, None)]
        assert len(said) == count and all("row 4 of the targets moved, and row 1" in one for one in said)


def test_labels_that_are_missing_are_not_to_be_learned_from():
    lacking = msgspec.structs.replace(SOUND, missing=15)
    (finding,) = found(lacking)["loss-counts-targets"]
    assert finding.level is Level.WARNING and "learns from 15 targets that are missing" in finding.message
    (finding,) = found(lacking, reference(SOUND))["loss-counts-targets"]
    assert finding.level is Level.ERROR
