"""What else there is: each tool gets the same task, in the same process, on a sample of the same pairs and commits.

A tool gives a score: the higher, the worse it looks. The bar above which it alarms is the best for the tuning part
(`table.bar`); a training that breaks is an alarm of all. The samples keep the whole of them under a quarter of an hour
on two cores; both parts have the same number.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.memorize import plan
from benchmarks.memorize.baselines import installed, shelf, trainings


@dataclass(frozen=True)
class Tool:
    """`score` takes the item and its task; `pairs` and `benign` are drawn of each part. `needs` is a package's name."""

    name: str
    score: Callable
    pairs: int
    benign: int
    needs: str = ""

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
)


def present():
    """The tools that can be run here."""
    return tuple(tool for tool in ALL if not tool.missing)


def drawn(tool, item):
    """Is this item in the sample of the tool? The first ones of its part and kind, by lot."""
    return item.name in _sample(item.part, type(item), tool.pairs if isinstance(item, plan.Pair) else tool.benign)


@functools.cache
def _sample(part, kind, many):
    return frozenset([item.name for item in plan.everything(part) if type(item) is kind][:many])
