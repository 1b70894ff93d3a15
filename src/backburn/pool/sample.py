"""How the machine is, in one line: load, memory, disks. Read from the kernel, without a program or a library."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import msgspec


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One look. Bytes; `at` is seconds since the epoch; -1: not known."""

    at: float
    load: float
    memory: int  # available
    swap: int  # free
    disks: tuple[tuple[str, int], ...]  # (path, free)

    def __str__(self) -> str:  # noqa: D105
        disks = ", ".join(f"{_size(free)} free at {path}" for path, free in self.disks)
        return f"load {self.load:.2f}, memory {_size(self.memory)} available, swap {_size(self.swap)} free, {disks}"


def take(at: float, places: Iterable[Path]) -> Sample:
    """A look at the machine; what cannot be read is -1. Never raises OSError."""
    load, memory = -1.0, {}
    with contextlib.suppress(OSError):
        load = os.getloadavg()[0]
    with contextlib.suppress(OSError, ValueError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        memory = {name: int(rest.split()[0]) << 10 for name, _, rest in (line.partition(":") for line in lines)}
    disks = tuple((str(place), _free(place)) for place in places)
    return Sample(at=at, load=load, memory=memory.get("MemAvailable", -1), swap=memory.get("SwapFree", -1), disks=disks)


def _free(place: Path) -> int:
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return -1


def _size(value: int) -> str:
    return "?" if value < 0 else f"{value / (1 << 30):.1f} GiB"
