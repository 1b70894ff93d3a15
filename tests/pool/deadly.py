"""The real supervisor, ill in one way: python -m tests.pool.deadly POINT|DEFECT NTH CONFIG.

At a POINT of simulation.fuse it dies by SIGKILL, the NTH time that it comes there. With a DEFECT it lacks one thing
that makes it hold: a test that passes with its defect shows nothing.
"""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import msgspec

from backburn.pool import assembly, departing, docker, exits, janitor, machine, parole, place, supervisor, watching
from backburn.pool.cache import keeper
from backburn.pool.health.symptom import Symptom
from backburn.pool.lease import Phase, State
from backburn.pool.registrar import Removal
from backburn.pool.simulation.fuse import POINTS, Fuse
from backburn.pool.store import Full, Store

GPU = "GPU-5a1cf9a2-0000-4000-8000-000000000001"


def _fused(point: str, nth: int) -> None:
    """Wrap what the supervisor works with; all else is as it is."""
    fuse = Fuse(
        lambda here: here == point and fuse.passed[point] >= nth and os.kill(os.getpid(), signal.SIGKILL) is None
    )
    sound = assembly.assembled

    def assembled(config, store, engine, registrar, *rest):
        wrapped = (fuse.wrap("store", store), fuse.wrap("engine", engine), fuse.wrap("registrar", registrar))
        return sound(config, *wrapped, *rest)

    assembly.assembled = assembled


def _clears_at_start():
    """As actions/scaleset's dockerscaleset: what runs and is not known is in the way."""
    sound = supervisor.muster

    def muster(config, store, engine):
        for one in engine.containers():
            engine.remove(one.id)
        return sound(config, store, engine)

    supervisor.muster = muster


def _clears_at_end():
    sound = supervisor.Supervisor.run

    def run(self):
        code = sound(self)
        for one in self.tools.engine.containers():
            self.tools.engine.remove(one.id)
        return code

    supervisor.Supervisor.run = run


def _takes_any_file():
    sound = supervisor.Supervisor
    assembly.Supervisor = lambda *given, reload, **more: sound(*given, reload=lambda: None, **more)


def _forgets_registrations():
    def leave(lease, tools):
        lease.phase = Phase.CLOSED
        tools.store.save(lease)

    departing.leave = leave
    janitor.Janitor._strange = lambda self: None


def _looks_then_kills():
    """As ARC and terraform-aws once did: ask whether it is busy, and kill it if not."""

    def retire(lease, cause, tools):
        seen = tools.registrar.get(lease.runner_id)
        if seen is not None and seen.busy:
            return Removal.BUSY
        lease.removed, lease.cause = tools.clock.now(), cause
        tools.store.save(lease)
        tools.engine.remove(lease.container)
        return Removal.GONE

    _hasty()
    departing.retire = retire


def _takes_what_looks_alike():
    _hasty()
    janitor.re = type("re", (), {"escape": staticmethod(str), "compile": staticmethod(lambda _: _Any())})


class _Any:
    def fullmatch(self, name):
        return True


def _talks():
    from backburn.pool.github import GitHub

    sound = GitHub.register

    def register(self, name):
        made = sound(self, name)
        print("registered", name, made.configuration, file=sys.stderr)
        return made

    GitHub.register = register


def _no_watchdog():
    watching._force = lambda lease, why, tools: place.Move(State.BUSY, why, 5.0)


def _goes_by_exit_code():
    exits.outcome = lambda end: exits.Outcome.DONE if not end.seen or not end.seen.code else exits.Outcome.CRASHED


def _goes_on_when_full():
    """Nothing is written down, and it does not care."""
    for name in ("save", "record", "settle"):
        sound = getattr(Store, name)

        def careless(self, *given, sound=sound):
            with contextlib.suppress(Full):
                sound(self, *given)

        setattr(Store, name, careless)


def _trusts_everybody():
    """Whatever branch a job is of."""
    _hasty()
    sound = assembly.Keeper
    anybody = type("Anybody", (), {"protected": lambda self, lease: True})
    assembly.Keeper = lambda fitter, provenance, *more: sound(fitter, anybody(), *more)


def _hasty():
    """No defect: it looks ten times as often, so that hundreds of drains take minutes."""
    from backburn.pool import arming

    for module in (place, machine, arming, watching, parole):
        for name, value in (("IDLE", 0.5), ("SOON", 0.2), ("OFTEN", 0.5)):
            if hasattr(module, name):
                setattr(module, name, value)
    janitor.EVERY = janitor.AGAIN = janitor.LISTED = keeper.EVERY = 1.0
    janitor.STRANGE = 3.0
    sound = assembly.assembled

    def assembled(*given):
        tools = sound(*given)
        tools.look = 0.5
        return tools

    assembly.assembled = assembled


class _Told:
    """The health of a machine by a file beside the pool's own, looked at all the time: a symptom a line, as JSON."""

    def __init__(self, path):
        self.path = path

    def _read(self):
        with contextlib.suppress(OSError):
            return [msgspec.json.decode(line, type=Symptom) for line in self.path.read_text().splitlines()]
        return []

    def symptoms(self, device, *, empty=True):
        return tuple(one for one in self._read() if not one.at)

    def between(self, device, begin, end):
        return tuple(one for one in self._read() if begin <= one.at <= end)

    def unseen(self, device):
        return ()

    def watch(self, wake):
        before = self._read()
        while True:
            time.sleep(0.05)
            if (now := self._read()) != before:
                before = now
                wake(GPU)

    def close(self):
        pass


def _has_a_gpu():
    """No defect: its GPU is /dev/zero, and as well as symptoms.jsonl says. Orders are looked for every half second."""
    for module in (place, machine, parole):
        module.IDLE = 0.5
    docker.DockerEngine.__init__.__kwdefaults__["nodes"] = lambda device: {"/dev/zero": "/dev/nvidia0"}
    sound = assembly.cared

    def cared(config, *given):
        care = sound(config, *given)
        care.health = _Told(config.state.parent / "symptoms.jsonl")
        return care

    assembly.cared = cared


DEFECTS = {
    "clears at start": _clears_at_start,
    "clears at end": _clears_at_end,
    "takes any file": _takes_any_file,
    "forgets registrations": _forgets_registrations,
    "looks, then kills": _looks_then_kills,
    "takes what looks alike": _takes_what_looks_alike,
    "talks": _talks,
    "no watchdog": _no_watchdog,
    "goes by the exit code": _goes_by_exit_code,
    "goes on when full": _goes_on_when_full,
    "no locks": lambda: setattr(assembly.locks, "hold", lambda config: []),
    "hasty": _hasty,
    "has a GPU": _has_a_gpu,
    "trusts everybody": _trusts_everybody,
}


def main(what: str, nth: int, path: Path) -> int:
    """As `backburn pool run`. One that is to die at a point may have a defect, too."""
    for defect in {what, os.environ.get("BACKBURN_DEFECT", "")} & set(DEFECTS):
        DEFECTS[defect]()
    if what in POINTS:
        _fused(what, nth)
    return assembly.main(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
