"""May a job run here? Asked before each lease, of the machine and of the slot."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from .care import Care, gravest, ground, said
from .config import Config
from .engine import Engine
from .health.symptom import Severity
from .lease import Quarantine, Slot
from .registrar import Registrar

SKEWED = 600.0  # seconds that the clock may be off: a token's times are mended by GitHub's Date, a log's are not


class NotNow(Exception):
    """The machine cannot take a job now: disk, clock. It looks again by itself."""


class Unfit(Exception):
    """The slot itself cannot take a job: it is quarantined."""

    def __init__(self, why: Quarantine) -> None:
        super().__init__(why.reason)
        self.why = why


class Gate(Protocol):
    """What stands before a lease."""

    def admit(self, slot: Slot) -> None:
        """Raise NotNow or Unfit, or Unreachable where the engine does not answer."""

    def full(self) -> str:
        """Which disk is, in words: a job that ran then could not write. "" where none is."""


class MachineGate:
    """An engine that answers, room on every disk that a job fills, a clock that GitHub agrees with, a sound GPU."""

    def __init__(
        self,
        config: Config,
        engine: Engine,
        registrar: Registrar,
        room: Callable[[Path], tuple[float, float]] | None = None,
        care: Care | None = None,
    ) -> None:
        self._config, self._engine, self._registrar = config, engine, registrar
        self._room, self._care = room or free, care or Care()

    def admit(self, slot: Slot) -> None:
        """The engine first: nothing else matters without it. The GPU last: only it is this slot's own."""
        self._engine.ping()
        self._disks()
        self._clock()
        self._gpu(slot)

    def _gpu(self, slot: Slot) -> None:
        found = self._care.against(slot)
        if self._care.each_lease and not gravest(found, Severity.WAIT) and (idle := self._care.worked(slot)):
            found = (idle,)
        if why := ground(found):
            raise Unfit(why)
        if worst := gravest(found, Severity.WAIT):
            raise NotNow(said(worst) if worst.device == slot.device else f"{worst.device}: {said(worst)}")

    def full(self) -> str:
        """At a tenth of what [limits] asks for: no slot was armed since it had ten times as much."""
        limits = self._config.limits
        for place in self._config.disks:
            with contextlib.suppress(OSError):
                space, inodes = self._room(place)
                if space < limits.disk_min_free / 10 or inodes < limits.disk_min_inodes / 10:
                    return f"the disk is full: {space / (1 << 20):.0f} MiB and {inodes:.1f} % of inodes free at {place}"
        return ""

    def _disks(self) -> None:
        limits = self._config.limits
        for place in self._config.disks:
            try:
                space, inodes = self._room(place)
            except OSError as error:  # a share that went stale, a folder that is not ours to look into
                raise NotNow(f"{place} cannot be looked at: {error.strerror or error}") from error
            if space < limits.disk_min_free:
                said = f"{space / (1 << 30):.1f} GiB free at {place}, fewer than [limits] disk-min-free"
                raise NotNow(
                    f"{said}, {limits.disk_min_free / (1 << 30):.1f} GiB. `backburn pool gc` removes what is ours."
                )
            if inodes < limits.disk_min_inodes:
                raise NotNow(f"{inodes:.1f} % of the inodes free at {place}, fewer than {limits.disk_min_inodes:g} %")

    def _clock(self) -> None:
        skew = self._registrar.skew()
        if abs(skew) > SKEWED:
            behind = "behind" if skew > 0 else "ahead of"
            raise NotNow(f"this machine's clock is {abs(skew) / 60:.0f} min {behind} GitHub's: set it (timedatectl)")


def free(place: Path) -> tuple[float, float]:
    """Bytes that are free at a path (or at the nearest folder above it that exists), and the share of inodes in %."""
    while not place.exists() and place != place.parent:
        place = place.parent
    state = os.statvfs(place)
    inodes = 100.0 * state.f_favail / state.f_files if state.f_files else 100.0  # btrfs counts none
    return float(shutil.disk_usage(place).free), inodes
