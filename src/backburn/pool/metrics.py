"""Prometheus metrics and /health, for this machine alone: a registry and a small server of their own."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .. import __version__
from ..received import line
from .cache.keeper import Figures
from .clock import Clock
from .lease import State
from .place import IDLE, Place
from .store import Entry, Full, Store

PREFIX = "backburn_pool"
PATIENCE = 180.0  # seconds beyond its own word that a step may take: a call to the engine and one to GitHub, each late
NAMED = 200  # series of (repository, workflow, ref); the rest counts as "other": names come from where jobs run
LONGEST = 80  # characters of a name in a label
OTHER = "other"
PROVED = 5.0  # seconds that a proof that the database can be written is believed
REARM = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0)


@dataclass(frozen=True)
class Sources:
    """What others count, asked at each scrape. `requests` is by (method, status), `remaining` by budget.

    None must call out: an engine that hangs must not hang the metrics.
    """

    requests: Callable[[], Mapping[tuple[str, str], int]] = dict
    remaining: Callable[[], Mapping[str, int]] = dict
    open: Callable[[], bool] = bool  # the circuit towards GitHub: nothing is asked at present
    reachable: Callable[[], bool] = lambda: True  # the engine answered when it was last asked
    removals: Callable[[], int] = int  # registrations that the janitor removed
    queued: Callable[[], tuple[float, int]] = lambda: (0.0, 0)  # seconds of the longest too long a wait, and how many
    symptoms: Callable[[], Mapping[tuple[str, str, str], int]] = dict  # by (slot, check, severity), at the last look
    quarantines: Callable[[], Mapping[tuple[str, str], int]] = dict  # begun, by (slot, kind)
    caches: Callable[[], Figures] = Figures


@dataclass
class _Seen:
    """Of one slot: where its worker last was, by Clock.passed()."""

    state: State
    since: float
    stepped: float
    due: float
    left: float = 0.0  # when its last container ended, 0.0: none, or an operator has stood between


@dataclass
class Health:
    """What /health says: `broken` names each slot, or "database", and why."""

    broken: dict[str, str]

    @property
    def status(self) -> int:
        """Of HTTP."""
        return 503 if self.broken else 200


@dataclass
class Metrics:
    """Told by the workers (`stepped`), reads the ledger itself. Any thread."""

    store: Store
    clock: Clock
    sources: Sources = Sources()
    registry: CollectorRegistry = field(default_factory=lambda: CollectorRegistry(auto_describe=False))
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _names: set[tuple[str, str, str]] = field(default_factory=set)
    _line: int = -1
    _proof: tuple[float, str] = (-PROVED, "")
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        """Counters begin at the ledger's end: what ended before this process is in `backburn pool costs`."""
        self._line, _ = self.store.recorded(-1)
        self._seconds = self._counter("slot_seconds", "Seconds that a slot spent in a state", "slot", "state")
        self._leases = self._counter("leases", "Leases that ended, by outcome", "slot", "outcome")
        self._blame = self._counter("blame", "Jobs that ended badly, by whose fault it was", "slot", "blame")
        names = ("repository", "workflow", "ref", "outcome")
        self._jobs = self._counter("job_seconds", "Seconds of a slot with a job", *names)
        said = "Seconds from the end of a container to the next runner online on its slot"
        self._rearm = Histogram(f"{PREFIX}_rearm_seconds", said, buckets=REARM, registry=self.registry)
        self.registry.register(_Now(self))

    def _counter(self, name: str, said: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", said, labels, registry=self.registry)

    def expect(self, slots: Collection[str]) -> None:
        """These have a worker from now on, and no others: one that never steps is missed."""
        with self._lock:
            now = self.clock.passed()
            for gone in set(self._seen) - set(slots):
                del self._seen[gone]
            for name in slots:
                self._seen.setdefault(name, _Seen(State.UNKNOWN, now, now, IDLE))

    def stepped(self, place: Place, due: float) -> None:
        """A worker has made a step, and makes the next one within `due` seconds."""
        with self._lock:
            now = self.clock.passed()
            seen = self._seen.setdefault(place.slot.name, _Seen(place.state, now, now, due))
            self._spend(place.slot.name, seen, now)
            if place.state is not seen.state:
                self._moved(seen, place.state, now)
            seen.stepped, seen.due = now, due

    def _moved(self, seen: _Seen, to: State, now: float) -> None:
        if to is State.FINISHING:
            seen.left = now
        elif to in (State.PARKED, State.QUARANTINED):
            seen.left = 0.0  # how long that lasts is a person's doing
        elif to in (State.ONLINE, State.BUSY) and seen.left:
            self._rearm.observe(now - seen.left)
            seen.left = 0.0
        seen.state, seen.since = to, now

    def _spend(self, slot: str, seen: _Seen, now: float) -> None:
        counted = self._seconds.labels(slot, seen.state.value)
        counted.inc(max(0.0, now - seen.stepped))

    def health(self) -> Health:
        """Has every worker stepped in time, and can the database be written?"""
        broken = self.late()
        if said := self._proven():
            broken["database"] = said
        return Health(broken)

    def late(self) -> dict[str, str]:
        """Slot -> how late its worker is, for each that is."""
        late = {}
        with self._lock:
            now = self.clock.passed()
            for name, seen in sorted(self._seen.items()):
                if (over := now - seen.stepped - seen.due) > PATIENCE:
                    late[name] = f"its worker is {over:.0f} s late, in the state {seen.state}"
        return late

    def _proven(self) -> str:
        with self._lock:
            at, said = self._proof
            if self.clock.passed() - at < PROVED:
                return said
        try:
            self.store.prove()
            said = ""
        except (Full, sqlite3.Error) as error:
            said = str(error)
        with self._lock:
            self._proof = (self.clock.passed(), said)
        return said

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        with self._lock:
            self._read_ledger()
        return generate_latest(self.registry)

    def _read_ledger(self) -> None:
        try:
            self._line, entries = self.store.recorded(self._line)
        except Full:
            return  # /health says it
        for entry in entries:
            self._leases.labels(entry.slot, entry.outcome).inc()
            if entry.blame:
                self._blame.labels(entry.slot, entry.blame).inc()
            if entry.seconds:
                self._jobs.labels(*self._named(entry), entry.outcome).inc(entry.seconds)

    def _named(self, entry: Entry) -> tuple[str, str, str]:
        names = (line(entry.repository, LONGEST), line(entry.workflow, LONGEST), line(entry.ref, LONGEST))
        if names not in self._names:
            if len(self._names) >= NAMED:
                return (OTHER, OTHER, OTHER)
            self._names.add(names)
        return names

    def now(self) -> Iterator[Metric]:
        """What is read off at a scrape."""
        with self._lock:
            seen = dict(self._seen)
        at = self.clock.passed()
        state = GaugeMetricFamily(f"{PREFIX}_slot_state", "1 for the state a slot is in", labels=["slot", "state"])
        since = GaugeMetricFamily(f"{PREFIX}_slot_state_seconds", "Seconds in that state", labels=["slot"])
        for name, one in sorted(seen.items()):
            for each in State:
                state.add_metric([name, each.value], float(one.state is each))
            since.add_metric([name], max(0.0, at - one.since))
        yield from (state, since)
        yield from self._of_others()
        yield from _of_caches(self.sources.caches())

    def _of_others(self) -> Iterator[Metric]:
        sources = self.sources
        requests = CounterMetricFamily(f"{PREFIX}_github_requests", "Requests to GitHub", labels=["method", "status"])
        for (method, status), count in sorted(sources.requests().items()):
            requests.add_metric([method, status], count)
        left = GaugeMetricFamily(f"{PREFIX}_github_remaining", "Requests left of a budget", labels=["budget"])
        for budget, count in sorted(sources.remaining().items()):
            left.add_metric([budget], count)
        yield from self._of_gpus()
        build = GaugeMetricFamily(f"{PREFIX}_build_info", "Which backburn this is", labels=["version"])
        build.add_metric([__version__], 1)
        yield from (requests, left, build)
        yield CounterMetricFamily(
            f"{PREFIX}_janitor_removals", "Registrations that the janitor removed", value=sources.removals()
        )
        longest, count = sources.queued()
        for name, said, value in (
            ("queued_seconds", "How long the job has waited that has for the longest; 0: none for too long", longest),
            ("queued_jobs", "Jobs that have waited for longer than [queue] longer-than", count),
            ("circuit_open", "1 while GitHub is asked nothing, after errors or at a rate limit", sources.open()),
            ("engine_up", "1 where the container engine answered last", sources.reachable()),
            ("database_rebuilt", "1 where the database was made anew at the start", bool(self.store.rebuilt)),
        ):
            yield GaugeMetricFamily(f"{PREFIX}_{name}", said, value=float(value))

    def _of_gpus(self) -> Iterator[Metric]:
        labels = ["slot", "check", "severity"]
        symptoms = GaugeMetricFamily(f"{PREFIX}_gpu_symptoms", "What speaks against a GPU now", labels=labels)
        for (slot, check, severity), count in sorted(self.sources.symptoms().items()):
            symptoms.add_metric([slot, line(check, LONGEST), severity], count)
        said = "Quarantines that began"
        begun = CounterMetricFamily(f"{PREFIX}_quarantines", said, labels=["slot", "kind"])
        for (slot, kind), count in sorted(self.sources.quarantines().items()):
            begun.add_metric([slot, kind], count)
        yield from (symptoms, begun)


def _of_caches(figures: Figures) -> Iterator[Metric]:
    for name, said, values in (
        ("cache_bytes", "Bytes on the disk", figures.bytes),
        ("cache_layers", "Layers that a new lease reads", figures.layers),
    ):
        gauge = GaugeMetricFamily(f"{PREFIX}_{name}", said, labels=["cache"])
        for cache, value in values.items():
            gauge.add_metric([cache], value)
        yield gauge
    for name, label, counts in (
        ("cache_promotions", "cache", figures.promotions),
        ("cache_refusals", "reason", figures.refusals),
    ):
        counter = CounterMetricFamily(f"{PREFIX}_{name}", "What jobs wrote, by what became of it", labels=[label])
        for one, count in counts.items():
            counter.add_metric([one], count)
        yield counter


class _Now(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return self._metrics.now()
