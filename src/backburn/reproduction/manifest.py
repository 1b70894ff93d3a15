"""Which files a training read its data from: each with its size and digest, folders of many as one.

A digest is SHA-256's first 128 bits. Of a file beyond 256 MiB it is that of its size, first and last MiB; of all files
once 4 GiB were read.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..comparison import FILE

_WHOLE, _END = 256 * 2**20, 2**20  # bytes
_MOST = 4 * 2**30  # bytes that are read in full, of all files together: 10 s
_MANY = 20  # files of one folder that are listed one by one
_LISTED = 100  # entries
_CODE = {".py", ".pyc", ".pyi", ".pyd", ".so", ".sh"}  # a commit's, not data
_SYSTEM = ("/proc", "/sys", "/dev", "/etc", "/usr", "/lib", "/lib64", "/bin", "/run", "/var/run")


@dataclass(kw_only=True)
class Manifest:
    """Of trainings in one project, `root`. A file is read again only where its size or time changed."""

    root: Path
    taken: int = 0  # bytes
    seen: dict[tuple[str, int, int], str] = field(default_factory=dict)

    def of(self, reached: Path) -> dict[str, str]:
        """From what a recorder noted (`reach.FILE`): `file data/train.csv` -> `1234 bytes 0123…`, and
        `file data/images/*` -> `50000 files, 1234 bytes 0123…`. Empty where that cannot be read.

        Paths are relative to the project where they lie in it, else to the home folder: another machine has the same.
        """
        folders: dict[str, list[tuple[str, int, str]]] = {}
        for path in sorted(self._read(reached)):
            name = self._name(path)
            known = self._known(path) if name else None
            if known:
                folders.setdefault(os.path.dirname(name), []).append((name, *known))
        entries = [entry for folder, files in sorted(folders.items()) for entry in _entries(folder, files)]
        if len(entries) > _LISTED:
            entries = [*entries[:_LISTED], (f"{len(entries) - _LISTED} more", _one(entries[_LISTED:]))]
        return {f"{FILE}{name}": value for name, value in entries}

    def _read(self, reached: Path) -> set[Path]:
        """What was read, and neither written before by the training itself nor in a folder that it made."""
        try:
            lines = reached.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError):
            return set()
        first: dict[str, str] = {}
        for word, _, what in (line.partition(" ") for line in lines):
            if word in ("read", "wrote"):
                first.setdefault(what, word)
        wrote = {what for what, word in first.items() if word == "wrote" and not self.root.is_relative_to(what)}
        read = (Path(what) for what, word in first.items() if word == "read" and "\0" not in what)
        return {path for path in read if wrote.isdisjoint(map(str, path.parents))}

    def _name(self, path: Path) -> str:
        """As any machine would call it; empty for what is no data: code, the system's, what is but for this run."""
        if path.suffix in _CODE or path.name == "pyproject.toml":
            return ""
        if path.is_relative_to(self.root):
            inside = path.relative_to(self.root)
            return "" if inside.parts[:1] == ("build",) else inside.as_posix()
        if str(path).startswith(tuple(f"{one}/" for one in (*_SYSTEM, tempfile.gettempdir()))):
            return ""
        home = os.path.expanduser("~")  # itself, where nobody knows it
        return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)

    def _known(self, path: Path) -> tuple[int, str] | None:
        try:
            about = path.stat()
            if not stat.S_ISREG(about.st_mode):
                return None
            key = (str(path), about.st_size, about.st_mtime_ns)
            if key not in self.seen:
                whole = about.st_size <= _WHOLE and self.taken + about.st_size <= _MOST
                self.taken += about.st_size if whole else 2 * _END
                self.seen[key] = _content(path, about.st_size, whole=whole)
            return about.st_size, self.seen[key]
        except OSError:
            return None


def _content(path: Path, size: int, *, whole: bool) -> str:
    with path.open("rb") as stream:
        if whole:
            return hashlib.file_digest(stream, "sha256").hexdigest()[:32]
        found = hashlib.sha256(str(size).encode() + stream.read(_END))
        stream.seek(-min(_END, size), os.SEEK_END)
        found.update(stream.read())
    return found.hexdigest()[:32]


def _entries(folder: str, files: list[tuple[str, int, str]]) -> Iterator[tuple[str, str]]:
    if len(files) > _MANY:
        total = sum(size for _, size, _ in files)
        listed = _one((name, digest) for name, _, digest in files)
        yield os.path.join(folder, "*"), f"{len(files)} files, {total} bytes {listed}"
        return
    for name, size, digest in files:
        yield name, f"{size} bytes {digest}"


def _one(entries: Iterable[tuple[str, str]]) -> str:
    text = "\n".join(" ".join(entry) for entry in entries)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]
