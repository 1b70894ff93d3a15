"""What else there is: each tool gets the same task, in the same process, on a sample of the same pairs and commits.

A tool gives a score: the higher, the worse it looks. The bar above which it alarms is the best for the tuning part
(`table.bar`); a training that breaks is an alarm of all. The samples keep the whole of them under a quarter of an hour
on two cores; both parts have the same number.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.memorize import plan
from benchmarks.memorize.baselines import installed, shelf, traincheck, trainings


@dataclass(frozen=True)
class Tool:
    """`score` takes the item and its task; `pairs` and `benign` are drawn of each part, of all programs or of as many
    classifiers. `needs` is a package's name, `limit` seconds of the clock.
    """

    name: str
    score: Callable
    pairs: int
    benign: int
    needs: str = ""
    programs: int = 0
    limit: float = 120

    @property
    def missing(self):
        """Why it is not run, or nothing."""
        return installed.missing(self.needs) if self.needs else ""


ALL = (
    Tool("FSDL rule, 300 steps", trainings.fsdl, 200, 75),
    Tool("overfit_batches=1, 200 epochs", trainings.overfit_batches, 70, 30),
    Tool("fast_dev_run", trainings.fast_dev_run, 200, 75),
    Tool("torchtest 0.5", shelf.torchtest, 200, 75, "torchtest"),
    Tool("torcheck 1.0.1", shelf.torcheck, 200, 75, "torcheck"),
    Tool("TrainCheck 0.2.0", traincheck.score, 3, 2, "traincheck", programs=1, limit=1200),
)


def present():
    """The tools that can be run here."""
    return tuple(tool for tool in ALL if not tool.missing)


def drawn(tool, item):
    """Is this item in the sample of the tool? The first ones of its part and kind, by lot."""
    many = tool.pairs if isinstance(item, plan.Pair) else tool.benign
    return item.name in _sample(item.part, type(item), many, tool.programs)


@functools.cache
def _sample(part, kind, many, programs):
    items = [item for item in plan.sample(part) if not programs or item.program.name in _classifiers(part, programs)]
    return frozenset([item.name for item in items if type(item) is kind][:many])


def _classifiers(part, many):
    """The first programs of a part, by lot, that tell classes apart."""
    found = [item.program for item in plan.sample(part) if isinstance(item, plan.Benign)]
    return list(dict.fromkeys(program.name for program in found if "classes" in program.traits))[:many]
