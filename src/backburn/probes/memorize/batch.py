"""The batch itself, and the same samples fetched once more under other random numbers."""

from __future__ import annotations

import collections
import itertools
import math
import re
import time
from collections.abc import Sequence
from typing import Any

from ..batches import leaves
from . import places
from .alignment import CHUNK, CLASSES, COLUMNS, SECONDS, WIDE, aligned, paired
from .datasets import collated, loader_of, recollected
from .roles import INPUT, TARGET, roles
from .session import Session, Untold, is_plain
from .snapshot import numbers_kept

_SAMPLES = 192  # fetched for labels-match-inputs and what a reference notes: 200 permutations of as many take 25 ms
_NUMBERS = 1 << 14  # of a part, spread over it, that its statistics are of: to sort them takes 1 ms
_REVIEWED = 8  # parts that a reference notes
_TOLD_APART = 16  # classes at most that a column may say "it is this one" of
_OCCURS = 3  # times that such a class occurs, and is absent, at least
_EXACT = 0.999999  # |correlation| of a column with a class, or with what is no target as far as one can see
_LUCK = 1e-3  # columns that are a class by chance, at most

Chunk = tuple[int, Any]  # how many samples, and them collated


def look(session: Session) -> dict[str, Any]:
    """Plain data, as `backburn.memorization.batch.Batch` says."""
    tensors = {path: one for path, one in session.tensors().items() if one.numel()}
    if not tensors:
        raise Untold("the batch holds no tensor")
    known = _roles(session)
    rows = session.size
    told: dict[str, Any] = {"rows": rows, "asked": session.asked, "stream": _is_stream(session)}
    told["leaves"] = [_leaf(path, one, rows, known.get(path, set())) for path, one in tensors.items()]
    told["leaks"] = _leaks(session, tensors, known, rows)
    told["copies"] = _copies(tensors)
    told["parts"] = _parts([(session.asked or rows, tensors)], known)
    loader = loader_of(session)
    if loader is not None:
        with numbers_kept(), recollected(loader):
            again = _refetched(session, loader, known)
            more = again.pop("leaks", [])
            asked = {(one["path"], one["target"]) for one in more}
            told["leaks"] = [one for one in told["leaks"] if (one["path"], one["target"]) not in asked] + more
            told |= again
    return told


def _copies(tensors: dict[str, Any]) -> list[str]:
    """Parts of real numbers, more than one for a sample, that are equal: the views of a pair, say."""
    wide = {path: one for path, one in tensors.items() if one.is_floating_point() and one.dim() > 1}
    wide = {path: one for path, one in list(wide.items())[:_REVIEWED] if bool((one != one.reshape(-1)[0]).any())}
    return [f"{a}={b}" for a, b in itertools.combinations(wide, 2) if _equal(wide[a], wide[b])]


def _roles(session: Session) -> dict[str, set[str]]:
    try:
        return roles(session)
    except Exception:  # a training_step that fails on this very batch: its parts can still be looked at
        return {}


def _is_stream(session: Session) -> bool:
    """Whether its samples come one after the other, and none can be asked for: an IterableDataset, a generator."""
    combined = getattr(session.trainer.fit_loop, "_combined_loader", None)
    one = next(iter(combined.flattened), None) if combined is not None else None
    source = getattr(one, "dataset", getattr(one, "batches", one))
    return not hasattr(source, "__getitem__") or not hasattr(source, "__len__")


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
        if len(values) <= CLASSES:
            told["counts"] = {str(int(key)): int(count) for key, count in zip(values, counts)}
    return told


# The parts, as a reference notes them


def _parts(chunks: Sequence[tuple[int, dict[str, Any]]], known: dict[str, set[str]]) -> list[dict[str, Any]]:
    """What the numbers of each part are like, over all chunks. Tensors of a list with one for each sample are one."""
    pieces: dict[str, list[Any]] = collections.defaultdict(list)
    samples: collections.Counter[str] = collections.Counter()
    about: dict[str, dict[str, Any]] = {}
    for count, tensors in chunks:
        named = _named(tensors, count)
        samples.update({name: count for name in named.values()})
        for path, name in named.items():
            one = tensors[path].detach()
            kind = {"dtype": str(one.dtype).rpartition(".")[2], "shape": list(one.shape)}
            about.setdefault(name, {"path": name, "roles": sorted(known.get(path, ()))} | kind)
            pieces[name].append(_thinned(one, _NUMBERS // len(chunks) // (count if name != path else 1)))
    total = sum(count for count, _ in chunks)
    always = sorted(
        (name for name in about if 2 * samples[name] > total > 1), key=lambda name: not about[name]["roles"]
    )
    numbers = {name: _numbers(_torch().cat(pieces[name])) for name in always[:_REVIEWED]}
    return [about[name] | {"rows": samples[name]} | one for name, one in numbers.items()]


def _named(tensors: dict[str, Any], count: int) -> dict[str, str]:
    """Path -> name of its part: `batch[1][]['boxes']` for each of as many as there are samples."""
    paths = [path for path, one in tensors.items() if one.numel() and not one.is_complex()]
    alike = collections.Counter(name for path in paths for name in _any_index(path))
    return {path: next((name for name in _any_index(path) if alike[name] == count > 2), path) for path in paths}


def _any_index(path: str) -> list[str]:
    """The path with one of its numbers left out, each in turn."""
    return [f"{path[: one.start()]}[]{path[one.end() :]}" for one in re.finditer(r"\[\d+\]", path)]


def _thinned(one: Any, count: int) -> Any:
    """So many of its numbers at most, spread over it by an odd step: rows and columns are even."""
    flat = one.reshape(-1)
    return flat[:: (len(flat) // max(count, 1)) | 1].cpu() if len(flat) > count else flat.cpu()


def _numbers(one: Any) -> dict[str, Any]:
    """Mean, scale and shares of these numbers."""
    values = one.double()
    values = values[values.isfinite()] if one.is_floating_point() else values
    if not len(values):
        return {"not_finite": len(one)}
    centred = values - values.mean()
    std = float(centred.square().mean().sqrt())
    low, middle, high = values.sort()[0][[len(values) // 4, len(values) // 2, (3 * len(values)) // 4]].tolist()
    told: dict[str, Any] = {"low": float(values.min()), "high": float(values.max())}
    told |= {"mean": float(values.mean()), "std": std}
    told |= {"between": high - low, "tail": float((centred / std).pow(4).mean()) if std > 0 else 0.0}
    told["negative"] = float((values < 0).double().mean())
    told["fractions"] = float((values != values.round()).double().mean()) if one.is_floating_point() else 0.0
    told["whole"] = not told["fractions"]
    if not one.is_floating_point():
        told["ignored"] = float((values == -100).double().mean())
        kinds, counts = one.unique(return_counts=True)
        most = int(counts.where(kinds != -100, counts * 0).argmax())
        told |= {"common": float(kinds[most]), "share": int(counts[most]) / len(values)}
        if len(kinds) <= CLASSES:
            told["counts"] = {str(int(key)): int(count) for key, count in zip(kinds, counts)}
    return told


# Labels among the inputs


def _leaks(session: Session, tensors: dict[str, Any], known: dict[str, set[str]], rows: int) -> list[dict[str, Any]]:
    """The column of each input that is most like a target: |correlation| with it, or with whether it is a class."""
    told: list[dict[str, Any]] = []
    if rows < 8:
        return told
    own = {path: one for path, one in tensors.items() if one.dim() and len(one) == rows and not one.is_complex()}
    inputs = [path for path in own if known.get(path) == {INPUT}]
    wanted = [path for path in own if own[path].numel() == rows and known.get(path, set()) <= {TARGET}]
    for path, where in itertools.product(inputs, wanted):
        if _shares(session, path, where):
            continue
        leak = _leak(own[path], own[where].reshape(rows)) | {"path": path, "target": where, "rows": rows}
        # What is no target, as far as one can see, is one if the loss follows it: the times of a survival model.
        if known.get(where) or (leak["correlation"] > _EXACT and _matters(session, where)):
            told.append(leak)
    return told


def _shares(session: Session, one: str, other: str) -> bool:
    held = session.tensors()
    return bool(
        one not in held
        or other not in held
        or held[one].untyped_storage().data_ptr() == held[other].untyped_storage().data_ptr()
    )


def _matters(session: Session, path: str) -> bool:
    """Whether the loss is another one where each sample has its neighbour's: ranks of times do not change by a sum."""
    try:
        batch = session.copy()
        one = session.tensors(batch)[path]
        one.copy_(one.roll(1, 0))
        before, after = (
            [float(each.detach().float().mean()) for each in done.losses]
            for done in (session.first, session.run(batch))
        )
    except Exception:
        return False
    return before != after


def _leak(given: Any, target: Any) -> dict[str, Any]:
    """The column that is most like the target; one that is whether it is some class, where that is more so."""
    columns = given.detach().reshape(len(target), -1)[:, :COLUMNS].double()
    values = [None, *_classes_apart(target, columns.shape[1])]
    wanted = [target.double() if value is None else (target == value).double() for value in values]
    likeness = (_direction(columns).T @ _direction(_torch().stack(wanted, dim=1))).abs()
    most, where = likeness.max(dim=0)
    best = int(most.argmax()) if float(most.max()) > max(_EXACT, float(most[0])) else 0
    told: dict[str, Any] = {"column": int(where[best]), "correlation": float(most[best])}
    return told | ({"value": values[best]} if best else {})


def _classes_apart(target: Any, columns: int) -> list[int]:
    """Classes that are there and absent often enough; of few rows and many columns of bits, one is a class by luck."""
    if target.is_floating_point():
        return []
    values, counts = target.unique(return_counts=True)
    found = [(int(value), int(count)) for value, count in zip(values, counts)] if len(values) <= _TOLD_APART else []
    rows = len(target)
    found = [(value, count) for value, count in found if _OCCURS <= count <= rows - _OCCURS]
    return [value for value, count in found if columns <= _LUCK * math.comb(rows, count)]


def _direction(columns: Any) -> Any:
    """Centred columns of length 1; of 0 where they hardly vary."""
    centred = columns - columns.mean(dim=0)
    length = centred.norm(dim=0)
    return centred.mul_((length > 1e-9) / length.clamp_min(1e-12))


# The same samples again


def _refetched(session: Session, loader: Any, known: dict[str, set[str]]) -> dict[str, Any]:
    if loader.batch_sampler is None:
        return {}
    try:
        indices = list(next(iter(loader.batch_sampler)))
        started = time.perf_counter()
        one = _fetched(loader, indices, 1)
        if time.perf_counter() - started > SECONDS:
            return {"untried": f"a batch takes {time.perf_counter() - started:.1f} s to load"}
        other, same = _fetched(loader, indices, 2), _fetched(loader, indices, 1)
    except Exception as error:  # a sampler or data set of its own kind; the training has its batch already
        return {"untried": f"{type(error).__name__}: {error}"[:200]}
    told: dict[str, Any] = {"again": _compared(one, other, known, len(indices))}
    drifts = [path for path in one.keys() & same.keys() if not _equal(one[path], same[path])]
    told["drifts"] = sorted(drifts)
    chosen, chunks = _chunks(loader)
    raw = [(count, _plain(batch)) for count, batch in chunks]
    told["alignment"] = aligned(session, loader, known, chosen, [one for _, one in raw])
    return told | _over_all(session, chunks, raw, known)


def _chunks(loader: Any) -> tuple[list[int], list[Chunk]]:
    """Samples from all over the data set, which may be sorted by label, in an order drawn once and for all."""
    torch = _torch()
    count = min(len(loader.dataset), _SAMPLES)
    chosen = torch.linspace(0, len(loader.dataset) - 1, count).long().unique()
    # In their own order a chunk would hold one class of them: to centre each chunk would take the class away.
    chosen = chosen[torch.randperm(len(chosen), generator=torch.Generator().manual_seed(0))].tolist()
    started, chunks = time.perf_counter(), []
    for begin in range(0, len(chosen), CHUNK):
        part = chosen[begin : begin + CHUNK]
        if time.perf_counter() - started > SECONDS:
            break
        if len(part) > 1:
            chunks.append((len(part), collated(loader, part, 3)))
    return chosen, chunks


def _over_all(
    session: Session, chunks: Sequence[Chunk], raw: Sequence[tuple[int, dict[str, Any]]], known: dict[str, set[str]]
) -> dict[str, Any]:
    """Leaks, pairs and parts, of more samples than a batch has."""
    told: dict[str, Any] = {}
    if len(raw) < 2:
        return told
    together = _by_row(raw)
    told["pairs"] = paired(together, [count for count, _ in raw], known)
    wide = {path: _torch().cat(one) for path, one in together.items() if len({each.shape[1:] for each in one}) == 1}
    # Of pictures, the batch has to do: 20 ms for 4096 columns, and no pixel is the label.
    narrow = {path: one for path, one in wide.items() if one.numel() <= WIDE * len(one)}
    told["leaks"] = _leaks(session, narrow, known, sum(count for count, _ in raw))
    moved, started = [], time.perf_counter()
    try:
        for count, batch in chunks:
            moved.append((count, session.tensors(session.transferred(batch))))
            if time.perf_counter() - started > SECONDS / 2:  # what is augmented on its way
                break
    except Exception:  # a hook that counts, or that is given the training's own batches only
        return told
    return told | {"parts": _parts(moved, known), "places": places.told(moved, known)}


def _by_row(raw: Sequence[tuple[int, dict[str, Any]]]) -> dict[str, list[Any]]:
    """Path -> its tensor in each chunk, of those that have a row for each sample."""
    paths = [path for path in raw[0][1] if all(path in one for _, one in raw)]
    found = {path: [one[path] for _, one in raw] for path in paths}
    whole = {path for path in paths if all(one[path].dim() and len(one[path]) == count for count, one in raw)}
    return {path: one for path, one in found.items() if path in whole and not one[0].is_complex()}


def _plain(batch: Any) -> dict[str, Any]:
    return {path: value for path, value in leaves(batch) if is_plain(value)}


def _fetched(loader: Any, indices: Sequence[Any], seed: int) -> dict[str, Any]:
    """Path -> tensor of these samples, collated as ever, with the random numbers of `seed`."""
    return _plain(collated(loader, indices, seed))


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
                told["smooth"] = told.get("smooth", True) and places.is_smooth(a) and places.is_smooth(b)
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


def _torch() -> Any:
    import torch

    return torch
