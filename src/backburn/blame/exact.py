"""Which commit changed a training that repeats to the last bit: compare bits at the first step that differs. Pure.

The ends are compared over prefixes that grow until they part; from then on each commit is trained up to that step
alone, so that a search costs the logarithm of the commits times a small part of a training. The proof is a training
of the bad end without the commit; what still differs then has another cause, and is searched for in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from ..commits import Conflict
from ..errors import Unjudged
from ..reproduction.rerun import Apart, Ask, Ran, apart
from . import story
from .search import History, Narrowed, first
from .world import Ledger

_SHORT, _LONG = 5, 600  # steps of the first prefix, where a training has not as many as that
_GROWTH = 4  # each further one is so many times as long, and one more step: 5, 21, 85, 341 …
_IN_DETAIL = 21  # a prefix up to here is recorded in detail as a whole: its step is exact at once
_WIDEST = 512  # steps between two of the grid that are recorded in detail to find the exact one
_CULPRITS = 4  # found one after another at most


class NotRepeating(Exception):
    """Two trainings of the good end differ from `step` on: bits say nothing of a commit."""

    def __init__(self, step: int) -> None:
        super().__init__(f"two trainings of the same commit differ from step {step} on")
        self.step = step


class Same(Exception):
    """Both ends come to the same, as far as they were trained."""


@dataclass(frozen=True, kw_only=True)
class Guilt:
    """One finding: the commits that are left, where both sides part, and the trainings that were compared there."""

    narrowed: Narrowed
    at: Apart
    before: Ran
    after: Ran
    inside: str = ""  # of a merge that is the culprit, the commit it brought

    @property
    def commit(self) -> str:
        """The culprit; empty where several are left."""
        return self.narrowed.candidates[0] if len(self.narrowed.candidates) == 1 else ""


@dataclass(frozen=True, kw_only=True)
class Searched:
    """All findings, in the order in which they were found, and what became of the bad end without them."""

    guilts: tuple[Guilt, ...]
    proof: str = ""
    proven: bool = False


@dataclass(kw_only=True)
class Search:
    """One search. `budget`: full trainings up to which it looks for further culprits behind the first. `near`: the
    last step at which a night was the good end still, and the first at which it was not; where it looks first.
    """

    ledger: Ledger
    history: History
    near: tuple[int, int] = (0, 0)
    budget: float = 0.25
    strict: bool = False
    op_by_op: bool = False  # whether the step is recorded so in each commit: then the op that differs is known
    out: list[str] = field(default_factory=list)  # culprits, taken out of what follows
    guilts: list[Guilt] = field(default_factory=list)

    def run(self) -> Searched:
        """Raises Same, NotRepeating, and Unjudged where an end cannot be trained."""
        located = self.locate()
        while True:
            guilt = self.narrow(located)
            if not guilt.commit or guilt.commit in self.out:
                self.guilts += [] if guilt.commit else [guilt]
                return self._ended(_open(guilt))
            self.out.append(guilt.commit)
            try:
                if self._is_innocent(located):
                    self.out.remove(guilt.commit)
                    self.strict = True
                    continue
                self.guilts.append(guilt)
                left, through = self.remaining(located)
            except (Conflict, Unjudged) as error:
                self.guilts += [guilt] if guilt not in self.guilts else []
                return self._ended(f"{error}; it was compared with its parent alone")
            if left is None:
                said = f"{self._bad} without {_them(self.out)} is {self._good} again, to the last bit, {through}"
                return self._ended(said, proven=True)
            if len(self.out) == _CULPRITS:
                return self._ended(f"{self._bad} without {_them(self.out)} still differs at step {left.step}")
            located, self.strict = left, False

    @property
    def _good(self) -> str:
        return self.history.good[:12]

    @property
    def _bad(self) -> str:
        return self.history.bad[:12]

    def _ended(self, proof: str, *, proven: bool = False) -> Searched:
        return Searched(guilts=tuple(self.guilts), proof=proof, proven=proven)

    # Where both ends part

    def locate(self) -> Apart:
        """The first step at which the ends differ, confirmed. Raises Same where there is none."""
        for until, detail in self._spans():
            good, bad = self._ends(until, detail)
            if where := apart(good, bad):
                return self._exact(where, until, good, bad)
            if good.whole and bad.whole:
                break
        raise Same(f"both come to the same, to the last bit, over {self.ledger.planned or 'all'} steps")

    def _is_innocent(self, located: Apart) -> bool:
        """Whether the bad end is the same without what was found last: another commit has undone it.

        Raises Conflict where it cannot be taken out.
        """
        if self.strict:
            return False
        _, without = self._ends(*self._proof(located))
        found = self.out.pop()
        bad = self.ledger.sound(self._plain(self.history.bad, located))
        self.out.append(found)
        return apart(bad, without, upto=upto(located)) is None

    def remaining(self, located: Apart) -> tuple[Apart | None, str]:
        """Where the bad end without its culprits still differs (None: nowhere), and how far that was looked at: to
        where it did before, and once more as far as the budget goes.

        Raises Conflict where they cannot be taken out.
        """
        proof, through = self._proof(located), ""
        more = self._affordable()
        for until, detail in (proof, (more, _whole(more))):
            if through and not 2 * proof[0] <= until:
                break
            good, bad = self._ends(until, detail)
            if where := apart(good, bad):
                return self._left(where, located, until, good, bad), through or f"through step {located.step}"
            through = f"through step {until}" if until else "to the end"
            if not until or good.whole and bad.whole:
                break
        return None, through

    def _left(self, where: Apart, located: Apart, until: int, good: Ran, bad: Ran) -> Apart | None:
        """What still differs; None where that is no more than the good end itself does from there on."""
        try:
            return where if where.step <= located.step else self._exact(where, until, good, bad)
        except NotRepeating:
            return None

    def _proof(self, located: Apart) -> tuple[int, tuple[int, int]]:
        """How far, and with which steps in detail, the bad end without its culprits is held against the good one: as
        far as that was trained already.
        """
        until = until_of(located)
        lengths = [ask.until for ask in self.ledger.done if self._is_good(ask) and 0 < ask.until <= _IN_DETAIL]
        if until and max(lengths, default=0) >= until:
            return max(lengths), _whole(max(lengths))
        return until, (0, 0) if located.late else _around(located.step)

    def _is_good(self, ask: Ask) -> bool:
        return ask.commit == self.history.good and not ask.shift

    def _affordable(self) -> int:
        """Steps that both ends can still be trained for, within the budget."""
        ledger = self.ledger
        return max(0, int((self.budget * ledger.planned - ledger.steps) / 2))

    def _spans(self) -> Iterator[tuple[int, tuple[int, int]]]:
        """Lengths to train and their steps in detail: what a night said, then prefixes that are longer."""
        last, step = self.near
        until = max(step, _SHORT) if step else 0
        if until:
            yield until, _whole(until) if until <= _IN_DETAIL else (max(1, last, step - _WIDEST + 1), step)
        for further in self._prefixes():
            if not further or further > until:
                yield further, _whole(further)

    def _prefixes(self) -> Iterator[int]:
        """Lengths to train, the whole training (0) in the end."""
        until = _SHORT if self.ledger.planned < _LONG else _IN_DETAIL
        while not self.ledger.planned or until < self.ledger.planned:
            yield until
            until = until * _GROWTH + 1
        yield 0

    def _ends(self, until: int, detail: tuple[int, int], again: int = 0) -> tuple[Ran, Ran]:
        good = Ask(commit=self.history.good, until=until, detail=detail, again=again)
        bad = replace(good, commit=self.history.bad, without=self.without(self.history.bad))
        return self.ledger.sound(good), self.ledger.sound(bad)

    def without(self, commit: str) -> tuple[str, ...]:
        """The culprits that this commit holds, newest first."""
        mine = self.history.ancestors.get(commit, 0)
        held = [one for number, one in enumerate(self.history.commits) if one in self.out and mine >> number & 1]
        return tuple(reversed(held))

    def _exact(self, where: Apart, until: int, good: Ran, bad: Ran) -> Apart:
        """The very step, where the grid left some out. Raises NotRepeating where the good end does not, up to there."""
        self.op_by_op, seen = story.of(where, good, bad).has_op, upto(where)
        # A validation's line is where it is, and what is compared there needs no detail.
        plain = where.late or where.ended or 0 < until <= _IN_DETAIL
        wide = where.step - where.last > 1 and not plain
        repeated = replace(
            self._plain(self.history.good, where) if wide else self._ask(self.history.good, where), again=1
        )
        if wide:
            repeated = replace(repeated, detail=(max(where.last + 1, where.step - _WIDEST + 1), where.step))
            other = replace(repeated, commit=self.history.bad, without=self.without(self.history.bad))
            where = apart(self.ledger.sound(repeated), self.ledger.sound(other)) or where
        moved = apart(good, self.ledger.sound(repeated), upto=seen)  # at a step that both recorded
        if moved:
            raise NotRepeating(moved.step)
        return where

    # Which commit it is

    def narrow(self, at: Apart) -> Guilt:
        """The commits that are left after a bisection at that step."""
        good = self.ledger.sound(self._ask(self.history.good, at))

        def differs(commit: str) -> bool | None:
            if commit == self.history.good:
                return False
            try:
                ran = self.ledger.train(self._ask(commit, at))
            except Conflict:
                return None
            if ran.failed:
                return None
            if self.strict:  # what is neither was undone later
                bad = self.ledger.sound(self._plain(self.history.bad, at))
                return apart(bad, ran, upto=upto(at)) is None
            return apart(good, ran, upto=upto(at)) is not None

        def contents(commit: str) -> str:
            return self.ledger.world.contents(commit, self.without(commit))

        guilt = self._guilt(first(self.history, differs, contents), at, good)
        if guilt.commit and not (differs(guilt.commit) and differs(parent_of(self.history, guilt.commit)) is False):
            # What the training reaches was not all that decided it: nothing is known without a training then.
            guilt = self._guilt(first(self.history, differs, lambda commit: commit), at, good)
        return guilt

    def _guilt(self, narrowed: Narrowed, at: Apart, good: Ran) -> Guilt:
        """With the trainings at both sides of the step, which were done already but for one."""
        if len(narrowed.candidates) > 1:
            return Guilt(
                narrowed=narrowed, at=at, before=good, after=self.ledger.train(self._ask(self.history.bad, at))
            )
        (commit,) = narrowed.candidates
        parent = self.ledger.train(self._ask(parent_of(self.history, commit), at))
        after = self.ledger.train(self._ask(commit, at))
        return Guilt(narrowed=narrowed, at=at, before=good if parent.failed else parent, after=after)

    def _ask(self, commit: str, at: Apart) -> Ask:
        return replace(self._plain(commit, at), operations=at.step if self.op_by_op else 0)

    def _plain(self, commit: str, at: Apart) -> Ask:
        return replace(asked_at(at, commit), without=self.without(commit))


def parent_of(history: History, commit: str) -> str:
    """Of a commit's parents the one that holds the good end, the first of several."""
    known = [one for one in history.parents[commit] if one in history.parents]
    return known[0] if known else history.good


def asked_at(at: Apart, commit: str) -> Ask:
    """The training that tells on which side of a parting a commit is."""
    return Ask(commit=commit, until=until_of(at), detail=(0, 0) if at.late else _around(at.step))


def until_of(at: Apart) -> int:
    """How far a training has to go to be told apart there: a validation runs behind its step."""
    if _needs_all(at):
        return 0
    return at.step + 1 if at.late else at.step


def upto(at: Apart) -> int:
    """The last step that is compared there; 0: all, and the metrics at the end."""
    return 0 if _needs_all(at) else at.step


def _needs_all(at: Apart) -> bool:
    return at.late and at.ended  # only the metrics at the end differ


def _whole(until: int) -> tuple[int, int]:
    """The steps of a prefix that are recorded in detail: all of a short one, the last of a long one."""
    return (1 if until <= _IN_DETAIL else until, until)


def _around(step: int) -> tuple[int, int]:
    return max(1, step - 1), step


def _open(guilt: Guilt) -> str:
    if guilt.commit:
        return "it was found twice: what differs does not follow the commits"
    return f"{len(guilt.narrowed.skipped)} of {len(guilt.narrowed.candidates)} candidates cannot be trained"


def _them(commits: Sequence[str]) -> str:
    return " and ".join(one[:12] for one in commits)
