"""How much memory an empty GPU has in use: learned when it is first seen empty, and kept in a small file."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from ... import evidence
from ...errors import UserError
from .reading import Reading

FILE = "gpu-memory.json"
# No floor is learned above this, whichever is more: a CUDA context that a dead process left takes 100 to 600 MiB, and
# must not pass for the card's own; a driver before R510 counts what it reserves, which grows with the card.
_MOST, _SHARE = 1 << 30, 0.02
# Above the floor and not yet a leftover: the least that a CUDA context takes is about 100 MiB.
_SLACK = 64 << 20


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The file: UUID -> bytes."""

    kind: str = "pool-gpu-memory"
    schema: int = 1
    floors: dict[str, int] = {}


class Floors:
    """Of all devices. `learn` only remembers; `save` writes, and is for a thread that may wait for a disk."""

    def __init__(self, state: Path) -> None:
        self._path = state / FILE
        self._floors: dict[str, int] = {}
        self._changed = False
        with contextlib.suppress(UserError):  # missing, or not to be read: learned again
            self._floors = dict(evidence.load(self._path, Kept).floors)

    def of(self, device: str) -> int | None:
        """Bytes, or None where it was never seen empty."""
        return self._floors.get(device)

    def learn(self, reading: Reading) -> None:
        """From a look at an empty slot: the least that was ever in use with no process there."""
        used, known = reading.memory_used, self.of(reading.device)
        if used is None or reading.busy or reading.error or used > bound(reading):
            return
        if known is None or used < known:
            self._floors[reading.device], self._changed = used, True

    def save(self) -> None:
        """Write what was learned, whole. Raises OSError; what could not be written is tried again."""
        if self._changed:
            evidence.save(Kept(floors=dict(self._floors)), self._path)
            self._changed = False


def bound(reading: Reading) -> int:
    """Bytes above which no floor is learned of this card."""
    return max(_MOST, int(_SHARE * (reading.memory_total or 0)))


def dirty(reading: Reading, floor: int | None) -> bool:
    """Whether somebody is still there, or has left memory behind."""
    most = bound(reading) if floor is None else floor + _SLACK
    return reading.busy or (reading.memory_used or 0) > most
