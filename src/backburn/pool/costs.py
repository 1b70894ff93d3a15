"""What the slots were used for: seconds with a job and without one, by whom, and what that costs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

from ..received import line
from .config import Costs
from .lease import Lease, Phase
from .store import Entry, Store

SCHEMA = 1
NOBODY = "(no job)"  # a runner that waits, a slot that is armed, drained or blocked
UNNAMED = "(not told)"  # there was a job, and its hook did not say whose


class By(StrEnum):
    """What the seconds are added up by."""

    REPOSITORY = "repository"
    WORKFLOW = "workflow"  # of a repository
    REF = "ref"  # of a repository
    SLOT = "slot"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of slots, with a job and without; `cost` is of both, in the currency of [costs]."""

    name: str
    jobs: int
    busy: float
    idle: float
    cost: float


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """All of a span [since, until), seconds since the epoch: the seconds of its rows are `slots` times its length."""

    kind: str = "pool-costs"
    schema: int = SCHEMA
    by: By
    since: float
    until: float
    slots: int
    per_hour: float
    currency: str
    rows: tuple[Row, ...]

    @property
    def seconds(self) -> float:
        """Of all rows together."""
        return sum(row.busy + row.idle for row in self.rows)


@dataclass
class _Sum:
    jobs: int = 0
    busy: float = 0.0
    idle: float = 0.0


@dataclass
class _Span:
    """One slot's time, cut up from left to right: no second is counted twice, whatever the clock did."""

    until: float
    at: float
    sums: dict[str, _Sum] = field(default_factory=lambda: defaultdict(_Sum))

    def spend(self, name: str, until: float, busy: bool) -> float:
        end = min(max(until, self.at), self.until)
        spent, self.at = end - self.at, end
        if spent:
            sum_ = self.sums[name]
            sum_.busy, sum_.idle = sum_.busy + spent * busy, sum_.idle + spent * (not busy)
        return spent


def bill(store: Store, costs: Costs, by: By, since: float, until: float) -> Bill:
    """The ledger, and what runs now, from `since` on, or from the first lease where that is later."""
    entries = [*store.ledger(since), *_running(store.open_leases(), until)]
    first = store.ledger_begins() or min((one.started for one in entries), default=until)
    since = min(max(since, first), until)
    slots = sorted({one.name for one in store.slots()} | {one.slot for one in entries})
    sums: dict[str, _Sum] = defaultdict(_Sum)
    for slot in slots:
        _cut(slot, [one for one in entries if one.slot == slot], by, _Span(until, since, sums))
    rows = tuple(
        Row(name=name, jobs=one.jobs, busy=one.busy, idle=one.idle, cost=_cost(one.busy + one.idle, costs))
        for name, one in sorted(sums.items(), key=lambda pair: (pair[0] == NOBODY, -pair[1].busy, pair[0]))
    )
    return Bill(
        by=by,
        since=since,
        until=until,
        slots=len(slots),
        per_hour=costs.per_hour,
        currency=costs.currency,
        rows=rows,
    )


def _cut(slot: str, entries: Iterable[Entry], by: By, span: _Span) -> None:
    nobody = slot if by is By.SLOT else NOBODY
    for entry in sorted(entries, key=lambda one: (one.busy or one.started, one.ended)):
        if not entry.busy:
            continue  # it waited: nobody's, as the time between two leases
        span.spend(nobody, min(entry.busy, entry.ended), busy=False)
        name = _name(entry, by)
        span.spend(name, entry.ended, busy=True)
        span.sums[name].jobs += 1
    span.spend(nobody, span.until, busy=False)


def _running(leases: Iterable[Lease], now: float) -> list[Entry]:
    """Leases that have a container and no end yet, as if they ended now."""
    ended = (Phase.ENDED, Phase.LEAVING, Phase.CLOSED)
    return [
        Entry(
            lease=one.id,
            slot=one.slot,
            device=one.device,
            started=one.started,
            busy=one.busy,
            ended=now,
            outcome="",
            repository=one.job.repository if one.job else "",
            workflow=one.job.workflow if one.job else "",
            ref=one.job.ref if one.job else "",
        )
        for one in leases
        if one.started and one.phase not in ended
    ]


def _name(entry: Entry, by: By) -> str:
    if by is By.SLOT:
        return entry.slot
    repository = line(entry.repository, 120) or UNNAMED
    second = {By.WORKFLOW: entry.workflow, By.REF: entry.ref}.get(by, "")
    return f"{repository} {line(second, 120)}".rstrip()


def _cost(seconds: float, costs: Costs) -> float:
    return seconds / 3600.0 * costs.per_hour


def render(bill: Bill, width: int, colour: bool) -> str:
    """A table, and what it says in one line."""
    import io

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold" if colour else "")
    table.add_column(bill.by.value, overflow="fold")
    heads = ["jobs", "hours", "idle hours", "share"] + ([f"cost {bill.currency}".strip()] if bill.per_hour else [])
    for head in heads:
        table.add_column(head, justify="right")
    for row in bill.rows:
        table.add_row(Text(row.name), *_cells(row, bill))
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=colour, no_color=not colour, highlight=False)
    console.print(table)
    busy = sum(row.busy for row in bill.rows)
    share = 100 * busy / bill.seconds if bill.seconds else 0.0
    days = (bill.until - bill.since) / 86400
    said = f"{bill.slots} slots, {days:.1f} days: {busy / 3600:.1f} hours with a job, {share:.0f} % of the time."
    return stream.getvalue() + said + "\n"


def _cells(row: Row, bill: Bill) -> Sequence[str]:
    share = 100 * (row.busy + row.idle) / bill.seconds if bill.seconds else 0.0
    cells = [str(row.jobs), f"{row.busy / 3600:.2f}", f"{row.idle / 3600:.2f}", f"{share:.1f} %"]
    return cells + ([f"{row.cost:.2f}"] if bill.per_hour else [])


def document(bill: Bill) -> dict[str, Any]:
    """As JSON."""
    built: dict[str, Any] = msgspec.to_builtins(bill)
    return built
