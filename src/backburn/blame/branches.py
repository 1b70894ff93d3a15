"""Into a merge: which of the commits that it brought is it?

Where a branch left before the good commit, its commits do not hold that, and the merge is what the search ends at. Each
of them is then merged, up to there, into the line that it was merged into, and trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from .. import commits
from ..commits import Conflict
from ..reproduction.rerun import apart
from .exact import Guilt, Searched, asked_at, parent_of, upto
from .search import History, first
from .world import Ledger


def entered(found: Searched, ledger: Ledger, history: History, top: Path) -> Searched:
    """The same findings, a merge among them replaced by the commit that it brought, where that can be told."""
    guilts = tuple(_inside(one, ledger, history, top) for one in found.guilts)
    return replace(found, guilts=guilts)


def _inside(guilt: Guilt, ledger: Ledger, history: History, top: Path) -> Guilt:
    parents = history.parents.get(guilt.commit, ())
    if not [one for one in parents if one not in history.parents and one != history.good]:
        return guilt
    main = parent_of(history, guilt.commit)
    return narrowed(guilt, ledger, commits.brought(top, guilt.commit, main), main)


def narrowed(guilt: Guilt, ledger: Ledger, brought: Mapping[str, tuple[str, ...]], main: str) -> Guilt:
    """One commit of those that a merge `brought` to `main`; the merge itself where it is none of them alone."""
    tip = [*brought][-1] if brought else ""

    def differs(commit: str) -> bool | None:
        try:
            ran = ledger.train(replace(asked_at(guilt.at, commit), onto=main))
        except Conflict:
            return None
        return None if ran.failed else apart(guilt.before, ran, upto=upto(guilt.at)) is not None

    if not tip or not differs(tip):
        return guilt
    left = next(iter(brought[next(iter(brought))]), main)  # where the branch left: all of that is in `main`
    branch = History.of(left, tip, brought)
    found = first(branch, differs, ledger.world.contents)
    if len(found.candidates) != 1:
        return guilt
    return replace(guilt, inside=found.candidates[0])
