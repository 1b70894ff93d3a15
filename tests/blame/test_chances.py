"""Whole runs of a training that never repeats: the culprit, the proof, and what is said where runs do not suffice."""

import random
from dataclasses import dataclass, field

import pytest

from backburn.blame.chances import Chances
from backburn.blame.world import Ledger
from backburn.errors import Unjudged
from backburn.reproduction.rerun import Ran

from .worlds import Edit, Memory, line


@dataclass
class Noisy(Memory):
    """Its metrics are drawn anew each time; a culprit adds `effect` deviations to the loss."""

    effect: float = 10.0
    draw: random.Random = field(default_factory=lambda: random.Random(1))

    def train(self, ask):
        ran = super().train(ask)
        if ran.failed:
            return ran
        moved = sum(1 for one in self.held(ask.commit, ask.without).values() if one.since)
        metrics = {
            "val_loss": 0.3 * 1.02 ** (self.draw.gauss() + self.effect * moved),
            "val_acc": self.draw.gauss(0.9, 0.01),
        }
        return Ran(done=600, planned=600, whole=True, metrics=metrics)


def chances(world, runs=16, **about):
    prior = {one: 1.0 if world.edits[one].since or world.edits[one].quiet else 0.0 for one in world.edits}
    prior |= about.pop("prior", {})
    return Chances(ledger=Ledger(world=world), history=world.history, runs=runs, prior=prior, **about)


def many(**more):
    return line(32, **{f"c{n}": Edit(quiet=True) for n in range(1, 33)} | more)


def test_the_culprit_is_named_and_proven():
    found = chances(Noisy(many(c13=Edit(since=1)))).run()
    assert found.candidates == ("c13",) and found.certainty >= 0.95 and found.metric == "val_loss" and found.proven
    assert found.said.startswith("val_loss is 0.") and "as good is" in found.proof


def test_the_references_runs_count_as_those_of_the_good_end():
    world = Noisy(many(c13=Edit(since=1)))
    found = chances(world, reference={"val_loss": (0.3, 0.306, 0.294, 0.298, 0.303)}).run()
    assert found.candidates == ("c13",) and "good" not in {ask.commit for ask in world.trained}


def test_one_that_cannot_be_trained_is_passed_by():
    world = Noisy(many(c13=Edit(since=1), c16=Edit(broken=True), c17=Edit(mended=True)))
    found = chances(world).run()
    assert found.candidates == ("c13",)


def test_one_that_cannot_be_taken_out_is_told():
    found = chances(Noisy(many(c13=Edit(since=1, conflicting=True)))).run()
    assert found.candidates == ("c13",) and not found.proven and "conflicts in train.py" in found.proof


def test_no_signal_and_too_few_runs_are_said():
    with pytest.raises(Unjudged, match="no metric differs by more than chance"):
        chances(Noisy(many(c13=Edit(since=1)), effect=0.0)).run()
    with pytest.raises(Unjudged, match="4 whole runs do not suffice"):
        chances(Noisy(many(c13=Edit(since=1))), runs=4).run()
    found = chances(Noisy(many(c13=Edit(since=1))), runs=7).run()
    assert len(found.candidates) > 1 and "do not suffice" in found.proof and not found.proven
