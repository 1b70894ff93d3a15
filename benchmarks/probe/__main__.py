"""What do the probe folder and the probes that watch each step cost? `python -m benchmarks.probe [--quick]`

Each is held against its bare twin in the same minutes: with and without take turns, and what counts is the median of
the differences (a process) or of the ratios (a step) between neighbours. Times are of the CPU, on one thread: on a
shared machine the wall clock tells more of the neighbours.
Targets: at most 3 ms for a process while no stage is on, at most 5 % of a step, 2 % of one of a whole training that
reproduce watches, whose steps it writes down, or whose files are noted (docs/reuse.md). "written" is what the digests
of the recorded steps (`steps.jsonl`) add to one that is watched without them; `told` is the share that the probe itself
counts, of the whole training with its first step. The last line is the headline as JSON; without `--quick` all of it
goes to `results.json` beside this file.
"""

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

from benchmarks import keep

HERE = Path(__file__).parent
ONPATH = HERE.parents[1] / "src" / "backburn" / "probes" / "onpath"
# What the Trainer of Lightning asks of the entry points, once per Trainer.
LOOKUP = """
import importlib.metadata, time
importlib.metadata.entry_points(group="warm")
start = time.process_time()
for factory in importlib.metadata.entry_points(group="lightning.pytorch.callbacks_factory"):
    factory.load()()
print(1000 * (time.process_time() - start))
"""


def main():
    """Measure, print one table, and write it down unless it is quick."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a fifth of the repetitions, of the smallest step alone; nothing is written",
    )
    parser.add_argument("--fit", choices=MODELS, help=argparse.SUPPRESS)  # one of `recorded`, in a process of its own
    given = parser.parse_args()
    if given.fit:
        return print(_milliseconds(_bare, MODELS[given.fit], False))
    quick = given.quick
    pairs, rounds = (20, 4) if quick else (100, 20)
    rows = {"process start": starts(pairs), "entry point lookup": lookups(pairs)}
    models = [SMALLEST] if quick else MODELS
    rows |= {name: steps(name, rounds, _memorized, STEPS) for name in models}
    rows |= {f"reproduce {name}": steps(name, rounds, _watched, WATCHED) for name in models}
    rows |= {f"written {name}": written(name, rounds) for name in models}
    rows[f"recorded {SMALLEST}"] = recorded(SMALLEST, rounds)
    _print(rows)
    folder = rows["process start"]["added"] + rows["entry point lookup"]["added"]
    worst = max(rows[name]["ratio"] for name in models)
    headline = {"folder_ms": round(folder, 3), "worst_step_ratio": round(worst, 4)}
    watched = max(rows[f"reproduce {name}"]["ratio"] for name in models)
    noted = rows[f"recorded {SMALLEST}"]["ratio"]
    added = max(rows[f"written {name}"]["ratio"] for name in models)
    headline |= {"watched_step_ratio": round(watched, 4), "recorded_step_ratio": round(noted, 4)}
    headline |= {"written_step_ratio": round(added, 4)}
    headline |= {"met": bool(folder <= 3 and worst <= 1.05 and max(watched, noted, added) <= 1.02)}
    if not quick:
        keep(HERE, headline, rows, ("torch", "lightning"))
    print(json.dumps(headline))


def starts(pairs):
    """Milliseconds of `python -c pass`, from start to end."""

    def once(env):
        child = subprocess.Popen([sys.executable, "-c", "pass"], env=env)
        _, code, used = os.wait4(child.pid, 0)
        assert code == 0, code
        return 1000 * (used.ru_utime + used.ru_stime)

    return _compare(once, pairs)


def lookups(pairs):
    """Milliseconds of finding, loading and calling the factory of callbacks; metadata is imported before."""

    def once(env):
        done = subprocess.run([sys.executable, "-c", LOOKUP], env=env, check=True, capture_output=True, text=True)
        return float(done.stdout)

    return _compare(once, pairs)


def _compare(once, pairs):
    bare = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "BACKBURN_PROBE")}
    ours = bare | {"PYTHONPATH": str(ONPATH)}
    once(bare)  # files come into the page cache, and byte code is written where that is allowed
    once(ours)
    both = [(once(bare), once(ours)) for _ in range(pairs)]
    added = [other - one for one, other in both]
    return {"bare": _median(one for one, _ in both), "ours": _median(other for _, other in both)} | {
        "added": _median(added),
        "pairs": pairs,
        "unit": "ms",
    }


# Name -> (samples in the batch, numbers in a sample, width, hidden layers).
MODELS = {
    "step, perceptron 64-32-10": (64, 64, 32, 1),
    "step, perceptron 784-512-512-10": (128, 784, 512, 2),
    "step, perceptron 784-1024x3-10": (128, 784, 1024, 3),
}
SMALLEST = next(iter(MODELS))  # what is added to each step is most of it here
STEPS = 200  # of a long memorization; most take 10 to 60, and then its looks (`python -m benchmarks.memorize`)
WATCHED = 400  # one epoch of them: the grid is densest at the start


def steps(name, rounds, fit, many):
    """Milliseconds of one of `many` steps of a fit, the first ten left out, bare and with the probe."""
    both = []
    for _ in range(rounds):
        pair = {}
        for probed in (False, True) if len(both) % 2 else (True, False):
            pair[probed] = _milliseconds(fit, MODELS[name], probed)
        both.append((pair[False], pair[True]))
    return _ratio(both, many)


def written(name, rounds):
    """Milliseconds of a step that reproduce watches, without and with the digests of the recorded steps."""
    told = []

    def fit(model, ticks, writes, scratch):
        _watched(model, ticks, True, scratch, **({} if writes else {"share": 0.0}))
        if writes:
            answer = json.loads(Path(scratch, "probe.json").read_text())
            told.append(
                (
                    answer["recording"] / answer["seconds"],
                    len(Path(scratch, "steps.jsonl").read_text().splitlines()) - 1,
                )
            )

    row = steps(name, rounds, fit, WATCHED)
    return row | {"told": _median(share for share, _ in told), "recorded steps": statistics.median(n for _, n in told)}


def recorded(name, rounds):
    """Milliseconds of a step in processes of their own, bare and while what they reach is noted: a hook stays."""
    both = []
    with tempfile.TemporaryDirectory() as scratch:
        noted = Path(scratch, "reached.txt")
        asked = {"file": str(noted), "root": str(HERE.parents[1]), "without": [scratch], "part": "command"}
        bare = os.environ | {"PYTHONPATH": str(ONPATH)}
        command = [sys.executable, "-m", "benchmarks.probe", "--fit", name]
        for _ in range(rounds):
            pair = {}
            for ours in (False, True) if len(both) % 2 else (True, False):
                noted.write_text("")
                env = bare | ({"BACKBURN_REACH": json.dumps(asked)} if ours else {})
                done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
                pair[ours] = float(done.stdout.splitlines()[-1])
                assert ours == bool(noted.read_text()), "the recorder did not begin"
            both.append((pair[False], pair[True]))
    return _ratio(both, WATCHED)


def _ratio(both, many):
    return {"bare": _median(one for one, _ in both), "ours": _median(other for _, other in both)} | {
        "ratio": _median(other / one for one, other in both),
        "rounds": len(both),
        "steps": many,
        "unit": "ms",
    }


def _milliseconds(fit, model, probed):
    import torch

    torch.set_num_threads(1)  # threads that wait for a shared core would be most of what is measured
    torch.manual_seed(0)
    ticks = []
    with tempfile.TemporaryDirectory() as scratch:
        fit(model, ticks, probed, scratch)
    return 1000 * (ticks[-1] - ticks[10]) / (len(ticks) - 11)


def _memorized(model, ticks, probed, scratch):
    """One epoch over one batch that is there already, as memorize trains; its looks are over by the tenth step."""
    from backburn.probes import channel, memorize

    settings = {"steps": STEPS, "threshold": 1e-9, "running": 3, "floor": None, "seed": 0, "scratch": scratch}
    asked = channel.Asked("memorize", settings | NO_GPU, f"{scratch}/probe.json")
    callbacks = [memorize.callback(asked, "lightning.pytorch")] if probed else []
    _fit(model, ticks, STEPS, callbacks, scratch, same=True, max_epochs=1)
    answered = Path(scratch, "probe.json")
    assert probed == answered.exists() and (not probed or json.loads(answered.read_text())["steps"] == STEPS)


def _watched(model, ticks, probed, scratch, **settings):
    """An epoch of many batches, as a training is."""
    from backburn.probes import channel, reproduce

    settings |= {"shift": 0, "seed": 0, "scratch": scratch} | NO_GPU
    asked = channel.Asked("reproduce", settings, f"{scratch}/probe.json")
    callbacks = [reproduce.callback(asked, "lightning.pytorch")] if probed else []
    _fit(model, ticks, WATCHED, callbacks, scratch, max_epochs=1)


def _bare(model, ticks, probed, scratch):
    _fit(model, ticks, WATCHED, [], scratch, max_epochs=1)


NO_GPU = {"require_gpu": False, "rehearsal": False}


class _Same:
    """One batch, again and again: what loading costs is no part of either twin."""

    def __init__(self, batch, count):
        self.batch, self.count = batch, count

    def __iter__(self):
        return (self.batch for _ in range(self.count))

    def __len__(self):
        return self.count


def _fit(model, ticks, batches, callbacks, scratch, same=False, **given):
    import lightning.pytorch as pl
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    samples, numbers, width, depth = model
    x = torch.randn(samples, numbers)
    if same:
        data = _Same((x, torch.arange(samples) % 10), batches)
    else:
        data = DataLoader(TensorDataset(x.repeat(batches, 1), torch.arange(samples * batches) % 10), batch_size=samples)

    class Net(pl.LightningModule):
        def __init__(self):
            super().__init__()
            sizes = [numbers, *[width] * depth]
            layers = [one for a, b in zip(sizes, sizes[1:]) for one in (torch.nn.Linear(a, b), torch.nn.ReLU())]
            self.net = torch.nn.Sequential(*layers, torch.nn.Linear(width, 10))

        def on_train_batch_start(self, batch, batch_idx):
            ticks.append(time.process_time())  # not in training_step, which looks run as well

        def training_step(self, batch, batch_idx):
            return torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=1e-4)

    given |= {"limit_val_batches": 0, "num_sanity_val_steps": 0, "callbacks": callbacks, "default_root_dir": scratch}
    off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    pl.Trainer(accelerator="cpu", **given, **off).fit(Net(), data)


def _median(values):
    return round(statistics.median(values), 4)


def _print(rows):
    print(f"{'':44}{'bare':>10}{'ours':>10}{'':4}difference")
    for name, row in rows.items():
        told = f"{row['added']:+.2f} ms" if "added" in row else f"{100 * (row['ratio'] - 1):+.1f} %"
        print(f"{name:44}{row['bare']:8.2f}ms{row['ours']:8.2f}ms{'':4}{told}")


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    main()
