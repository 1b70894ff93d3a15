"""What ctc_loss is given: it checks nothing itself, and with `zero_infinity` hides what cannot be."""

from __future__ import annotations

from typing import Any

from ..floor import Call
from .session import Session, Untold

_SUM = 1e-2  # by which a row of logarithms of probabilities may miss 0; bfloat16 misses it by 4e-3


def look(session: Session) -> dict[str, Any]:
    """As `backburn.memorization.ctc.Ctc` says."""
    calls = [one for one in session.first.calls if one.name == "ctc_loss" and one.given]
    if not calls:
        raise Untold("ctc_loss is not called")
    return {"calls": [_facts(one) for one in calls]}


def _facts(call: Call) -> dict[str, Any]:
    given = call.given
    scores, blank = given["log_probs"].detach().float(), int(given["blank"])
    targets = _targets(given["targets"], _lengths(given["target_lengths"]))
    frames = _lengths(given["input_lengths"])
    return {
        "where": call.where,
        "value": float(call.value.float().mean()),
        "normalised": _sums_to_one(scores, -1),
        "other_axis": any(_sums_to_one(scores, axis) for axis in range(scores.dim() - 1)),
        "targets": sum(map(len, targets)),
        "blank": blank,
        "blanks": sum(one.count(blank) for one in targets),
        "samples": len(targets),
        "short": sum(_needed(one) > length for one, length in zip(targets, frames)),
    }


def _sums_to_one(scores: Any, axis: int) -> bool:
    return bool((scores.logsumexp(dim=axis).abs() <= _SUM).all())


def _lengths(given: Any) -> list[int]:
    return [int(one) for one in (given.reshape(-1) if hasattr(given, "reshape") else given)]


def _targets(given: Any, lengths: list[int]) -> list[list[int]]:
    """The labels of each sample: of a row each, or one after the other."""
    if given.dim() == 2:
        return [row[:length] for row, length in zip(given.tolist(), lengths)]
    flat, found, at = given.tolist(), [], 0
    for length in lengths:
        found.append(flat[at : at + length])
        at += length
    return found


def _needed(labels: list[int]) -> int:
    """Frames at least: one for each label, and a blank between two that are the same."""
    return len(labels) + sum(one == other for one, other in zip(labels, labels[1:]))
