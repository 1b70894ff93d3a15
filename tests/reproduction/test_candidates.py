"""What a reference is made of, and what cannot become one."""

import msgspec
import pytest

from backburn.references import Machine
from backburn.reproduction import candidates
from backburn.reproduction.ladder import Night, Repeat
from backburn.reproduction.told import Told, figures

MACHINE = Machine(hardware="cpu")
ROOTS = {"loss@1": "a", "parameters@1": "b"}


def told(shift=0, loss=None, **changed):
    about = {"ended": "fit", "steps": 1, "shift": shift, "losses": ((1, loss or 1.0 + shift),), "settings": {"lr": "1"}}
    return Told(**about | changed)


def made(runs=5, rounded=(), repeat=None, **about):
    several = [told(shift) for shift in range(runs)]
    night = Night(figures=figures(several[0]), roots=ROOTS, repeat=repeat, seed=42)
    return msgspec.structs.replace(candidates.of("it", MACHINE, several, night, rounded), **about)


AGAIN = Repeat(figures={"loss@1": 1.0}, roots=ROOTS, steps=20)


def test_it_holds_every_run_and_of_the_first_its_hashes_and_that_it_repeats():
    one = made(rounded=[told(loss=1.0 + 1e-7)], repeat=AGAIN)
    assert one.seeds == (42, 43, 44, 45, 46) and one.runs("loss@1") == (1.0, 2.0, 3.0, 4.0, 5.0)
    assert (one.hashes, one.repeated, one.apart) == (ROOTS, 20, "")
    assert one.envelope == {"loss@1": pytest.approx(1e-7)} and one.settings == {"lr": "1"}
    assert list(candidates.unfit(one, 5, repeats=True)) == []


OTHER = Repeat(figures={"loss@1": 1.5}, roots={"loss@1": "x", "parameters@1": "b"}, steps=20)
UNFIT = {
    "too few": (made(3, repeat=AGAIN), "3 of 5 seeds; too few"),
    "does not repeat": (made(repeat=OTHER), "came out otherwise a second time, at step 1: loss (init or forward)"),
    "not run twice": (made(), "it was not run twice"),
    "nothing to compare": (made(repeat=AGAIN, figures={"steps": (1,) * 5}), "neither a loss nor a metric"),
    "seeds without effect": (made(repeat=AGAIN, figures={"loss@1": (1.0, 2.0, 3.0, 4.0, 1.0)}), "two seeds came out"),
}


@pytest.mark.parametrize("what", UNFIT)
def test_what_cannot_become_a_reference_says_why(what):
    one, said = UNFIT[what]
    (reason,) = candidates.unfit(one, 5, repeats=True)
    assert said in reason


def test_where_nobody_asks_whether_it_repeats_it_need_not():
    assert not [*candidates.unfit(made(), 5, repeats=False), *candidates.unfit(made(repeat=OTHER), 5, repeats=False)]
