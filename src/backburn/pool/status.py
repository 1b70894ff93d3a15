"""Where each slot stands, from the database alone: the same whether the supervisor runs or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..errors import UserError
from ..received import line
from . import spell
from .blackbox import Box, recent
from .config import Config
from .lease import Job, Kind, Lease, Phase, Quarantine, State, Wanted
from .parole import PAROLED
from .locks import holder
from .store import Entry, Standing, Store

SCHEMA = 1
_OVER = (Phase.ENDED, Phase.LEAVING, Phase.CLOSED)
LOOKED = 7 * 86400.0  # seconds back that a last outcome is looked for


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One slot. `since` and `ended` are seconds since the epoch; `outcome` and `blame` are of the last lease there.

    `quarantine` may stand before the slot is quarantined: it is, once its job has ended.
    """

    slot: str
    device: str
    state: State
    since: float
    reason: str
    failures: int
    wanted: Wanted
    quarantine: Quarantine | None = None
    runner: str = ""
    job: Job | None = None
    outcome: str = ""
    blame: str = ""
    ended: float = 0.0
    next: str = ""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. `process`: the supervisor's id, -1 for one that has not said it, 0 where none runs."""

    kind: str = "pool-status"
    schema: int = SCHEMA
    pool: str
    at: float
    process: int
    slots: tuple[Line, ...]
    boxes: tuple[Box, ...] = ()
    next: str = ""
    queue: str = ""  # what is wrong with it; "": nothing is known to be


def status(config: Config, store: Store, now: float) -> Status:
    """What `backburn pool status` shows. `now` is seconds since the epoch."""
    process = holder(config.state)
    leases = {one.slot: one for one in store.open_leases() if one.phase not in _OVER}
    ended = {one.slot: one for one in store.ledger(now - LOOKED)}  # the last of each: they come in order
    lines = tuple(_line(one, leases.get(one.name), ended.get(one.name), now) for one in store.slots())
    boxes = tuple(recent(config.state))
    return Status(
        pool=config.pool.name,
        at=now,
        process=process,
        slots=lines,
        boxes=boxes,
        next=_next(process, lines),
        queue=_queue(config, now),
    )


def _queue(config: Config, now: float) -> str:
    """As the supervisor last saw it."""
    try:
        one = spell.load(config.state)
    except UserError:
        return ""
    said = [f"seen {ago(now - one.at)} ago"] if one is not None and one.at and (one.since or one.trouble) else []
    if one is not None and one.since:
        longest = f", the longest for {ago(now - one.oldest)}" if one.jobs else ""
        said.append(f"stuck for {ago(now - one.since)}, {one.jobs} waiting{longest}: {' '.join(one.causes)}")
    if one is not None and one.trouble:
        said.append(f"not seen whole: {one.trouble}")
    return line("; ".join(said), 1000)


def _line(standing: Standing, lease: Lease | None, last: Entry | None, now: float) -> Line:
    return Line(
        slot=standing.name,
        device=standing.device,
        state=standing.state,
        since=standing.since,
        reason=line(standing.reason),
        failures=standing.failures,
        wanted=standing.wanted,
        runner=lease.runner if lease else "",
        job=_clean(lease.job) if lease and lease.job else None,
        quarantine=standing.quarantine,
        outcome=last.outcome if last else "",
        blame=last.blame if last else "",
        ended=last.ended if last else 0.0,
        next=_step(standing),
    )


def _clean(job: Job) -> Job:
    """It comes from where jobs run: one line each, and nothing that moves a cursor."""
    return Job(**{name: line(getattr(job, name), 200) for name in Job.__struct_fields__})


def _step(one: Standing) -> str:
    if one.quarantine and one.state is not State.PARKED:
        return _out(one.name, one.quarantine.kind, one.state)
    if one.state is State.PARKED:
        return f"backburn pool resume {one.name}"
    if one.wanted is Wanted.DRAIN:
        return "it is drained when its job has ended"
    return "it looks again by itself" if one.state is State.BLOCKED else ""


def _out(slot: str, kind: Kind, state: State) -> str:
    release = f"backburn pool release {slot}"
    if state is not State.QUARANTINED:
        return f"it is quarantined when its job has ended; {release} takes that back"
    if kind in PAROLED:
        return f"it looks again by itself, and is let out after three good looks; at once: {release}"
    return f"{_MEND.get(kind, 'mend what is said there')}, then: {release}"


_MEND = {Kind.RESET: "reset its GPU, or replace it (docs/pool.md)", Kind.ORDERED: "when it may take jobs again"}


def _next(process: int, lines: Sequence[Line]) -> str:
    """The one thing to do now, the most urgent first; "" where nothing is to be done."""
    if not process:
        return "No supervisor runs; jobs that run go on without it: systemctl start backburn-pool, or backburn pool run"
    for state in (State.QUARANTINED, State.BLOCKED, State.PARKED):
        if found := [one.slot for one in lines if one.state is state]:
            wait = "waits" if len(found) == 1 else "wait"
            return f"{', '.join(found)} {wait}: see why above; backburn pool logs {found[0]} has its last lines"
    return ""


def render(status: Status, width: int, colour: bool) -> str:
    """A table of slots, the last black boxes, and what to do next."""
    import io

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=colour, no_color=not colour, highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold" if colour else "")
    for head in ("slot", "state", "since", "job or reason", "last"):
        table.add_column(head, overflow="fold")
    for one in status.slots:
        state = Text(str(one.state), style=_STYLES.get(one.state, "") if colour else "")
        table.add_row(Text(one.slot), state, ago(status.at - one.since), Text(_said(one)), Text(_last(one)))
    console.print(table)
    for box in status.boxes:
        said = f"black box: {ago(status.at - box.at)} ago, {box.slot}, {line(box.outcome, 40) or '?'}: {box.folder}"
        console.print(Text(said), soft_wrap=True)
    alive = f"runs (process {status.process})" if status.process else "does not run"
    console.print(Text(f"The supervisor of {status.pool} {alive}."), soft_wrap=True)
    if status.queue:
        console.print(Text(f"The queue: {status.queue}"), soft_wrap=True)
    if status.next:
        console.print(Text(f"Next: {status.next}"), soft_wrap=True)
    return stream.getvalue()


_STYLES = {
    State.BUSY: "green",
    State.ONLINE: "green",
    State.BLOCKED: "yellow",
    State.PARKED: "cyan",
    State.QUARANTINED: "red",
}


def _said(one: Line) -> str:
    if one.job is not None and one.state is State.BUSY:
        words = (one.job.repository, one.job.workflow, one.job.job, one.job.run_id and f"run {one.job.run_id}")
        said = " ".join(word for word in words if word)
        suspect = one.reason if one.reason.startswith("suspect") else ""
        said = "; ".join(part for part in (said, suspect) if part)
    else:
        said = one.reason
    drains = one.wanted is Wanted.DRAIN and one.state is not State.PARKED
    return "; ".join(part for part in (said, "draining" if drains else "", one.next if not drains else "") if part)


def _last(one: Line) -> str:
    return f"{one.outcome} ({one.blame})" if one.blame else one.outcome


def ago(seconds: float) -> str:
    """A duration in its largest unit, for people: "42 s", "7 min", "3.5 h", "12 d".

    >>> [ago(one) for one in (-1, 42, 119, 420, 12600, 1e6)]
    ['0 s', '42 s', '119 s', '7 min', '3.5 h', '12 d']
    """
    seconds = max(0.0, seconds)
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 2 * 86400 else f"{seconds / 86400:.0f} d"


def document(status: Status) -> dict[str, Any]:
    """As JSON."""
    built: dict[str, Any] = msgspec.to_builtins(status)
    return built
