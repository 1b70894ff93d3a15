"""Xids by the kernel's log, for cards and drivers whose NVML has no events."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence

from .reading import Event

KMSG = "/dev/kmsg"
Address = tuple[int, int, int]  # PCI domain, bus, device
Devices = Mapping[Address, Sequence[str]]  # UUIDs: a card may have several MIG instances, and the log names none
# NVRM: Xid (PCI:0000:10:1c): 63, pid=1896, Row Remapper: …
_XID = re.compile(r"NVRM: Xid \((?:PCI:)?([0-9a-f]{4,8}):([0-9a-f]{2}):([0-9a-f]{2})[^)]*\): (\d{1,5})\b")


def xids(devices: Devices, tell: Callable[[Event], None], path: str, ended: threading.Event) -> frozenset[str]:
    """Begin to tell of those that come from now on; the devices of which it does: none where it may not be read."""
    if not devices:
        return frozenset()
    try:
        number = os.open(path, os.O_RDONLY)
        os.lseek(number, 0, os.SEEK_END)
    except OSError:  # not root, or a hardened unit
        return frozenset()
    threading.Thread(target=_follow, args=(number, devices, tell, ended), daemon=True).start()
    return frozenset(uuid for uuids in devices.values() for uuid in uuids)


def _follow(number: int, devices: Devices, tell: Callable[[Event], None], ended: threading.Event) -> None:
    while not ended.is_set():
        try:
            record = os.read(number, 8192)  # one record a read; EPIPE: some were overwritten before we came
        except BrokenPipeError:
            continue
        except OSError:
            break
        if not record:  # a file in a test; the kernel's log waits instead
            ended.wait(0.1)
        for line in record.decode(errors="replace").splitlines():
            for event in found(line, devices):
                tell(event)
    os.close(number)


def found(line: str, devices: Devices) -> tuple[Event, ...]:
    """The Xid in a line of the log, for each device on that card."""
    match = _XID.search(line)
    if match is None:
        return ()
    uuids = devices.get((int(match[1], 16), int(match[2], 16), int(match[3], 16)), ())
    return tuple(Event(device=uuid, kind="xid", code=int(match[4])) for uuid in uuids)
