"""What becomes of what jobs wrote: a layer for all, where a protected branch's job ended well; else it goes."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

import msgspec

from ..engine import Declined, Engine, Unreachable
from ..exits import Outcome
from ..lease import Lease
from ..store import Store
from .clearing import compact, crowded, empty, over
from .fitting import MOUNTS, Fitter

EVERY = 15.0  # seconds between two rounds: so much later than its job at most, a layer is there


class Provenance(Protocol):
    """Where a job came from."""

    def protected(self, lease: Lease) -> bool:
        """Of a protected branch, for all that GitHub says. Any doubt is no; it raises nothing."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What the metrics say, by cache: bytes on the disk, layers that a new lease reads, those added since the start."""

    bytes: dict[str, int] = {}
    layers: dict[str, int] = {}
    promotions: dict[str, int] = {}
    refusals: dict[str, int] = {}  # of leases that wrote something, by reason: "unprotected", "failed" (to take it)


class Keeper:
    """One round after the other, in a thread of its own; `ended` is told by the slots'."""

    def __init__(self, fitter: Fitter, provenance: Provenance, store: Store, engine: Engine) -> None:
        self._fitter, self._shelf, self._porter = fitter, fitter.shelf, fitter.porter
        self._config, self._clock, self._note = fitter.config.cache, fitter.clock, fitter.note
        self._provenance, self._store, self._engine = provenance, store, engine
        self._promotions: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()
        self._bytes: dict[str, int] = {}
        self._due = True  # layers came or went since they were last weighed

    def ended(self, lease: Lease, how: Outcome) -> None:
        """Only a job that succeeded has anything to offer: one that was cut short may have left half a file."""
        if self._config.promote and how is Outcome.SUCCEEDED:
            try:
                self._shelf.offer(lease)
            except (OSError, ValueError) as error:
                self._note(lease.slot, "warning", f"{lease.runner}: what it cached is not kept: {error}")

    def round(self) -> float:
        """Seconds until the next one is due. What cannot be done now is done in a later one."""
        try:
            self._shelf.prepare()
            with self._shelf.working() as alone:
                if alone and self._fitter.can():
                    self._work()
        except Unreachable:
            pass  # which the slots say
        except (Declined, OSError) as error:
            self._fitter.say(f"{error}")
        return EVERY

    def figures(self) -> Figures:
        """As of the last round; no question is asked."""
        layers = {name: len(self._shelf.current(name)) for name in self._shelf.names}
        return Figures(
            bytes=dict(self._bytes),
            layers=layers,
            promotions={name: self._promotions[name] for name in self._shelf.names},
            refusals=dict(self._refusals),
        )

    def _work(self) -> None:
        self._porter.clear()
        for lease in over(self._shelf, self._store, self._engine):
            self._settle(lease)
            if crowded(self._shelf):
                self._compact()  # now: a lease that begins meanwhile has to mount them all
        if self._shelf.retire() or self._due:
            self._compact()
        empty(self._shelf, self._porter)

    def _compact(self) -> None:
        self._bytes = compact(self._shelf, self._porter, self._config.most)
        self._due = False

    def _settle(self, lease: str) -> None:
        """Killed at any line, the next round goes on: what is a layer already is not made one again."""
        offer = self._shelf.offered(lease)
        written = self._shelf.written(lease) if offer else []
        if offer and written and self._provenance.protected(offer):
            for name in written:
                self._promote(lease, name)
        elif written:
            self._refusals["unprotected"] += 1
        self._shelf.close(lease)

    def _promote(self, lease: str, name: str) -> None:
        if self._shelf.has(name, lease):
            return
        built = self._shelf.build(name)
        paths = map(self._porter.inside, (self._shelf.upper(lease, name), built))
        try:
            self._porter.do("take", *paths, f"{MOUNTS}/{name}", int(self._clock.now()))
        except Declined as error:
            self._refusals["failed"] += 1
            self._note("", "warning", f"what the lease {lease} wrote to the cache {name} is not kept: {error}")
            return
        if any(built.iterdir()):
            self._shelf.add(built, name, lease)
            self._promotions[name] += 1
            self._due = True
