"""The one place that starts programs: a time limit, the whole output in a file, no process left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from .errors import Interrupted
from .visible import ANSI

_POLL = 0.05  # seconds between looks at the child: what a finished program may wait for us
_GRACE = 2.0  # seconds from SIGTERM to SIGKILL, so that an interrupted stage still reports within 5 s
_GONE = 0.5  # seconds that a killed group may take to be gone: a GPU is free only then
_DUMP = 0.5  # seconds a hung Python gets to print its stacks (PYTHONFAULTHANDLER) before SIGTERM
_TAIL = 64 * 1024  # bytes of output looked at for a tail
_WIDE = 1000  # characters kept of a line: a report must not hold the array that somebody printed

Tick = Callable[[str, float], None]
_ticks: ContextVar[Tick | None] = ContextVar("ticks", default=None)


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A program that ended. `code` is negative for a signal (-9: SIGKILL), 127 when it could not be started."""

    command: tuple[str, ...]
    code: int
    seconds: float
    timed_out: bool
    log: Path

    def tail(self, lines: int = 30) -> str:
        """The last lines of its output, control sequences and progress-bar repeats removed."""
        return tail(self.log, lines)


def run(
    command: Sequence[str],
    *,
    cwd: Path,
    log: Path,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    label: str = "",
) -> Finished:
    """Run to the end, to `timeout` seconds, or to SIGINT, SIGTERM or SIGHUP, which end the whole process group.

    stdout and stderr go to `log` together; stdin is empty. `label` is what a waiting person reads. Raises
    Interrupted after the group is gone.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with log.open("ab") as stream, _signals():
        try:
            child = subprocess.Popen(  # noqa: S603
                list(command),
                cwd=cwd,
                env=None if env is None else dict(env),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            stream.write(f"{command[0]}: {error.strerror or error}\n".encode())
            return Finished(command=tuple(command), code=127, seconds=0.0, timed_out=False, log=log)
        try:
            timed_out = not _wait(child, timeout, label or command[0], started)
            if timed_out:
                _dump_stacks(child)
        finally:
            _end(child)
    seconds = time.monotonic() - started
    return Finished(command=tuple(command), code=child.returncode, seconds=seconds, timed_out=timed_out, log=log)


def capture(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None, given: bytes = b"", limit: float = 60.0
) -> tuple[int, bytes, str]:
    """A short program (git, say): exit code, stdout and stderr. 127 when it could not be started, 124 after `limit` s.

    `given` is what it reads from stdin.
    """
    try:
        done = subprocess.run(  # noqa: S603
            list(command), cwd=cwd, env=env, input=given, capture_output=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return 124, b"", f"{command[0]}: no answer within {limit:g} s"
    except OSError as error:
        return 127, b"", f"{command[0]}: {error.strerror or error}"
    return done.returncode, done.stdout, done.stderr.decode(errors="replace").strip()


def tail(path: Path, lines: int = 30) -> str:
    """The last `lines` lines of a text file, plain: no control sequences, only the last state of a progress bar."""
    try:
        with path.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - _TAIL))
            text = stream.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join([line[:_WIDE] for line in map(plain, text.split("\n")) if line][-lines:])


def plain(line: str) -> str:
    """One line of output without control sequences; of a progress bar its last state."""
    return ANSI.sub("", line).rstrip().rpartition("\r")[2]


def ending() -> tuple[signal.Signals, ...]:
    """The signals that end us, after the clean-up; a SIGHUP (the terminal is gone) that `nohup` ignores does not."""
    hung_up = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
    return (signal.SIGINT, signal.SIGTERM, *hung_up)


@contextlib.contextmanager
def watched_by(tick: Tick) -> Iterator[None]:
    """While inside, `tick(label, seconds)` is called many times a second as a program of ours runs."""
    token = _ticks.set(tick)
    try:
        yield
    finally:
        _ticks.reset(token)


def tell(label: str, seconds: float) -> None:
    """Tick for work of our own that may take a while."""
    if tick := _ticks.get():
        tick(label, seconds)


def _wait(child: subprocess.Popen[bytes], timeout: float | None, label: str, started: float) -> bool:
    """False when the time is up."""
    tick = _ticks.get()
    while child.poll() is None:
        seconds = time.monotonic() - started
        if timeout is not None and seconds > timeout:
            return False
        if tick:
            tick(label, seconds)
        time.sleep(_POLL)
    return True


def _dump_stacks(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(signal.SIGABRT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(_DUMP)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End whatever is left of the child's group: SIGTERM, two seconds, SIGKILL. Its children hold GPUs too."""
    if child.poll() is None:
        _signal_group(child, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE)
    late = time.monotonic() + _GONE
    while _signal_group(child, signal.SIGKILL) and time.monotonic() < late:
        child.poll()
        time.sleep(_POLL)
    child.wait()


def _signal_group(child: subprocess.Popen[bytes], number: int) -> bool:
    """False when nobody is left in the group."""
    try:
        os.killpg(child.pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """What ends us raises Interrupted, once: a second Ctrl-C must not cut the clean-up short."""

    def interrupt(number: int, frame: object) -> None:
        for every in before:
            signal.signal(every, signal.SIG_IGN)
        raise Interrupted(number)

    before: dict[int, object] = {}
    try:
        for number in ending():
            before[number] = signal.signal(number, interrupt)
    except ValueError:  # not the main thread: signals are somebody else's business
        yield
        return
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)  # type: ignore[arg-type]
