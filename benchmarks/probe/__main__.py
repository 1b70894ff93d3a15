"""What do the probe folder and the memorize probe cost? `python -m benchmarks.probe [--quick]`

Each is held against its bare twin in the same minutes: with and without take turns, and what counts is the median of
the differences (a process) or of the ratios (a step) between neighbours. Times are of the CPU, on one thread: on a
shared machine the wall clock tells more of the neighbours.
Targets: at most 3 ms for a process while no stage is on, at most 5 % of a step. The last line is the headline as
JSON; without `--quick` all of it goes to `results.json` beside this file.
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
    parser.add_argument("--quick", action="store_true", help="a fifth of the repetitions; nothing is written")
    quick = parser.parse_args().quick
    pairs, rounds = (20, 4) if quick else (100, 20)
    rows = {"process start": starts(pairs), "entry point lookup": lookups(pairs)}
    rows |= {name: steps(name, rounds) for name in MODELS}
    _print(rows)
    folder = rows["process start"]["added"] + rows["entry point lookup"]["added"]
    worst = max(rows[name]["ratio"] for name in MODELS)
    headline = {"folder_ms": round(folder, 3), "worst_step_ratio": round(worst, 4)}
    headline |= {"met": bool(folder <= 3 and worst <= 1.05)}
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
STEPS = 80


def steps(name, rounds):
    """Milliseconds of one step of a fit on one batch, the first ten left out, bare and with the probe."""
    both = []
    for _ in range(rounds):
        pair = {}
        for probed in (False, True) if len(both) % 2 else (True, False):
            pair[probed] = _fit(*MODELS[name], probed=probed)
        both.append((pair[False], pair[True]))
    return {"bare": _median(one for one, _ in both), "ours": _median(other for _, other in both)} | {
        "ratio": _median(other / one for one, other in both),
        "rounds": rounds,
        "steps": STEPS,
        "unit": "ms",
    }


def _fit(samples, numbers, width, depth, *, probed):
    import lightning.pytorch as pl
    import torch
    from backburn.probes import channel, memorize
    from torch.utils.data import DataLoader, TensorDataset

    torch.set_num_threads(1)  # threads that wait for a shared core would be most of what is measured
    torch.manual_seed(0)
    data = DataLoader(TensorDataset(torch.randn(samples, numbers), torch.arange(samples) % 10), batch_size=samples)
    ticks = []

    class Net(pl.LightningModule):
        def __init__(self):
            super().__init__()
            sizes = [numbers, *[width] * depth]
            layers = [one for a, b in zip(sizes, sizes[1:]) for one in (torch.nn.Linear(a, b), torch.nn.ReLU())]
            self.net = torch.nn.Sequential(*layers, torch.nn.Linear(width, 10))

        def training_step(self, batch, batch_idx):
            ticks.append(time.process_time())
            return torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=1e-4)

    with tempfile.TemporaryDirectory() as scratch:
        settings = {"steps": STEPS, "threshold": 1e-9, "running": 3, "floor": None, "seed": 0, "scratch": scratch}
        settings |= {"require_gpu": False, "rehearsal": False}
        asked = channel.Asked("memorize", settings, f"{scratch}/probe.json")
        callbacks = [memorize.callback(asked, "lightning.pytorch")] if probed else []
        given = {"overfit_batches": 1, "max_epochs": STEPS, "limit_val_batches": 0, "num_sanity_val_steps": 0}
        off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
        with memorize.memorizing(asked):
            pl.Trainer(accelerator="cpu", callbacks=callbacks, default_root_dir=scratch, **given, **off).fit(
                Net(), data
            )
    return 1000 * (ticks[-1] - ticks[10]) / (len(ticks) - 11)


def _median(values):
    return round(statistics.median(values), 4)


def _print(rows):
    print(f"{'':34}{'bare':>10}{'ours':>10}{'':4}difference")
    for name, row in rows.items():
        told = f"{row['added']:+.2f} ms" if "added" in row else f"{100 * (row['ratio'] - 1):+.1f} %"
        print(f"{name:34}{row['bare']:8.2f}ms{row['ours']:8.2f}ms{'':4}{told}")


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    main()
