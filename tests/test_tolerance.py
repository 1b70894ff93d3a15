"""The prediction interval: the published factors, scipy's quantiles, and how often it is wrong about sound runs."""

import math
import random

import pytest
from scipy import stats

from backburn import tolerance

# Three digits: how many standard deviations one new run may lie off the mean of k.
TABLE = {
    3: (4.97, 11.5, 36.5, 66.7),
    5: (3.04, 5.04, 9.43, 12.9),
    8: (2.51, 3.71, 5.74, 7.02),
    10: (2.37, 3.41, 5.01, 5.96),
    20: (2.14, 2.93, 3.98, 4.52),
}
ALPHAS = (0.05, 0.01, 0.001, 0.0003)


@pytest.mark.parametrize("runs", TABLE)
def test_the_factors_are_those_of_the_table(runs):
    assert [tolerance.factor(runs, alpha) for alpha in ALPHAS] == pytest.approx(TABLE[runs], rel=0.005)


@pytest.mark.parametrize("degrees", [*range(1, 12), 19, 50])
@pytest.mark.parametrize("alpha", [0.5, 0.05, 1e-3, 1e-5, 1e-7])
def test_quantiles_are_scipys(degrees, alpha):
    assert tolerance.quantile(degrees, alpha) == pytest.approx(stats.t.ppf(1 - alpha / 2, degrees), rel=1e-6)
    assert tolerance.normal(alpha) == pytest.approx(stats.norm.ppf(1 - alpha / 2), rel=1e-9)


def false_alarms(runs, limit, nights=10_000):
    """Percent of sound nights outside, each against a reference of its own."""
    draw = random.Random(runs)
    wrong = 0
    for _ in range(nights):
        *values, tonight = (draw.gauss(2.0, 0.1) for _ in range(runs + 1))
        wrong += not limit(tolerance.of("accuracy", values), tonight)
    return 100 * wrong / nights


@pytest.mark.parametrize("runs", [3, 5, 10, 20])
def test_one_percent_is_one_percent(runs):
    assert 0.5 <= false_alarms(runs, lambda spread, tonight: spread.holds(tonight, 0.01)) <= 2


def moved(runs, several, alpha=0.01, nights=10_000, shift=0.0, spread=0.1):
    """Percent of means of several more runs that are called moved."""
    draw = random.Random(100 * runs + several)
    wrong = 0
    for _ in range(nights):
        reference = tolerance.of("accuracy", [draw.gauss(2.0, 0.1) for _ in range(runs)])
        wrong += reference.moved([draw.gauss(2.0 + shift, spread) for _ in range(several)], alpha)
    return 100 * wrong / nights


@pytest.mark.parametrize("runs", [3, 5, 10, 20])
def test_one_percent_is_one_percent_for_a_mean_of_three_too(runs):
    """0.9 to 0.6 %, by 400,000: two limits share it, which the more runs there are the more often agree."""
    assert 0.5 <= moved(runs, 3) <= 2


def test_a_mean_of_three_sees_what_one_run_does_not():
    assert moved(5, 3, nights=2000, shift=0.4) > 1.4 * moved(5, 1, nights=2000, shift=0.4) > 30


def test_what_was_steady_and_is_now_anywhere_has_moved():
    """The pooled spread alone would swallow it."""
    reference = tolerance.of("accuracy", (0.90, 0.901, 0.899, 0.9, 0.902))
    anywhere = (0.5, 0.7, 0.3)
    assert reference.moved(anywhere, 0.0003)
    squares = sum((value - 0.5) ** 2 for value in anywhere)
    assert 0.4 < tolerance.quantile(6, 0.00015) * math.sqrt(squares / 6) * tolerance.unit(5, 3)


def test_a_mean_with_nan_or_beyond_the_log_has_moved():
    for values in ((math.nan, 0.1), (0.1, math.inf), (0.1, 0.0), (0.1, -1.0)):
        assert tolerance.of("val_loss", (0.1, 0.11, 0.09)).moved(values, 0.01)
    assert not tolerance.of("val_loss", (0.1, 0.11, 0.09)).moved((0.1, 0.1), 0.01)
    assert not tolerance.of("val_loss", (5.0,) * 5).moved((5.0 + 1e-6, 5.0), 0.003)  # a floor is known


@pytest.mark.parametrize("runs", [3, 5, 10, 20])
@pytest.mark.parametrize("several", [1, 3])
def test_what_is_visible_is_that_by_the_noncentral_t(runs, several):
    for alpha, degrees in ((0.02, 0), (0.0005, runs + several)):
        shift = tolerance.visible(runs, alpha, several=several, degrees=degrees)
        known = degrees or runs - 1
        limit = stats.t.ppf(1 - alpha / 2, known)
        seen = stats.nct.sf(limit, known, shift / tolerance.unit(runs, several))
        assert seen == pytest.approx(0.8, abs=1e-3)


def test_the_rule_of_thumb_is_wrong_far_more_often():
    """Three standard deviations of five runs; by this the test above is seen to bite."""
    assert false_alarms(5, lambda spread, tonight: abs(tonight - spread.mean) <= 3 * spread.sd) > 4


def test_a_loss_is_compared_on_the_log_scale():
    spread = tolerance.of("val_loss", (0.1, 0.11, 0.09))
    low, high = spread.between(0.01)
    assert 0 < low < 0.09 and high > 0.3 and low * high == pytest.approx(math.exp(2 * spread.mean))
    assert not spread.holds(0.0, 0.01) and not spread.holds(-0.1, 0.01)
    linear = tolerance.of("val_mae", (0.1, 0.11, 0.09))
    assert linear.between(0.01)[0] < 0 and linear.holds(0.0, 0.01)


def test_a_loss_that_may_be_negative_is_compared_as_it_is():
    spread = tolerance.of("elbo_loss", (-0.1, 0.11, 0.09))
    assert not spread.logarithmic and spread.mean == pytest.approx(0.1 / 3)


def test_what_never_varies_may_still_be_rounded_otherwise():
    for name in ("val_loss", "perplexity"):
        spread = tolerance.of(name, (5.0,) * 5)
        assert spread.holds(5.0 + 1e-6, 0.003) and not spread.holds(5.0 + 1e-4, 0.003)


def test_a_share_is_not_known_better_than_its_samples_tell():
    values = (0.9,) * 5
    assert not tolerance.of("accuracy", values).holds(0.89, 0.01)
    assert tolerance.of("accuracy", values, samples=100).floor == pytest.approx(math.sqrt(91 / 102 * 11 / 102 / 100))
    assert tolerance.of("accuracy", values, samples=100).holds(0.89, 0.01)
    assert not tolerance.of("accuracy", values, samples=100).holds(0.75, 0.01)
    assert tolerance.of("accuracy", (1.0,) * 5, samples=100).floor > 0.009
    assert tolerance.of("loss", values, samples=100).floor == 1e-6
    assert tolerance.of("psnr", (20.0,) * 5, samples=100).floor == pytest.approx(2e-5)


def test_a_floor_is_known_and_takes_the_normals_factor():
    spread = tolerance.of("accuracy", (0.9,) * 5, samples=100)
    assert spread.limit(0.01) == pytest.approx(2.5758 * math.sqrt(1.2) * spread.floor, rel=1e-4)


def test_nan_never_holds_and_zero_is_only_zero():
    spread = tolerance.of("errors", (0, 0, 0))
    assert spread.holds(0, 0.01) and not spread.holds(1e-12, 0.01)
    assert (spread.deviation(0), spread.deviation(1)) == (0.0, math.inf)
    for name in ("val_loss", "errors"):
        assert not tolerance.of(name, (1.0, 2.0, 3.0)).holds(math.nan, 0.01)


def test_deviations_are_in_standard_deviations():
    assert tolerance.of("mae", (1.0, 2.0, 3.0)).deviation(4.0) == pytest.approx(2.0)


def test_a_spread_beyond_all_numbers_has_no_upper_end():
    assert tolerance.of("loss", (1e-300, 1.0, 1e300)).between(1e-6)[1] == math.inf


def test_one_run_has_no_spread():
    with pytest.raises(ValueError, match="at least 2 runs"):
        tolerance.of("loss", (1.0,))
