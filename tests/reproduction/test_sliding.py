"""The sliding lane's charts: how often sound nights are called off, what is seen, and whose doing it is."""

import math
import random

import pytest

from backburn.reproduction import sliding
from backburn.reproduction.sliding import Effect, Lane, Point


def point(value, beside=None, name="val_loss"):
    fixed = {} if beside is None else {name: beside}
    return Point(date="2026-11-20", figures={name: value}, beside=fixed)


def nights(draw, count, alike=0.0, sd=0.05):
    """Losses of sound nights, each like the one before."""
    state, found = draw.gauss(0, 1), []
    for _ in range(count):
        state = alike * state + math.sqrt(1 - alike**2) * draw.gauss(0, 1)
        found.append(0.4 * math.exp(sd * state))
    return found


def alarms(values, fixed=(), alpha=0.003):
    points = [point(one, two) for one, two in zip(values, fixed or [None] * len(values))]
    return list(sliding.alarms(Lane(points=tuple(points[:-1])), points[-1], alpha))


@pytest.mark.parametrize("count", [12, 31, 61])
@pytest.mark.parametrize(("alike", "most"), [(0.0, 2.5), (0.5, 4.0)])
def test_sound_nights_are_called_off_about_as_often_as_is_said(count, alike, most):
    draw, rounds, alpha = random.Random(7), 1500, 0.02
    found = sum(bool(alarms(nights(draw, count, alike), alpha=alpha)) for _ in range(rounds))
    assert 0.2 * alpha <= found / rounds <= most * alpha


@pytest.mark.parametrize(
    ("spoil", "drift"),
    [
        (lambda day, value: value * (1.5 if day == 30 else 1), False),  # a shard is missing tonight
        (lambda day, value: value * math.exp(0.012 * max(0, day - 10)), True),  # a source that wears off
        (lambda day, value: value * (1.2 if day > 18 else 1), True),
    ],
)
def test_what_the_data_do_is_seen(spoil, drift):
    draw, seen = random.Random(3), []
    for _ in range(50):
        values = [spoil(day, one) for day, one in enumerate(nights(draw, 31, sd=0.03))]
        seen += [one.drift for one in alarms(values)[:1]]
    assert len(seen) >= 45 and seen.count(drift) >= 0.8 * len(seen)


def test_what_the_code_did_to_both_lanes_is_no_alarm():
    values = nights(random.Random(1), 31, sd=0.01)
    code = [1.0] * 20 + [2.0] * 11
    both = [one * two for one, two in zip(values, code)]
    assert alarms(both, [0.3 * one for one in code]) == [] and alarms(both)


def test_too_few_nights_say_nothing():
    assert alarms([0.4, 0.41] * 5 + [9.0]) and not alarms([0.4, 0.41] * 4 + [0.4, 9.0])


def test_data_that_stood_still_and_do_not_any_more():
    assert alarms([0.4] * 12) == []
    (one,) = alarms([0.4] * 12 + [0.41])
    assert (one.drift, one.deviation, one.nights) == (False, math.inf, 12)


@pytest.mark.parametrize(
    ("last", "tonight", "said"),
    [
        (point(0.4, 0.3), point(0.44, 0.3), "data +10.0 %, code +0.0 %"),
        (point(0.4, 0.3), point(0.44, 0.33), "data +0.0 %, code +10.0 %"),
        (point(0.4, 0.3), point(0.44), "data and code together +10.0 %"),
        (point(0.4), point(0.44, 0.3), "data and code together +10.0 %"),
        (point(-0.4, 0.0), point(-0.1, 0.1), "data +0.2, code +0.1"),
    ],
)
def test_code_and_data_are_told_apart(last, tonight, said):
    (effect,) = sliding.effects(Lane(points=(point(9.0), last)), tonight)
    assert str(effect) == said


def test_a_metric_that_is_new_has_no_effect():
    assert list(sliding.effects(Lane(points=(point(0.4),)), point(0.4, name="val_acc"))) == []
    assert list(sliding.effects(Lane(), point(0.4))) == []
    assert str(Effect(name="x", data=0.0, code=0.0, relative=False)) == "data +0, code +0"
