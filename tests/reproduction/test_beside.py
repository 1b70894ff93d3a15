"""Which runs a night needs beside its own: a training that answers from a table, so that nothing is started."""

from dataclasses import replace

import msgspec
import pytest

from backburn.references import Machine, Reference
from backburn.reproduction import beside, digests
from backburn.reproduction.beside import Beside, Limits
from backburn.reproduction.runs import NEVER, Ran
from backburn.reproduction.told import Told, figures
from backburn.training import Ended

GRID = (1, 2, 3, 5, 8, 13, 21, 34, 55, 68, 85)
LIMITS = Limits(seeds=3, alpha=0.003, self_steps=20, ulps=4, fresh=2, seed=42, candidate=False)
FINE = Ended(command=("python",), code=0, seconds=100.0)


def told(until=100, factor=1.0, since=0, loss=0.3, **changed):
    points = tuple((n, 2 / n * (factor if n >= since else 1)) for n in GRID if n <= until)
    about = {"ended": "fit" if until >= 100 else "until", "steps": until, "losses": points, "seeded": (42,)}
    return Told(**about | {"metrics": {"val_loss": loss} if until >= 100 else {}, "machine": None} | changed)


def roots(until=100, since=999):
    state = [(part, n) for part in digests.STATE for n in GRID if n <= until]
    return {f"{part}@{n}": f"{n}{'x' if n >= since else ''}" for part, n in state}


class Runs:
    """Answers as the training would, and notes what was asked; `seconds` is the time that is left."""

    def __init__(self, answer, seconds=1e9):
        self.answer, self.seconds, self.asked = answer, seconds, []

    def has(self, seconds):
        return seconds <= self.seconds

    def aside(self, name, label, **settings):
        self.asked.append((name, settings))
        self.seconds -= 100.0
        return self.answer(name, min(settings.get("until", 100), 100))


def sound(name, until):
    shift = int(name[-1]) if name.startswith(("seed", "fresh")) else 0
    return Ran(FINE, told(until, loss=0.3 + 0.001 * shift), roots(until))


def reference(**changed):
    runs = [figures(told(loss=0.3 + 0.001 * n)) for n in range(5)]
    many = {name: tuple(run[name] for run in runs) for name in runs[0]}
    about = {"seeds": (42, 43, 44, 45, 46), "figures": many, "hashes": roots()}
    one = Reference(stage="reproduce", training="it", machine=Machine(hardware="cpu"), **about)
    return msgspec.structs.replace(one, **changed)


def gathered(first, one, runs, **limits):
    return beside.gather(first, first.told, one, replace(LIMITS, **limits), runs)


TONIGHT = Ran(FINE, told(), roots())


def test_a_night_that_is_identical_needs_nothing_beside_it():
    runs = Runs(sound)
    assert gathered(TONIGHT, reference(), runs) == Beside() and runs.asked == []


def test_a_night_that_is_not_runs_once_more_as_far_as_it_differs():
    runs = Runs(sound)
    found = gathered(Ran(FINE, told(factor=1.0001, since=34), roots(since=34)), reference(), runs)
    assert runs.asked == [("again", {"until": 34})] and found.again.steps == 34 and found.fresh == ()
    early = Runs(sound)
    gathered(Ran(FINE, told(factor=1.0001), roots(since=1)), reference(), early)
    assert early.asked == [("again", {"until": 20})]
    end = Runs(sound)
    gathered(Ran(FINE, told(loss=0.3001), roots()), reference(), end)
    assert end.asked == [("again", {"until": NEVER})]  # only its end differs


def test_a_suspicious_night_runs_under_fresh_seeds():
    runs = Runs(sound)
    found = gathered(Ran(FINE, told(loss=3.0), roots()), reference(), runs)
    assert [name for name, _ in runs.asked] == ["again", "fresh-1", "fresh-2"]
    assert [settings["shift"] for _, settings in runs.asked[1:]] == [5, 6] and len(found.fresh) == 2
    none = Runs(sound)
    assert gathered(Ran(FINE, told(loss=3.0), roots()), reference(), none, fresh=0).fresh == ()
    assert [name for name, _ in none.asked] == ["again"]


def test_a_new_reference_takes_seeds_and_rounded_weights_that_cost_one_run():
    runs = Runs(sound)
    found = gathered(TONIGHT, None, runs)
    assert runs.asked == [
        ("again", {"until": 20}), ("seed-1", {"shift": 1}), ("seed-2", {"shift": 2}),
        *((f"ulp-{n}", {"ulp": n, "until": until}) for n, until in enumerate((50, 25, 20, 20), 1)),
    ]  # fmt: skip
    assert (len(found.told), len(found.rounded), found.again.steps) == (2, 4, 20)
    asked = Runs(sound)
    gathered(TONIGHT, reference(), asked, candidate=True, ulps=0, self_steps=0)
    assert [name for name, _ in asked.asked] == ["seed-1", "seed-2"]


def test_a_training_that_does_not_repeat_takes_no_seeds():
    runs = Runs(lambda name, until: Ran(FINE, told(until), roots(until, since=2)))
    found = gathered(TONIGHT, None, runs)
    assert [name for name, _ in runs.asked] == ["again"] and found.told == ()


def test_what_does_not_fit_in_the_time_is_not_begun():
    assert gathered(Ran(FINE, told(loss=3.0), roots()), reference(), Runs(sound, 99.0)) == Beside()
    prefix = Runs(sound, 21.0)
    gathered(Ran(FINE, told(factor=1.0001), roots(since=1)), reference(), prefix)
    assert prefix.asked == [("again", {"until": 20})]


def test_one_that_did_not_end_is_told():
    def broken(name, until):
        return Ran(msgspec.structs.replace(FINE, code=1, message="ValueError: x"), None, {})

    found = gathered(Ran(FINE, told(loss=3.0), roots()), reference(), Runs(broken))
    assert found.aside == (
        "once more, it did not: ValueError: x", "under its seed + 5 it did not: ValueError: x",
        "under its seed + 6 it did not: ValueError: x",
    )  # fmt: skip
    rounded = gathered(TONIGHT, None, Runs(lambda name, n: (broken if name[:3] == "ulp" else sound)(name, n)), ulps=1)
    assert rounded.aside == ("with rounded weights (1) it did not: ValueError: x",)


@pytest.mark.parametrize(("seeded", "same"), [((42,), True), ((42, 7), True), ((), True), ((43,), False)])
def test_a_second_run_that_asks_for_another_seed_is_seen(seeded, same):
    """One that ended early may have asked for fewer."""
    found = Beside(again=told(20, seeded=seeded))
    assert beside.night(told(seeded=(42, 7)), {}, found, seed=42, wanted=2).repeat.seed is same


def test_the_ladder_is_asked_about_the_night_and_what_ran_beside_it():
    seen = beside.night(told(seeded=()), {"loss@1": "x"}, Beside(fresh=(told(loss=1.0),)), seed=7, wanted=2)
    assert (seen.seed, seen.wanted, seen.repeat, seen.roots) == (7, 2, None, {"loss@1": "x"})
    assert seen.fresh[0]["final val_loss"] == 1.0
    assert beside.wanted(LIMITS) == 2 and beside.wanted(replace(LIMITS, candidate=True)) == 0
