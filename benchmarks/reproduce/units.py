"""What is measured: one unit, one line. Each names what it needs, trains it, and says what came out."""

import functools
import hashlib
import statistics
import time
from dataclasses import dataclass

from . import baselines, bugs, cost, histories
from .recipe import PROGRAMS

SEEDS = 60  # of each program's pool, by which chance is measured
HISTORIES = 34  # per program
SUBMITTED = 4  # of every so many pairs one is run under more seeds, for the baseline that needs them
QUICK = 40  # units


@dataclass(frozen=True)
class Unit:
    """`kind` is seed, pair, benign, history or cost; `what` the bug, the change or a number."""

    kind: str
    program: str
    what: str

    @property
    def name(self):
        """As it stands in a file and decides the lot."""
        return f"{self.kind} {self.program} {self.what}"


@functools.cache
def everything():
    """All units by lot, the seeds first: they are what the others are held against."""
    return tuple(sorted(_listed(), key=lambda unit: (unit.kind != "seed", _lot(unit.name))))


def _listed():
    for program in PROGRAMS:
        yield from (Unit("seed", program, str(shift)) for shift in range(1, SEEDS + 1))
        yield from (Unit("pair", program, bug.name) for bug in bugs.BUGS if program in bug.truths)
        yield from (Unit("benign", program, name) for name, _ in bugs.KEPT + bugs.ROUNDED)
        yield from (Unit("history", program, str(number)) for number in range(HISTORIES))
        yield Unit("cost", program, "recording")


def sample(many):
    """A few of each kind but the seeds, by lot."""
    kinds = {kind: [unit for unit in everything() if unit.kind == kind] for kind in ("pair", "benign", "history")}
    return [unit for row in zip(*(kinds[kind] for kind in ("pair", "pair", "benign", "history"))) for unit in row][
        :many
    ]


def _lot(name):
    return hashlib.sha256(name.encode()).hexdigest()


def asks_for_seeds(unit):
    """Whether a pair is one of those that are run under more seeds."""
    return int(_lot(unit.name)[:8], 16) % SUBMITTED == 0


def measured(unit, program, scratch):
    """The line of one unit; `program` is its `night.Program`, `scratch` a folder of its own that is not there yet."""
    began = time.process_time()
    line = {"kind": unit.kind, "program": unit.program, "what": unit.what} | MEASURES[unit.kind](unit, program, scratch)
    return line | {"seconds": round(time.process_time() - began, 2)}


def _judged(unit, program):
    head = program.run(unit.what)
    rung, failed, unjudged = program.judged(head, unit.what)
    then, now = program.base.told.metrics, head.told.metrics
    golden, losses = program.base.witness.losses, head.witness.losses
    seeds = [dict(program.seeded(shift)[0].metrics) for shift in range(1, 5)]
    line = {"rung": rung, "failed": failed, "unjudged": unjudged}
    line |= {"megatron": baselines.megatron(golden, losses), "three_sd": baselines.three_sd([dict(then), *seeds], now)}
    return head, line | {"bitwise": baselines.bitwise(golden, losses, then, now), "rcp": _rcp(unit, program, head)}


def _rcp(unit, program, head):
    if not asks_for_seeds(unit):
        return None
    reference = [program.seeded(shift)[0].metrics["val_loss"] for shift in range(10, 10 + 2 * baselines.MANY)]
    more = [program.seeded(shift, unit.what)[0].metrics["val_loss"] for shift in program.fresh]
    return baselines.rcp(reference, [head.told.metrics["val_loss"], *more])


def _pair(unit, program, scratch):
    """A bug: is it caught, and are its step, kind and place said?"""
    head, line = _judged(unit, program)
    truth = next(bug for bug in bugs.BUGS if bug.name == unit.what).truths[unit.program]
    found, steps = program.located(head, unit.what)
    told = {"step": found.step, "exact": found.exact, "said": str(found)} if found else {"step": 0, "said": "nothing"}
    kind, name = (found.kind.value if found and found.kind else ""), (found.name if found else "")
    told |= {"name": name, "located": kind, "steps": steps}
    at = truth.step(_trace(program)) if callable(truth.step) else truth.step
    told |= {"true_step": at, "true_kinds": truth.kinds, "true_places": truth.places}
    told |= {"step_right": bool(found) and found.step == at and found.exact, "kind_right": kind in truth.kinds}
    return line | told | {"place_right": kind in truth.kinds and is_place(name, truth.places)}


def _trace(program):
    from . import runs

    return bugs.Trace(program.base.witness.norms, program.base.witness.largest, runs.of(program.name))


def is_place(name, places):
    """Whether a name is one of the places, or inside of one; the loss is outside of every module.

    A name may be of several, with commas between; a place that ends in `_` begins many.
    """
    if not places:
        return True
    said = [part.strip() or "loss" for part in name.split(",")] or ["loss"]
    said += ["loss"] if name in ("", "the loss itself") else []
    return any(_is_in(one, place) for one in said for place in places)


def _is_in(name, place):
    return name == place or name.startswith(f"{place}.") or (place[-1] in "._" and name.startswith(place))


def _benign(unit, program, scratch):
    """A sound change: is it let pass?"""
    _, line = _judged(unit, program)
    return line | {"kept": unit.what in dict(bugs.KEPT)}


def _seed(unit, program, scratch):
    program.seeded(int(unit.what))
    return {}


def _history(unit, program, scratch):
    return histories.searched(int(unit.what), unit.program, scratch)


def _cost(unit, program, scratch):
    rows = cost.recording(unit.program, scratch)
    return {"overhead": round(statistics.median(rows), 5), "rounds": [round(one, 5) for one in rows]}


MEASURES = {"pair": _pair, "benign": _benign, "seed": _seed, "history": _history, "cost": _cost}
