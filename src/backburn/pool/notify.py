"""What systemd is told of us, by sd_notify(3): that we know what runs, that we are alive, how it stands."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections import Counter
from collections.abc import Iterable, Mapping

from ..received import line
from .lease import State

READY, STOPPING, ALIVE = "READY=1", "STOPPING=1", "WATCHDOG=1"
_PATIENCE = 1.0  # seconds, where systemd's own queue is full
_LONGEST = 200  # characters of what `systemctl status` shows


def tell(*said: str) -> None:
    """One message to $NOTIFY_SOCKET; nothing where there is none. That nobody listens there is no trouble of ours."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path[:1] not in ("/", "@"):  # the latter has no file: abstract
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
        to.settimeout(_PATIENCE)
        to.sendto("\n".join(said).encode(), path.replace("@", "\0", 1) if path[0] == "@" else path)


def reloading() -> None:
    """We begin anew, as the same process. READY says when it is done."""
    tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def waiting(why: str) -> None:
    """Alive, and not ready yet."""
    tell(ALIVE, _status(f"waits: {why}"))


def standing(states: Iterable[State], late: Mapping[str, str]) -> None:
    """How many slots are in which state; and alive, unless a worker is late: then systemd is to end us and begin anew,
    which ends no job.
    """
    counted = ", ".join(f"{count} {state}" for state, count in sorted(Counter(states).items()))
    if late:
        tell(_status("; ".join(f"{slot}: {why}" for slot, why in late.items())))
    else:
        tell(ALIVE, _status(counted or "no slot"))


def _status(said: str) -> str:
    """On one line: a second one would be a message of its own."""
    return f"STATUS={line(said, _LONGEST)}"
