"""Sequences: does what comes later reach what comes before, does padding reach anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import raster
from .changes import Changes, Output, outputs, spread
from .roles import TARGET
from .session import Untold

SHORTEST = 4  # positions
_UNTAUGHT = 0.5  # of a target's positions may be left out (-100), and it is still the input, shifted
_SEQUENCES = 3  # that are changed one by one
_LONGER = 3  # positions of padding that are appended
_UNMOVED = 1e-4  # of an output's spread: a sum in another order


def future(changes: Changes) -> dict[str, Any]:
    """How far outputs move at positions before the first one whose input changed, where targets are shifted inputs."""
    for path, one, call, axis, grid in _shifted(changes):
        position = one.shape[axis] // 2
        changed = one.clone()
        rest = one.shape[axis] - position
        changed.narrow(axis, position, rest).copy_(changes.shuffled(path).narrow(axis, position, rest))
        for output, far in changes.moved(changes.run({path: changed})):
            if output is call:
                before = _by_position(output, far, grid).narrow(axis, 0, position)
                return {
                    "far": float(before.max()),
                    "position": position,
                    "length": one.shape[axis],
                    "ways": _ways(changes, path),
                    "where": output.where,
                }
    raise Untold("no target is an input shifted by one position")


def _shifted(changes: Changes) -> Iterator[tuple[str, Any, Output, int, Any]]:
    """An input, the output that is held against it shifted by one, the axis of positions, the shape of the target."""
    for path, one in changes.inputs.items():
        for output in changes.base:
            target = output.call.given.get("target") if output.call is not None else None
            if not hasattr(target, "detach"):
                continue
            for axis in (1, 0) if one.dim() > 1 else ():
                grid = _is_shifted(one, target, axis)
                if grid is not None:
                    yield path, one, output, axis, grid


def _is_shifted(one: Any, target: Any, axis: int) -> Any:
    length = one.shape[axis]
    if length < SHORTEST:
        return None
    later = one.narrow(axis, 1, length - 1)
    if target.numel() == later.numel() and _equal(target.reshape(later.shape), later):
        return later.shape
    if target.numel() == one.numel() and _equal(target.reshape(one.shape).narrow(axis, 0, length - 1), later):
        return one.shape
    return None


def _equal(target: Any, later: Any) -> bool:
    """Equal wherever something is taught, and that is in most places; and not because all is the same."""
    same, taught = target == later, target >= 0
    if target.is_floating_point():
        taught = target == target
    enough = float(taught.float().mean()) >= _UNTAUGHT
    return enough and bool(same[taught].all()) and bool((later != later.reshape(-1)[0]).any())


def _by_position(output: Output, far: Any, grid: Any) -> Any:
    """The movement at each position, in the target's shape: over classes (the second axis), the furthest."""
    target = output.call.given["target"]
    over = far.amax(dim=1) if far.dim() == target.dim() + 1 else far
    return over.reshape(grid)


def _ways(changes: Changes, path: str) -> int:
    """How many outermost modules get this input: an encoder that may see all of it, beside the decoder."""
    own = dict(changes.session.tensors(changes.first.batch))[path].untyped_storage().data_ptr()
    given = {(name, one.shape) for name, one in changes.first.inputs if one.untyped_storage().data_ptr() == own}
    return max(1, len(given))


def sees(changes: Changes) -> dict[str, int]:
    """By path of a sequence: the first position whose outputs move when inputs from one on do, counted from that one:
    1 where outputs follow what came before, 0 where also what is there, -1 where what comes later.

    Only samples without padding tell: a row in which all is masked attends to everything. Of images, pixels in the
    order of reading are the sequence.
    """
    told: dict[str, int] = {}
    size = changes.session.asked or changes.session.size
    for path, one in changes.tensors.items():
        late = changes.late or len(told) == _SEQUENCES
        lag = (
            None if late else _lag(changes, path, one, size) if one.dim() < 4 else raster.lag(changes, path, one, size)
        )
        if lag is not None:
            told[path] = lag
    if not told:
        raise Untold("no output has the positions of a sequence in the batch")
    return told


def _lag(changes: Changes, path: str, one: Any, size: int) -> int | None:
    if one.dim() != 3 - (not one.is_floating_point()) or size not in one.shape[:2] or min(one.shape[:2]) < 2:
        return None
    first = one.shape[0] == size
    rows = one if first else one.transpose(0, 1)
    full = _unpadded(changes, rows)
    position = rows.shape[1] // 2
    if rows.shape[1] < SHORTEST or binary(rows) or len(full) < 2:
        return None
    changed = one.clone()
    changed_rows = changed if first else changed.transpose(0, 1)
    changed_rows[full, position:] = rows[full.roll(1), position:]
    if changed_rows[full, position].equal(rows[full, position]):
        return None
    if all(_positions(output, output.value, size, rows.shape[1], first) is None for output in changes.base):
        return None
    moved = []
    for output, far in changes.moved(changes.run({path: changed}), all_of_them=False):
        there = _positions(output, far, size, rows.shape[1], first)
        if there is not None and bool((there[full] > _UNMOVED).any()):
            moved.append(int((there[full] > _UNMOVED).any(dim=0).int().argmax()) - position)
    return max(-1, min(1, min(moved))) if moved else None


def _unpadded(changes: Changes, rows: Any) -> Any:
    """Numbers of the samples that are real at every position: no mask says otherwise, and they neither begin nor end
    with what fills others there.
    """
    import torch

    codes = rows if rows.dim() == 2 else (rows != 0).any(dim=2)
    whole = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
    for _, real in masks(changes):
        if real.shape == codes.shape:
            whole &= real.all(dim=1).to(whole.device)
    for end, next_to_it in ((codes[:, 0], codes[:, 1]), (codes[:, -1], codes[:, -2])):
        fills = end[end == next_to_it].unique() if rows.dim() == 2 else torch.zeros_like(end[:1])
        whole &= ~torch.isin(end, fills) if rows.dim() == 2 else end
    return whole.nonzero().flatten()


def _positions(output: Output, far: Any, size: int, length: int, first: bool) -> Any:
    """The movement of samples x positions (or one less: the last one is no input); None where there are no such axes
    for sure, as in two equal ones.
    """
    lengths = (length, length - 1)
    if far.dim() == 3 and far.shape[0] != far.shape[1]:
        for rows in (far, far.transpose(0, 1)):
            if rows.shape[0] == size and rows.shape[1] in lengths:
                return rows.amax(dim=2)
    if first and output.call is not None and far.dim() == 2:
        found = next((one for one in lengths if far.shape[0] == size * one), None)
        return far.reshape(size, found, -1).amax(dim=2) if found else None
    return None


# Padding


def padding(changes: Changes) -> dict[str, Any]:
    """How far outputs at real positions move when what stands in padded ones changes."""
    for mask_path, real in masks(changes):
        x = {path: one for path, one in _long(changes, real.shape) if path != mask_path}
        changed = {path: _refilled(changes, path, real) for path in x}
        if changed:
            far = max(
                _at_real(output, far, real)
                for output, far in changes.moved(changes.run(changed))
                if held(changes, output)
            )
            told = {"far": far, "mask": mask_path, "given": _reaches(changes, mask_path)}
            return {**told, "taught": _is_taught(changes, mask_path, real)}
    for path, one in changes.inputs.items():
        value = fills(one)
        if value is not None:
            return {"far": _longer(changes, path, value), "mask": path, "given": False, "value": value}
    raise Untold("no mask, no lengths and no padding were found in the batch")


def held(changes: Changes, output: Output) -> bool:
    """Whether a target is held against it, or nothing is."""
    return any(output is one for one in changes.held)


def masks(changes: Changes) -> Iterator[tuple[str, Any]]:
    """Path of a mask or of lengths, and what is real, as booleans: samples x positions."""
    import torch

    lengths = {one.shape[1] for one in changes.inputs.values() if one.dim() > 1}
    for path, one in changes.tensors.items():
        if one.dim() == 2 and one.shape[1] > 1 and bool(((one == 0) | (one == 1)).all()):
            real = _real(one.bool())
            if real is not None and not real.all():
                yield path, real
        elif TARGET in changes.roles[path] or one.dim() != 1 or one.is_floating_point() or int(one.min()) <= 0:
            continue
        elif int(one.max()) in lengths:
            real = torch.arange(int(one.max()), device=one.device) < one[:, None]
            if not real.all() and all(_is_filled(part, real) for _, part in _long(changes, real.shape)):
                yield path, real


def _is_filled(one: Any, real: Any) -> bool:
    """Whether one value stands wherever nothing is real: else the numbers are no lengths."""
    rest = one[~real]
    return bool((rest == rest.reshape(-1)[0]).all())


def _real(mask: Any) -> Any:
    """The mask with True at real positions: all rows begin (or, padded on the left, end) with one, and change once."""
    if not bool(((mask[:, 1:] != mask[:, :-1]).sum(dim=1) <= 1).all()):
        return None
    for column in (mask[:, 0], mask[:, -1]):
        if bool((column == column[0]).all()):
            return mask if bool(column[0]) else ~mask
    return None


def _long(changes: Changes, shape: Any) -> Iterator[tuple[str, Any]]:
    return (
        (path, one)
        for path, one in changes.inputs.items()
        if one.dim() > 1 and one.shape[:2] == shape and not binary(one)
    )


def binary(one: Any) -> bool:
    """Whether it is a mask, by its numbers."""
    return bool(((one == 0) | (one == 1)).all())


def _refilled(changes: Changes, path: str, real: Any) -> Any:
    one, other = changes.inputs[path], changes.shuffled(path)
    return one.where(real.reshape(*real.shape, *[1] * (one.dim() - 2)), other)


def _at_real(output: Output, far: Any, real: Any) -> float:
    """The furthest movement at real positions, whether positions are an axis or were flattened; else of everything."""
    for there in (real, real[:, 1:] & real[:, :-1]):  # one position less: the last one, or the first, has no target
        if far.shape[:2] == there.shape:
            far = far[there]
        elif far.dim() > 2 and (far.shape[0], far.shape[2]) == tuple(there.shape):
            far = far.transpose(1, 2)[there]
        elif far.shape[0] == there.numel():
            far = far[there.reshape(-1)]
        else:
            continue
        break
    return float(far.max()) if far.numel() else 0.0


def _is_taught(changes: Changes, mask: str, real: Any) -> bool | None:
    """Whether the loss follows what stands in padded positions of targets; None where there are no such."""
    changed = {}
    for path, one in changes.tensors.items():
        if path not in changes.inputs and path != mask and one.shape[:2] == real.shape:
            there = one[real]
            if not there.equal(there.flip(0)):
                changed[path] = one.clone()
                changed[path][~real] = there[: int((~real).sum())] if len(there) >= int((~real).sum()) else there[:1]
    if not changed or changes.late:
        return None
    before, after = changes.first.losses, changes.run(changed).losses
    return any(not same(one.detach().float(), other.detach().float()) for one, other in zip(before, after))


def _reaches(changes: Changes, path: str) -> bool:
    one = changes.tensors[path]
    flat = one.reshape(-1).double()
    for _, other in changes.first.inputs:
        if other.numel() == one.numel():
            given = other.reshape(-1).double()
            if bool((given == flat).all()) or bool((given == 1 - flat).all()):
                return True
    return False


def fills(one: Any) -> int | None:
    """The number that ends rows of whole numbers, some longer than others, and stands nowhere else."""
    if one.dim() != 2 or one.is_floating_point() or one.shape[1] < SHORTEST or binary(one):
        return None
    value = int(one[:, -1].mode().values)
    filled = one == value
    ends = filled.flip(1).int().cumprod(dim=1).flip(1).bool()
    runs = ends.sum(dim=1)
    return value if bool((filled == ends).all()) and len(set(runs.tolist())) > 1 and int((runs > 0).sum()) > 1 else None


def _longer(changes: Changes, path: str, value: int) -> float:
    """How far held outputs move at real positions when a few positions of padding are appended."""
    import torch

    own = changes.inputs[path]
    changed = {
        other: torch.cat([one, one[:, -1:].mode(dim=0, keepdim=True).values.expand(len(one), _LONGER)], dim=1)
        for other, one in changes.tensors.items()
        if one.dim() == 2 and one.shape == own.shape
    }
    moved = []
    for one, other in zip(changes.base, outputs(changes.run(changed))):
        after = _cut(other.value, one.value.shape, own.shape)
        if held(changes, one) and after is not None:
            moved.append(_at_real(one, (one.value - after).abs() / spread(one.value), own != value))
    if not moved:
        raise Untold("more padding changed what is computed")
    return max(moved)


def _cut(after: Any, shape: Any, of: Any) -> Any:
    """An output without the positions that were appended; None where they cannot be told."""
    size, length = of
    if after.shape == shape:
        return after
    if shape[0] == size * length and after.shape[0] == size * (length + _LONGER):
        return after.reshape(size, length + _LONGER, -1)[:, :length].reshape(shape)
    for axis in range(1, after.dim()):
        if after.shape[axis] == length + _LONGER and after.narrow(axis, 0, length).shape == shape:
            return after.narrow(axis, 0, length)
    return None


def same(before: Any, after: Any) -> bool:
    """Whether an output stayed what it was."""
    return float((before - after).abs().max()) <= _UNMOVED * spread(before)
