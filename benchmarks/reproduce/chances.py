"""How often is a sound training called worse, and is 1 % one in a hundred? By resampling many seeds' real runs."""

import math
import random

import msgspec

from backburn import comparison, tolerance
from backburn.reproduction import alarm
from backburn.reproduction.told import figures
from backburn.stages import reproduce

from . import night

NIGHTS, KS, NOMINAL = 365, (3, 5, 10, 20), 0.01
DRAWS = 400  # of a reference and a night, for each k


def reference(told):
    """One that is made of these runs, as the stage makes it: the first is the author's."""
    seen = reproduce.Evidence(ended=(night.FINE,) * len(told), told=tuple(told))
    return reproduce.candidate(seen, night.CONFIG)


def nights(pool, seed=0):
    """Of 365 nights, each a sound training under a seed of its own beside a reference of five others: how many were
    suspicious, and how many of these called regressed after two fresh seeds.
    """
    draw, many, suspicious, regressed = random.Random(seed), night.CONFIG.seeds, 0, 0
    for _ in range(NIGHTS):
        *runs, tonight = draw.sample(pool, many + 1 + night.CONFIG.fresh)
        one = reference([msgspec.structs.replace(run, shift=place) for place, run in enumerate(runs[:many])])
        fresh = [figures(run) for run in runs[many:]]
        found = alarm.alarms(one, figures(tonight), fresh, night.CONFIG.alpha, night.CONFIG.fresh)
        suspicious += bool(found)
        regressed += any(one.confirmed for one in found)
    return {"nights": NIGHTS, "suspicious": suspicious, "regressed": regressed}


def calibration(pool, seed=0):
    """By k: the share of sound runs beyond the limit that one in a hundred should be beyond, over all figures."""
    names = [name for name in figures(pool[0]) if name.startswith((comparison.FINAL, f"{comparison.MEAN}@"))]
    table = [figures(one) for one in pool]
    draw, found = random.Random(seed), {}
    for many in KS:
        beyond = 0
        for _ in range(DRAWS):
            *runs, tonight = draw.sample(table, many + 1)
            beyond += sum(not _holds(runs, tonight, name) for name in names)
        found[many] = beyond / (DRAWS * len(names))
    return found


def _holds(runs, tonight, name):
    samples = tonight["samples"] if name.startswith(comparison.FINAL) else 0
    return tolerance.of(name, [one[name] for one in runs], samples).holds(tonight[name], NOMINAL)


def worst(rates):
    """Of some rates the one that is furthest from the nominal one, as a factor."""
    return max(rates, key=lambda rate: abs(math.log(max(rate, 1e-9) / NOMINAL)), default=None)
