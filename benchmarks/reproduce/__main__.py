"""Does reproduce notice a training bug, say where it begins, and find its commit? `python -m benchmarks.reproduce`

Over 200 bugs in three small real trainings (digits, text, a table), each judged by the stage as a night against a
blessed reference and located by reruns in detail; sound changes; histories of 64 commits; 365 nights and the
calibration of limits, by resampling 60 seeds of each; what recording costs. Other rules stand beside ours on the same
runs. The work is one line per unit in build/benchmarks/reproduce/, in a folder named after the sources that decide it:
an interrupted run goes on. About 12 minutes on two cores; without `--quick` or a shard all of it goes to
`results.json` beside this file. The last line is the headline as JSON.

Targets: caught ≥ 95 %, first step exact ≥ 95 %, module right ≥ 90 %, culprit right ≥ 98 % at ≤ 0.5 of one training,
0 false regressed in 365 nights, a limit of 1 % within 0.5 to 2 %, recording ≤ 2 %.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from functools import partial
from pathlib import Path

from benchmarks import keep
from benchmarks.memorize.lines import Lines

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "src" / "backburn"
FOLDER = HERE.parents[1] / "build" / "benchmarks" / "reproduce"
TRAININGS = ("recipe.py", "networks.py", "data.py", "fit.py")  # what decides what a training comes to
DECIDING = ("probes", "reproduction", "blame")
ALONE = ("stages/reproduce.py", "comparison.py", "tolerance.py", "references.py")


def main():
    """Measure what is not measured yet, print one table, and write it down if it is all of it."""
    given = _given()
    if given.child:
        return work(given)
    start(given)
    show(given)


def _given():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reproduce", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="some of each, by lot; nothing is written")
    parser.add_argument("--shard", default="1/1", metavar="I/N", help="this part of the work, for N machines")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--resume", action="append", default=[], metavar="FILE", help="lines from elsewhere (a shard)")
    parser.add_argument("--kind", choices=("seed", "pair", "benign", "history", "cost"), help="these units alone")
    parser.add_argument("--show", action="store_true", help="what is known so far; nothing is trained or written")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def trainings():
    """The state of all that decides what a training under a seed comes to."""
    return f"trainings-{_digest(HERE / name for name in TRAININGS)}"


def engine():
    """The state of all that decides what is said of one."""
    own = [path for folder in DECIDING for path in (SOURCE / folder).rglob("*.py")]
    own += [SOURCE / name for name in ALONE]
    return f"units-{_digest([*own, *HERE.glob('*.py')])}"


def _digest(paths):
    found = hashlib.sha256()
    for path in sorted(paths):
        found.update(path.read_bytes())
    return found.hexdigest()[:12]


def stores(given):
    """The lines of trainings under seeds, and those of units."""
    return Lines(FOLDER, trainings(), given.resume), Lines(FOLDER, engine(), given.resume)


def selected(given):
    """The units that are asked for, by lot."""
    from benchmarks.reproduce import units

    chosen = units.sample(units.QUICK) if given.quick else units.everything()
    return [unit for unit in chosen if given.kind in (None, unit.kind)]


def start(given):
    """Start the processes of this shard and wait for them; end where one of them ended badly."""
    if given.show:
        return
    if given.kind is None and not given.quick:
        _wait([_child("--kind", "cost", "--shard", "1/1")])  # alone: what runs beside it would be measured with it
    at, of = map(int, given.shard.split("/"))
    _wait([_child("--shard", f"{at + of * job}/{of * given.jobs}") for job in range(given.jobs)])


def _child(*more):
    command = [sys.executable, "-m", "benchmarks.reproduce", *sys.argv[1:], "--child", *more]
    return subprocess.Popen(command, cwd=HERE.parents[1], env=os.environ | {"OMP_NUM_THREADS": "1"})


def _wait(started):
    try:
        badly = any([one.wait() for one in started])
    finally:
        for one in started:
            one.kill()  # a SIGTERM would be Lightning's
    if badly:
        sys.exit(
            "A process of it ended early, see above. What it measured is kept: the same command goes on from there."
        )


def work(given):
    """One process's share, each unit in a folder that is thrown away."""
    from benchmarks.reproduce import night, units
    from benchmarks.reproduce.recipe import PROGRAMS

    at, of = map(int, given.shard.split("/"))
    seeds, told = stores(given)
    mine = selected(given)[at - 1 :: of]
    begun, last, broken = time.monotonic(), 0.0, []
    with tempfile.TemporaryDirectory() as scratch:
        programs = {name: night.Program(name, seeds, Path(scratch)) for name in PROGRAMS}
        for place, unit in enumerate(mine, 1):
            folder = Path(scratch, f"unit-{place}")
            try:
                told.once(unit.name, partial(units.measured, unit, programs[unit.program], folder))
            except Exception:  # one unit of hundreds: the others go on, and it is tried again next time
                broken.append(unit.name)
                print(f"{unit.name}:\n{traceback.format_exc()}", file=sys.stderr, flush=True)
            if time.monotonic() - last > 15 or place == len(mine):
                last = time.monotonic()
                said = f"process {given.shard}: {place} of {len(mine)} units, {last - begun:.0f} s"
                print(said, file=sys.stderr, flush=True)
                seeds.read()  # what the other process trained
    if broken:
        sys.exit(f"could not be measured: {', '.join(broken)}")


def show(given):
    """The table, the rows to look at, and the headline."""
    from benchmarks.reproduce import runs, table, units
    from benchmarks.reproduce.recipe import PROGRAMS

    seeds, told = stores(given)
    lines = [told.known[unit.name] for unit in selected(given) if unit.name in told.known]
    wanted = [str(shift) for shift in range(1, units.SEEDS + 1)]
    pools = {name: [f"seed {name} {shift}" for shift in wanted] for name in PROGRAMS}
    pools = {name: [runs.told_of(seeds.known[key]["told"]) for key in keys if key in seeds.known]
             for name, keys in pools.items()}  # fmt: skip
    chanced = table.chance(pools)
    print(*table.printed(lines, chanced), sep="\n", end="\n\n")
    rows = dict(table.told(lines))
    for title, found in rows.items():
        print(f"{title}: {len(found)}", *found, sep="\n  ", end="\n\n")
    claimed = table.headline(lines, chanced)
    whole = len(lines) == len(units.everything()) and all(len(pool) == units.SEEDS for pool in pools.values())
    if whole and not (given.quick or given.kind or given.show):
        shown = {"rules": table.rules(lines), "said": table.said(lines), "histories": table.found(lines)}
        shown |= {
            "chance": chanced,
            "rows": rows,
            "units": [_compact(line) for line in lines if line["kind"] != "seed"],
        }
        keep(HERE, claimed, shown, ("torch", "lightning", "scikit-learn"))
    print(json.dumps(claimed))


def _compact(line):
    """One string per unit, for the file that is committed."""
    keys = ("rung", "said", "step_right", "place_right", "right", "cost", "overhead")
    return f"{line['key']}: " + " · ".join(str(line[key]) for key in keys if key in line)


if __name__ == "__main__":
    main()
