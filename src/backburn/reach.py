"""What a training reached, as its recorder (`probes/reach.py`) noted it, and whether all of that is still the same."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from . import process

FILE = "reached.txt"
_WHOLE = 256 * 2**20  # bytes up to which a file of the repository counts by its content: a checkout has new times
_SMALL = 2**20  # of a file elsewhere, a data set's say: beyond, size and time tell
_MOST = 4 * 2**30  # bytes that are read to compare: 5 s
_FILES = 50_000
_UNSEEN = ("network", "module", "program", "lost")
_SHELLS = {"sh", "bash", "dash", "zsh", "fish", "make", "just", "env", "docker", "podman", "singularity", "apptainer"}
_SUFFIXES = (".py", ".pyc", ".so", ".pyd")
_PROSE = (".md", ".rst")  # read by Python if at all, and then a file like others
_SHORT = 6  # hex digits of a variable's digest: nobody can tell which of very many words it was
# Of a run, a terminal or a step, and no business of a training; PATH and VIRTUAL_ENV are the environment's.
_PASSING = re.compile(
    r"(?:ACTIONS|BACKBURN|GITHUB|INPUT|PYTEST|RUNNER|SSH|SYSTEMD|TERM|VSCODE)_.*|"
    r"_|COLORTERM|COLUMNS|INVOCATION_ID|JOURNAL_STREAM|LINES|OLDPWD|PATH|PWD|SHLVL|TERM|TMPDIR|VIRTUAL_ENV|"
    r"WINDOWID|XDG_(RUNTIME_DIR|SESSION_ID)"
)


class Reached(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What decided what the training did, and how it stood when that had ended.

    Paths are relative to the project's folder where they lie in its repository. `files`: path -> content's digest, or
    `absent`; `folders`: listed ones -> digest of their entries; `modules`: folders of modules -> digest of those
    entries that have one of the names `sought`; `variables`: name -> digest. Entries that the training `wrote` itself
    are left out.
    """

    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    modules: dict[str, str] = {}
    variables: dict[str, str] = {}
    sought: tuple[str, ...] = ()
    wrote: tuple[str, ...] = ()


class Unseen(Exception):
    """Not everything that the training reached can be looked after, so nothing says that it is the same."""


def begin(file: Path, commands: Sequence[Sequence[str]], cwd: Path) -> None:
    """Make the file that the recorders of these commands append to; what the commands name is reached, too."""
    words = [word for one in commands for word in one if not os.path.isabs(word) and len(word) < 4096]
    named = [path for word in words if (path := os.path.normpath(cwd / word)) and os.path.isfile(path)]
    lines = [f"program {shell}" for one in commands if (shell := _shell(one, cwd))] + [f"read {path}" for path in named]
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="surrogateescape")


def _shell(words: Sequence[str], cwd: Path) -> str:
    """The shell that a command is for, by its name or its script's first line; pip's own scripts only begin in one."""
    if not words or os.path.basename(words[0]) in _SHELLS:
        return os.path.basename(words[0]) if words else ""
    try:
        head = (cwd / words[0]).read_bytes()[:1000] if os.sep in words[0] else b""
    except OSError:
        return ""
    first, _, rest = head.decode(errors="replace").partition("\n")
    names = [os.path.basename(one) for one in first[2:].split()] if first[:2] == "#!" and "exec" not in rest[:7] else []
    return next((one for one in names if one in _SHELLS and one != "env"), "")


def reached(out: Path, root: Path, top: Path, since: float) -> Reached:
    """All that the commands whose output lies in `out` reached, as it stands now.

    Raises Unseen where that is not all, where files were changed since the trainings began (`since`, seconds since the
    epoch), or where there are too many.
    """
    noted: dict[str, dict[str, None]] = {}
    logs = [*out.rglob("prepare.txt"), *out.rglob("output.txt")]
    for log in sorted(logs, key=lambda one: one.stat().st_mtime):  # the order in which they ended
        _read(log.parent / FILE, log.stem, noted)
    wrote = {path for path in noted.get("wrote", ()) if not root.is_relative_to(path)}
    look = Look(root=root, top=top, since=since)
    sought = frozenset(noted.get("sought", ()))
    found = {
        word: [one for one in noted.get(word, ()) if not _is_below(one, wrote)]
        for word in ("read", "missed", "asked", "listed", "searched")
    }
    asked = [one for one in found["asked"] if not os.path.lexists(one)]  # what is there now it made itself
    if not any(Path(path).is_relative_to(root) for path in found["read"]):
        raise Unseen("nothing of the project was read")
    return Reached(
        files={
            look.name(path): look.file(path) for path in (*asked, *found["missed"], *map(look.there, found["read"]))
        },
        folders={look.name(path): look.folder(path, wrote) for path in found["listed"]},
        modules={look.name(path): look.folder(path, wrote, sought) for path in found["searched"]},
        variables={name: _variable(name) for name in noted.get("variable", ())},
        sought=tuple(sorted(sought)),
        wrote=tuple(sorted(map(look.name, wrote))),
    )


def _read(file: Path, part: str, noted: dict[str, dict[str, None]]) -> None:
    """Take in one file of lines: `<word> <what>`. A path counts by the first that was done to it."""
    try:
        text = file.read_bytes().decode()
    except OSError as error:
        raise Unseen("the recorder gave up") from error
    except UnicodeDecodeError as error:
        raise Unseen("the name of a file is not UTF-8, and JSON holds nothing else") from error
    if "\0" in text:
        raise Unseen("the name of a file holds a NUL, and no file is called so")
    lines = text.split("\n")  # a name may hold whatever else str.splitlines takes for an end
    begun = f"began {'prepare' if part == 'prepare' else 'command'}"
    if begun not in lines:
        raise Unseen(f"{part}: no recorder began")
    for word, _, what in (line.partition(" ") for line in dict.fromkeys(lines)):
        if word in _UNSEEN:
            raise Unseen(f"{word} {what}")
        others = {"read": ("wrote",), "missed": ("wrote",), "wrote": ("read", "missed")}.get(word, ())
        if not any(what in noted.get(other, ()) for other in others):
            noted.setdefault(word, {})[what] = None


def _is_below(path: str, folders: set[str]) -> bool:
    return path in folders or any(str(one) in folders for one in Path(path).parents)


def differs(before: Reached, look: Look) -> str:
    """What is not as it was, in words; empty where everything is. The cheap looks come first."""
    for name, value in before.variables.items():
        if _variable(name) != value:
            return "the variables" if name == "*" else f"the variable {name}"
    wrote, sought = {look.path(one) for one in before.wrote}, frozenset(before.sought)
    for name, value in before.modules.items():
        if look.folder(look.path(name), wrote, sought) != value:
            return f"what can be imported from {name}"
    for name, value in before.folders.items():
        if look.folder(look.path(name), wrote) != value:
            return f"what is in {name}"
    return next((name for name, value in before.files.items() if look.file(look.path(name)) != value), "")


@dataclass(kw_only=True)
class Look:
    """One look at the files as they are: each is read once, however many ask.

    `root` is the project's folder, `top` its repository's. Raises Unseen for what is too much to look at, and for what
    changed after `since`.
    """

    root: Path
    top: Path
    since: float = float("inf")
    seen: dict[str, str] = field(default_factory=dict)
    taken: int = 0
    started: float = field(default_factory=time.monotonic)

    def name(self, path: str) -> str:
        """As it is kept: another checkout of the same project, and of those beside it, lies elsewhere."""
        return os.path.relpath(path, self.root) if Path(path).is_relative_to(self.top.parent) else path

    def path(self, name: str) -> str:
        """The other way round."""
        return os.path.normpath(self.root / name)

    def file(self, path: str) -> str:
        """Its content's digest; its size and time where that is too long to read; `absent`, `folder`."""
        if path not in self.seen:
            self.seen[path] = self._file(path)
        return self.seen[path]

    def there(self, path: str) -> str:
        """The path itself. Raises Unseen for what was read in the repository and is gone."""
        if Path(path).is_relative_to(self.top) and self.file(path) == "absent":
            raise Unseen(f"{path} was removed while it was trained")
        return path

    def _file(self, path: str) -> str:
        process.tell("comparing what the training reaches", time.monotonic() - self.started)
        try:
            about = os.stat(path)
            if not stat.S_ISREG(about.st_mode):
                return "folder" if stat.S_ISDIR(about.st_mode) else "special"
            if max(about.st_mtime, about.st_ctime) > self.since:
                raise Unseen(f"{path} was changed while it was trained")
            if about.st_size > (_WHOLE if Path(path).is_relative_to(self.top) else _SMALL):
                return f"{about.st_size} bytes of {about.st_mtime_ns}"
            self._take(about.st_size)
            with open(path, "rb") as stream:
                return hashlib.file_digest(stream, _hash).hexdigest()
        except OSError:
            return "absent"

    def _take(self, size: int) -> None:
        self.taken += size
        if self.taken > _MOST or len(self.seen) > _FILES:
            raise Unseen("too much was reached to look at it again")

    def folder(self, path: str, wrote: set[str], sought: frozenset[str] | None = None) -> str:
        """Digest of its entries: names, and sizes of files (times, too, outside of the repository). With `sought`, only
        the names of what an import of these would find.
        """
        try:
            names = [one for one in sorted(os.listdir(path)) if os.path.join(path, one) not in wrote]
        except OSError:
            return "absent"
        lines = self._entries(path, names) if sought is None else _importable(path, names, sought)
        return _digest("\n".join(lines))

    def _entries(self, path: str, names: Sequence[str]) -> Iterator[str]:
        inside = Path(path).is_relative_to(self.top)
        for name in names:
            if name not in (".git", "__pycache__"):
                self._take(0)
                yield name if name.endswith(_PROSE) else f"{name} {_about(os.path.join(path, name), inside)}"


def _about(path: str, inside: bool) -> str:
    try:
        about = os.stat(path)
    except OSError:
        return "absent"
    if not stat.S_ISREG(about.st_mode):
        return "folder"
    return str(about.st_size) if inside else f"{about.st_size} {about.st_mtime_ns}"


def _importable(path: str, names: Sequence[str], sought: frozenset[str]) -> Iterator[str]:
    for name in names:
        stem, dot, _ = name.partition(".")
        if stem in sought and (name.endswith(_SUFFIXES) if dot else os.path.isdir(os.path.join(path, name))):
            yield name


def _variable(name: str, environ: Mapping[str, str] = os.environ) -> str:
    """Digest of its value, short since that may be a secret. `*`: of all that are no single run's."""
    names = sorted(environ) if name == "*" else [name] if name in environ else []
    text = "\n".join(f"{one}={environ[one]}" for one in names if not _is_passing(one))
    return _digest(text)[:_SHORT] if text else ""


def _is_passing(name: str) -> bool:
    return _PASSING.fullmatch(name) is not None


def _digest(text: str) -> str:
    return _hash(text.encode("utf-8", "surrogateescape")).hexdigest()


def _hash(content: bytes = b"") -> hashlib.blake2b:
    return hashlib.blake2b(content, digest_size=16)
