"""The process that looks, from outside: started, asked, heard, and killed when it does not answer.

A process that waits in the kernel for a driver that does not come back cannot even be killed. It is left where it is,
and no other is started beside it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

import msgspec

from .reading import Look, Told

MODULE = "backburn.pool.health.nvml"
_LINE = 1 << 20  # bytes; 1,024 devices make about 400 kB
_REAP = 1.0  # seconds that a killed process may take to be gone
# No secret of the supervisor's environment goes along.
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LANG", "TMPDIR")


def command(devices: Sequence[str]) -> list[str]:
    """What is started."""
    return [sys.executable, "-P", "-m", MODULE, *devices]


def environment() -> dict[str, str]:
    """For a process that needs the driver's library and our own package, and nothing else."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


class Looker:
    """One process. `hear` is called with what it says, `ended` once when it says no more: both on another thread."""

    def __init__(self, words: Sequence[str], hear: Callable[[Told], None], ended: Callable[[], None]) -> None:
        """Raises OSError where it cannot be started."""
        self._hear, self._ended = hear, ended
        self._asking, self._silent = threading.Event(), threading.Event()
        self._child = subprocess.Popen(  # noqa: S603
            list(words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
            start_new_session=True,
        )
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def owes(self) -> bool:
        """Whether an answer is due."""
        return self._asking.is_set()

    @property
    def silent(self) -> bool:
        """Whether nothing more will be heard of it: it ended, or what it said could not be read."""
        return self._silent.is_set()

    def ask(self) -> None:
        """For one look. Never waits: it is asked for one at a time."""
        if self._child.stdin is not None and not self._asking.is_set():
            self._asking.set()
            with contextlib.suppress(OSError):
                self._child.stdin.write(b"\n")
                self._child.stdin.flush()

    def code(self) -> int | None:
        """Its exit code, or None while there is a process."""
        return self._child.poll()

    def end(self) -> bool:
        """Kill it. False: it waits in the kernel, and is there still."""
        with contextlib.suppress(ProcessLookupError):
            self._child.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(_REAP)
        if self._child.returncode is None:
            return False
        if self._child.stdin is not None:
            with contextlib.suppress(OSError):
                self._child.stdin.close()
        return True

    def _listen(self) -> None:
        try:
            with contextlib.suppress(OSError, msgspec.DecodeError):
                self._read()
        finally:  # a mistake of ours in `hear` must not look like a driver that hangs
            self._silent.set()
            self._ended()

    def _read(self) -> None:
        stream, decode = self._child.stdout, msgspec.json.Decoder(Told).decode
        if stream is None:
            return
        with stream:
            while said := stream.readline(_LINE):
                told = decode(said)
                if isinstance(told, Look):
                    self._asking.clear()
                self._hear(told)
