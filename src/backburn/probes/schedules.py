"""Schedules of the learning rate, kept from deciding whether one batch is memorized.

The question is put to the model, its data, its loss and its optimizer at the training's own learning rate. A schedule
is tried ahead until its highest rate is known, and put back. Its way up is then made short, as transformers may need
one, and it stands there. The highest rate is not the optimizer's own: OneCycleLR begins at a 25th of it, and the
schedule of "Attention is all you need" multiplies a rate of 1 by 0.0007 at most.
"""

from __future__ import annotations

import contextlib
import copy
import math
import warnings
from collections.abc import Iterator
from typing import Any

_NEVER = 10**9  # a scheduler's frequency
_FAR = 10_000  # steps tried ahead at most: 0.1 s, and longer than the warm-ups in use
_SETTLED = 300  # steps tried beyond the highest rate, and as many again as it took to get there
COLLAPSED = 0.01  # of the highest rate: nothing is learned any more
_HIGHER = 1 + 1e-6  # relative: rounding makes each restart of a cosine a little higher

Rates = list[list[float]]


class Schedules:
    """The schedules of a fit that Lightning steps, held still; `before_step` sets what each gives in its way up."""

    def __init__(self, trainer: Any, steps: int) -> None:
        self.ways: list[tuple[Any, Rates]] = []
        self.tried: list[tuple[Any, float, Rates]] = (
            []
        )  # each schedule, the steps between its own, its rates from now on
        self.by_epoch: set[int] = set()
        self.short = max(1, steps // 10)
        self.batches = float(trainer.num_training_batches)  # of an epoch of the user's own Trainer
        if trainer.lightning_module.automatic_optimization:
            for one in trainer.lr_scheduler_configs:
                self._hold(one)

    def _hold(self, one: Any) -> None:
        if one.reduce_on_plateau:
            one.frequency, one.strict = _NEVER, False  # of a metric of the validation, perhaps, which there is none of
            return
        rates = _ahead(one.scheduler)
        every = float(one.frequency) * (1.0 if one.interval == "step" else self.batches)
        self.tried.append((one.scheduler, every, rates))
        if one.interval != "step":
            self.by_epoch.add(id(one.scheduler))
        highest = max(range(len(rates)), key=lambda step: sum(rates[step]), default=0)
        if highest:
            self.ways.append((one.scheduler.optimizer, rates[: highest + 1]))
        # One that shows nothing when it is tried (of global_step, say) goes on, unless it counts epochs.
        if one.interval == "epoch" or any(rate != rates[0] for rate in rates):
            one.frequency = _NEVER

    def before_step(self, step: int) -> None:
        """Set the rates of step `step` (from 0): the way up takes a tenth of the steps, or fewer where it is short."""
        for optimizer, rates in self.ways:
            highest = len(rates) - 1
            short = min(self.short, highest)
            _set(optimizer, rates[highest * min(step, short) // short])
        if step >= self.short:
            self.ways = []

    def highest(self, optimizer: Any) -> float | None:
        """The highest rate that a schedule gives this optimizer; None where none was tried."""
        found = [rate for one, _, rates in self.tried if one.optimizer is optimizer for rate in map(max, rates)]
        return max(found, default=None)

    def record(self, planned: float) -> list[dict[str, Any]]:
        """Plain data of each schedule that was tried; `planned` are the steps that the user's own Trainer would take.

        As `backburn.memorization.optimizing.Schedule` says.
        """
        return [
            _told(one, every, [sum(rate) for rate in rates], planned) | {"by_epoch": id(one) in self.by_epoch}
            for one, every, rates in self.tried
            if rates
        ]


def _told(scheduler: Any, every: float, rates: list[float], planned: float) -> dict[str, Any]:
    highest = max(range(len(rates)), key=lambda step: rates[step])
    low = len(rates)  # from here on to the end, it is next to nothing
    while low and rates[low - 1] < COLLAPSED * rates[highest]:
        low -= 1
    return {
        "name": type(scheduler).__name__,
        "planned": planned / max(every, 1.0) if every < math.inf else math.inf,
        "tried": len(rates),
        "highest": rates[highest],
        "peak": highest if rates[highest] > 2 * rates[0] else 0,
        "low": low if low < len(rates) else None,
    }


def _ahead(scheduler: Any) -> Rates:
    """Each group's rate at each step from now on, until the highest is well behind; empty where it cannot be tried."""
    from torch.optim.lr_scheduler import LRScheduler

    if not isinstance(scheduler, LRScheduler):
        return []
    rates, highest = [_now(scheduler.optimizer)], 0
    with contextlib.suppress(Exception), _put_back(scheduler), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a step before the optimizer's
        while len(rates) < _FAR and (len(rates) < 2 * highest + _SETTLED or not sum(rates[highest])):
            scheduler.step()  # past its total, OneCycleLR raises
            rates.append(_now(scheduler.optimizer))
            if sum(rates[-1]) > _HIGHER * sum(rates[highest]):
                highest = len(rates) - 1
    return rates


@contextlib.contextmanager
def _put_back(scheduler: Any) -> Iterator[None]:
    """It and its optimizer's groups are again what they were. Raises what copying raises, with nothing changed."""
    groups = scheduler.optimizer.param_groups
    state = copy.deepcopy(scheduler.state_dict())
    kept = [copy.deepcopy({key: one for key, one in group.items() if key != "params"}) for group in groups]
    try:
        yield
    finally:
        scheduler.load_state_dict(state)
        for group, before in zip(groups, kept):
            group.update({key: one for key, one in before.items() if key != "lr"})
        _set(scheduler.optimizer, [group["lr"] for group in kept])


def _now(optimizer: Any) -> list[float]:
    return [float(group["lr"]) for group in optimizer.param_groups]


def _set(optimizer: Any, rates: list[float]) -> None:
    for group, rate in zip(optimizer.param_groups, rates):
        if hasattr(group["lr"], "fill_"):  # a tensor, that a captured graph reads
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
