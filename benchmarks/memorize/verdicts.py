"""How one verdict is asked for: of `backburn.memorize` in this process, against the reference of the healthy program.

Seconds are of the CPU (`time.process_time`, with that of child processes that ended): machines are shared. The wall
clock's are written beside them. Building the program, and imports, are not counted.
"""

import functools
import gc
import os
import random
import signal
import time
import traceback

from benchmarks.memorize import baselines
from benchmarks.memorize.plan import Pair, thrice
from benchmarks.memorize.task import Knobs

LIMIT = 120  # seconds of one verdict; 24 times what 95 % are to take
SEEDS = (0, 1, 2)


class OutOfTime(BaseException):
    """LIMIT is over; no `except Exception` of what is being judged may keep it."""


def judge(item, verdicts, others, tools, device):
    """Add the lines of one pair or one benign commit: ours to `verdicts`, what does not depend on us to `others`."""
    if isinstance(item, Pair):
        _pair(item, verdicts, others, device)
    else:
        _benign(item, verdicts, device)
    if not isinstance(item, Pair) or others.known[f"changes {item.name}"]["changes"]:
        for tool in tools:
            if baselines.drawn(tool, item):
                build = functools.partial(built, item, 0)
                others.once(f"{tool.name} {item.name}", lambda t=tool, b=build: _of(item) | _scored(t, item, b))


def _pair(item, verdicts, others, device):
    line = others.once(f"changes {item.name}", lambda: _of(item) | _changes(item))
    if line["changes"]:
        for seed in SEEDS if thrice(item) else SEEDS[:1]:
            make = functools.partial(_verdict, item, seed, True, device)
            verdicts.once(f"pair {item.name} seed={seed}", make)


def _benign(item, verdicts, device):
    for referred in (True, False):
        key = f"benign {'with' if referred else 'without'} {item.name}"
        verdicts.once(key, functools.partial(_verdict, item, 0, referred, device))


def _changes(item):
    from benchmarks.memorize import soundness

    fresh(0)
    try:
        return {"changes": bool(soundness.changes(item.program, item.mutant)), "broken": ""}
    except Exception as error:  # of the mutant or of the program: no pair, and said in the table
        return {"changes": False, "broken": _told(error)}


def _of(item):
    row = {"item": item.name, "part": item.part, "program": item.program.name}
    if isinstance(item, Pair):
        return row | {"kind": "pair", "mutant": item.mutant.name}
    return row | {"kind": "benign"}


def _verdict(item, seed, referred, device):
    line = _of(item) | {"seed": seed, "referred": referred}
    reference = healthy(item.program, device) if referred else None
    found = ours(functools.partial(built, item, seed), seed, reference, device)
    causes = item.mutant.causes if isinstance(item, Pair) else ()
    if "as-reviewed" in causes:  # of what kind, its authors could not know
        causes = (*causes, "data-are-as-reviewed", "model-is-as-reviewed")
    ranks = [rank for rank, check in enumerate(found.get("said", ()), 1) if check in causes]
    return line | found | {"right": min(ranks, default=0)}


def built(item, seed):
    """The task of a pair or of a benign commit; every random number of it comes from the seed of its knobs."""
    if not isinstance(item, Pair):
        return item.program.build(item.knobs)
    task = item.program.build(Knobs(seed=seed))
    return item.mutant.apply(task) or task


@functools.cache
def healthy(program, device):
    """The report of the program as its author wrote it, for a reference; None where that is no report."""
    kept = {}
    ours(lambda: program.build(Knobs()), 0, None, device, kept)
    return kept.get("report")


def ours(build, seed, reference, device, kept=None):
    """What `backburn.memorize` says of the task that `build` gives, and what it took."""
    import backburn

    def ask(task):
        given = {"reference": reference, "allow": task.allow, "frozen": task.frozen, "seed": seed}
        trainer = task.trainer | {"accelerator": device}
        report = backburn.memorize(task.module, task.data, trainer=trainer, **given)
        if kept is not None:
            kept["report"] = report
        return said(report)

    return timed(build, seed, ask)


def said(report):
    """The verdict, the checks in the order in which they are told (the cause first) and the first one's words."""
    found = [outcome for outcome in report.outcomes if outcome.findings]
    found.sort(key=lambda outcome: (outcome.check != report.cause, _worst(outcome)))
    checks = [outcome.check.removeprefix("memorize/") for outcome in found if _worst(outcome) < 2]
    return {
        "verdict": str(report.verdict),
        "cause": (report.cause or "").removeprefix("memorize/"),
        "said": checks[:6],
        "message": found[0].findings[0].message[:200] if checks else "",
    }


def _worst(outcome):
    return min(("error", "warning", "notice").index(finding.level) for finding in outcome.findings)


def timed(build, seed, ask, limit=LIMIT):
    """What `ask` says of a task that was just built, with its seconds; an exception is a verdict of its own kind."""
    fresh(seed)
    start = None
    try:
        task = build()
        signal.signal(signal.SIGALRM, _ring)
        signal.setitimer(signal.ITIMER_REAL, limit)
        start = cpu(), time.perf_counter()
        found = ask(task)
    except OutOfTime:
        found = {"verdict": "timeout", "message": f"no answer in {limit} s"}
    except Exception as error:
        found = {"verdict": "crash" if start else "broken", "message": _told(error)}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    spent = (cpu() - start[0], time.perf_counter() - start[1]) if start else (0.0, 0.0)
    return found | {"cpu": round(spent[0], 4), "wall": round(spent[1], 4)}


def _ring(*_):
    raise OutOfTime


def _told(error):
    frames = traceback.extract_tb(error.__traceback__)
    at = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {str(error)[:200]}{at}"


def cpu():
    """Seconds of the CPU that this process took, and its children that ended."""
    past = os.times()
    return time.process_time() + past.children_user + past.children_system


def fresh(seed):
    """The process as a training finds it: random numbers, one thread, torch's settings; and no garbage of the last."""
    import numpy
    import torch

    gc.collect()
    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    torch.set_grad_enabled(True)
    torch.set_default_dtype(torch.float32)
    torch.use_deterministic_algorithms(False)


def _scored(tool, item, build):
    return timed(build, 0, functools.partial(tool.score, item), tool.limit)
