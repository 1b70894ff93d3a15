"""The supervisor of a pool.toml: its parts put together, and its log."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from . import config as configuration
from . import listening, locks, notify
from .blackbox import Recorder
from .cache.fitting import Fitter, bare
from .cache.keeper import Figures, Keeper
from .care import Care
from .clock import SystemClock
from .config import Config, Probe
from .docker import DockerEngine
from .engine import Engine
from .gate import MachineGate
from .github import GitHub
from .health import cuda
from .health.sampler import watched
from .janitor import Janitor
from .metrics import Metrics, Sources
from .muster import settled
from .place import Tools
from .provenance import provenance
from .queue import Queue, queue
from .registrar import Registrar
from .store import Store
from .supervisor import Supervisor


@dataclass
class Log:
    """One line each: level, slot, and what was said, without our secrets; also kept for the black boxes."""

    github: GitHub
    recorder: Recorder | None = None
    stream: TextIO = field(default_factory=lambda: sys.stderr)

    def note(self, slot: str, level: str, said: str) -> None:
        """To stderr, where systemd and a terminal add what they know. A reader that is gone ends nothing."""
        said = self.github.redact(said)
        with contextlib.suppress(OSError, ValueError):
            print(f"{level:<7} {slot or '-':<12} {said}", file=self.stream, flush=True)
        if self.recorder is not None:
            self.recorder.note(slot, level, said)


def main(path: Path) -> int:
    """Supervise until told to stop. Raises UserError for a file, a secret or a lock that cannot be had."""
    config = configuration.load(path)
    held = locks.hold(config)
    try:
        return _supervise(config, path)
    finally:
        for lock in held:
            lock.close()


def _supervise(config: Config, path: Path) -> int:
    clock = SystemClock()
    github, store = GitHub(config, clock=clock), Store(config.state)
    log = Log(github)
    fitter = Fitter(config, clock, log.note) if config.cache.root else None
    engine = DockerEngine(config, clock, fit=fitter.fit if fitter else bare)
    settled(config, store)
    if store.rebuilt:
        log.note("", "error", f"the database could not be read, and begins anew: {store.rebuilt}")
    recorder = log.recorder = Recorder(config, engine, clock, log.note, secrets=github.secrets)
    care = cared(config, store, clock, log)
    tools = assembled(config, store, engine, github, clock, log, recorder, care)
    janitor = Janitor(tools)
    lookout = queue(config, github, store, clock, log.note)
    keeper = Keeper(fitter, provenance(github, config, clock, log.note), store, engine) if fitter else None
    if keeper is not None:
        tools.ended = keeper.ended
    metrics = Metrics(store, clock, _sources(github, engine, janitor, care, lookout, keeper))
    server = listening.listen(metrics, config.metrics.listen, log.note)
    supervisor = Supervisor(
        tools,
        janitor,
        rounds=tuple(one.round for one in (lookout, keeper) if one is not None),
        reload=lambda: settled(configuration.load(path), store),
        close=lambda: _close(engine, care),
        expected=metrics.expect,
        stepped=metrics.stepped,
        ticked=lambda: _tick(recorder, metrics, supervisor),
    )
    try:
        return supervisor.run()
    finally:
        if server is not None:
            server.close()
        store.close()


def _tick(recorder: Recorder, metrics: Metrics, supervisor: Supervisor) -> None:
    """Every few seconds: a sample for the black boxes, and a sign of life for systemd."""
    recorder.sample()
    notify.standing([place.state for place in list(supervisor.places)], metrics.late())


def cared(config: Config, store: Store, clock: SystemClock, log: Log) -> Care:
    """How the GPUs are. It begins to look at once, in a process of its own."""
    care = Care(watched(config, clock, log.note), config.slots.gpus, log.note, trusted=store.trusted, clock=clock)
    if config.health.probe is Probe.CUDA:
        care.probe, care.each_lease = cuda.probe, config.health.probe_each_lease
    return care


def assembled(
    config: Config,
    store: Store,
    engine: Engine,
    registrar: Registrar,
    clock: SystemClock,
    log: Log,
    recorder: Recorder,
    care: Care,
) -> Tools:
    """What every step works with."""
    gate = MachineGate(config, engine, registrar, care=care)
    return Tools(config, store, engine, registrar, gate, clock, log.note, recorder.keep, care=care)


def _close(engine: DockerEngine, care: Care) -> None:
    engine.close()
    care.health.close()


def _sources(
    github: GitHub,
    engine: DockerEngine,
    janitor: Janitor,
    care: Care,
    lookout: Queue | None,
    keeper: Keeper | None,
) -> Sources:
    """What the metrics ask of the others."""
    return Sources(
        requests=lambda: github.tally().requests,
        remaining=lambda: github.tally().remaining,
        open=github.resting,
        reachable=lambda: engine.reachable,
        removals=lambda: janitor.removals,
        queued=lookout.waits if lookout else Sources.queued,
        symptoms=care.counted,
        quarantines=lambda: dict(care.quarantines),
        caches=keeper.figures if keeper is not None else Figures,
    )
