"""An environment change is an epoch of a reference: the old and the new one on the same commit, and what it moved."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

import msgspec

from . import comparison, references
from .errors import UserError
from .references import Epoch, Reference

_LISTED = 3  # differences in a sentence


def with_history(new: Reference, old: Reference | None, *, epoch: bool) -> Reference:
    """A candidate with what its reference knows of earlier ones: the metrics it began with, its changes of environment.

    Raises UserError for another environment that is not blessed as an epoch, and for an epoch that could not tell what
    the environment moved from what the code did.
    """
    where = f"the candidate of {new.training}"
    changed = references.differences(old.machine.hard, new.machine.hard) if old else ()
    if epoch:
        _expect_epoch(new, old, changed, where)
    elif changed:
        said = "; ".join(changed[:_LISTED]) + (" …" if len(changed) > _LISTED else "")
        hint = "Bless it on the reference's own commit, as an epoch: --epoch. See docs/references.md."
        raise UserError(f"another environment than the reference's: {said}", where=where, hint=hint)
    if old is None:
        return new
    origin = means(old) | old.origin
    begun = (_epoch(old, new),) if epoch else ()
    return msgspec.structs.replace(new, origin=origin, epochs=(*old.epochs, *begun))


def expect_commit(known: Mapping[str, Reference], head: str, training: str) -> None:
    """Raise UserError, before anything is trained, where no reference is of the commit that is checked out."""
    if not any(one.commit == head for one in known.values()):
        commits = ", ".join(sorted({one.commit[:12] for one in known.values()})) or "none"
        raise UserError(
            f"an epoch needs the reference's own commit ({commits}), and {head[:12]} is checked out",
            where=f"the reference of {training}",
            hint=_THERE,
        )


_THERE = (
    "`git worktree add ../epoch <commit>`, `backburn reproduce --candidate` there, in the new environment, and name its"
    " candidate.json behind `backburn bless reproduce --epoch`."
)


def _expect_epoch(new: Reference, old: Reference | None, changed: tuple[str, ...], where: str) -> None:
    if old is None:
        hint = "Bless it without --epoch."
        raise UserError(
            f"there is no reference for {new.machine.hardware} yet, and no epoch to end", where=where, hint=hint
        )
    if not changed:
        hint = "Bless it without --epoch."
        raise UserError("the environment is the reference's: there is no epoch to begin", where=where, hint=hint)
    if old.commit != new.commit:
        said = f"the reference is of {old.commit[:12]} and this is of {new.commit[:12]}: what moved could be the code"
        raise UserError(said, where=where, hint=_THERE)


def _epoch(old: Reference, new: Reference) -> Epoch:
    before, after = means(old), means(new)
    moved = {name: (before[name], after[name]) for name in before if name in after}
    return Epoch(commit=new.commit, date=new.date, before=old.machine.hard, after=new.machine.hard, moved=moved)


def means(one: Reference) -> dict[str, float]:
    """Of each metric at the end, over its runs."""
    return {name: statistics.fmean(one.runs(name)) for name in comparison.finals(one)}


def drift(one: Reference) -> dict[str, tuple[float, float]]:
    """How far each metric's mean has come since it was first blessed: in all, and by its environments alone."""
    now = {name: value for name, value in means(one).items() if name in one.origin}
    return {name: (value - one.origin[name], _by_environment(one, name)) for name, value in now.items()}


def _by_environment(one: Reference, name: str) -> float:
    return sum(it.moved[name][1] - it.moved[name][0] for it in one.epochs if name in it.moved)
