"""A training that is longer tells what a shorter one would: each is done once."""

from dataclasses import replace

import pytest

from backburn.blame.world import Ledger, covers
from backburn.errors import Unjudged
from backburn.reproduction.rerun import Ask

from .worlds import Edit, Memory, line

LONG = Ask(commit="c1", until=21, detail=(1, 21))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True), ({"until": 20, "detail": (19, 20)}, True), ({"until": 22}, False), ({"until": 0}, False),
        ({"detail": (21, 22)}, False), ({"detail": (0, 0)}, True), ({"operations": 3}, False), ({"again": 1}, False),
        ({"shift": 1}, False), ({"without": ("c2",)}, False), ({"commit": "c2"}, False),
    ],
)  # fmt: skip
def test_what_covers_what(change, expected):
    assert covers(LONG, replace(LONG, **change)) is expected


def test_what_is_whole_or_was_done_again_covers_more():
    assert covers(Ask(commit="c1"), Ask(commit="c1", until=5))
    assert covers(replace(LONG, again=1, operations=3), LONG)


def test_a_ledger_counts_and_cuts():
    ledger = Ledger(world=Memory(line(4, c2=Edit(since=3))))
    assert ledger.cost == 0.0
    ledger.train(LONG)
    short = ledger.train(replace(LONG, until=5, detail=(4, 5)))
    assert (ledger.steps, len(ledger.done), ledger.planned) == (21, 1, 600) and ledger.cost == 21 / 600
    assert short.done == 5 and [one.step for one in short.steps] == [1, 2, 3, 4, 5]


def test_an_end_that_cannot_be_trained_is_named():
    ledger = Ledger(world=Memory(line(2, c1=Edit(broken=True))), short={"c2": "bad"})
    with pytest.raises(Unjudged, match=r"bad \(c2\) cannot be trained here: SyntaxError"):
        ledger.sound(Ask(commit="c2", until=1))
