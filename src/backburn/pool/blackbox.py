"""What is kept of a lease that ended badly: a folder of plain files, redacted, capped, with a README to begin with."""

from __future__ import annotations

import contextlib
import re
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from ..evidence import dumps, plain
from ..visible import spelled
from . import advice
from .clock import Clock
from .config import Config
from .engine import Engine, Inspection
from .exits import Outcome
from .lease import Lease, Slot
from .sample import Sample, take
from .secrets import redact

FOLDER = "blackbox"
SCHEMA = 1
MINUTES = 300.0  # seconds of notes and samples that are kept in memory, and go into a box
EVERY = 5.0  # seconds between two samples
NOTES, SAMPLES = 2000, 100  # at most in memory, of all slots together: 1 MB
FILE_CAP, BOX_CAP = 256 << 10, 1 << 20  # bytes of one file and of one box: to redact the worst takes a second
SHARE = 8  # a box takes at most this part of [black-box] most: one that failed in a loop leaves those before it
DIAG = ("/home/runner/_diag", "/actions-runner/_diag", "/runner/_diag")  # of GitHub's image, and of two others
_LATE = 6  # seconds after its container's start in which a listener names its log by the second
_NAME = re.compile(r"(\d{8}T\d{6}Z)-([a-z0-9]{1,40})-([0-9A-Za-z_.-]{1,64})(\.part)?")


class Box(msgspec.Struct, frozen=True, kw_only=True):
    """One black box, as `status` shows it. `at` is when it was kept, seconds since the epoch; `size` is in bytes."""

    folder: str
    at: float
    slot: str
    lease: str
    outcome: str
    size: int


@dataclass(frozen=True)
class _Note:
    passed: float
    at: float
    slot: str
    level: str
    said: str


@dataclass
class Recorder:
    """Feed it with `note` and `sample`; `keep` writes a box. No method raises for a full disk or a silent engine.

    `secrets` gives the texts that must not be in a box, beside all that looks like one.
    """

    config: Config
    engine: Engine
    clock: Clock
    warn: Callable[[str, str, str], None]
    secrets: Callable[[], Iterable[str]] = tuple
    _notes: deque[_Note] = field(default_factory=lambda: deque(maxlen=NOTES))
    _samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    _sampled: float = -EVERY
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def note(self, slot: str, level: str, said: str) -> None:
        """One line of the log, of a slot or ("") of all; a megabyte of it is of no more use than its beginning."""
        with self._lock:
            self._notes.append(_Note(self.clock.passed(), self.clock.now(), slot, level, said[:2000]))

    def sample(self) -> None:
        """Look at the machine, if the last look is EVERY seconds ago: 0.1 ms."""
        if self.clock.passed() - self._sampled < EVERY:
            return
        self._sampled = self.clock.passed()
        taken = take(self.clock.now(), (self.config.state, Path(self.config.docker.data)))
        with self._lock:
            self._samples.append(taken)

    def keep(self, slot: Slot, lease: Lease, outcome: Outcome) -> None:
        """Write the box of a lease that ended so, then let the oldest go. What fails is said, and nothing else."""
        try:
            with self._writing:
                home = self.config.state / FOLDER
                home.mkdir(mode=0o700, exist_ok=True, parents=True)
                self.trim(room=self._budget())
                self._write(home, slot, lease, outcome)
                self.trim()
        except Exception as error:  # whatever it is: a step must not end by what is only kept to read
            self.warn(slot.name, "warning", f"{lease.runner}: no black box was kept: {type(error).__name__}: {error}")

    def trim(self, room: int = 0) -> list[str]:
        """Remove what is too old, and the oldest until all together, and `room` bytes, fit: what was removed."""
        limits = self.config.black_box
        gone = surplus(self.config.state, limits.keep, max(0, limits.most - room), self.clock.now())
        for folder in gone:
            shutil.rmtree(folder, ignore_errors=True)
        return [folder.name for folder in gone]

    def recent(self, most: int = 5) -> list[Box]:
        """The last boxes, the newest first."""
        return recent(self.config.state, most)

    def _budget(self) -> int:
        return min(BOX_CAP, self.config.black_box.most // SHARE)

    def _write(self, home: Path, slot: Slot, lease: Lease, outcome: Outcome) -> None:
        lease_id = re.sub(r"[^0-9A-Za-z_.-]", "_", lease.id)[:64] or "_"
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self.clock.now()))
        final = home / f"{stamp}-{slot.name}-{lease_id}"
        part = final.with_name(final.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o700)
        try:
            left = self._budget()
            for name, text in self._files(slot, lease, outcome):
                room = (
                    left * 3 // 4 if name == "log.txt" else left
                )  # the runner's own log is mostly short, and comes last
                content = self._clean(text, min(FILE_CAP, room))
                (part / name).write_bytes(content)
                left -= len(content)
            shutil.rmtree(final, ignore_errors=True)
            part.rename(final)  # a reader sees a whole box or none
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise

    def _clean(self, text: str, most: int) -> bytes:
        """Redacted while it is whole, and cut then: half a secret looks like none, nor does one with colours in it."""
        content = redact(spelled(text), self.secrets()).encode("utf-8", "replace")
        if len(content) <= most:
            return content
        said = f"[… {len(content) - most} bytes before this are left out]\n".encode()
        return (said + content[len(content) - most + len(said) :])[:most] if most > len(said) else b""

    def _json(self, value: Any) -> str:
        """Each text in it cleaned before it is one of JSON, in which a colour is spelled out and hides what it cuts."""
        return dumps(self._scrubbed(plain(value))).decode("utf-8", "replace")

    def _scrubbed(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._scrubbed(one) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [self._scrubbed(one) for one in value]
        return redact(spelled(value), self.secrets()) if isinstance(value, str) else value

    def _files(self, slot: Slot, lease: Lease, outcome: Outcome) -> Iterator[tuple[str, str]]:
        """The short ones first: they are whole even in a small box."""
        seen, silent = self._inspected(lease)
        yield "README.txt", advice.readme(slot, lease, outcome, seen, silent)
        about = {"kind": "pool-black-box", "schema": SCHEMA, "outcome": outcome.value, "at": self.clock.now()}
        yield "lease.json", self._json({**about, "slot": slot, "lease": lease})
        yield "container.json", self._json(seen)
        with self._lock:
            notes, samples = list(self._notes), list(self._samples)
        since = self.clock.passed() - MINUTES
        mine = [one for one in notes if one.passed >= since and one.slot in ("", slot.name)]
        yield "notes.txt", "".join(f"{_time(one.at)} {one.level:7} {one.slot or '-'} {one.said}\n" for one in mine)
        yield "machine.txt", "".join(
            f"{_time(one.at)} {one}\n" for one in samples if one.at >= self.clock.now() - MINUTES
        )
        yield "log.txt", self._read(lambda: self.engine.logs(lease.container, FILE_CAP), silent)
        yield "diag.txt", self._read(lambda: self._diag(lease, seen), silent)

    def _inspected(self, lease: Lease) -> tuple[Inspection | None, str]:
        try:
            return (self.engine.inspect(lease.container) if lease.container else None), ""
        except Exception as error:
            return None, f"{type(error).__name__}: {error}"

    def _read(self, ask: Callable[[], bytes], silent: str) -> str:
        """What the engine gives, without the line that its own limit cut in two; nothing more where it is silent."""
        if silent:
            return f"[not read: {silent}]\n"
        try:
            content = ask()
        except Exception as error:
            return f"[not read: {type(error).__name__}: {error}]\n"
        if len(content) >= FILE_CAP:
            content = content.partition(b"\n")[2] or content[-1024:]
        return content.decode("utf-8", "replace")

    def _diag(self, lease: Lease, seen: Inspection | None) -> bytes:
        """The listener's own log: Runner_<its start, to the second>-utc.log. At most 18 looks, mostly 1 to 3."""
        if seen is None or not seen.started:
            return b""
        for second in range(_LATE):
            stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(seen.started + second))
            for folder in DIAG:
                path = f"{folder}/Runner_{stamp}-utc.log"
                if (content := self.engine.read(lease.container, path, 4 << 20)) is not None:
                    return content[-FILE_CAP:]
        return b""


def recent(state: Path, most: int = 5) -> list[Box]:
    """The last boxes under a state folder, the newest first; none where none can be read."""
    boxes = [one for one in _boxes(state) if not one.name.endswith(".part")]
    return [_box(one) for one in boxes[::-1][:most]]


def surplus(state: Path, keep: float, most: int, now: float) -> list[Path]:
    """The boxes that are older than `keep` seconds, and the oldest of those that are over `most` bytes together."""
    gone, kept = [], 0
    for folder in reversed(_boxes(state)):
        size = _size(folder)
        left = folder.name.endswith(".part") and now - _at(folder) > MINUTES  # its writer is dead, not busy
        if kept + size > most or now - _at(folder) > keep or left:
            gone.append(folder)
        else:
            kept += size
    return gone[::-1]


def _boxes(state: Path) -> list[Path]:
    """Folders named as ours are, the oldest first; whatever else lies there is somebody else's."""
    with contextlib.suppress(OSError):
        found = [one for one in (state / FOLDER).iterdir() if _NAME.fullmatch(one.name)]
        return sorted(one for one in found if one.is_dir() and not one.is_symlink())
    return []


def _at(folder: Path) -> float:
    """When it was kept, by its name: 0.0 for a time that there is not."""
    try:
        return float(_calendar(folder.name[:16]))
    except ValueError:
        return 0.0


def _calendar(stamp: str) -> float:
    from calendar import timegm

    return timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))


def _box(folder: Path) -> Box:
    match = _NAME.fullmatch(folder.name)
    _, slot, lease, _ = match.groups() if match else ("", "", "", "")
    outcome = ""
    with contextlib.suppress(OSError, ValueError, msgspec.MsgspecError):
        with (folder / "lease.json").open("rb") as stream:
            outcome = str(msgspec.json.decode(stream.read(FILE_CAP))["outcome"])
    return Box(folder=str(folder), at=_at(folder), slot=slot, lease=lease, outcome=outcome, size=_size(folder))


def _size(folder: Path) -> int:
    total = 0
    with contextlib.suppress(OSError):
        total = sum(one.lstat().st_size for one in folder.iterdir())
    return total


def _time(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(at))
