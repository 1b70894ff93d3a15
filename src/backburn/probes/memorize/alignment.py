"""Whether parts of the batch belong together: labels to their inputs, one part's samples to another's."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from typing import Any

from .datasets import collated
from .roles import INPUT, TARGET
from .session import Session

CLASSES = 64  # label values counted one by one
SECONDS = 0.6  # of fetching more samples than the batch has
_PERMUTATIONS = 400
_NUMBERED = 12  # classes at most whose looks are told, on so many directions, of so many samples at least
_DIRECTIONS = 6
_ENOUGH = 6
COLUMNS = 4096  # input columns that are compared with labels
CHUNK = 32  # samples that are collated together
_PAIRED = 6  # parts that are held against one another, on so many columns of each
WIDE = 1024  # columns of a part that it is told apart by
_BUCKETS = 512


def aligned(
    session: Session, loader: Any, known: dict[str, set[str]], chosen: Sequence[int], parts: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Whether similar inputs have similar labels: p of a permutation test on <K, YY'>, over more than a batch.

    K is the centred cosine kernel of the inputs (token ids: of how often each occurs), Y the centred one-hot labels or
    the standardised targets. Research, section 4, row 13. Where inputs have no row for each sample (graphs, ragged
    text), it is that of what the model makes of them before it is trained.
    """
    found = _together(parts, known)
    by_model = found is None
    if found is None:
        found = _through(session, loader, chosen[: len(parts) * CHUNK], known)
    if found is None:
        return {}
    features, labels, numbers = found
    p, clear = _agreement(features.float(), labels.float())
    common = float(labels.unique(dim=0, return_counts=True)[1].max()) / len(labels)
    looks = {} if by_model else _classes(features, numbers)
    return {"samples": len(labels), "p": p, "clear": clear, "common": common, "classes": looks, "by_model": by_model}


def _through(
    session: Session, loader: Any, chosen: Sequence[int], known: dict[str, set[str]]
) -> tuple[Any, Any, Any] | None:
    """As `_together`, with what outermost modules make of each sample in the place of its inputs."""
    torch = _torch()
    made, wanted = [], []
    started = time.perf_counter()
    for begin in range(0, len(chosen), CHUNK):
        part = list(chosen[begin : begin + CHUNK])
        if len(part) < 2 or time.perf_counter() - started > SECONDS:
            break
        batch = session.transferred(collated(loader, part, 3))
        there = session.tensors(batch)
        labels = [there[path] for path, role in known.items() if role == {TARGET} and path in there]
        labels = [one for one in labels if one.dim() and len(one) == len(part)]
        try:
            done = session.run(batch, evaluation=True)
        except Exception:  # a detector gives boxes, not losses, in eval mode
            return None
        outputs = [one.detach() for _, one in done.outputs if one.dim() and len(one) == len(part)]
        outputs = [one for one in outputs if one.is_floating_point() and not one.isnan().any()]
        if len(labels) != 1 or not outputs or labels[0].numel() // len(part) > 32:
            return None
        made.append(torch.cat([one.reshape(len(part), -1)[:, :COLUMNS].double().cpu() for one in outputs], dim=1))
        wanted.append(labels[0].reshape(len(part), -1).cpu())
    if not made or len({one.shape[1] for one in made}) > 1:
        return None
    labels, features = torch.cat(wanted), _standardised(torch.cat(made))
    if not labels.is_floating_point() and labels.shape[1] == 1:
        labels = torch.nn.functional.one_hot(labels.reshape(-1).unique(return_inverse=True)[1])
    labels = labels.double()
    return features, _standardised(labels.where(labels.isfinite(), labels.nanmean(dim=0))), None


def _together(parts: Sequence[dict[str, Any]], known: dict[str, set[str]]) -> tuple[Any, Any, Any] | None:
    """(features, labels, class numbers or None), one row per sample; None where they cannot be told, or are not one row
    per sample.
    """
    torch = _torch()
    inputs = [path for path, role in known.items() if role == {INPUT}]
    targets = [path for path, role in known.items() if role == {TARGET}]
    if len(targets) != 1 or not inputs or not parts:
        return None
    try:
        label = torch.cat([one[targets[0]] for one in parts])
        pieces = [_features(torch.cat([one[path] for one in parts])) for path in inputs]
    except (KeyError, RuntimeError, TypeError):
        return None
    rows = len(label)
    if rows < 32 or any(len(one) != rows for one in pieces) or label.numel() // rows > 32:
        return None
    numbers = None
    if not label.is_floating_point() and label.numel() == rows:
        numbers = label.reshape(-1)
        label = torch.nn.functional.one_hot(label.reshape(-1).unique(return_inverse=True)[1]).double()
    return torch.cat(pieces, dim=1), _standardised(label.reshape(rows, -1).double()), numbers


def _features(tensor: Any) -> Any:
    rows = len(tensor)
    if not tensor.is_floating_point() and tensor.numel() > rows:  # ids: how often each of the 512 buckets occurs
        return _standardised(_counted(tensor).double())
    return _standardised(tensor.reshape(rows, -1)[:, :COLUMNS].double())


def _counted(tensor: Any) -> Any:
    """How often each of the buckets occurs in a row."""
    flat = tensor.reshape(len(tensor), -1).long() % _BUCKETS
    counts = _torch().zeros(len(tensor), _BUCKETS)
    return counts.scatter_add(1, flat, _torch().ones(flat.shape))


def _standardised(values: Any) -> Any:
    centred = values - values.mean(dim=0)
    return centred / centred.std(dim=0).clamp_min(1e-9)


def _unit(values: Any) -> Any:
    return values / values.norm(dim=1, keepdim=True).clamp_min(1e-12)


def _agreement(features: Any, labels: Any) -> tuple[float, float]:
    """The share of permutations of the labels that agree with the inputs at least as well, and how many of their
    standard deviations the labels as they are lie above their mean.
    """
    torch = _torch()
    features, labels = _unit(features), _unit(labels)
    kernel = features @ features.T
    kernel.fill_diagonal_(0)  # what a sample has in common with itself says nothing
    kernel = kernel - kernel.mean(dim=0, keepdim=True)
    orders = [torch.arange(len(labels)), *(torch.randperm(len(labels)) for _ in range(_PERMUTATIONS))]
    drawn = torch.stack([labels[order] for order in orders])
    agreement = (drawn * (kernel @ drawn)).sum(dim=(1, 2))
    actual, others = agreement[0], agreement[1:]
    p = (int((others >= actual).sum()) + 1) / (_PERMUTATIONS + 1)
    return p, float((actual - others.mean()) / others.std().clamp_min(1e-12))


def _classes(features: Any, numbers: Any) -> dict[str, list[float]]:
    """What the samples of each class look like, in a few numbers: their mean, on directions drawn once and for all."""
    torch = _torch()
    if numbers is None or not 2 <= len(numbers.unique()) <= _NUMBERED:
        return {}
    drawn = torch.randn(features.shape[1], _DIRECTIONS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    placed = features.double() @ drawn / features.shape[1] ** 0.5
    found = {}
    for one in numbers.unique().tolist():
        mine = placed[numbers == one]
        if len(mine) >= _ENOUGH:
            found[str(one)] = [round(value, 2) for value in mine.mean(dim=0).tolist()]
    return found


# Pairs of parts


def paired(together: dict[str, list[Any]], counts: Sequence[int], known: dict[str, set[str]]) -> dict[str, float]:
    """`one ~ other` -> how many standard deviations above that of permuted rows their kernels agree, for all parts."""
    if sum(counts) < 64:
        return {}
    kernels: dict[str, Any] = {}
    for path in sorted(together, key=lambda path: not known.get(path)):
        same = any(_same(together[path], together[other]) for other in kernels)
        features = None if same or len(kernels) == _PAIRED else _seen_in(together[path])
        if features is not None:
            kernels[path] = _kernel(features, counts)
    order = [path for path in together if path in kernels]
    return {f"{a} ~ {b}": round(_beyond(kernels[a], kernels[b]), 1) for a, b in itertools.combinations(order, 2)}


def _same(one: Sequence[Any], other: Sequence[Any]) -> bool:
    return one[0].shape == other[0].shape and bool((one[0] == other[0]).all())


def _seen_in(pieces: Sequence[Any]) -> Any:
    """A part as features, one row per sample: numbers, ranks, classes, or how often each id occurs; None for masks,
    for what is the same in every row, is not finite, or has no fixed width.
    """
    torch = _torch()
    single = all(one.numel() == len(one) for one in pieces)
    floating = pieces[0].is_floating_point()
    if not floating and not single:
        if max(int(one.max()) for one in pieces) <= 1:
            return None
        features = torch.cat([_counted(one) for one in pieces])
    elif len({one.shape[1:] for one in pieces}) > 1:
        return None
    elif single:
        values, places = torch.cat(pieces).reshape(-1).unique(return_inverse=True)
        ranks = places.float() / max(len(values) - 1, 1)
        few = not floating and len(values) <= CLASSES
        features = torch.nn.functional.one_hot(places).float() if few else ranks[:, None]
    else:
        flat = [one.reshape(len(one), -1) for one in pieces]
        features = torch.cat([one[:, :: -(-one.shape[1] // WIDE)].float() for one in flat])
    varies = bool((features != features[0]).any()) and bool(features.isfinite().all())
    return _standardised(features) if varies else None


def _kernel(features: Any, counts: Sequence[int]) -> tuple[Any, float, float, float]:
    """Centred cosine kernel with an empty diagonal, and its sums: of all, of squares, of squared rows' sums.

    Centred in each chunk: what its samples have in common by being collated together (the width they are padded to)
    is nothing that one part says of another.
    """
    torch = _torch()
    centred = torch.cat([one - one.mean(dim=0) for one in features.split(list(counts))])
    if centred.shape[1] > 1:  # the cosine of single numbers is no more than their sign
        centred = _unit(centred)
    kernel = (centred @ centred.T).fill_diagonal_(0).double()
    rows = kernel.sum(dim=1)
    return kernel, float(rows.sum()), float(kernel.square().sum()), float(rows.square().sum())


def _beyond(one: tuple[Any, float, float, float], other: tuple[Any, float, float, float]) -> float:
    """Standard deviations of <A, PBP'> above its mean over all permutations P, both by Mantel's formula (1967)."""
    (a, sum_a, square_a, rows_a), (b, sum_b, square_b, rows_b) = one, other
    n = len(a)
    mean = sum_a * sum_b / (n * (n - 1))
    apart = (sum_a**2 + 2 * square_a - 4 * rows_a) * (sum_b**2 + 2 * square_b - 4 * rows_b) / (n - 2) / (n - 3)
    joint = 4 * (rows_a - square_a) * (rows_b - square_b) / (n - 2)
    variance = (2 * square_a * square_b + joint + apart) / (n * (n - 1)) - mean**2
    return (float((a * b).sum()) - mean) / math.sqrt(max(variance, 1e-12))


def _torch() -> Any:
    import torch

    return torch
