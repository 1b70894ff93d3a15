"""One supervisor for each state folder, pool and GPU of a machine: by a lock on the open file, gone with its holder."""

from __future__ import annotations

import fcntl
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ..errors import UserError
from .config import Config

LOCK = "supervisor.lock"
_FLOCK = "hhqqi4x"
"""struct flock: type, whence, start and length in bytes, process."""


def hold(config: Config) -> list[IO[str]]:
    """Take all of them, for as long as the files stay open. Raises UserError, which names who has one already."""
    held: list[IO[str]] = []
    try:
        for path, what in _paths(config):
            held.append(_take(path, what))
    except BaseException:
        for each in held:
            each.close()
        raise
    return held


def holder(state: Path) -> int:
    """The process id of the supervisor that has this state folder; 0: none. It takes no lock, so it stops no start."""
    try:
        with (state / LOCK).open() as stream:
            if _asked(stream, fcntl.F_OFD_GETLK) == fcntl.F_UNLCK:
                return 0
            text = stream.read().strip()
    except OSError:
        return 0
    return int(text) if text.isdecimal() else -1


def _paths(config: Config) -> Iterator[tuple[Path, str]]:
    folder = Path(config.pool.locks)
    yield config.state / LOCK, f"the state folder {config.state}"
    yield folder / f"backburn-pool-{config.pool.name}.lock", f"a pool called {config.pool.name!r} on this machine"
    for slot in config.all_slots:
        if slot.device:
            yield folder / f"backburn-{re.sub(r'[^A-Za-z0-9-]', '_', slot.device)}.lock", slot.device


def _asked(stream: IO[str], command: int) -> int:
    """The lock of the whole file that stands in the way of ours (fcntl(2), "Open file description locks")."""
    answer = fcntl.fcntl(stream, command, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    found: int = struct.unpack(_FLOCK, answer)[0]
    return found


def _take(path: Path, what: str) -> IO[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644), "r+")
    except OSError as error:
        hint = "[pool] state and [pool] locks say where; the supervisor's user must be able to write there."
        raise UserError(f"cannot lock: {error.strerror}", where=str(path), hint=hint) from error
    try:
        _asked(stream, fcntl.F_OFD_SETLK)
    except OSError as error:
        said = f"another supervisor (process {stream.read().strip() or 'unknown'}) has {what}"
        stream.close()
        raise UserError(
            said, where=str(path), hint="One is enough: `backburn pool status` shows what it does."
        ) from error
    stream.truncate(0)
    stream.write(f"{os.getpid()}\n")
    stream.flush()
    return stream
