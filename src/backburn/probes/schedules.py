"""Schedules of the learning rate, kept from deciding whether one batch is memorized.

The question is put to the model, its data, its loss and its optimizer at the training's own learning rate. A schedule
is tried ahead until its highest rate is known, and put back. Its way up is then made short, as transformers may need
one, and it stands there. The highest rate is not the optimizer's own: OneCycleLR begins at a 25th of it, and the
schedule of "Attention is all you need" multiplies a rate of 1 by 0.0007 at most.
"""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Iterator
from typing import Any

_NEVER = 10**9  # a scheduler's frequency
_FAR = 10_000  # steps tried ahead at most: 0.1 s, and longer than the warm-ups in use
_SETTLED = 300  # steps tried beyond the highest rate, and as many again as it took to get there
_HIGHER = 1 + 1e-6  # relative: rounding makes each restart of a cosine a little higher

Rates = list[list[float]]


class Schedules:
    """The schedules of a fit that Lightning steps, held still; `before_step` sets what each gives in its way up."""

    def __init__(self, trainer: Any, steps: int) -> None:
        self.ways: list[tuple[Any, Rates]] = []
        self.short = max(1, steps // 10)
        if trainer.lightning_module.automatic_optimization:
            for one in trainer.lr_scheduler_configs:
                self._hold(one)

    def _hold(self, one: Any) -> None:
        if one.reduce_on_plateau:
            one.frequency, one.strict = _NEVER, False  # of a metric of the validation, perhaps, which there is none of
            return
        rates = _ahead(one.scheduler)
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
