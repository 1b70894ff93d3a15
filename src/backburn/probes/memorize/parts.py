"""Parts of the batch, one by one: does anything that is computed follow this one, and does their order matter."""

from __future__ import annotations

import contextlib
from typing import Any

from .changes import Changes, outputs, parts, spread
from .passes import Pass
from .session import Untold

_PARTS = 8  # that are changed one by one, a pass each
_MOVED = 1e-5  # of an output's spread: float32 keeps 1e-7, a sum over 1000 terms of it 1e-6
_STILL = 1e-7  # likewise: nothing but a sum of floats that a GPU took in another order
_ORDER = 1e-4  # of the loss: a sum in another order moves it by 1e-6
_COARSE = 20  # times as much in 16 bits


def followed(changes: Changes) -> dict[str, Any]:
    """Which parts the loss or any output follows, of inputs, targets, masks, lengths and whatever else is there."""
    told: dict[str, list[str]] = {"followed": [], "unfollowed": []}
    own = parts(changes.session)
    for path, one in list(own.items())[:_PARTS]:
        if path in changes.follows:
            told["followed"].append(path)
            continue
        changed = _another(changes, one) if one.dim() else None
        if changed is None or changes.late:
            continue
        far = _farthest(changes, path, changed)
        if far <= _STILL or far > _MOVED:  # what moves a little is neither: another run may find it on the other side
            told["followed" if far > _MOVED else "unfollowed"].append(path)
    if not any(told.values()):
        raise Untold("no part of the batch could be changed")
    return told


def _another(changes: Changes, one: Any) -> Any:
    """The tensor with nothing of itself left; None where it is all the same, but for flags: these are turned."""
    import torch

    if one.numel() < 2:
        return None
    if bool((one == one.reshape(-1)[0]).all()):
        return ~one if one.dtype == torch.bool else None
    return changes.mixed(one)


def _farthest(changes: Changes, path: str, changed: Any) -> float:
    """How far the loss or any output moves, as a share of its spread; 1 where it cannot be computed any more."""
    try:
        done = changes.run({path: changed})
    except Untold:
        raise
    except Exception:  # lengths in another order, say
        return 1.0
    before, after = ([*_losses(one), *(output.value for output in outputs(one))] for one in (changes.first, done))
    if [one.shape for one in before] != [one.shape for one in after]:
        return 1.0
    return max((_far(one, other) for one, other in zip(before, after)), default=0.0)


def _losses(done: Pass) -> list[Any]:
    return [one.detach().float() for one in done.losses or [done.returned] if one is not None]


def _far(one: Any, other: Any) -> float:
    far = float((one - other).abs().max()) / spread(one)
    return 1.0 if far != far else far


def reordered(changes: Changes) -> dict[str, Any]:
    """How far the loss moves when the same samples stand in another order: one that is a mean over samples does not."""
    plain, turned = _turned(changes)
    before, after = _total(plain), _total(turned)
    if before is None:
        raise Untold("there is no loss to compare")
    far = _apart(before, after)
    if "16" in str(changes.session.trainer.precision):
        far /= _COARSE
    if far > _ORDER:
        _same_again(changes)
    return {"before": before, "after": after, "far": far}


def _turned(changes: Changes) -> tuple[Pass, Pass]:
    """A pass, and one of the same samples with the last one first: their rows, or before they are collated."""
    if changes.batch_is_rows:
        with contextlib.suppress(Exception):  # samples that are sorted by their length, and packed so
            own = changes.session.tensors()
            return changes.first, changes.run({path: one.flip(0) for path, one in own.items()})
    return changes.exchange.plain, changes.exchange.turned()


def _same_again(changes: Changes) -> None:
    """Raise Untold where each sample gets random numbers by its place: other ones make another loss, too."""
    seed = int(changes.session.settings.get("seed", 0)) + 1
    before, other = _total(changes.first), _total(changes.session.run(evaluation=True, seed=seed))
    if before is None or other is None or _apart(before, other) > _MOVED:
        raise Untold("its loss follows random numbers in eval mode, and samples in another order get others")


def _total(done: Pass) -> float | None:
    found = [float(one.mean()) for one in _losses(done)]
    return sum(found) if found else None


def _apart(one: float, other: float | None) -> float:
    """The share of the loss by which it moved."""
    return 1.0 if other is None or other != other else abs(one - other) / (max(abs(one), abs(other)) or 1.0)
