"""The class and the place of a difference, from two recorded steps."""

import pytest

from backburn.blame import story
from backburn.reproduction.operations import Parting
from backburn.reproduction.rerun import Apart, Ran
from backburn.reproduction.steps import Step


def ran(*steps):
    return Ran(done=2, planned=9, steps=steps)


def step(number, **changed):
    about = {"batch": "b", "rng": {"torch": "r"}, "settings": {"0.0.lr": "0x1p-3"}, "loss": "0x1p0",
             "forward": (("encoder", "e"), ("", "o")), "gradients": {"w": "g"}, "optimizer": {"0.m.w": "o"},
             "parameters": {"w": f"p{number}"}, "before": {"w": f"p{number - 1}"}}  # fmt: skip
    return Step(step=number, **about | changed)


@pytest.mark.parametrize(
    ("change", "cause", "module"),
    [
        ({"forward": (("encoder", "z"), ("", "z")), "loss": "0x1p1"}, "forward", "encoder"),
        ({"batch": "z", "loss": "0x1p1"}, "data", ""),
        ({"settings": {"0.0.lr": "0x1p-2"}, "parameters": {"w": "z"}}, "optimizer", "lr"),
    ],
)
def test_what_differs(change, cause, module):
    told = story.of(Apart(last=1, step=2), ran(step(1), step(2)), ran(step(1), step(2, **change)))
    assert (told.step, told.cause) == (2, cause) and told.said
    assert module in (told.module, "") or module in told.names
    assert told.has_op is (cause == "forward")


def test_what_ends_and_what_is_evaluated_alone():
    same = ran(step(1), step(2))
    assert story.of(Apart(last=2, step=3, ended=True), same, same).said == "it ends after 2 steps"
    assert story.of(Apart(last=2, step=2, late=True, ended=True), same, same).cause == "evaluation"
    other = ran(step(1, validation={"acc": "0.5"}), step(2))
    moved = ran(step(1, validation={"acc": "0.6"}), step(2))
    assert story.of(Apart(last=0, step=1, late=True), other, moved).cause == "evaluation"
    assert story.of(Apart(last=1, step=2), same, same) == story.Story(step=2)


def test_it_lies_in_the_module_whose_own_code_did_it():
    change = {"forward": (("encoder", "z"), ("", "z")), "loss": "0x1p1"}
    told = story.of(Apart(last=1, step=2), ran(step(1), step(2)), ran(step(1), step(2, **change)))
    parting = Parting(index=7, op="aten.gelu.default", module="body", phase="forward", said="gelu gives another")
    there = story.placed(told, parting)
    assert (told.module, there.module, there.cause) == ("encoder", "body", "forward")
    assert there.said.endswith("gelu gives another") and "body" in there.names
    assert story.placed(told, None) == told and story.placed(story.Story(step=2), parting) == story.Story(step=2)
