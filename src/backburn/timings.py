"""What steps took, in time and in memory, as figures; and how far each may go before something is said of it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .report import Finding, Level


class Limit(NamedTuple):
    """Of one figure: at most `factor` times what it was, and `more`. `said` formats both, times `scale`.

    >>> Limit("peak memory", "{:.0f} → {:.0f} MiB", factor=1.02, scale=2**-20).finding(100 * 2**20, 103 * 2**20).message
    '100 → 103 MiB'
    """

    figure: str
    said: str
    look: str = ""
    factor: float = 1.0
    more: float = 0.0
    scale: float = 1.0
    level: Level = Level.WARNING

    def finding(self, before: float, now: float) -> Finding | None:
        """What is to be said of it, None within the limit. A NaN is beyond it."""
        if now <= self.factor * before + self.more:
            return None
        message = self.said.format(self.scale * before, self.scale * now)
        return Finding(message=message, level=self.level, hint=self.look)


# Twelve runs of the same code on a machine three times overloaded, and four on an idle one: docs/profile.md.
STEP = Limit(
    "least step seconds",
    "the quickest step takes {:.4g} → {:.4g} ms",
    "On a busy machine run it again.",
    2.0,
    scale=1000,
)
CLOCK = Limit(
    "least wall seconds",
    "the quickest step takes {:.4g} → {:.4g} ms by the clock",
    "A lock, a sleep, a slow disk or server within the step? On a busy machine run it again.",
    5.0,
    scale=1000,
)
WAITING = Limit(
    "waiting share",
    "between the steps went {:.0%} → {:.0%} of the time",
    "Slower data, fewer workers, a long callback? See sections.txt.",
    more=0.2,
)
RESIDENT = Limit(
    "resident memory", "resident memory {:,.0f} → {:,.0f} MiB", "More data held in memory?", 1.25, scale=2**-20
)
PEAK = Limit(
    "peak memory",
    "peak memory {:,.1f} → {:,.1f} MiB",
    "Graphs kept in a list, a lost no_grad, a wider type?",
    1.02,
    scale=2**-20,
    level=Level.ERROR,
)


def figures(steps: Sequence[float], waits: Sequence[float], least: Sequence[float]) -> dict[str, float]:
    """Of the seconds of each step and of each wait between two, and of those to take the least of; none where no step
    was timed.
    """
    if not steps:
        return {}
    waited = math.fsum(waits)
    return {
        "step seconds": statistics.median(steps),
        "least step seconds": min(least, default=math.nan),
        "least wall seconds": min(steps),
        "waiting share": waited / (waited + math.fsum(steps)),
    }


def table(sections: Mapping[str, tuple[int, float]]) -> str:
    """Lightning's sections (action -> calls, seconds), longest first."""
    longest, width = max((one[1] for one in sections.values()), default=0.0), max(map(len, sections), default=6)
    lines = [f"{'action':{width}}     calls     seconds   share of the longest (they nest)"]
    for action, (calls, seconds) in sorted(sections.items(), key=lambda one: -one[1][1]):
        lines.append(f"{action:{width}}  {calls:8,}  {seconds:10.6f}  {seconds / longest if longest else 0:6.1%}")
    return "\n".join(lines) + "\n"
