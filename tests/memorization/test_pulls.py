"""Where the loss pulls outputs, and which parts its terms reach, on evidence with one thing changed."""

import types

import pytest

from backburn.memorization import lossterms, parameters, pulls
from backburn.memorization.losscalls import LossCalls, Term
from backburn.memorization.parameters import Parameters
from backburn.memorization.pulls import Pulls

from .evidence import found, reference, seen

PAGES = types.SimpleNamespace(CHECKS=(lossterms.loss_sign, parameters.parameters_are_connected), kept=pulls.kept)
CRITIC = {"critic of batch[0]": -1.0, "critic of generator": 1.0, "critic of generator+": -1.0}
POLICY = {"policy @ batch[1] ~ batch[2]": -0.99}
REACH = {"squares": {"": 2, "encoder": 2, "decoder": 1}, "other": {"": 1, "encoder": 1}}


def told(ways=None, reach=None):
    term = LossCalls(terms=(Term(kind="", factor=1.0, size=1, sign=0),))
    return {
        "pulls": Pulls(ways=ways or {}, reach=reach or {}),
        "loss_calls": term,
        "parameters": Parameters(trainable=4),
    }


def against(before, now):
    return found(PAGES.CHECKS, seen(reference(PAGES, seen(**told(**before))), **told(**now)))


@pytest.mark.parametrize("key", CRITIC)
def test_one_term_of_several_that_is_turned_round(key):
    outcome = against({"ways": CRITIC}, {"ways": CRITIC | {key: -CRITIC[key]}})
    (finding,) = outcome["loss-sign"]
    assert finding.level == "error" and f"({key})" in finding.message


def test_another_convention_is_none():
    assert against({"ways": CRITIC}, {"ways": {key: -way for key, way in CRITIC.items()}}) == {}
    assert against({"ways": CRITIC}, {"ways": {"judge of batch[0]": 1.0}}) == {}
    assert found(PAGES.CHECKS, seen(**told(CRITIC))) == {}


def test_what_a_policy_is_rewarded_for_has_no_other_convention():
    assert list(against({"ways": POLICY}, {"ways": {key: -way for key, way in POLICY.items()}})) == ["loss-sign"]


def test_a_part_that_a_term_reaches_no_more():
    cut = {**REACH, "squares": {"": 2, "encoder": 1, "decoder": 1}}
    (finding,) = against({"reach": REACH}, {"reach": cut})["parameters-are-connected"]
    assert finding.level == "error" and "squares, fewer reach encoder" in finding.message


@pytest.mark.parametrize(
    "squares",
    [
        {"": 1, "encoder": 1, "decoder": 1},  # another number of terms
        {"": 2, "net": 2, "decoder": 1},  # other names
        {"": 2, "encoder": 2, "decoder": 2},
    ],
)
def test_other_terms_and_names_are_sound(squares):
    assert against({"reach": REACH}, {"reach": {**REACH, "squares": squares}}) == {}


def test_a_part_that_nothing_reaches_is_frozen_or_left_to_others():
    frozen = {"squares": {"": 2, "decoder": 1}, "other": {"": 1}}
    assert against({"reach": REACH}, {"reach": frozen}) == {}
