"""The search by likelihood, simulated: right in 98 of 100 histories where the signal is adequate, modest elsewhere."""

import random

import pytest

from backburn.blame.likely import ENOUGH, Suspicion
from backburn.blame.search import History


def history(count=64):
    names = [f"c{number}" for number in range(1, count + 1)]
    return History.of("good", names[-1], {one: (before,) for before, one in zip(["good", *names], names)})


def searched(seed, effect, count=64, reference=5, runs=16, prior=None):
    """(the culprit, the finding, runs): normal values with a deviation of 1, those with the culprit `effect` more."""
    draw = random.Random(seed)
    line = history(count)
    culprit = draw.randrange(count)
    suspicion = Suspicion(history=line, prior=prior or dict.fromkeys(line.commits, 1.0))
    suspicion.add("good", *(draw.gauss() for _ in range(reference)))
    suspicion.add(line.bad, *(draw.gauss() + effect for _ in range(3)))
    if not suspicion.apart():
        return f"c{culprit + 1}", (), 3
    for done in range(runs):
        found = suspicion.credible()
        if len(found) == 1:
            return f"c{culprit + 1}", found, done + 3
        commit = suspicion.next()
        suspicion.add(commit, draw.gauss() + effect * (int(commit[1:]) - 1 >= culprit))
    return f"c{culprit + 1}", suspicion.credible(), runs + 3


def test_an_adequate_signal_is_right_in_98_of_100():
    outcomes = [searched(seed, effect=8.0) for seed in range(100)]
    right = [found == (culprit,) for culprit, found, _ in outcomes]
    assert sum(right) >= 98
    assert sum(runs for *_, runs in outcomes) / len(outcomes) <= 12


def test_a_weak_signal_keeps_what_its_posterior_says():
    outcomes = [searched(seed, effect=3.5) for seed in range(40)]
    named = [(culprit, found) for culprit, found, _ in outcomes if len(found) == 1]
    assert len(named) >= 10
    assert sum(found == (culprit,) for culprit, found in named) >= (ENOUGH - 0.1) * len(named)


def test_no_signal_is_not_searched_for():
    assert sum(bool(found) for _, found, _ in (searched(seed, effect=0.0) for seed in range(200))) <= 6


def test_a_commit_that_cannot_be_it_is_never_named():
    prior = dict.fromkeys(history().commits, 0.0) | {"c10": 1.0, "c20": 2.0, "c64": 1.0}
    _, found, _ = searched(3, effect=8.0, prior=prior)
    assert {*found} <= {"c10", "c20", "c64"}


@pytest.mark.parametrize(("good", "bad", "expected"), [([1.0, 1.1, 0.9], [5.0], False), ([1.0] * 3, [1.0] * 3, False),
                                                       ([1.0, 1.1, 0.9], [5.0, 5.1, 4.9], True)])  # fmt: skip
def test_the_ends_must_be_apart(good, bad, expected):
    one = Suspicion(history=history(4), prior={"c1": 1.0}, floor=1e-6)
    one.add("good", *good)
    one.add("c4", *bad)
    assert one.apart() is expected


def test_the_next_run_is_where_the_doubt_is_largest_and_not_of_what_cannot_be_trained():
    one = Suspicion(history=history(9), prior=dict.fromkeys(history(9).commits, 1.0))
    one.add("good", 0.0, 0.1, -0.1)
    one.add("c9", 9.0, 9.1, 8.9)
    assert one.next() in ("c4", "c5")
    one.skipped |= {"c4", "c5"}
    assert one.next() in ("c3", "c6")
