"""Which parts of a batch go into the model, and which are held against its outputs."""

from __future__ import annotations

import contextlib
from typing import Any

from .session import Session

INPUT, TARGET = "input", "target"


def roles(session: Session) -> dict[str, set[str]]:
    """Path -> roles of each tensor in the batch, by memory shared with what modules and loss functions were given, or
    by equal values. Both for a language model's tokens; none for what neither is.

    Where no input is found (it was scaled or converted on the way), floating-point parts that are no targets are, if
    the loss follows them: there are data sets whose labels nobody reads, or that only count the steps.
    """
    if session.roles is None:
        session.roles = _roles(session)
    return session.roles


def _roles(session: Session) -> dict[str, set[str]]:
    seen = session.first
    given = [one for _, one in seen.inputs]
    wanted = [call.given["target"] for call in seen.calls if hasattr(call.given.get("target"), "detach")] + seen.wanted
    found: dict[str, set[str]] = {}
    for path, one in session.tensors(seen.batch).items():
        found[path] = {INPUT for _ in [0] if any(_is_of(one, other) for other in given)}
        is_target = any(_is_of(one, other) for other in wanted)
        if is_target and bool((one == one.reshape(-1)[0]).all()):  # a GAN's zeros are nobody's labels
            is_target = _matters(session, path)
        found[path] |= {TARGET} if is_target else set()
        # Hugging Face's models are given `labels` to compute the loss themselves: no layer of theirs ever gets them.
        if found[path] == {INPUT, TARGET} and seen.deep and not any(_is_of(one, other) for other in seen.deep):
            found[path] = {TARGET}
    if not any(INPUT in one for one in found.values()):
        for path, one in session.tensors(seen.batch).items():
            if not found[path] and one.dim() and (one.is_floating_point() or one.dim() > 1) and _matters(session, path):
                found[path] = {INPUT}
    if not any(TARGET in one for one in found.values()):
        rest = [path for path, one in found.items() if not one]
        if len(rest) == 1 and _matters(session, rest[0]):
            found[rest[0]] = {TARGET}
    return found


def _matters(session: Session, path: str) -> bool:
    """Whether the loss is another one with other numbers there, or cannot be computed from them."""
    try:
        batch = session.copy()
        one = session.tensors(batch)[path]
        one.copy_(one + 1 if one.is_floating_point() else one == 0)
        done = session.run(batch)
    except Exception:  # class numbers that do not exist, say
        return True
    before, after = ([float(one.detach().float().mean()) for one in each.losses] for each in (session.first, done))
    return not before or before != after


def _is_of(one: Any, other: Any) -> bool:
    """Whether `other` is `one`, a view of it, or has its values in another shape or type, but where it holds NaN."""
    with contextlib.suppress(RuntimeError, NotImplementedError):  # of a layout without storage
        if one.numel() and one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr():
            return True
    if one.numel() != other.numel() or not one.numel():
        return False
    with contextlib.suppress(RuntimeError):
        mine, its = one.detach().reshape(-1).double(), other.detach().reshape(-1).double()
        missing = mine.isnan()  # labels that are not there, and that the step put something in the place of
        return not bool(missing.all()) and bool((missing | (mine == its)).all())
    return False
