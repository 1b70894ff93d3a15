"""One training watched by the real probe in this process, asked what the stage asks, and what is kept of it."""

import contextlib
import json
import logging
import shutil
import time
import warnings
from dataclasses import dataclass

import msgspec
import torch

from backburn.probes import channel, machine
from backburn.probes import reproduce as probe
from backburn.reproduction import steps
from backburn.stages.reproduce import Told

from . import bugs, fit, recipe

ASKED = {"seed": 42, "shift": 0, "require_gpu": False, "rehearsal": False}


@dataclass(frozen=True)
class Run:
    """What one training left: what its probe told, its steps, what the witness saw, and its seconds of CPU."""

    told: Told
    steps: tuple[steps.Step, ...]
    witness: fit.Witness
    seconds: float


def run(one, folder, long=0, **asked):
    """Train a recipe (for `long` steps, 0: all) in a folder that is thrown away, its probe asked like this."""
    folder.mkdir(parents=True)
    settings = ASKED | {"scratch": str(folder)} | asked
    asking = channel.Asked("reproduce", settings, str(folder / "probe.json"))
    callback, witness, seconds = probe.callback(asking, "lightning.pytorch"), fit.Witness(), time.process_time()
    try:
        with _silent():
            fit.train(one, long or one.horizon, settings["shift"], [witness, callback])
    except SystemExit as ended:  # `until` is reached
        if ended.code:
            raise
    seconds, written = time.process_time() - seconds, folder / steps.FILE
    told = told_of(json.loads((folder / "probe.json").read_text()))
    if told.ended not in ("fit", "until"):  # a SIGTERM is Lightning's, and ends a fit like this
        raise RuntimeError(f"a training of {one.program} ended as {told.ended!r} at step {told.steps}")
    found = Run(told, steps.load(written) if written.exists() else (), witness, seconds)
    shutil.rmtree(folder)
    return found


@contextlib.contextmanager
def _silent():
    """On one thread, without Lightning's advice, and without a look at all that is installed for each of a thousand."""
    logger, threads, looked = logging.getLogger("lightning.pytorch"), torch.get_num_threads(), machine._distributions
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        torch.set_num_threads(1)
        machine._distributions = lambda hard: {}
        try:
            yield
        finally:
            machine._distributions = looked
            torch.set_num_threads(threads)
            logger.setLevel(level)


def told_of(plain):
    """What a probe told, from its JSON; lines of an older or newer one count too."""
    known = {name: value for name, value in plain.items() if name in Told.__struct_fields__}
    return msgspec.convert(known, Told, strict=False)


def of(program, bug=""):
    """The recipe of a program, with a bug or a sound change in it."""
    one = recipe.fresh(program)
    if bug:
        CHANGES[bug](one)
    return one


CHANGES = {one.name: one.change for one in bugs.BUGS} | dict(bugs.KEPT) | dict(bugs.ROUNDED)


def seeded(store, program, shift, scratch, bug=""):
    """(what the probe told, each step's loss) of a whole training under a seed, trained where no line has it yet."""

    def make():
        found = run(of(program, bug), scratch / f"{program}-{shift}-{bug}", shift=shift)
        plain = msgspec.to_builtins(found.told)
        return {"told": plain, "losses": found.witness.losses, "seconds": round(found.seconds, 2)}

    line = store.once(f"seed {program} {shift} {bug}".strip(), make)
    return told_of(line["told"]), line["losses"]
