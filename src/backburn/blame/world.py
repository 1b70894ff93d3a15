"""What a search asks: train this commit so far, and tell what of it was reached."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

import msgspec

from ..errors import Unjudged
from ..reproduction.rerun import Ask, Ran


class World(Protocol):
    """The commits as they can be trained. The real one has worktrees (`checkouts`), those of tests are in memory."""

    def train(self, ask: Ask) -> Ran:
        """Raises Conflict where a commit cannot be taken out of another."""

    def contents(self, commit: str, without: tuple[str, ...] = ()) -> str:
        """A name of all that trainings so far reached, as it is in this commit."""

    def changed(self, commit: str, parent: str) -> int:
        """How many of the files that trainings so far reached differ between two commits."""

    def say(self, line: str) -> None:
        """To whoever waits."""


@dataclass(kw_only=True)
class Ledger:
    """A world whose trainings are counted. Each is trained once, however often it is asked for."""

    world: World
    short: dict[str, str] = field(default_factory=dict)  # names of commits, as they are said
    planned: int = 0  # batches of one full training, as the last one told
    steps: int = 0
    done: dict[Ask, Ran] = field(default_factory=dict)

    @property
    def cost(self) -> float:
        """In full trainings; 0 where nobody knows how long one is."""
        return self.steps / self.planned if self.planned else 0.0

    @property
    def hardware(self) -> str:
        """The class of the machine that it was trained on."""
        return next((ran.machine.hardware for ran in self.done.values() if ran.machine), "")

    def train(self, ask: Ask) -> Ran:
        """As the world does."""
        longer = next((ran for known, ran in self.done.items() if covers(known, ask)), None)
        if longer is not None:
            return _cut(longer, ask.until)
        ran = self.done[ask] = self.world.train(ask)
        self.steps += ran.done
        self.planned = max(self.planned, ran.planned, ran.done if ran.whole else 0)
        return ran

    def sound(self, ask: Ask) -> Ran:
        """The same, of a commit that must be trainable. Raises Unjudged where it is not."""
        ran = self.train(ask)
        if ran.failed:
            hint = "Both ends must be trainable: name others with --good and --bad."
            raise Unjudged(f"{self.name(ask.commit)} cannot be trained here: {ran.failed}", hint=hint)
        return ran

    def name(self, commit: str) -> str:
        """As people call it: `good (1a2b3c4)`."""
        word = self.short.get(commit, "")
        return f"{word} ({commit[:12]})" if word else commit[:12]


def covers(known: Ask, ask: Ask) -> bool:
    """Whether a training tells all that another is asked for: the same one, as long, as much of it in detail."""
    same = replace(known, until=ask.until, detail=ask.detail, operations=ask.operations, again=ask.again) == ask
    as_long = not known.until or 0 < ask.until <= known.until
    within = not ask.detail[1] or known.detail[0] <= ask.detail[0] <= ask.detail[1] <= known.detail[1]
    extra = ask.operations in (0, known.operations) and ask.again in (0, known.again)
    return same and as_long and within and extra


def _cut(ran: Ran, until: int) -> Ran:
    """As if it had ended there."""
    if not until or ran.done <= until:
        return ran
    steps = tuple(one for one in ran.steps if one.step <= until)
    return msgspec.structs.replace(ran, done=until, whole=False, steps=steps)
