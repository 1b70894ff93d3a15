"""Histories in memory: commits that are edits of a small program, and what training each of them comes to."""

import functools
from dataclasses import dataclass, field

from backburn.blame.search import History
from backburn.commits import Conflict
from backburn.reproduction.rerun import Ran
from backburn.reproduction.steps import Step

GRID = (1, 2, 3, 5, 8, 13, 21, 34, 55, 68, 85, 106, 132, 165, 206, 257, 321, 401, 501)


@dataclass
class Edit:
    """A commit's change: from step `since` on, the training is another one; 0: none that it reaches.

    `undoes` names an earlier commit whose change it takes back.
    """

    since: int = 0
    late: bool = False  # it moves the validation alone
    undoes: str = ""
    broken: bool = False  # from here on it cannot be trained …
    mended: bool = False  # … until here
    conflicting: bool = False  # it cannot be taken out of what came after
    quiet: bool = False  # it changes what is reached, and no bit of the training


@dataclass
class Memory:
    """A world of these edits, in a line or with the parents that are given."""

    edits: dict[str, Edit]
    planned: int = 600
    every: int = 50  # steps between validations
    repeats: bool = True
    noisy: int = 0  # the first step that does not
    parents: dict[str, tuple[str, ...]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    trained: list = field(default_factory=list)
    named: dict = field(default_factory=dict)

    @functools.cached_property
    def history(self):
        names = [*self.edits]
        parents = self.parents or {one: (before,) for before, one in zip(["good", *names], names)}
        return History.of("good", names[-1], parents)

    def held(self, commit, without=()):
        """The edits that this commit holds, oldest first."""
        ancestors = self.history.ancestors.get(commit, 0)
        names = [one for number, one in enumerate(self.edits) if ancestors >> number & 1]
        gone = {self.edits[one].undoes for one in names} | {*without}
        return {one: self.edits[one] for one in names if one not in gone}

    def contents(self, commit, without=()):
        if (commit, without) not in self.named:
            self.named[commit, without] = self._contents(commit, without)
        return self.named[commit, without]

    def _contents(self, commit, without):
        held = self.held(commit, without)
        return " ".join(name for name, one in held.items() if one.since or one.quiet or one.broken or one.mended)

    def changed(self, commit, parent):
        return int(self.contents(commit) != self.contents(parent))

    def train(self, ask):
        self.trained.append(ask)
        held = self.held(ask.onto) | self.held(ask.commit, ask.without)
        if any(self.edits[one].conflicting for one in ask.without):
            raise Conflict(ask.without[0], ["train.py"])
        states = [one.broken for one in held.values() if one.broken or one.mended]
        if states and states[-1]:
            return Ran(failed="SyntaxError: invalid syntax")
        done = min(ask.until or self.planned, self.planned)
        noise = "" if self.repeats else str(len(self.trained))
        numbers = [
            n for n in range(1, done + 1) if n in GRID or ask.detail[0] <= n <= ask.detail[1] or not n % self.every
        ]
        steps = tuple(self.step(n, held, noise, n < done or not ask.until) for n in numbers)
        return Ran(done=done, planned=self.planned, whole=done == self.planned, steps=steps)

    def step(self, number, held, noise, validates):
        noise = noise if number >= self.noisy else ""
        moved = " ".join(name for name, one in held.items() if 0 < one.since <= number and not one.late)
        seen = " ".join(name for name, one in held.items() if 0 < one.since <= number)
        validation = {"acc": f"{number} {seen}"} if not number % self.every and validates else {}
        state = f"{number} {moved} {noise}"
        return Step(step=number, loss=state, parameters={"w": state}, validation=validation)

    def say(self, line):
        self.said.append(line)


def line(count, **edits):
    """`count` commits c1, c2 …; those that are not given change nothing that is reached."""
    return {f"c{number}": edits.get(f"c{number}", Edit()) for number in range(1, count + 1)}
