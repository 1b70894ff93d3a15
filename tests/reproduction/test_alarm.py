"""When anyone is alarmed: how often about sound nights, and about which that are not."""

import random

import pytest

from backburn import comparison
from backburn.references import Machine, Reference
from backburn.reproduction import alarm

OCTAVES = (1, 2, 4, 8, 16, 32)


def run(draw, worse=0.0):
    """A sound run: two metrics that hang together, and a curve whose octaves do; `worse` in standard deviations."""
    common = draw.gauss(worse, 1)
    figures = {"steps": 60, "samples": 0, "final val_loss": 0.4 * 1.02**common}
    figures["final acc"] = 0.9 - 0.005 * (common + draw.gauss(0, 0.5))
    return figures | {f"mean loss@{n}": 2 / n * 1.02 ** (0.7 * common + 0.7 * draw.gauss(0, 1)) for n in OCTAVES}


def reference(draw, runs=5):
    figures = comparison.merged([run(draw) for _ in range(runs)])
    return Reference(
        stage="reproduce", training="it", machine=Machine(hardware="cpu"), seeds=tuple(range(runs)), figures=figures
    )


def confirmed(draw, runs=5, worse=0.0, fresh=2, alpha=0.003):
    """Whether a night is called regressed: fresh seeds run only where it is suspicious."""
    one, tonight = reference(draw, runs), run(draw, worse)
    if not alarm.suspicious(one, tonight, alpha):
        return False
    more = [run(draw, worse) for _ in range(fresh)]
    return any(found.confirmed for found in alarm.alarms(one, tonight, more, alpha, fresh))


def share(nights, **about):
    draw = random.Random(str(sorted(about.items())))
    return sum(confirmed(draw, **about) for _ in range(nights)) / nights


def test_a_year_of_sound_nights_that_all_changed_has_no_alarm():
    """Each night under another seed against a reference of its own: the worst that sound nights can be."""
    assert share(365) == 0.0


@pytest.mark.parametrize("runs", [3, 5, 10])
def test_fewer_sound_nights_are_called_regressed_than_alpha_says(runs):
    assert share(1500, runs=runs, alpha=0.1) <= 0.01  # a tenth of alpha is what the second stage spends


def test_without_fresh_seeds_the_night_alone_decides_at_alpha():
    assert 0.02 <= share(600, fresh=0, alpha=0.1) <= 0.1


def test_what_is_far_off_is_seen_with_fresh_seeds_and_without():
    assert share(60, worse=25.0) >= 0.95 and share(60, worse=25.0, fresh=0) >= 0.8


def night(**changed):
    draw = random.Random(3)
    one = reference(draw)
    return one, run(draw) | changed


def test_one_bad_seed_is_a_suspicion_that_fresh_seeds_clear():
    one, tonight = night(**{"final val_loss": 0.5})
    draw = random.Random(4)
    assert alarm.suspicious(one, tonight, 0.003) == ["final val_loss"]
    assert alarm.alarms(one, tonight, [run(draw), run(draw)], 0.003, 2) == [("final val_loss", False)]
    bad = {"final val_loss": 0.9}
    assert alarm.alarms(one, tonight | bad, [run(draw) | bad, run(draw) | bad], 0.003, 2) == [("final val_loss", True)]


def test_where_fresh_seeds_were_wanted_and_none_could_run_a_suspicion_stays_open():
    one, tonight = night()
    tonight["final val_loss"] = comparison.spread(one, "final val_loss").between(0.01)[1]
    assert alarm.alarms(one, tonight, [], 0.003, 2) == [("final val_loss", False)]
    assert alarm.alarms(one, tonight, [], 0.003, 0) == []
    assert alarm.alarms(one, tonight | {"final val_loss": 9.0}, [], 0.003, 2) == [("final val_loss", True)]


def test_the_smallest_change_that_is_seen_is_seen_in_four_of_five_nights():
    """The bound that is printed, tried out on figures that move alone."""
    draw = random.Random(5)
    seen, nights = 0, 150
    for _ in range(nights):
        one = reference(draw)
        (sight,) = [sight for sight in alarm.sights(one, run(draw), 0.003, 2) if sight.name == "final acc"]
        shift = sight.deviations * 0.005 * 1.25**0.5  # in true standard deviations
        nightly = [run(draw) for _ in range(3)]
        moved = [it | {"final acc": it["final acc"] - shift} for it in nightly]
        found = alarm.alarms(one, moved[0], moved[1:], 0.003, 2)
        seen += ("final acc", True) in found
    assert 0.8 <= seen / nights


def test_what_could_have_been_seen_is_told_in_the_figure_s_own_unit():
    one, tonight = night()
    sights = {sight.name: sight for sight in alarm.sights(one, tonight, 0.003, 2)}
    assert list(sights) == ["final val_loss", "final acc", *(f"mean loss@{n}" for n in OCTAVES)]
    assert sights["final val_loss"].relative and not sights["final acc"].relative
    assert str(sights["final val_loss"]).endswith(" sd)") and " % (" in str(sights["final val_loss"])
    alone = {sight.name: sight.deviations for sight in alarm.sights(one, tonight, 0.003, 0)}
    assert all(alone[name] > 0 for name in sights)


def test_a_training_that_stops_early_may_vary_its_steps():
    one, _ = night()
    assert "steps" not in alarm.finals(one)
    several = Reference(
        stage="reproduce", training="it", machine=one.machine, seeds=one.seeds,
        figures=one.figures | {"steps": (60, 61, 59, 60, 60)},
    )  # fmt: skip
    assert "steps" in alarm.finals(several)


def test_the_budget_of_false_alarms_is_said():
    assert alarm.budget(0.003, 2) == "at most 0.03 % of changed nights that are sound, 0.11 a year"
    assert alarm.budget(0.003, 0) == "at most 0.3 % of changed nights that are sound, 1.1 a year"
    assert list(alarm.with_seeds(night()[0], 2)) == [5, 6]
