"""One look at a GPU, what happened between two, and why the driver could not be asked. Plain data, and the wire's."""

from __future__ import annotations

import msgspec


class Reading(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One look at a GPU or a MIG instance. None: the card or its driver does not support it (NVML's 3 and 13).

    `at` (seconds since the epoch) and `passed` (Clock.passed) are those of whoever reads it.
    """

    device: str  # the UUID
    error: int = 0  # NVML's return code where it does not answer for this device; 0: it does
    recovery: int | None = None  # NVML_GPU_RECOVERY_ACTION_*
    remap_pending: int | None = None  # 1: rows wait for a reset to be replaced
    remap_failed: int | None = None  # 1: one could not be replaced
    pages_pending: int | None = None  # 1: pages wait for a reset to be retired (before Ampere)
    ecc_uncorrected: int | None = None  # since the driver was loaded
    ecc_corrected: int | None = None
    throttle: int | None = None  # bits of nvmlClocksEventReasons
    link_gen: int | None = None
    link_gen_max: int | None = None  # of this card in this slot
    link_width: int | None = None  # lanes
    link_width_max: int | None = None
    replays: int | None = None  # PCIe, since the driver was loaded
    load: int | None = None  # per cent of the time that a kernel ran
    memory_used: int | None = None  # bytes
    memory_total: int | None = None
    compute: tuple[int, ...] | None = None  # process ids with a CUDA context
    graphics: tuple[int, ...] | None = None
    inforom: int | None = None  # 1: its checksum is wrong
    xids: int | None = None  # 1: the driver, or the kernel's log, tells us of Xids
    at: float = 0.0
    passed: float = 0.0

    @property
    def busy(self) -> bool:
        """Whether a process computes there."""
        return bool(self.compute)


class Look(msgspec.Struct, frozen=True, tag="look"):
    """All devices, at one time."""

    readings: tuple[Reading, ...]


class Event(msgspec.Struct, frozen=True, kw_only=True, tag="event"):
    """Something happened on a GPU: an Xid (`code`), uncorrected ECC errors (`code`: how many), or another change."""

    device: str
    kind: str  # "xid", "ecc", "change"
    code: int = 0
    at: float = 0.0
    passed: float = 0.0


class Trouble(msgspec.Struct, frozen=True, kw_only=True, tag="trouble"):
    """The driver as a whole could not be asked.

    `driver`: nvmlInit said `code`. `hang`: no answer in time, and the process that asked was killed. `stuck`: not even
    that. `end`: it ended by itself, with exit code `code`. `anew`: no trouble, only another process from here on.
    """

    kind: str
    code: int = 0
    said: str = ""
    at: float = 0.0
    passed: float = 0.0


Told = Look | Event | Trouble

# Check -> the value without which it is skipped.
NEEDED = {
    "gpu/recovery-action": "recovery",
    "gpu/row-remap": "remap_pending",
    "gpu/pages": "pages_pending",
    "gpu/ecc": "ecc_uncorrected",
    "gpu/xid": "xids",
    "gpu/throttle": "throttle",
    "gpu/pcie": "link_width",
    "gpu/memory": "memory_used",
    "gpu/inforom": "inforom",
}


def unseen(reading: Reading) -> tuple[str, ...]:
    """The checks that this card or driver does not support."""
    return tuple(check for check, value in NEEDED.items() if getattr(reading, value) is None)
