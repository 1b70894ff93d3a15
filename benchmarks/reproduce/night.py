"""The one place that joins the benchmark to the stage: a reference, a night held against it, and where the two part."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from backburn import pipeline
from backburn.errors import Unjudged
from backburn.references import Found
from backburn.reproduction import digests, divergence, envelope, ladder
from backburn.reproduction.told import figures
from backburn.stages import reproduce
from backburn.training import Ended

from . import runs

FINE = Ended(command=("python",), code=0, seconds=1.0)
CONFIG = reproduce.Config()
RUNGS = [one.value for one in ladder.Rung]
NOTICED = {"changed", "regressed", "does not repeat"}  # what reaches CHANGED or worse
# These trainings take a second: 2 % of it would pay for three recordings. One of an hour has all steps of the grid.
GRID = {"share": 1e9}


@dataclass
class Program:
    """A program's reference, made as the stage makes one, and its sound training beside it."""

    name: str
    store: object  # of trainings under seeds
    scratch: Path
    count: int = 0
    details: dict = field(default_factory=dict)

    def run(self, bug="", **asked):
        """A training of this program, with a bug or a sound change in it."""
        self.count += 1
        return runs.run(runs.of(self.name, bug), self.scratch / f"{self.name}-{self.count}", **GRID | asked)

    def seeded(self, shift, bug=""):
        """(told, losses) under another seed."""
        return runs.seeded(self.store, self.name, shift, self.scratch, bug)

    @cached_property
    def base(self):
        """The sound training, whole."""
        return self.run()

    @cached_property
    def reference(self):
        """From the sound training, the same once more, other seeds and rounded weights."""
        again = self.run(until=CONFIG.self_steps)
        untils = [
            envelope.steps_of(self.base.told.steps, number, CONFIG.self_steps) for number in range(1, CONFIG.ulps + 1)
        ]
        rounded = tuple(self.run(ulp=number, until=until).told for number, until in enumerate(untils, 1))
        others = tuple(self.seeded(shift)[0] for shift in range(1, CONFIG.seeds))
        seen = reproduce.Evidence(
            ended=(FINE,) * CONFIG.seeds,
            told=(self.base.told, *others),
            roots=digests.of(self.base.steps),
            again=again.told,
            repeated=digests.of(again.steps),
            rounded=rounded,
        )
        one = reproduce.candidate(seen, CONFIG)
        assert one is not None and not [*reproduce.unfit(one, CONFIG)], [*reproduce.unfit(one, CONFIG)]
        return one

    # A night

    def judged(self, head, bug):
        """(its class, the checks that fail, those unjudged) by the stage, its second run and fresh seeds included."""
        roots = digests.of(head.steps)
        again, more = self._once_more(head, bug), {}
        if again is not None:
            more = {"again": again.told, "repeated": digests.of(again.steps)}
        seen = reproduce.Evidence(
            ended=(FINE,), told=(head.told,), roots=roots, found=Found(reference=self.reference), **more
        )
        if self._is_suspicious(seen):
            fresh = tuple(self.seeded(shift, bug)[0] for shift in self.fresh)
            seen = reproduce.Evidence(
                ended=(FINE,), told=(head.told,), roots=roots, found=seen.found, fresh=fresh, **more
            )
        outcomes = pipeline.judge(reproduce, "reproduce", seen, CONFIG)
        failed = [one.check.partition("/")[2] for one in outcomes if one.verdict.value == "fail"]
        unjudged = [one.check.partition("/")[2] for one in outcomes if one.verdict.value == "unjudged"]
        rungs = [one.text for one in reproduce.measured(seen) if one.name == "class"]
        return (rungs[0] if rungs else "not judged"), failed, unjudged

    @property
    def fresh(self):
        """What is added to the seed of fresh runs."""
        return range(CONFIG.seeds, CONFIG.seeds + CONFIG.fresh)

    def _once_more(self, head, bug):
        """The same again, as far as the stage has it run: `beside.gather` asks for no more."""
        found, roots = figures(head.told), digests.of(head.steps)
        if ladder.is_identical(self.reference, found, roots):
            return None
        until = max(CONFIG.self_steps, ladder.differs_from(self.reference, found, roots) or head.told.steps)
        return self.run(bug, until=until if until < head.told.steps else 0)

    def _is_suspicious(self, seen):
        """Whether fresh seeds are asked for; nothing is where a loss is no number."""
        try:
            one = seen.against()
        except Unjudged:
            return False
        finite = not reproduce.not_finite(seen.probe)
        return finite and bool(ladder.alarms(one, seen.night, CONFIG.alpha))

    # Where it parts from the sound one

    def located(self, head, bug):
        """The first divergence: between two steps of the grid by what the nights recorded, then exactly, by running
        both up to there with these steps in detail. (divergence or None, steps of both reruns)
        """
        between = divergence.interval(self.base.steps, head.steps)
        if between is None:
            return None, 0
        first, last = between[0] + 1, between[1]
        detail = {"detail": [first, last + 1], "until": last + 1}
        if (first, last) not in self.details:
            self.details[first, last] = self.run(**detail)
        one, other = self.details[first, last], self.run(bug, **detail)
        return divergence.first(one.steps, other.steps), one.told.steps + other.told.steps
