"""Pixels in the order of reading: outputs at one of them follow only those before it, if a model is autoregressive."""

from __future__ import annotations

from typing import Any

from .changes import Changes, Output

_SMALLEST = 4  # rows and columns
_MOVED = 1e-4  # of an output's spread


def lag(changes: Changes, path: str, one: Any, size: int) -> int | None:
    """As `tokens.sees` says, of images: 1 where outputs follow the pixels before theirs, 0 where also their own,
    -1 where later ones. None where no loss function is given an output for each pixel.
    """
    import torch

    if one.shape[0] != size or size < 2 or min(one.shape[-2:]) < _SMALLEST:
        return None
    shape = size, *one.shape[-2:]
    if all(_by_pixel(output, output.value, shape) is None for output in changes.base):
        return None
    pixels = one.clone(memory_format=torch.contiguous_format).flatten(-2)
    position = (shape[1] // 2) * shape[2] + shape[2] // 2
    changed = torch.cat([pixels[..., :position], pixels.roll(1, 0)[..., position:]], dim=-1)
    if changed[..., position].equal(pixels[..., position]):
        return None
    moved = []
    for output, far in changes.moved(changes.run({path: changed.reshape(one.shape)}), all_of_them=False):
        there = _by_pixel(output, far, shape)
        if there is not None and bool((there > _MOVED).any()):
            moved.append(int((there > _MOVED).any(dim=0).int().argmax()) - position)
    return max(-1, min(1, min(moved))) if moved else None


def _by_pixel(output: Output, far: Any, shape: tuple[int, int, int]) -> Any:
    """What a loss function was given as samples x pixels, over classes the most; None where it has no such axes."""
    size, count = shape[0], shape[1] * shape[2]
    if output.call is None:
        return None
    if far.dim() == 2 and far.shape[0] == size * count:
        return far.reshape(size, count, -1).amax(dim=2)
    if far.dim() > 2 and far.shape[0] == size and tuple(far.shape[-2:]) == shape[1:]:
        return far.reshape(size, -1, count).amax(dim=1)
    if far.dim() == 3 and far.shape[0] == size and count in far.shape[1:]:
        return far.amax(dim=2 if far.shape[1] == count else 1)
    return far if tuple(far.shape) == (size, count) else None
