"""What else is done to hold a training against an earlier one, each in the few lines that it takes."""

import math
import statistics

from backburn import tolerance

RTOL, DIGITS = 0.05, 5  # Megatron-LM: of a loss, and the decimals that its values are rounded to
MANY = 3  # runs of what is submitted to MLPerf, for the benchmarks that take the fewest


def megatron(golden, losses):
    """Whether Megatron-LM's ApproximateTest alarms: more than 1 % of the steps (one at least, 50 at most) are further
    than 5 % off. tests/functional_tests/python_test_utils/common.py
    """
    pairs = [(round(one, DIGITS), round(other, DIGITS)) for one, other in zip(golden, losses)]
    off = sum(not abs(other - one) <= RTOL * abs(one) for one, other in pairs)
    return len(golden) != len(losses) or off > min(max(len(pairs) // 100, 1), 50)


def three_sd(seeds, metrics):
    """Whether a metric at the end lies more than three standard deviations from the mean of some seeds'."""
    for name in seeds[0]:
        values = [one[name] for one in seeds]
        mean, sd = statistics.fmean(values), statistics.stdev(values)
        if not abs(metrics.get(name, math.nan) - mean) <= 3 * sd:
            return True
    return False


def bitwise(golden, losses, metrics_then, metrics):
    """Whether any step's loss, or a metric at the end, is another number at all."""
    return list(golden) != list(losses) or dict(metrics_then) != {name: metrics.get(name) for name in metrics_then}


def rcp(reference, submitted):
    """Whether the test of MLPerf's reference convergence points alarms, turned to the harmful side: there only what
    converges faster fails. Twice as many runs of the reference as are submitted; olympic means (without the best and
    the worst), the deviations of all of them, one-sided pooled t at 5 %. `mlperf_logging/rcp_checker`
    """
    if not all(map(math.isfinite, submitted)):
        return True
    first, second = len(reference) - 2, len(submitted) - 2
    degrees = first + second - 2
    squares = (first - 1) * statistics.pvariance(reference) + (second - 1) * statistics.pvariance(submitted)
    error = math.sqrt(squares / degrees) * math.sqrt(1 / first + 1 / second)
    return _olympic(submitted) - _olympic(reference) > tolerance.quantile(degrees, 0.1) * error


def _olympic(values):
    return statistics.fmean(sorted(values)[1:-1])
