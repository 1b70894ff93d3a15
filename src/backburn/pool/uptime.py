"""When the process behind a unix socket started: the one thing that tells a restarted engine from a slow one.

Docker's API does not say it. What else changes with a restart was looked at on Engine 20.10: the default bridge's
`Created` (not with live-restore and a running container, and there may be no bridge), the events that it remembers
(none is promised), the end of a stream (a proxy can end one too). The process's own start is exact in both modes,
and says it too to a supervisor that was not there at the time.
"""

from __future__ import annotations

import functools
import os
import socket
import struct
import time
from pathlib import Path

_PIDFILES = {"/var/run/docker.sock": Path("/run/docker.pid"), "/run/docker.sock": Path("/run/docker.pid")}
_CREDENTIALS = struct.calcsize("3i")  # pid, uid, gid


def started(host: str, *, limit: float = 5.0, pidfiles: dict[str, Path] | None = None) -> float:
    """Seconds since the epoch, by this machine's clock when first asked; 0.0 where it cannot be told: not a unix
    socket, nobody listens, another machine's or container's process.
    """
    path = host.removeprefix("unix://")
    if path == host or not hasattr(socket, "SO_PEERCRED"):
        return 0.0
    known = _process(_listener(path, limit))
    if known:
        return known
    # With systemd's docker.socket it is systemd that listens; /proc may hide root's processes (ProtectProc=invisible).
    pidfile = (_PIDFILES if pidfiles is None else pidfiles).get(path)
    try:
        return _process(int(pidfile.read_text())) or pidfile.stat().st_mtime if pidfile else 0.0
    except (OSError, ValueError):
        return 0.0


def _listener(path: str, limit: float) -> int:
    """The process that called listen(), which need not be the one that answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(limit)
        try:
            line.connect(path)
            said = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS)
        except OSError:
            return 0
    return int(struct.unpack("3i", said)[0])


def _process(pid: int) -> float:
    """When it started, if it is a dockerd; 0.0 otherwise."""
    try:
        name, fields = Path(f"/proc/{pid}/stat").read_text().split("(", 1)[1].rsplit(")", 1)
    except (OSError, IndexError, ValueError):
        return 0.0
    return _since(pid, int(fields.split()[19])) if name == "dockerd" else 0.0


@functools.lru_cache(maxsize=16)
def _since(_: int, ticks: int) -> float:
    """The same for the same process at every call. Not by btime of /proc/stat, which is in whole seconds."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")
