"""The first of many commits after which a training is another one, with as few trainings as can be. Pure.

A commit is known without a training where all that the training reaches of it is as in one that is known. Of the
others the one is asked for that splits what is left best (as git bisect does, merges too); one that cannot be trained
is passed by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class History:
    """The commits after `good` up to `bad`, oldest first, each with its parents; all of them descend from `good`."""

    good: str
    bad: str
    parents: Mapping[str, tuple[str, ...]]
    ancestors: Mapping[str, int] = field(default_factory=dict)  # of each, itself included: one bit per commit

    @classmethod
    def of(cls, good: str, bad: str, parents: Mapping[str, tuple[str, ...]]) -> History:
        """With the ancestors of each worked out. `parents` has a parent before its children."""
        ancestors: dict[str, int] = {}
        for number, (commit, before) in enumerate(parents.items()):
            ancestors[commit] = 1 << number
            for parent in before:
                ancestors[commit] |= ancestors.get(parent, 0)
        return cls(good=good, bad=bad, parents=parents, ancestors=ancestors)

    @property
    def commits(self) -> tuple[str, ...]:
        """Oldest first."""
        return tuple(self.parents)

    def mattering(self, contents: Callable[[str], str]) -> int:
        """The commits that no parent of theirs equals in what is reached: one of them it is. One bit per commit."""
        found = 0
        for number, (commit, before) in enumerate(self.parents.items()):
            known = [parent for parent in before if parent == self.good or parent in self.parents]
            if contents(commit) not in map(contents, known):
                found |= 1 << number
        return found


@dataclass(frozen=True, kw_only=True)
class Narrowed:
    """What is left: one commit is the finding, several are what those that were `skipped` leave open."""

    candidates: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    inherited: int = 0


Differs = Callable[[str], bool | None]  # None: it cannot be trained


def first(history: History, differs: Differs, contents: Callable[[str], str]) -> Narrowed:
    """The first commit that differs, where `history.bad` does and `history.good` does not.

    `contents` names what is reached of a commit: the same name, the same training. It may tell apart more after each
    training. Where it tells good and bad not apart it is not asked.
    """
    if contents(history.good) == contents(history.bad):
        return first(history, differs, lambda commit: commit)
    state = _State(history=history, left=history.ancestors[history.bad])
    while (split := state.next(contents)) is not None:
        known = state.known(contents).get(contents(split))
        state.learn(split, differs(split) if known is None else known)
    return state.narrowed(contents)


@dataclass(kw_only=True)
class _State:
    history: History
    left: int  # suspects, one bit per commit
    trained: dict[str, bool] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    def known(self, contents: Callable[[str], str]) -> dict[str, bool]:
        """By what is reached: whether it differs."""
        ends = {self.history.good: False, self.history.bad: True}
        return {contents(commit): differs for commit, differs in {**self.trained, **ends}.items()}

    def next(self, contents: Callable[[str], str]) -> str | None:
        """The suspect that splits best those that can be it; None where nothing splits them."""
        matter = self.left & self.history.mattering(contents)
        total, known, broken = matter.bit_count(), self.known(contents), {*map(contents, self.skipped)}
        best: tuple[bool, int, str] | None = None
        for number, (commit, ancestors) in enumerate(self.history.ancestors.items()):
            below = (matter & ancestors).bit_count()
            if not self.left >> number & 1 or not 0 < below < total or contents(commit) in broken:
                continue
            score = (contents(commit) in known, min(below, total - below) // (2 if self._is_near(number) else 1))
            if best is None or score > best[:2]:
                best = (*score, commit)
        return best[2] if best else None

    def _is_near(self, number: int) -> bool:
        """Whether one beside it could not be trained: then this one most likely cannot either."""
        commits = self.history.commits
        return any(one in self.skipped for one in commits[max(0, number - 1) : number + 2])

    def learn(self, commit: str, differs: bool | None) -> None:
        """What a commit came to."""
        if differs is None:
            self.skipped.append(commit)
            return
        self.trained[commit] = differs
        ancestors = self.history.ancestors[commit]
        self.left = self.left & ancestors if differs else self.left & ~ancestors

    def narrowed(self, contents: Callable[[str], str]) -> Narrowed:
        matter = self.history.mattering(contents)
        candidates = _commits(self.history.commits, self.left & matter or self.left)
        return Narrowed(
            candidates=candidates,
            skipped=tuple(one for one in self.skipped if one in candidates),
            inherited=len(self.history.commits) - matter.bit_count(),
        )


def _commits(commits: Iterable[str], bits: int) -> tuple[str, ...]:
    return tuple(commit for number, commit in enumerate(commits) if bits >> number & 1)
