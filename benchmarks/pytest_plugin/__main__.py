"""What does a pytest that uses nothing of ours pay for the plugin? `python -m benchmarks.pytest_plugin [--quick]`

The same session with the plugin and with `-p no:backburn`, in turns, the first of a pair by lot. No other plugin is
loaded: what they import would be cheaper for ours. CPU seconds of the process as the kernel counts them; the median of
the pairs' differences and its 95 % interval (of the order statistics, by the binomial law). Target: at most 10 ms.
"""

import argparse
import json
import math
import os
import random
import statistics
import tempfile
from pathlib import Path

from benchmarks import keep
from benchmarks.startup.__main__ import cpu_seconds

TARGET = 0.010
TESTS = (1, 200)


def main():
    """Measure, print one table, and write it down unless it is quick."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the pairs; nothing is written")
    pairs = 20 if parser.parse_args().quick else 200
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # with it pytest compiles every plugin anew
    rows = {f"{count} test{'s'[:count - 1]}": row(count, pairs) for count in TESTS}
    for name, one in rows.items():
        print("{:11} without {without_s:.3f} s, more with it {more_ms:6.2f} ms ({interval_ms})".format(name, **one))
    worst = max(one["more_ms"] for one in rows.values())
    headline = {"more_ms": worst, "met": max(one["interval_ms"][1] for one in rows.values()) <= TARGET * 1000}
    if pairs == 200:
        keep(Path(__file__).parent, headline, rows, ("pytest",))
    print(json.dumps(headline))


def row(count, pairs):
    """The medians of one session's length."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pytest.ini").write_text("[pytest]\n")
        file = Path(folder, "test_it.py")
        file.write_text("".join(f"def test_{number}(): pass\n" for number in range(count)))
        words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", folder, str(file)]
        ours, theirs = [*words, "-p", "backburn.pytest_plugin"], [*words, "-p", "no:backburn"]
        seconds = [pair(ours, theirs) for _ in range(pairs)]
    more = sorted(1000 * (ours - theirs) for ours, theirs in seconds)
    low = max(0, math.floor(pairs / 2 - 0.98 * math.sqrt(pairs)) - 1)  # 1.96 standard deviations of a binomial
    return {
        "without_s": round(statistics.median(theirs for _, theirs in seconds), 4),
        "more_ms": round(statistics.median(more), 2),
        "interval_ms": [round(more[low], 2), round(more[-1 - low], 2)],
        "pairs": pairs,
    }


def pair(ours, theirs):
    """CPU seconds of both, the first by lot: what warms up or cools down is on nobody's side."""
    if random.random() < 0.5:
        return cpu_seconds(ours), cpu_seconds(theirs)
    without = cpu_seconds(theirs)
    return cpu_seconds(ours), without


if __name__ == "__main__":
    main()
