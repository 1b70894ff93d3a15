"""What an Xid of NVIDIA's driver means for a slot, and for the job that ran beside it.

Sources: NVIDIA's Xid catalogue, columns "Resolution Bucket" (https://docs.nvidia.com/deploy/xid-errors/
analyzing-xid-catalog.html), and the codes that NVIDIA's own Kubernetes plugin calls an application's
(NVIDIA/k8s-device-plugin, internal/rm/health.go). They differ on 109: the catalogue says "reset", the plugin ignores
it; we go with the plugin, as a driver that wants a reset says so by `gpu/recovery-action`.
"""

from __future__ import annotations

import msgspec

from .symptom import Blame, Severity

RECOVERY_CHANGED = 154  # says that gpu/recovery-action changed, and nothing else


class Meaning(msgspec.Struct, frozen=True):
    """What one code comes to."""

    said: str
    severity: Severity
    blame: Blame


def _all(severity: Severity, blame: Blame, codes: dict[int, str]) -> dict[int, Meaning]:
    return {code: Meaning(said, severity, blame) for code, said in codes.items()}


# An application's own doing; the GPU is as it was.
_CODE = {
    11: "an invalid command stream",
    13: "an exception in a kernel",
    25: "an illegal command stream",
    31: "a memory page fault",
    43: "the GPU stopped working for one process",
    45: "a process's channels were removed after another error",
    68: "an exception in a video engine",
    69: "an illegal graphics class",
    109: "a context switch took too long",
}
# The catalogue: restart the application, or ignore. One of them is no reason to take a GPU away.
_PASSING = {
    8: "the GPU stopped processing",
    32: "a corrupted command stream",
    37: "a firmware error in the driver",
    38: "a firmware watchdog in the driver",
    44: "a fault during a context switch",
    60: "an exception in a video engine",
    66: "an illegal access by the driver",
    67: "an illegal access by the driver",
    80: "corrupted data was sent to the GPU",
    86: "an exception in the optical flow engine",
    93: "the InfoROM is written too often",
    106: "a test message",
    107: "a test message",
    108: "a remote NVLink address could not be translated",
    121: "an error on the link to the CPU",
    137: "an NVLink privilege error",
    139: "an exception in the optical flow engine",
    141: "an error on CUDA's fast path",
    152: "an error of the DLA",
    153: "a time-out of the DLA",
    157: "a resource could not be retired",
    160: "a memory channel was retired",
    161: "a memory channel could not be retired",
    **dict.fromkeys((39, 40, 41, 70, 71, 72, 75, 76, 77, 85, *range(126, 136)), "an exception in a copy engine"),
    **dict.fromkeys((83, 84, 88, 89, 96, 97, 98), "an exception in a video decoder"),
    **dict.fromkeys((82, *range(99, 106)), "an exception in a JPEG decoder"),
}
# The catalogue: reset the GPU or restart the machine. 63 and 94 too, where it lets new work begin: the row is only
# replaced, and the poisoned one only given up, by a reset, and a reset between two jobs costs no job.
_RESET = {
    46: "the GPU stopped processing",
    48: "an uncorrectable memory error",
    54: "the card's auxiliary power is not connected",
    62: "a micro-controller of the card halted",
    63: "a memory row is to be replaced",
    64: "a memory row could not be replaced",
    79: "the GPU has fallen off the bus",
    94: "a memory error, contained to one process",
    95: "a memory error that was not contained",
    110: "a security fault",
    119: "the card's firmware does not answer",
    120: "an error in the card's firmware",
    136: "a link could not be trained",
    140: "an uncorrectable memory error that was not caught",
    143: "the GPU could not be initialised",
    151: "a key could not be rotated",
    155: "an NVLink error",
    156: "a resource was retired",
    158: "a fatal time-out",
    171: "an uncorrectable error in DRAM",
    172: "an uncorrectable error in SRAM",
}
# The machine's, and it may pass by itself.
_SUSPECT = {
    74: "an NVLink error",
    92: "many single-bit memory errors",
    **dict.fromkeys(range(144, 151), "an NVLink error"),
}

XIDS = {
    **_all(Severity.NOTED, Blame.CODE, _CODE),
    **_all(Severity.NOTED, Blame.OPEN, _PASSING),
    **_all(Severity.RESET, Blame.MACHINE, _RESET),
    **_all(Severity.UNFIT, Blame.MACHINE, _SUSPECT),
    RECOVERY_CHANGED: Meaning("what the driver advises has changed", Severity.NOTED, Blame.MACHINE),
}
_UNKNOWN = Meaning("a code that is not known here", Severity.UNFIT, Blame.OPEN)


def meaning(code: int) -> Meaning:
    """Of a code that is in no table: suspect, until it has been quiet for a while."""
    return XIDS.get(code, _UNKNOWN)
