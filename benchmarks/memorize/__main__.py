"""How many silent training bugs does `backburn.memorize` catch, and beside what else? `python -m benchmarks.memorize`

Every mutant in every program that it changes, judged against the reference of the healthy program; benign commits of
each program, judged with that reference and without any; a third of the pairs with three seeds, for the flakes; and
the baselines, each with the bar that is best on the tuning part. Programs and mutants whose author saw no check are
the part set aside: the headline, the last line, is of that part alone.

Seconds are of the CPU beyond imports and beyond building the program. A verdict is one line in build/benchmarks/
memorize/, in a folder named after the sources that decide it: a run that was interrupted goes on, and one with another
engine starts over. Without `--quick`, a part or a name, all of it goes to `results.json` beside this file.
"""

import argparse
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

from benchmarks import keep
from benchmarks.memorize import baselines, lines, plan, table
from benchmarks.memorize.baselines import installed

HERE = Path(__file__).parent
FOLDER = HERE.parents[1] / "build" / "benchmarks" / "memorize"
QUICK = 60  # items, of which about a third are benign: a minute on two cores


def main():
    """Judge what is not judged yet, print one table, and write it down if it is of everything."""
    given = _given()
    if given.child:
        return work(given)
    given.engine, given.aside = lines.engine(given.device), lines.aside()
    run(given)
    show(given)


def _given():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memorize", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} by lot, no baselines; nothing is written")
    parser.add_argument("--shard", default="1/1", metavar="I/N", help="this part of the work, for N machines")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--part", choices=[*plan.PARTS, "all"], default="all")
    parser.add_argument("--only", action="append", metavar="PROGRAM", help="may be given again")
    parser.add_argument("--mutant", action="append", metavar="MUTANT", help="of the pairs; no benign commits")
    parser.add_argument("--resume", action="append", default=[], metavar="FILE", help="lines from elsewhere (a shard)")
    parser.add_argument("--without-baselines", action="store_true")
    said = "their rows from a results.json of the same programs, mutants and baselines, instead of an hour's CPU"
    parser.add_argument("--baselines", metavar="FILE", type=Path, help=said)
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="of our verdicts")
    parser.add_argument("--engine", help=argparse.SUPPRESS)  # the state of the sources, as the parent saw it
    parser.add_argument("--aside", help=argparse.SUPPRESS)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def run(given):
    """Start the processes of this shard, wait for them, and end where one of them ended badly."""
    at, of = shard_of(given.shard)
    earlier(given)  # before an hour's work: a file of another material is refused
    if not (given.quick or given.without_baselines or given.baselines):
        installed.install()
    started = []
    for job in range(given.jobs):
        shard = f"{at + of * job}/{of * given.jobs}"
        command = [sys.executable, "-m", "benchmarks.memorize", *sys.argv[1:], "--child"]
        command += ["--shard", shard, "--engine", given.engine, "--aside", given.aside]
        started.append(subprocess.Popen(command, cwd=HERE.parents[1], env=os.environ | {"OMP_NUM_THREADS": "1"}))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        badly = any([one.wait() for one in started])
    finally:
        for one in started:
            one.kill()  # a SIGTERM would be Lightning's
    if badly:
        sys.exit("A process of it ended early, see above. What it judged is kept: the same command goes on from there.")


def shard_of(text):
    """`2/3` as numbers; ValueError where there is no such shard."""
    at, of = map(int, text.split("/"))
    if not 1 <= at <= of:
        raise ValueError(f"there is no shard {text}")
    return at, of


def share(items, shard):
    """The items of one shard; that of `at + n`/2n, and of at/2n, are together that of at/n."""
    at, of = shard_of(shard)
    return items[at - 1 :: of]


def work(given):
    """One process's share, each verdict in it, in a folder that is thrown away."""
    verdicts, others = stores(given)
    items, tools = selected(given), chosen(given)
    mine = share(items, given.shard)
    import backburn  # noqa: F401 (what is imported here is not counted)
    import lightning.pytorch  # noqa: F401
    from benchmarks.memorize import soundness  # noqa: F401
    from benchmarks.memorize.verdicts import judge

    progress = _progress(given.shard, len(mine))
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch), _silent():
        for item in mine:
            judge(item, verdicts, others, tools, given.device)
            next(progress)


@contextlib.contextmanager
def _silent():
    """What the programs and Lightning print and warn of is not shown: the verdicts say what was wrong."""
    logging.disable(logging.CRITICAL)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _progress(shard, many):
    """Goes on once per item, and says every quarter of a minute how far it is and what is left."""
    start = last = time.monotonic()
    for done in range(1, many + 1):
        now = time.monotonic()
        if now - last > 15 or done == many:
            last, rate = now, done / (now - start + 1e-9)
            left = f"{rate:.1f} a second, {(many - done) / rate / 60:.0f} minutes left"
            print(f"process {shard}: {done} of {many} items, {left}", file=sys.stderr, flush=True)
        yield


def stores(given):
    """The lines of ours, and those that no change of ours makes old."""
    return lines.Lines(FOLDER, given.engine, given.resume), lines.Lines(FOLDER, given.aside, given.resume)


def selected(given):
    """The pairs and benign commits that were asked for, by lot."""
    if not (given.only or given.mutant):
        return list(plan.sample(given.part))[: QUICK if given.quick else None]
    items = [item for item in plan.everything(given.part) if not given.only or item.program.name in given.only]
    if given.mutant:
        items = [item for item in items if isinstance(item, plan.Pair) and item.mutant.name in given.mutant]
    return items[:QUICK] if given.quick else items


def chosen(given):
    """The baselines of this run."""
    return () if given.quick or given.without_baselines or given.baselines else baselines.present()


def show(given):
    """The table of what was asked for and is judged, the rows to look at, and the headline."""
    both = stores(given)
    verdicts, others = (_of(store, selected(given)) for store in both)
    bars = table.bars(both[1].known.values(), chosen(given))
    rows = {part: table.block(part, verdicts, others, bars) for part in table.parts(verdicts)}
    theirs = earlier(given)
    for part, block in rows.items():
        block.update({tool: row for tool, row in theirs["table"].get(part, {}).items() if tool not in block})
    for part, block in rows.items():
        print(table.printed(part, block), end="\n\n")
    for tool in [] if given.quick or given.without_baselines or given.baselines else baselines.ALL:
        if tool.missing:
            print(f"{tool.name}: not run, {tool.missing}")
    notes = dict(table.told(verdicts, others))
    for title, found in notes.items():
        print(f"{title}: {len(found)}", *found, sep="\n  ", end="\n\n")
    claimed = table.headline(rows)
    asked = (given.quick, given.only, given.mutant, given.without_baselines)
    if not any(asked) and given.part == "all" and given.device == "cpu" and given.shard == "1/1":
        whole = {"aside": given.aside, "baselines": theirs["baselines"]}
        whole |= {"table": rows, "missed": notes["missed"], "alarms": notes["false alarms"]}
        keep(HERE, claimed, whole | {"verdicts": [*table.compact(verdicts)]}, ("torch", "lightning"))
    print(json.dumps(claimed))


def earlier(given):
    """The rows of baselines that were run before, and the commit of that; none where they are run now."""
    if given.baselines is None:
        return {"table": {}, "baselines": "of this run"}
    found = json.loads(given.baselines.read_text())
    if found["rows"].get("aside") != given.aside:
        sys.exit(
            f"{given.baselines}: of other programs, mutants or baselines. Leave --baselines out: they are run then."
        )
    ours = "backburn.memorize"
    table = {
        part: {tool: row for tool, row in block.items() if tool != ours}
        for part, block in found["rows"]["table"].items()
    }
    return {
        "table": table,
        "baselines": found["rows"].get("baselines", "of this run").replace("this run", found["commit"]),
    }


def _of(store, items):
    names = {item.name for item in items}
    return [line for line in store.known.values() if line["item"] in names]


if __name__ == "__main__":
    main()
