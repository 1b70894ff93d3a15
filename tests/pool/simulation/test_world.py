"""Virtual time."""

import random

import pytest

from backburn.pool.simulation.world import EPOCH, World


def test_what_is_due_happens_in_order_while_somebody_waits():
    world, seen = World(random.Random(0)), []
    for seconds in (3.0, 1.0, 2.0, 9.0):
        world.after(seconds, lambda at=seconds: seen.append((at, world.passed())))
    world.wait(5.0)
    assert seen == [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)] and world.passed() == 5.0 and world.due() == 9.0


def test_an_event_that_waits_lets_others_happen_in_the_middle_of_it():
    world, seen = World(random.Random(0)), []

    def long():
        seen.append("begun")
        world.wait(10.0)
        seen.append("ended")

    world.after(1.0, long)
    world.after(2.0, lambda: seen.append("between"))
    world.wait(1.5)
    assert seen == ["begun", "between", "ended"] and world.passed() == 11.0


def test_a_jump_is_of_the_wall_clock_alone():
    world = World(random.Random(0))
    world.wait(10.0)
    world.jump = -900.0
    assert (world.passed(), world.now(), world.true()) == (10.0, EPOCH - 890.0, EPOCH + 10.0)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_chance(rate):
    assert World(random.Random(0)).happens(rate) is bool(rate)
