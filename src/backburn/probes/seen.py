"""What the reproduce probe has seen of a training so far, and how it tells it."""

from __future__ import annotations

import math
import time
from typing import Any

from . import channel, horizon, seeds
from .grid import Grid, Octaves, Thinned
from .stepwise import Steps


def seeds_of(asked: channel.Asked) -> seeds.Seeds:
    """The seeds that the script asked for, shifted as the stage asked for."""
    return seeds.of(int(asked.settings["shift"]))


def ulp(asked: channel.Asked) -> int:
    """The number of the perturbation that the weights begin with; 0 for none."""
    return int(asked.settings.get("ulp", 0))


def blank(ended: str) -> dict[str, Any]:
    """An answer that tells only how it ended."""
    return {"kind": "reproduce-probe", "schema": 1, "ended": ended}


class Seen:
    """What this process has seen so far, over all of its Trainers."""

    def __init__(self, asked: channel.Asked) -> None:
        self.ended = "running"
        self.steps = self.planned = self.epochs = self.samples = self.start = 0
        self.seconds = self.first = 0.0
        self.recorded = Steps(asked)
        self.end = horizon.end(asked.settings)
        self.started: float | None = None  # of the fit that runs
        self.told = -math.inf  # when
        self.grid, self.means = Grid(), Octaves()
        self.losses: dict[int, float] = {}
        self.rates: dict[int, float] = {}
        self.norms: dict[int, float] = {}
        self.metrics: dict[str, float] = {}
        self.validations: dict[str, Thinned] = {}
        self.batches: list[str] = []
        self.about: dict[str, Any] = {}  # machine, settings, device: as they were when the first fit began
        self.data: dict[str, str] = {}

    def record(self, asked: channel.Asked) -> dict[str, Any]:
        """`Told` of the stage, as plain data."""
        batches = {"train batches": " ".join(self.batches)} if self.batches else {}
        curves = {name: sorted(getattr(self, name).items()) for name in ("losses", "rates", "norms")}
        names = ("steps", "planned", "epochs", "metrics", "samples", "start")
        recorded = {"recording": self.recorded.seconds, "unrecorded": self.recorded.failed}
        return (
            blank(self.ended)
            | {"shift": int(asked.settings["shift"]), "seeded": seeds_of(asked).asked, "ulp": ulp(asked)}
            | {name: getattr(self, name) for name in names}
            | {"seconds": self.trained, "means": self.means.points, "data": self.data | batches}
            | {"validations": {name: one.points for name, one in self.validations.items()}}
            | curves
            | recorded
            | self.about
        )

    @property
    def trained(self) -> float:
        """Seconds of all fits so far."""
        return self.seconds + (time.perf_counter() - self.started if self.started is not None else 0.0)

    @property
    def expected(self) -> float:
        """Seconds that all of it will take, by its steps so far; 0 if not known.

        The first takes longer, and counts only as long as there is no other.
        """
        if self.steps < 2:
            return self.planned * self.trained
        return self.planned * (self.trained - self.first) / (self.steps - 1)


_ALL: dict[str, Seen] = {}


def seen_of(asked: channel.Asked) -> Seen:
    """One for each file that is answered to: a second Trainer goes on where the first one stopped."""
    return _ALL.setdefault(asked.evidence, Seen(asked))
