"""Sequences: does the order of their tokens matter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .changes import Changes, outputs
from .session import Untold
from .tokens import SHORTEST, binary, fills, held, masks, same

_FEWEST = 3  # positions that have another order than the one from end to end


def order(changes: Changes) -> dict[str, Any]:
    """Whether a model with attention tells one order of its tokens from another."""
    import torch

    if not any("attention" in type(one).__name__.lower() for one in changes.session.module.modules()):
        raise Untold("no attention was found in the model")
    shape = next((one.shape for one in changes.inputs.values() if _is_tokens(one)), None)
    if shape is None:
        raise Untold("no tokens were found in the batch")
    ranks = torch.arange(shape[1])
    ranks[: _full(changes, shape)] = _another_order(changes, _full(changes, shape))
    changed = {path: one[:, ranks.to(one.device)] for path, one in changes.inputs.items() if one.shape[:2] == shape}
    done = changes.run(changed)
    return {"unmoved": all(same(one, other) for one, other in _ordered(changes, done, shape, ranks))}


def _another_order(changes: Changes, count: int) -> Any:
    """As many ranks, neither as they were nor the other way round: distances between tokens are others, too."""
    import torch

    if count < _FEWEST:
        raise Untold(f"only {count} positions are real in each sample")
    ranks, kept = torch.randperm(count, generator=changes.generator), torch.arange(count)
    return kept.roll(1) if ranks.equal(kept) or ranks.equal(kept.flip(0)) else ranks


def _full(changes: Changes, shape: Any) -> int:
    """How many positions at the front are real in each sample; all of them where nothing says otherwise."""
    marked = [real for _, real in masks(changes) if real.shape == shape]
    marked += [one != fills(one) for one in changes.inputs.values() if one.shape == shape and fills(one) is not None]
    return min((int(one.all(dim=0).int().cumprod(dim=0).sum()) for one in marked), default=shape[1])


def _is_tokens(one: Any) -> bool:
    return one.dim() == 2 and not one.is_floating_point() and one.shape[1] >= SHORTEST and not binary(one)


def _ordered(changes: Changes, done: Any, shape: Any, ranks: Any) -> Iterator[tuple[Any, Any]]:
    """Each held output as it was (its positions in the new order, where it has any), and as it is now."""
    others = outputs(done)
    if [one.value.shape for one in others] != [one.value.shape for one in changes.base]:
        raise Untold("another order changed what is computed")
    for one, other in zip(changes.base, others):
        if not held(changes, one):
            continue
        before, after = one.value, other.value
        if before.shape[0] == shape[0] * shape[1]:
            before, after = (value.reshape(shape[0], shape[1], -1) for value in (before, after))
        axis = next((axis for axis in range(1, before.dim()) if before.shape[axis] == shape[1]), None)
        yield (before if axis is None else before.index_select(axis, ranks.to(before.device))), after
