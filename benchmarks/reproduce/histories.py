"""Histories of 64 commits in memory, of which one is a bug: does the search find it, and at what cost?"""

import random
from dataclasses import dataclass, field

import torch

from backburn.blame.exact import Search
from backburn.blame.search import History
from backburn.blame.world import Ledger
from backburn.reproduction.rerun import Ran

from . import bugs, runs

COMMITS = 64
STEPS = 600  # of one full training; most of them are never run
QUIET = 0.6  # of the others, what changes the program and no bit of the training; the rest is documentation


def _constant(number):
    return bugs.built(lambda module: module.register_buffer(f"constant_{number}", torch.ones(2)))


def _reading(number):
    return lambda recipe: recipe.trainer.setdefault("callbacks", []).append(type("Reads", (bugs.Reads,), {})())


def _noted(number):
    return bugs.built(lambda module: module.save_hyperparameters({f"note_{number}": number}))


@dataclass(frozen=True)
class Commit:
    """What a commit changes; nothing where it is documentation."""

    name: str = ""
    change: object = None


def history(number, program):
    """(commits by name, oldest first, the guilty one's name), by lot."""
    draw = random.Random(f"{program} {number}")
    bug = draw.choice([one for one in bugs.BUGS if program in one.truths])
    guilty, commits = draw.randrange(COMMITS), {}
    for place in range(COMMITS):
        kind = draw.choice((_constant, _reading, _noted)) if draw.random() < QUIET else None
        name = f"{kind.__name__} {place}" if kind else ""
        commits[f"c{place}"] = Commit(name, kind(place) if kind else None)
    commits[f"c{guilty}"] = Commit(bug.name, bug.change)
    return commits, f"c{guilty}"


@dataclass
class World:
    """As the search wants it: trainings of a commit, and a name for what it holds."""

    program: str
    commits: dict
    scratch: object
    count: int = 0
    done: dict = field(default_factory=dict)

    def held(self, commit, without=()):
        """The changes that a commit holds, oldest first."""
        names = [*self.commits]
        held = names[: names.index(commit) + 1] if commit in self.commits else []
        return [self.commits[name] for name in held if name not in without and self.commits[name].change]

    def contents(self, commit, without=()):
        """Documentation is no part of what is reached."""
        return " | ".join(one.name for one in self.held(commit, without))

    def train(self, ask):
        """A real training, as far as is asked."""
        recipe = runs.of(self.program)
        recipe.horizon = STEPS
        for one in self.held(ask.commit, ask.without):
            one.change(recipe)
        self.count += 1
        asked = {name: value for name, value in ask.settings.items() if value} | {"share": 1e9}
        found = runs.run(recipe, self.scratch / f"world-{self.count}", **asked)
        told = found.told
        steps = tuple(one for one in found.steps if not ask.until or one.step <= ask.until)
        whole = told.ended == "fit"
        return Ran(done=told.steps, planned=told.planned, whole=whole, steps=steps, metrics=told.metrics)

    def say(self, line):
        """To nobody."""


class Noted(Search):
    """A search that notes what it cost until a commit was named for the first time; the proof is what comes after."""

    named_at = None

    def narrow(self, at):
        """As the search does."""
        found = super().narrow(at)
        self.named_at = self.ledger.cost if self.named_at is None else self.named_at
        return found


def searched(number, program, scratch):
    """One history: was the guilty commit named, and what did that cost, in full trainings?"""
    commits, guilty = history(number, program)
    names = [*commits]
    parents = {one: (before,) for before, one in zip(["good", *names], names)}
    scratch.mkdir()
    ledger = Ledger(world=World(program, commits, scratch))
    search = Noted(ledger=ledger, history=History.of("good", names[-1], parents))
    found = search.run()
    named = [guilt.commit for guilt in found.guilts]
    line = {"bug": commits[guilty].name, "right": named == [guilty], "named": named, "proven": found.proven}
    cost = {"cost": round(search.named_at, 4), "cost_with_proof": round(ledger.cost, 4)}
    return line | cost | {"trained": ledger.world.count}
