"""Evidence that is kept from one run to the next, under all that decided it and can be known before a training starts.

Never a verdict: what is found is judged anew. It lies in our cache, as JSON; what cannot be used is passed over.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import platform
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from . import environment, evidence, reach, references
from .errors import Unjudged, UserError

_MOST = 20  # of one key: a branch's last runs, and others'
_LARGEST = 32 * 2**20  # bytes of a file
# Read by torch, its libraries and the interpreter from C, where no recorder sees it.
_VARIABLES = re.compile(
    r"(CUBLAS|CUDA|CUDNN|GOMP|GPU|HIP|KMP|LD|MALLOC|MKL|NCCL|NUMEXPR|NVIDIA|OMP|OPENBLAS|PYTHON|PYTORCH|ROCR|TORCH|XPU)"
    r"[A-Z]*_|PYTHON[A-Z]+$|TZ$|LANG$|LC_ALL$"
)
_PROCESSOR = ("model name", "flags", "CPU part", "Features")
_GPUS = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, kw_only=True)
class Term:
    """How long a stage's evidence serves: `days` since it was trained, after which a machine that changed unseen is
    found out; `passed`: only evidence that a pass came of.
    """

    days: float = 30
    passed: bool = False


_TERM = Term()


class Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run's evidence, what it reached, the commit that it is of and the UTC minute when it was over."""

    commit: str
    date: str
    reached: reach.Reached
    evidence: dict[str, Any]
    kind: str = "kept"
    schema: int = 1

    def __str__(self) -> str:
        """`2026-11-20 14:02 UTC, when commit 1a2b3c4 was trained`."""
        dirty = " with changes" if self.commit.endswith("+") else ""
        return f"{self.date} UTC" + (f", when commit {self.commit[:7]}{dirty} was trained" if self.commit else "")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the evidence of one training in one stage is kept; `root` and `top` are the project's and repository's."""

    folder: Path
    root: Path
    top: Path
    term: Term = _TERM

    def find(self) -> tuple[Kept | None, str]:
        """The youngest run whose reach is as it was; else None, and what differs from the youngest of all."""
        look, why = reach.Look(root=self.root, top=self.top), ""
        for one in self._all():
            try:
                differs = reach.differs(one.reached, look)
            except reach.Unseen as error:
                return None, str(error)
            if not differs:
                return one, ""
            why = why or differs
        return None, why

    def keep(self, seen: msgspec.Struct, commit: str, out: Path, since: float) -> None:
        """Keep the evidence of a run that began at `since` (seconds since the epoch) and left its reach in `out`.

        A cache that cannot be written, or a reach that cannot be looked after, is no error: it is trained again.
        """
        with contextlib.suppress(OSError, reach.Unseen):
            reached = reach.reached(out, self.root, self.top, since)
            date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M")
            one = Kept(commit=commit, date=date, reached=reached, evidence=evidence.plain(seen))
            content = evidence.dumps(one)
            if len(content) <= _LARGEST:
                evidence.write(content, self.folder / f"{_digest(evidence.dumps(reached))}.json")
            self._prune()

    def _all(self) -> Iterator[Kept]:
        """Those that can be read, the youngest first; what cannot is removed."""
        for path in sorted(self.folder.glob("*.json"), key=_age):
            try:
                if path.is_symlink() or path.stat().st_size > _LARGEST or _age(path) > self._oldest:
                    raise UserError("not ours")
                one = evidence.load(path, Kept)
            except (UserError, OSError):
                with contextlib.suppress(OSError):
                    path.unlink()
            else:
                yield one

    @property
    def _oldest(self) -> float:
        return self.term.days * 86400

    def _prune(self) -> None:
        """Of this key the last are kept, of all others what is not too old; what was cut short goes, too."""
        for path in sorted(self.folder.glob("*.json"), key=_age)[_MOST:]:
            path.unlink(missing_ok=True)
        for path in self.folder.parent.glob("*/*"):
            if _age(path) > self._oldest:
                path.unlink(missing_ok=True)
        for folder in self.folder.parent.iterdir():
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()


def place(
    stage: str,
    own: msgspec.Struct,
    training: str,
    root: Path,
    top: Path,
    *,
    measured_by_reference: bool = True,
    term: Term = _TERM,
) -> Place | None:
    """Where evidence under this Config is kept, known before an environment is built or a GPU is touched.

    `measured_by_reference`: what is measured depends on the references, too, not its judgement alone. None where that
    cannot be told: then the stage itself says what is wrong.
    """
    try:
        parts = [
            _toolkit(),
            stage,
            json.dumps(msgspec.to_builtins(own, enc_hook=float), sort_keys=True),  # Seconds is a float
            environment.identity(root, str(getattr(own, "install", "auto"))),
            *_machine(),
            *(_references(root / references.FOLDER / stage / training) if measured_by_reference else ()),
        ]
    except (UserError, Unjudged, OSError):
        return None
    folder = environment.cache() / "evidence" / stage / _digest("\0".join(parts).encode("utf-8", "surrogateescape"))
    return Place(folder=folder, root=root, top=top, term=term)


def _toolkit() -> str:
    """Every source file of ours."""
    package = Path(__file__).parent
    found = hashlib.blake2b()
    for path in sorted(package.rglob("*.py")):
        found.update(f"{path.relative_to(package)}\0".encode() + path.read_bytes())
    return found.hexdigest()


def _machine() -> Iterator[str]:
    """What it would be trained on, without asking a driver."""
    yield platform.machine()
    yield str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    yield from sorted({line for line in _lines(Path("/proc/cpuinfo")) if line.startswith(_PROCESSOR)})
    yield from _lines(Path("/proc/driver/nvidia/version"))
    gpus = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    models = [line for path in gpus for line in _lines(path) if line.startswith("Model")]
    yield from models
    yield from sorted(path.name for path in Path("/dev").glob("nvidia[0-9]*"))
    for name, value in sorted(os.environ.items()):
        if name == _GPUS and len({*models}) == 1 and "MIG" not in value:
            value = str(len(list(filter(None, value.split(",")))))  # which of several that are alike is no difference
        if _VARIABLES.match(name):
            yield f"{name}={value}"


def _lines(path: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    return []


def _references(folder: Path) -> Iterator[str]:
    """What it would be held against."""
    for path in sorted(folder.glob("*.json")):
        yield f"{path.name} {_digest(path.read_bytes())}"


def _age(path: Path) -> float:
    """Seconds; of what is gone by now, more than any."""
    try:
        return time.time() - path.lstat().st_mtime
    except OSError:
        return float("inf")


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=12).hexdigest()
