"""The search by bits, in worlds in memory: the culprit is right always, and costs less than half a training."""

import random

import pytest

from backburn.blame.exact import NotRepeating, Same, Search
from backburn.blame.world import Ledger
from backburn.errors import Unjudged
from backburn.reproduction.rerun import Ran

from .worlds import GRID, Edit, Memory, line


def search(world, **options):
    ledger = Ledger(world=world)
    one = Search(ledger=ledger, history=world.history, **options)
    return one.run(), ledger


def test_one_of_64_is_found_and_proven():
    world = Memory(line(64, c37=Edit(since=20)))
    searched, ledger = search(world)
    (guilt,) = searched.guilts
    assert guilt.commit == "c37" and guilt.at.step == 20 and searched.proven
    assert "c64 without c37 is good again, to the last bit, through step 21" in searched.proof
    assert ledger.cost <= 0.5
    assert guilt.narrowed.inherited == 63  # all others change nothing that is reached: no training was needed


@pytest.mark.parametrize("seed", range(100))
def test_of_64_commits_that_all_matter_it_is_the_right_one_at_half_a_training(seed):
    draw = random.Random(seed)
    step, place = draw.choice([1, 2, 3, 5, 7, 12, 20]), draw.randrange(1, 65)
    edits = line(64, **{f"c{n}": Edit(quiet=True) for n in range(1, 65) if draw.random() < 0.8})
    edits[f"c{place}"] = Edit(since=step)
    searched, ledger = search(Memory(edits))
    assert [one.commit for one in searched.guilts] == [f"c{place}"]
    assert searched.guilts[0].at.step == step and searched.proven
    assert ledger.cost <= 0.5, ledger.steps


@pytest.mark.parametrize("step", [1, 5, 6, 21, 22, 60, 131, 149, 299, 301, 600])
def test_the_step_is_exact_wherever_it_is(step):
    searched, _ = search(Memory(line(8, c3=Edit(since=step), c5=Edit(quiet=True))))
    assert searched.guilts[0].at.step == step and searched.guilts[0].commit == "c3" and searched.proven


@pytest.mark.parametrize("step", [1, 5, 6, 21, 22, 60, 131, 301, 600])
@pytest.mark.parametrize("near", ["right", "too early", "too late"])
def test_what_a_night_told_is_looked_at_first_and_never_believed(step, near):
    last = max((one for one in GRID if one < step), default=0)
    told = {
        "right": (last, min(one for one in (*GRID, 601) if one >= step)),
        "too early": (1, 2),
        "too late": (401, 501),
    }
    edits = line(64, **{f"c{n}": Edit(quiet=True) for n in range(1, 65)} | {"c37": Edit(since=step)})
    searched, ledger = search(Memory(edits), near=told[near], budget=0)
    (guilt,) = searched.guilts
    assert (guilt.commit, guilt.at.step, searched.proven) == ("c37", step, True)
    if near == "right":
        assert ledger.steps <= search(Memory(edits), budget=0)[1].steps


def test_a_validation_alone():
    searched, _ = search(Memory(line(16, c9=Edit(since=60, late=True), c5=Edit(quiet=True), c11=Edit(quiet=True))))
    (guilt,) = searched.guilts
    assert (guilt.commit, guilt.at.step, guilt.at.late, searched.proven) == ("c9", 100, True, True)


def test_a_validation_alone_that_a_night_told_of():
    edits = line(16, c9=Edit(since=1, late=True), c5=Edit(quiet=True), c11=Edit(quiet=True))
    searched, ledger = search(Memory(edits), near=(34, 51))
    (guilt,) = searched.guilts
    assert (guilt.commit, guilt.at.step, guilt.at.late, searched.proven) == ("c9", 50, True, True)
    assert ledger.done and min(ask.until for ask in ledger.done) == 51


def test_several_culprits_one_after_another():
    world = Memory(line(32, c5=Edit(since=12), c20=Edit(since=3), c28=Edit(since=3)))
    searched, _ = search(world)
    assert {one.commit for one in searched.guilts} == {"c5", "c20", "c28"} and searched.proven


def test_what_was_undone_again_is_not_the_culprit():
    world = Memory(line(32, c5=Edit(since=2), c12=Edit(undoes="c5", quiet=True), c25=Edit(since=9)))
    searched, _ = search(world)
    assert [one.commit for one in searched.guilts] == ["c25"] and searched.proven


def test_those_that_cannot_be_trained_are_passed_by():
    world = Memory(line(32, c8=Edit(broken=True), c19=Edit(mended=True), c25=Edit(since=4), c30=Edit(quiet=True)))
    searched, _ = search(world)
    assert [one.commit for one in searched.guilts] == ["c25"] and searched.proven


def test_a_culprit_among_those_leaves_a_range_that_is_told():
    edits = line(32, c8=Edit(broken=True), c12=Edit(since=4), c14=Edit(quiet=True), c19=Edit(mended=True))
    searched, _ = search(Memory(edits))
    (guilt,) = searched.guilts
    assert not guilt.commit and not searched.proven
    assert guilt.narrowed.candidates == ("c8", "c12", "c14", "c19")
    assert "candidates cannot be trained" in searched.proof


def test_a_commit_that_cannot_be_taken_out_is_told():
    searched, _ = search(Memory(line(16, c9=Edit(since=4, conflicting=True))))
    assert [one.commit for one in searched.guilts] == ["c9"] and not searched.proven
    assert "conflicts in train.py" in searched.proof


def test_a_bad_end_that_cannot_be_trained_without_it_is_told():
    class Needed(Memory):
        def train(self, ask):
            return Ran(failed="ImportError: no net") if ask.without else super().train(ask)

    searched, _ = search(Needed(line(16, c9=Edit(since=4))))
    assert [one.commit for one in searched.guilts] == ["c9"] and not searched.proven
    assert "cannot be trained here: ImportError: no net" in searched.proof


def test_the_ends_are_looked_at_first():
    with pytest.raises(Same, match="over 600 steps"):
        search(Memory(line(8, c3=Edit(quiet=True))))
    with pytest.raises(NotRepeating) as error:
        search(Memory(line(8, c3=Edit(since=4)), repeats=False))
    assert error.value.step == 1
    with pytest.raises(Unjudged, match="c8 cannot be trained here: SyntaxError"):
        search(Memory(line(8, c3=Edit(broken=True))))


def test_one_that_repeats_for_some_steps_is_proven_as_far_as_it_does():
    searched, _ = search(Memory(line(8, c3=Edit(since=4)), repeats=False, noisy=15))
    assert [one.commit for one in searched.guilts] == ["c3"] and searched.proven
    assert searched.proof.endswith("through step 5")


def test_through_a_merge_into_the_branch():
    edits = line(7, c4=Edit(since=4), c2=Edit(quiet=True), c6=Edit(quiet=True))
    parents = {"c1": ("good",), "c2": ("c1",), "c3": ("c1",), "c4": ("c3",), "c5": ("c2", "c4"), "c6": ("c5",)}
    world = Memory(edits, parents=parents | {"c7": ("c6",)})
    searched, _ = search(world)
    assert [one.commit for one in searched.guilts] == ["c4"] and searched.proven


class Blind(Memory):
    """Its trainings read what nobody sees: what is reached says less than it should."""

    def contents(self, commit, without=()):
        return "good" if commit == "good" else str(int(commit[1:]) >= 20) + " ".join(without)


def test_a_reach_that_does_not_hold_is_found_out():
    searched, _ = search(Blind(line(32, c9=Edit(since=4))))
    assert [one.commit for one in searched.guilts] == ["c9"] and searched.proven
