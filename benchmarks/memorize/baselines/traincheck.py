"""TrainCheck: how many invariants of the healthy training's trace does this training's violate?

Its own three commands, on a script that trains the task for STEPS steps with a Trainer: a full trace of the healthy
program and the invariants it infers from that, once per program and process; a full trace of the commit; its check.
The first verdict of a program pays for the reference. Unlike the others its seconds hold imports, of five processes
for that and two for every other: they are part of what its user waits for.
"""

import functools
import re
import subprocess
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.memorize.baselines import installed
from benchmarks.memorize.plan import Benign, Pair
from benchmarks.memorize.task import Knobs

STEPS = 20
SCRIPT = """import sys
sys.path.insert(0, {root!r})
import torch
import lightning.pytorch as pl
from benchmarks.memorize.baselines.traincheck import task_of
torch.set_num_threads(1)
torch.manual_seed(0)
task = task_of({program!r}, {mutant!r}, {knobs!r})
model = task.module
off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
given = task.trainer | off | {{"accelerator": "cpu", "max_steps": {steps}, "limit_val_batches": 0}}
trainer = pl.Trainer(**given)
trainer.fit(model, task.data)
"""


def score(item, _):
    """The number of violated invariants."""
    with tempfile.TemporaryDirectory() as scratch:
        trace = _trace(item, Path(scratch))
        words = ["traincheck.checker", "-f", trace, "-i", _invariants(item.program), "-o", f"{scratch}/checked"]
        told = _run(*words, "--no-html-report")
    failed = re.search(r"Total failed invariants: (\d+)/(\d+)", told)
    if not failed:
        raise RuntimeError(f"TrainCheck did not conclude: {told[-300:]}")
    return {"score": float(failed[1])}


@functools.cache
def _invariants(program):
    folder = Path(tempfile.mkdtemp(dir="."))  # the working folder of the process, which is thrown away
    found = folder.resolve() / "invariants.json"
    _run("traincheck.infer_engine", "-f", _trace(Benign("", program, Knobs()), folder), "-o", str(found))
    return str(found)


def _trace(item, folder):
    """The folder of the trace of one training; of one that broke, as far as it came."""
    mutant, knobs = (item.mutant.name, {}) if isinstance(item, Pair) else ("", asdict(item.knobs))
    given = {"root": str(installed.HERE.parents[1]), "program": item.program.name, "mutant": mutant, "knobs": knobs}
    script, trace = folder / "training.py", folder.resolve() / "trace"
    script.write_text(SCRIPT.format(steps=STEPS, **given))
    _run(
        "traincheck.collect_trace", "--pyscript", str(script), "--models-to-track", "model", "--output-dir", str(trace)
    )
    return str(trace)


def _run(module, *words):
    command = [installed.interpreter(), "-m", module, *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout


def task_of(program, mutant, knobs):
    """The task of one training, in the process that TrainCheck starts."""
    from benchmarks.memorize import plan

    of = next(item for item in plan.everything() if item.program.name == program)
    task = of.program.build(Knobs(**knobs))
    pairs = (item for item in plan.everything() if item.name == f"{program} {mutant}")
    return next(pairs).mutant.apply(task) or task if mutant else task
