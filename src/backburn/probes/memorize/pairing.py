"""Whether row i of the outputs is held against row i of the targets, where a loss function of torch's is given both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..floor import Call
from .exchange import Exchange
from .lossfacts import BY_CLASS, tensors
from .passes import Pass
from .session import Session, Untold

_PAIRS = 3  # samples that are made copies of another, to see which rows move
_SAMPLES = 4

Moved = tuple[Any, Any]  # whether each row of the outputs moved, and of the targets


def look(session: Session) -> dict[str, Any]:
    """Calls whose targets of a sample stand in other rows than its outputs do: sample i is made a copy of sample j, in
    eval mode, and what moved is compared. Only calls of outputs and targets of one number of rows.
    """
    if session.size < _SAMPLES:
        raise Untold(f"fewer than {_SAMPLES} samples")
    plain = session.run(evaluation=True)
    if not any(map(_rows, plain.calls)):
        raise Untold("no loss function of torch's was given outputs and targets row by row")
    if seen := _moves(plain, _copies(session)):
        return {"unpaired": list(_unpaired(plain, seen))}
    exchange = Exchange(session)  # a sample is no row of each part: graphs, ragged rows
    seen = _moves(exchange.plain, (done for _, done in exchange.each()))
    # Of samples that are sorted on the way, several rows move, and now and then the right one is among them.
    return {"unpaired": list(_unpaired(exchange.plain, seen, all))}


def _copies(session: Session) -> Iterator[Pass]:
    for mine in range(1, 1 + _PAIRS):
        batch = session.copy()
        if _copy_row(session, batch, mine):
            yield session.run(batch, evaluation=True)


def _moves(plain: Pass, changes: Iterable[Pass]) -> dict[int, list[Moved]]:
    """By the index of the call: which rows of its outputs and of its targets each change of a sample moved."""
    seen: dict[int, list[Moved]] = {}
    for changed in changes:
        if len(changed.calls) != len(plain.calls):
            return {}
        for index, (one, other) in enumerate(zip(plain.calls, changed.calls)):
            before, after = _rows(one), _rows(other)
            if before and after and all(a.shape == b.shape for a, b in zip(before, after)):
                outputs, targets = ((a != b).any(dim=1) for a, b in zip(before, after))
                if bool(outputs.any()) and bool(targets.any()):
                    seen.setdefault(index, []).append((outputs, targets))
    return seen


def _unpaired(
    plain: Pass, seen: dict[int, list[Moved]], enough: Callable[[Iterable[bool]], bool] = any
) -> Iterator[dict[str, Any]]:
    mixed = {_place(plain.calls[index]) for index, pairs in seen.items() if enough(map(_overlap, pairs))}
    for index, pairs in seen.items():
        call, (outputs, targets) = plain.calls[index], next((one for one in pairs if not _overlap(one)), pairs[0])
        if _place(call) not in mixed:  # mixup holds the same outputs against another sample's targets too
            rows = [int(one.nonzero()[0]) for one in (targets, outputs)]
            yield {"name": call.name, "where": call.where, "target": rows[0], "output": rows[1]}


def _overlap(moved: Moved) -> bool:
    """Whether most rows in which the one moved, of which fewer did, are rows in which the other did: targets that are
    normalised over the batch all move.
    """
    outputs, targets = moved
    return bool((outputs & targets).sum() * 2 > min(outputs.sum(), targets.sum()))


def _place(call: Call) -> int:
    """Which outputs a call was given: where they lie in memory."""
    return int(call.given["input"].data_ptr())


def _rows(call: Call) -> tuple[Any, Any] | None:
    """Outputs and targets, a row each: (rows, classes) and (rows, 1), or (rows, features) of both."""
    put, wanted = tensors(call)
    if put is None or put.dim() < 1 or wanted.dim() < 1:
        return None
    put, wanted = put.detach(), wanted.detach()
    if call.name in BY_CLASS and not wanted.is_floating_point():
        if put.dim() < 2:
            return None
        put, wanted = put.movedim(1, -1).reshape(-1, put.shape[1]), wanted.reshape(-1, 1)
    else:
        put, wanted = put.reshape(put.shape[0], -1), wanted.reshape(wanted.shape[0], -1)
    return (put, wanted) if len(put) == len(wanted) and len(put) > 1 else None


def _copy_row(session: Session, batch: Any, mine: int) -> bool:
    """Make sample `mine` a copy of one that differs from it in the most parts of the batch."""
    import torch

    fields = [one for one in session.tensors(batch).values() if one.dim() and one.shape[0] == session.size]
    others = [index for index in range(session.size) if index != mine]
    best = max(others, key=lambda index: sum(not torch.equal(one[mine], one[index]) for one in fields))
    differ = [not torch.equal(one[mine], one[best]) for one in fields]
    for one in fields:
        one[mine] = one[best].clone()
    return any(differ)
