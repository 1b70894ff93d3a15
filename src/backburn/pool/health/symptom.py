"""What speaks against a GPU: how grave it is, and whose fault a job would be that fails beside it. Plain data."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

import msgspec


class Severity(StrEnum):
    """What a symptom means for the slot; the gravest counts."""

    NOTED = "noted"  # a line and a metric; jobs go on
    WAIT = "wait"  # not now: it may pass by itself
    UNFIT = "unfit"  # no new job on this GPU; parole looks again
    RESET = "reset"  # no new job until a person has reset or replaced it, and released the slot
    MACHINE = "machine"  # no new job on any GPU of this machine


class Blame(StrEnum):
    """Who is at fault where a job failed while this was seen."""

    MACHINE = "machine"
    CODE = "code"
    OPEN = "open"  # either


class Symptom(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was seen. `at` is seconds since the epoch; `check` is the row of the table in docs/pool.md."""

    check: str
    device: str  # UUID of the GPU or MIG instance
    severity: Severity
    blame: Blame
    said: str
    hint: str = ""  # what to do
    at: float = 0.0


class Health(Protocol):
    """All of it from any thread, and within two seconds, whatever the driver does. "" is a CPU slot: never ill."""

    def symptoms(self, device: str, *, empty: bool = True) -> tuple[Symptom, ...]:
        """What speaks against it now, the gravest first. `empty`: no job runs there, so its memory should be free."""

    def between(self, device: str, begin: float, end: float) -> tuple[Symptom, ...]:
        """What was seen there in that time (seconds since the epoch), the earliest first."""

    def unseen(self, device: str) -> tuple[str, ...]:
        """The checks that this card or driver does not support: skipped, and never a symptom."""

    def watch(self, wake: Callable[[str], None]) -> None:
        """Call `wake(device)` when something new was seen there; for ever, until `close`."""

    def close(self) -> None:
        """End what was started for it."""


class Unwatched:
    """The health of a machine without GPUs: nothing is looked at."""

    def symptoms(self, device: str, *, empty: bool = True) -> tuple[Symptom, ...]:
        """None."""
        return ()

    def between(self, device: str, begin: float, end: float) -> tuple[Symptom, ...]:
        """None."""
        return ()

    def unseen(self, device: str) -> tuple[str, ...]:
        """None."""
        return ()

    def watch(self, wake: Callable[[str], None]) -> None:
        """Nothing to wait for."""

    def close(self) -> None:
        """Nothing was started."""
