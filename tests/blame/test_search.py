"""The bisection itself: right for every place, in no more questions than bits, with what is known for nothing."""

import math
import random

import pytest

from backburn.blame.search import History, first

from .worlds import Edit, Memory, line


def history(count):
    names = [f"c{number}" for number in range(1, count + 1)]
    return History.of("good", names[-1], {one: (before,) for before, one in zip(["good", *names], names)})


@pytest.mark.parametrize("count", [1, 2, 3, 7, 33])
def test_every_place_in_as_many_questions_as_it_takes(count):
    for place in range(1, count + 1):
        asked = []

        def differs(commit, asked=asked, place=place):
            asked.append(commit)
            return int(commit[1:]) >= place

        found = first(history(count), differs, lambda commit: commit)
        assert found.candidates == (f"c{place}",) and found.inherited == 0
        assert len(asked) <= math.ceil(math.log2(count)) + 1


def test_what_is_the_same_as_a_known_one_is_not_asked_for():
    asked = []
    contents = {"good": "a"} | {f"c{n}": "a" if n < 10 else "b" if n < 20 else "c" for n in range(1, 31)}
    found = first(history(30), lambda commit: asked.append(commit) or contents[commit] == "c", contents.__getitem__)
    assert found.candidates == ("c20",) and found.inherited == 28 and len(asked) == 1


def test_good_and_bad_that_nothing_tells_apart_are_searched_commit_by_commit():
    found = first(history(8), lambda commit: int(commit[1:]) >= 3, lambda commit: "same")
    assert found.candidates == ("c3",)


@pytest.mark.parametrize("seed", range(40))
def test_histories_with_merges(seed):
    draw = random.Random(seed)
    names, parents = ["good"], {}
    for number in range(1, 41):
        before = draw.sample(names[-4:], min(len(names), 2 if draw.random() < 0.3 else 1))
        parents[f"c{number}"] = tuple(before)
        names.append(f"c{number}")
    heads = [one for one in parents if not any(one in before for before in parents.values())]
    parents["last"] = tuple(heads)
    line_of = History.of("good", "last", parents)
    culprit = draw.choice([*parents])
    bit = line_of.ancestors[culprit].bit_length() - 1
    asked = []
    found = first(line_of, lambda one: asked.append(one) or bool(line_of.ancestors[one] >> bit & 1), lambda one: one)
    assert found.candidates == (culprit,) and len(asked) <= 10


def test_what_cannot_be_trained_is_passed_by_and_told_where_it_matters():
    def differs(commit):
        return None if 10 <= int(commit[1:]) <= 20 else int(commit[1:]) >= 25

    assert first(history(40), differs, lambda commit: commit).candidates == ("c25",)

    def hidden(commit):
        return None if 10 <= int(commit[1:]) <= 20 else int(commit[1:]) >= 15

    found = first(history(40), hidden, lambda commit: commit)
    assert found.candidates == tuple(f"c{n}" for n in range(10, 22)) and set(found.skipped) <= set(found.candidates)


def test_of_many_that_cannot_be_trained_not_each_is_tried():
    asked = []
    edits = line(64, c10=Edit(broken=True), c54=Edit(mended=True), c60=Edit(since=1))
    world = Memory(edits)

    def differs(commit):
        asked.append(commit)
        states = [edits[f"c{n}"] for n in range(1, int(commit[1:]) + 1)]
        broken = [one.broken for one in states if one.broken or one.mended]
        return None if broken and broken[-1] else any(one.since for one in states)

    assert first(world.history, differs, world.contents).candidates == ("c60",) and len(asked) <= 4
