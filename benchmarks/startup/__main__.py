"""How much CPU does `backburn --help` take, and an action's start? `python -m benchmarks.startup [--quick]`

Beside it, in turns: an empty Python, one that imports click alone, and `pre-commit --help`. CPU seconds of the process
as the kernel counts them, which a busy machine moves little; medians. Target: at most 0.15 s for `--help`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks import keep

TARGET = 0.15
REPOSITORY = Path(__file__).parents[2]
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "python -c 'import click'": ["-c", "import click"],
    "backburn --help": ["-m", "backburn", "--help"],
    "backburn --version": ["-m", "backburn", "--version"],
    "an action's start, warm": [str(REPOSITORY / "actions" / "bootstrap.py"), "--version"],
    "pre-commit --help": ["-m", "pre_commit", "--help"],
}


def main():
    """Measure, print one table, and write it down unless it is quick."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the repetitions; nothing is written")
    os.environ.setdefault("BACKBURN_CACHE", str(REPOSITORY / "build" / "cache"))
    cpu_seconds(COMMANDS["an action's start, warm"])  # installs the toolkit, once
    rounds = 10 if parser.parse_args().quick else 100
    seconds = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, words in COMMANDS.items():
            seconds[name].append(cpu_seconds(words))
    rows = {name: {"median_s": round(statistics.median(one), 4), "rounds": rounds} for name, one in seconds.items()}
    for name, row in rows.items():
        print(f"{name:28}{row['median_s']:8.3f} s")
    headline = {"help_cpu_s": rows["backburn --help"]["median_s"]}
    headline["met"] = headline["help_cpu_s"] <= TARGET
    if rounds == 100:
        keep(Path(__file__).parent, headline, rows, ("click", "msgspec", "pre-commit"))
    print(json.dumps(headline))


def cpu_seconds(words):
    """User and system seconds of one Python process."""
    child = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{words} ended with {child.returncode}")
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
