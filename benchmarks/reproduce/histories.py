"""Histories of 64 commits in memory, of which one is a bug: does the search find it, and at what cost?

As in the nightly, a search knows where the night of the last commit left the reference: both are whole trainings that
were done before, and no part of its cost.
"""

import random
from dataclasses import dataclass, field

import torch

from backburn.blame import night
from backburn.blame.exact import Search
from backburn.blame.search import History
from backburn.blame.world import Ledger
from backburn.reproduction import candidates, digests
from backburn.reproduction.ladder import Night
from backburn.reproduction.rerun import Ran
from backburn.reproduction.told import figures

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

    def run(self, commit, without=(), **asked):
        """A real training."""
        recipe = runs.of(self.program)
        recipe.horizon = STEPS
        for one in self.held(commit, without):
            one.change(recipe)
        self.count += 1
        return runs.run(recipe, self.scratch / f"world-{self.count}", share=1e9, **asked)

    def train(self, ask):
        """As far as is asked."""
        asked = {name: value for name, value in ask.settings.items() if value}
        found = self.run(ask.commit, ask.without, **asked)
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
    world = World(program, commits, scratch)
    near = _night(world, names[-1])
    ledger = Ledger(world=world, planned=STEPS)
    search = Noted(ledger=ledger, history=History.of("good", names[-1], parents), near=near)
    found = search.run()
    named = [guilt.commit for guilt in found.guilts]
    line = {"bug": commits[guilty].name, "right": named == [guilty], "named": named, "proven": found.proven}
    cost = {"cost": round(search.named_at, 4), "cost_with_proof": round(ledger.cost, 4)}
    return line | cost | {"near": near, "trained": len(ledger.done)}


_REFERENCES = {}


def _night(world, bad):
    """Where the night of that commit left the reference."""
    if world.program not in _REFERENCES:
        good = world.run("good")
        seen = Night(figures=figures(good.told), roots=digests.of(good.steps))
        _REFERENCES[world.program] = candidates.of(world.program, good.told.machine, [good.told], seen, ())
    head = world.run(bad)
    return night.between(_REFERENCES[world.program], head.told, digests.of(head.steps))
