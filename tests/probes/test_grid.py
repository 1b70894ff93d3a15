"""Which steps of a training are kept."""

import math
from itertools import islice

import pytest
import torch

from backburn.probes.grid import Grid, Octaves, Thinned, steps


def test_the_grid_is_the_same_however_long_a_training_is():
    grid = Grid()
    reached = [step for step in range(1, 5001) if grid.reached(step)]
    assert reached == list(islice(steps(), len(reached)))
    assert reached[8:12] == [55, 68, 85, 106] and grid.next > 5000


def means(values):
    octaves = Octaves()
    ends = [step for step, value in enumerate(values, 1) if octaves.add(value)]
    return octaves, ends


def test_an_octave_is_the_steps_since_half_of_it():
    octaves, ends = means(range(1, 11))
    assert ends == [1, 2, 4, 8]
    assert octaves.points == [(1, 1), (2, 2), (4, 3.5), (8, 6.5), (10, 9.5)]


def test_looking_at_a_part_of_an_octave_changes_nothing():
    octaves, _ = means(range(1, 8))
    assert octaves.points[-1] == (7, 6.0)
    octaves.add(8)
    assert octaves.points == [(1, 1), (2, 2), (4, 3.5), (8, 6.5)]


def test_steps_without_a_loss_count_as_steps_only():
    octaves, _ = means([None, None, 3.0, 5.0, None, None, None, None])
    assert octaves.points == [(4, 4.0)]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_stays_in_its_octave(bad):
    octaves, _ = means([1.0, 1.0, bad, 1.0, 1.0, 1.0, 1.0, 1.0])
    assert not math.isfinite(octaves.means[4]) and octaves.means[8] == 1.0


def test_tensors_are_summed_where_they_are():
    values = torch.rand(100, dtype=torch.float64)
    assert means(values)[0].points == means(values.tolist())[0].points


def test_a_long_history_is_thinned_evenly_and_agrees_with_a_short_one():
    short, long = Thinned(10), Thinned(10)
    for step in range(12):
        short.add(step, float(step))
    for step in range(1000):
        long.add(step, float(step))
    assert [step for step, _ in short.points] == [0, 2, 4, 6, 8, 10]
    assert len(long.points) <= 10 and len({b - a for (a, _), (b, _) in zip(long.points, long.points[1:])}) == 1
    assert Thinned().points == [] and len(long.points) >= 5


def test_one_that_goes_on_stops_at_the_whole_ones_steps_too():
    grid = Grid(start=6)
    stops = [step for step in range(1, 56) if grid.reached(step)]
    assert stops == sorted({1, 2, 3, 5, 8, 13, 21, 34, 55} | {2, 7, 15, 28, 49})
