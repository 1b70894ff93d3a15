"""Whether targets that are places (masks, maps, boxes, points) lie where their own picture has edges."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from .roles import INPUT, TARGET

_FEWEST = 32  # samples, to tell a rank of 0.95 from one of 0.7
_SMALLEST = 12  # pixels of a side: smaller ones have no places to speak of
_LARGEST = 128  # pixels of a side that are looked at, of larger ones every second, third ...
_GRID = 48  # cells of a side that edges and outlines are compared on
_CHANNELS = (1, 3, 4)
_POINTS = 64  # of a sample
_PAIRS = 4  # of a picture and a target, at most
_ALIKE = 0.5  # of a picture's variance, half the squared difference of neighbours; of photographs 0.05, of noise 1
_FORMATS = ("xyxy", "xywh", "cxcywh")

Tensors = dict[str, Any]


def told(chunks: Sequence[tuple[int, Tensors]], known: dict[str, set[str]]) -> dict[str, Any]:
    """`batch[0] ~ batch[1]['boxes'] as xyxy` -> the mean rank (0 to 1, by chance 1/2) of a sample's own outlines among
    those of all samples, by how strong the edges of its picture are below them; and of how many `samples`.

    Edges are gradients in space. Others' outlines lie where outlines usually do, so a rank is nothing that the middle
    of pictures explains, and pictures with many edges say no more than others.
    """
    parts = {path: [_flat(one) for one in each] for path, each in _parts(chunks).items()}
    pictures = {path: one for path, one in parts.items() if _is_picture(one, known.get(path, set()))}
    found: dict[str, float] = {}
    samples = 0
    for path in sorted(pictures, key=lambda path: INPUT not in known.get(path, ()))[:1]:
        edges = _stacked([_edges(one) for one in pictures[path]])
        for other, one in [pair for pair in parts.items() if pair[0] != path][: 2 * _PAIRS]:
            for name, outlines in _outlined(one, parts[path], known.get(other, set())):
                rank, count = _rank(edges, outlines)
                if count >= _FEWEST and len(found) < _PAIRS * len(_FORMATS):
                    found[f"{path} ~ {other} as {name}"] = round(rank, 3)
                    samples = max(samples, count)
    return {"ranks": found, "samples": samples} if found else {}


def _parts(chunks: Sequence[tuple[int, Tensors]]) -> dict[str, list[Any]]:
    """Path -> a tensor for each sample; `batch[0][]` of lists with one for each sample."""
    parts: dict[str, list[Any]] = {}
    for count, tensors in chunks:
        mine: dict[str, list[Any]] = {}
        for path, one in tensors.items():
            if one.dim() and len(one) == count and one.layout == _torch().strided:
                mine[path] = list(one)
            for at in re.finditer(r"\[\d+\]", path):
                mine.setdefault(f"{path[: at.start()]}[]{path[at.end() :]}", []).append(one)
        for path, each in mine.items():
            if len(each) == count:
                parts.setdefault(path, []).extend(each)
    total = sum(count for count, _ in chunks)
    return {path: each for path, each in parts.items() if len(each) == total}


def _flat(one: Any) -> Any:
    """A volume (channels, depth, height, width) as a picture: its largest values through its depth."""
    return one.amax(dim=1) if one.dim() == 4 and one.numel() and not one.is_complex() else one


def _is_picture(each: Sequence[Any], role: set[str]) -> bool:
    """Channels, height, width of the first sample, as numbers that are no classes."""
    one = each[0]
    if role == {TARGET} or one.dim() != 3 or one.shape[0] not in _CHANNELS or min(one.shape[1:]) < _SMALLEST:
        return False
    return bool(one.is_floating_point() or one.dtype == _torch().uint8)


def _thinned(one: Any) -> Any:
    return one[..., :: -(-one.shape[-2] // _LARGEST), :: -(-one.shape[-1] // _LARGEST)].float().cpu()


def _edges(one: Any) -> Any:
    """How much a picture or a map changes at each cell, from 0; its own strongest change, mean over channels."""
    one = _thinned(one.reshape(-1, *one.shape[-2:])).nan_to_num(posinf=0, neginf=0)
    down, right = one.diff(dim=-2).abs()[..., :-1], one.diff(dim=-1).abs()[..., :-1, :]
    return _pooled((down + right).mean(dim=0))


def _pooled(one: Any) -> Any:
    sides = [min(_GRID, side) for side in one.shape]
    return _torch().nn.functional.adaptive_avg_pool2d(one[None], sides)[0]


def _stacked(each: Sequence[Any]) -> Any:
    """One row per sample, of one grid for all."""
    torch = _torch()
    whole = [torch.nn.functional.interpolate(one[None, None], size=(_GRID, _GRID), mode="bilinear") for one in each]
    return torch.cat(whole).reshape(len(each), -1)


def _outlined(each: Sequence[Any], pictures: Sequence[Any], role: set[str]) -> Iterator[tuple[str, Any]]:
    """Names of what the target may be, and its outlines as that: a row per sample, 0 where there is nothing."""
    one = next((one for one in each if one.numel()), None)
    if one is None or one.is_complex() or (role == {INPUT} and one.dim() > 2):
        return
    if one.dim() in (2, 3) and min(one.shape[-2:]) >= _SMALLEST:
        yield "a map", _stacked([_edges(one) for one in each])
    elif one.dim() == 2 and one.is_floating_point() and one.shape[1] == 4:
        for name in _FORMATS:
            yield name, _stacked([_framed(*pair, name) for pair in zip(each, pictures)])
    elif one.dim() == 2 and one.is_floating_point() and one.shape[1] == 2 and len(one) <= _POINTS:
        yield "points", _stacked([_dotted(*pair) for pair in zip(each, pictures)])


def _placed(one: Any, picture: Any) -> Any:
    """Coordinates (x, y, x, y ...) in cells of the grid; shares of the picture's sides where none is above 1."""
    one = one.float().cpu()
    height, width = picture.shape[-2:]
    shares = bool(one.abs().max() <= 1.5) if one.numel() else True
    size = one.new_tensor([width, height] * (one.shape[1] // 2))
    return (one if shares else one / size) * _GRID


def _framed(boxes: Any, picture: Any, form: str) -> Any:
    grid = _torch().zeros(_GRID, _GRID)
    for a, b, c, d in _placed(boxes, picture).tolist():
        if form == "xywh":
            c, d = a + c, b + d
        elif form == "cxcywh":
            a, b, c, d = a - c / 2, b - d / 2, a + c / 2, b + d / 2
        # What is no box in this format has its corners in another order, and is one that lies elsewhere.
        left, right, top, bottom = (min(max(int(each), 0), _GRID - 1) for each in (*sorted((a, c)), *sorted((b, d))))
        grid[top, left : right + 1] = grid[bottom, left : right + 1] = 1
        grid[top : bottom + 1, left] = grid[top : bottom + 1, right] = 1
    return grid


def _dotted(points: Any, picture: Any) -> Any:
    """A square of 5 cells around each point; a point at the very corner is one that is missing."""
    grid = _torch().zeros(_GRID, _GRID)
    for x, y in _placed(points, picture).tolist():
        if (x or y) and 0 <= x < _GRID and 0 <= y < _GRID:
            grid[max(int(y) - 2, 0) : int(y) + 3, max(int(x) - 2, 0) : int(x) + 3] = 1
    return grid


def _rank(edges: Any, outlines: Any) -> tuple[float, int]:
    """The mean rank of each sample's own outlines among all of them, and of how many samples."""
    there = (outlines.sum(dim=1) > 0) & (edges.sum(dim=1) > 0)
    edges, outlines = edges[there], outlines[there]
    edges = edges - edges.mean(dim=0)  # what each picture has at one place (a frame, a cutout) says nothing of its own
    if len(edges) < 2:
        return 0.5, len(edges)
    scores = edges @ (outlines / outlines.sum(dim=1, keepdim=True)).T
    own = scores.diagonal()[:, None]
    ranks = (scores < own).float().sum(dim=1) + 0.5 * ((scores == own).float().sum(dim=1) - 1)
    return float(ranks.mean() / (len(edges) - 1)), len(edges)


def is_smooth(one: Any) -> bool:
    """Whether they are pictures in which neighbours are alike: noise that drowns them leaves no such thing."""
    if one.dim() != 4:
        return False
    axes = (1, 2) if one.shape[-1] in (1, 3, 4) else (2, 3)
    if min(one.shape[axis] for axis in axes) < 2:
        return False
    steps = [one.diff(dim=axis).double().square().mean() for axis in axes]
    spread = (one.double() - one.double().mean(dim=axes, keepdim=True)).square().mean()
    return bool(sum(steps) / 4 <= _ALIKE * spread)


def _torch() -> Any:
    import torch

    return torch
