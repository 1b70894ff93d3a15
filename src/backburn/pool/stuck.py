"""Why nobody takes the jobs that wait, as far as this machine knows, and what to do; as text that people are sent."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ..received import line
from .lease import Lease, State, Wanted
from .queued import Waiting
from .status import ago
from .store import Standing

SETTLED = 120.0  # seconds that a runner waits until we wonder: GitHub gives a job out within one minute
NAMED = 5  # jobs in a message; GitHub has the others
TAKEN_OUT = "`<>&@"  # of what others wrote: what ends code or, at Slack, means something even there

FULL, GIVEN_NONE, DRAINS = "full", "given none", "drains"
_DO = {
    FULL: "More slots, or fewer jobs: `backburn pool costs` says whose the hours are.",
    GIVEN_NONE: "At GitHub, Settings, Actions, Runner groups: the group must have the repository and its workflow.",
    DRAINS: "`backburn pool resume` takes it back.",
    State.PARKED: "`backburn pool resume` takes it back.",
    State.BLOCKED: "It looks again by itself once that is mended.",
    State.QUARANTINED: "`backburn pool status` says what it takes.",
    State.UNKNOWN: "Does the container engine answer? `docker info`",
}


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Of some slots. `kind` is FULL, GIVEN_NONE, DRAINS or a State; `why` is free of markup."""

    kind: str
    slots: tuple[str, ...]
    why: str

    @property
    def do(self) -> str:
        """What to do about it."""
        return _DO[self.kind]

    @property
    def said(self) -> str:
        """In one line."""
        return f"{', '.join(self.slots)}: {self.why}. {self.do}"


def causes(standings: Sequence[Standing], leases: Sequence[Lease], group: str, now: float) -> tuple[Cause, ...]:
    """What each slot does instead, those with the same to say together; `now` is seconds since the epoch."""
    jobs = {one.slot: one.job for one in leases if one.job is not None}
    found: dict[tuple[str, str], list[str]] = {}
    for one in standings:
        job = jobs.get(one.name)
        found.setdefault(_cause(one, job.repository if job else "", group, now), []).append(one.name)
    return tuple(
        Cause(kind=kind, slots=tuple(slots), why=why)
        for (kind, why), slots in sorted(found.items(), key=lambda i: i[1])
    )


def _cause(one: Standing, repository: str, group: str, now: float) -> tuple[str, str]:
    reason = f": {quoted(one.reason)}" if one.reason else ""
    if one.state in (State.PARKED, State.BLOCKED, State.QUARANTINED):
        return one.state, f"{one.state}{reason}"
    if one.wanted is Wanted.DRAIN:
        return DRAINS, "being drained"
    if one.state is State.UNKNOWN:
        return State.UNKNOWN, f"not known{reason}"
    if one.state is State.ONLINE and now - one.since > SETTLED:
        return GIVEN_NONE, f"idle, and GitHub hands these jobs to no runner of the group {quoted(group)}"
    if one.state is State.BUSY:
        return FULL, f"busy with a job of {quoted(repository)}" if repository else "busy"
    return FULL, "between two jobs"


def key(causes: Sequence[Cause]) -> str:
    """What changes when the reason does, and stays while slots go from job to job."""
    kinds = {f"{one.kind} {' '.join(one.slots)}" if one.kind != FULL else FULL for one in causes}
    return "; ".join(sorted(kinds))


def quoted(text: str) -> str:
    """What somebody else wrote, as code: no markup, no mention, one line.

    >>> quoted("@team <script>`x`")
    '`team script x`'
    """
    shown = "".join(" " if one in TAKEN_OUT else one for one in line(text, 160))
    return f"`{line(shown, 80) or '?'}`"


def headline(waiting: Sequence[Waiting], now: float) -> str:
    """How many, and for how long."""
    count, longest = len(waiting), now - min(one.since for one in waiting)
    return f"{count} job{'s' * (count > 1)} queued, the longest for {ago(longest)}"


def listed(waiting: Sequence[Waiting], web: str, now: float) -> list[str]:
    """The first of them, the oldest first. `web` is GitHub's root, without a slash."""
    first = sorted(waiting, key=lambda one: (one.since, one.job))
    lines = [
        f"{web}/{one.repository}/actions/runs/{one.run} {quoted(one.workflow)} {quoted(one.name)}, "
        f"for {ago(now - one.since)}"
        for one in first[:NAMED]
    ]
    return [*lines, f"and {len(first) - NAMED} more"] if len(first) > NAMED else lines
