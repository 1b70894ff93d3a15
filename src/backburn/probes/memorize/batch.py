"""The batch itself, and the same samples fetched once more under other random numbers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ..batches import leaves
from .datasets import collated, loader_of, recollected
from .roles import INPUT, TARGET, roles
from .session import Session, Untold, is_plain
from .snapshot import numbers_kept

_CLASSES = 64  # label values counted one by one
_SAMPLES = 192  # fetched for labels-match-inputs: 200 permutations of as many take 25 ms
_SECONDS = 0.6  # of fetching, for that
_PERMUTATIONS = 400
_NUMBERED = 12  # classes at most whose looks are told, on so many directions, of so many samples at least
_DIRECTIONS = 6
_ENOUGH = 6
_COLUMNS = 4096  # input columns that are compared with labels


def look(session: Session) -> dict[str, Any]:
    """Plain data, as `backburn.memorization.batch.Batch` says."""
    tensors = {path: one for path, one in session.tensors().items() if one.numel()}
    if not tensors:
        raise Untold("the batch holds no tensor")
    known = _roles(session)
    rows = session.size
    told: dict[str, Any] = {"rows": rows, "asked": session.asked}
    told["leaves"] = [_leaf(path, one, rows, known.get(path, set())) for path, one in tensors.items()]
    told["leaks"] = _leaks(tensors, known, rows)
    loader = loader_of(session)
    if loader is not None:
        with numbers_kept(), recollected(loader):
            told |= _refetched(session, loader, known)
    return told


def _roles(session: Session) -> dict[str, set[str]]:
    try:
        return roles(session)
    except Exception:  # a training_step that fails on this very batch: its parts can still be looked at
        return {}


# One tensor


def _leaf(path: str, tensor: Any, rows: int, role: set[str]) -> dict[str, Any]:
    one = tensor.detach()
    if one.layout != _torch().strided:
        one = one.to_dense()
    told: dict[str, Any] = {"path": path, "roles": sorted(role), "dtype": str(one.dtype).rpartition(".")[2]}
    told["shape"] = list(one.shape)
    numbers = one.float() if not one.is_complex() else one.abs().float()
    finite = numbers.isfinite()
    if not bool(finite.all()):
        told["not_finite"] = int((~finite).sum())
        told["first_row"] = int((~finite).nonzero()[0][0]) if one.dim() else 0
        numbers = numbers[finite] if bool(finite.any()) else numbers.new_zeros(1)
    told |= {"low": float(numbers.min()), "high": float(numbers.max()), "mean": float(numbers.mean())}
    told["std"] = float(numbers.std()) if numbers.numel() > 1 else 0.0
    told["whole"] = not one.is_floating_point() or bool((numbers == numbers.round()).all())
    real = _torch().view_as_real(one) if one.is_complex() else one
    if one.dim() and one.shape[0] == rows and rows > 1 and one.numel() // rows <= 1 << 20:
        told["distinct"] = len(_torch().unique(real.reshape(rows, -1).nan_to_num(), dim=0))
    if not one.is_floating_point() and not one.is_complex():
        values, counts = one.reshape(-1).unique(return_counts=True)
        if len(values) <= _CLASSES:
            told["counts"] = {str(int(key)): int(count) for key, count in zip(values, counts)}
    return told


def _leaks(tensors: dict[str, Any], known: dict[str, set[str]], rows: int) -> list[dict[str, Any]]:
    """Columns of floating-point inputs that are a label: |correlation| over the batch."""
    found = []
    targets = [
        (path, one.reshape(rows).double())
        for path, one in tensors.items()
        if known.get(path) == {TARGET} and one.numel() == rows and rows >= 8
    ]
    for path, one in tensors.items():
        if known.get(path) != {INPUT} or not one.is_floating_point() or not one.dim() or one.shape[0] != rows:
            continue
        columns = one.detach().reshape(rows, -1)[:, :_COLUMNS].double()
        for where, target in targets:
            if one.untyped_storage().data_ptr() == tensors[where].untyped_storage().data_ptr():
                continue
            most = _correlations(columns, target).abs()
            index = int(most.argmax())
            found.append({"path": path, "column": index, "target": where, "correlation": float(most[index])})
    return found


def _correlations(columns: Any, target: Any) -> Any:
    centred, other = columns - columns.mean(dim=0), target - target.mean()
    scale = centred.norm(dim=0) * other.norm()
    return (centred * other[:, None]).sum(dim=0).div(scale.clamp_min(1e-12)).where(scale > 1e-9, scale * 0)


# The same samples again


def _refetched(session: Session, loader: Any, known: dict[str, set[str]]) -> dict[str, Any]:
    if loader.batch_sampler is None:
        return {}
    try:
        indices = list(next(iter(loader.batch_sampler)))
        started = time.perf_counter()
        one = _fetched(loader, indices, 1)
        if time.perf_counter() - started > _SECONDS:
            return {"untried": f"a batch takes {time.perf_counter() - started:.1f} s to load"}
        other, same = _fetched(loader, indices, 2), _fetched(loader, indices, 1)
    except Exception as error:  # a sampler or data set of its own kind; the training has its batch already
        return {"untried": f"{type(error).__name__}: {error}"[:200]}
    told: dict[str, Any] = {"again": _compared(one, other, known, len(indices))}
    drifts = [path for path in one.keys() & same.keys() if not _equal(one[path], same[path])]
    told["drifts"] = sorted(drifts)
    told["alignment"] = _alignment(session, loader, known)
    return told


def _fetched(loader: Any, indices: Sequence[Any], seed: int) -> dict[str, Any]:
    """Path -> tensor of these samples, collated as ever, with the random numbers of `seed`."""
    return {path: value for path, value in leaves(collated(loader, indices, seed)) if is_plain(value)}


def _compared(one: dict[str, Any], other: dict[str, Any], known: dict[str, set[str]], rows: int) -> dict[str, Any]:
    """Which inputs and targets came out otherwise, and how like themselves the inputs still are."""
    told: dict[str, Any] = {"inputs": [], "targets": [], "changed": 0, "likeness": 1.0, "recognised": 1.0}
    for path in one.keys() & other.keys():
        a, b = one[path], other[path]
        role = known.get(path, set())
        if a.shape != b.shape or not a.dim() or a.shape[0] != rows:
            told["inputs" if INPUT in role else "targets"].append(path)
            told["reshaped"] = True
            continue
        differ = (a.reshape(rows, -1) != b.reshape(rows, -1)) & ~((a != a) & (b != b)).reshape(rows, -1)
        moved = int(differ.any(dim=1).sum())
        if not moved:
            continue
        if TARGET in role and INPUT not in role:
            told["targets"].append(path)
            told["changed"] = max(told["changed"], moved)
            told["labels"] = not a.is_floating_point() and a.numel() == rows
        else:
            told["inputs"].append(path)
            if a.is_floating_point() and rows > 2:
                likeness, recognised = _likeness(a.reshape(rows, -1), b.reshape(rows, -1))
                told["likeness"] = min(told["likeness"], likeness)
                told["recognised"] = min(told["recognised"], recognised)
            else:
                told["reshaped"] = True  # ids that are other ids: no likeness to speak of
    return told


def _equal(one: Any, other: Any) -> bool:
    if one.shape != other.shape:
        return False
    return bool(((one == other) | ((one != one) & (other != other))).all())


def _likeness(a: Any, b: Any) -> tuple[float, float]:
    """Mean centred cosine of each sample with itself, and the share whose nearest among the others' is itself."""
    middle = (a.mean(dim=0) + b.mean(dim=0)).double() / 2
    one, other = (x.double() - middle for x in (a, b))
    one, other = (x / x.norm(dim=1, keepdim=True).clamp_min(1e-12) for x in (one, other))
    likeness = one @ other.T
    nearest = likeness.argmax(dim=1) == _torch().arange(len(a))
    return float(likeness.diagonal().mean()), float(nearest.double().mean())


def _alignment(session: Session, loader: Any, known: dict[str, set[str]]) -> dict[str, Any]:
    """Whether similar inputs have similar labels: p of a permutation test on <K, YY'>, over more than a batch.

    K is the centred cosine kernel of the inputs (token ids: of how often each occurs), Y the centred one-hot labels or
    the standardised targets. Research, section 4, row 13. Where inputs have no row for each sample (graphs, ragged
    text), it is that of what the model makes of them before it is trained.
    """
    torch = _torch()
    count = min(len(loader.dataset), _SAMPLES)
    # Spread over the whole data set: many are sorted by label.
    chosen = torch.linspace(0, len(loader.dataset) - 1, count).long().unique().tolist()
    started, parts = time.perf_counter(), []
    for begin in range(0, len(chosen), 32):
        if time.perf_counter() - started > _SECONDS:
            break
        part = chosen[begin : begin + 32]
        if len(part) > 1:
            parts.append(_fetched(loader, part, 3))
    found = _together(parts, known)
    by_model = found is None
    if found is None:
        found = _through(session, loader, chosen[: len(parts) * 32], known)
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
    for begin in range(0, len(chosen), 32):
        part = list(chosen[begin : begin + 32])
        if len(part) < 2 or time.perf_counter() - started > _SECONDS:
            break
        batch = session.transferred(collated(loader, part, 3))
        there = session.tensors(batch)
        labels = [there[path] for path, role in known.items() if role == {TARGET} and path in there]
        labels = [one for one in labels if one.dim() and len(one) == len(part)]
        done = session.run(batch, evaluation=True)
        outputs = [one.detach() for _, one in done.outputs if one.dim() and len(one) == len(part)]
        outputs = [one for one in outputs if one.is_floating_point() and not one.isnan().any()]
        if len(labels) != 1 or not outputs or labels[0].numel() // len(part) > 32:
            return None
        made.append(torch.cat([one.reshape(len(part), -1)[:, :_COLUMNS].double().cpu() for one in outputs], dim=1))
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
        buckets = _torch().nn.functional.one_hot(tensor.reshape(rows, -1).long() % 512, 512)
        return _standardised(buckets.sum(dim=1).double())
    return _standardised(tensor.reshape(rows, -1)[:, :_COLUMNS].double())


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


def _torch() -> Any:
    import torch

    return torch
