"""What git knows of the commits between two: their order, who made them, what they changed, and what each holds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import process
from .errors import UserError
from .git import unbound

_LIMIT = 600.0  # seconds for one question: a long history of large trees
_QUIET = (
    f"core.hooksPath={os.devnull}",
    "core.quotePath=false",
    "core.fsmonitor=false",
    "gc.auto=0",
    "commit.gpgSign=false",
    "rerere.enabled=false",
    "submodule.recurse=false",
)
_ABOUT = "%H%x00%an%x00%cn%x00%cs%x00%s"


class Conflict(Exception):
    """A commit cannot be taken out (or put in): other commits touch the same lines of `files`."""

    def __init__(self, commit: str, files: Sequence[str]) -> None:
        super().__init__(f"{commit[:12]} cannot be taken out: conflicts in {', '.join(files) or 'it'}")
        self.files = tuple(files)


@dataclass(frozen=True, kw_only=True)
class About:
    """Who made a commit, when (the day it was committed) and what its first line says."""

    commit: str
    author: str
    committer: str
    date: str
    subject: str


def ask(folder: Path, *words: str, given: bytes = b"", where: str = "") -> bytes:
    """What `git <words>` prints. Raises UserError where it fails, with its own words."""
    code, out, error = tried(folder, *words, given=given)
    if code != 0:
        raise UserError(f"git {words[0]} failed: {error}", where=where or str(folder))
    return out


def tried(folder: Path, *words: str, given: bytes = b"") -> tuple[int, bytes, str]:
    """Exit code, stdout and stderr of a git that runs nobody's hooks and waits for nobody's editor."""
    quiet = [word for setting in _QUIET for word in ("-c", setting)]
    env = unbound(os.environ) | {"GIT_EDITOR": "true", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
    return process.capture(["git", *quiet, *words], cwd=folder, env=env, given=given, limit=_LIMIT)


def named(folder: Path, revision: str) -> str:
    """The full hash of a revision. Raises UserError for one that is not in this clone."""
    code, out, _ = tried(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if code != 0:
        shallow = tried(folder, "rev-parse", "--is-shallow-repository")[1].strip() == b"true"
        hint = "This clone is shallow: `git fetch --unshallow`, or check out with `fetch-depth: 0`."
        hint = hint if shallow else "Is it misspelt, or not fetched?"
        raise UserError(f"there is no commit {revision!r} in this clone", where=str(folder), hint=hint)
    return out.decode().split()[-1]


def between(folder: Path, good: str, bad: str) -> dict[str, tuple[str, ...]]:
    """The commits that descend from `good` and lead to `bad`, that one too: hash -> its parents, oldest first.

    Raises UserError where `good` is no ancestor of `bad`: nothing that lies between them is then known to hold it.
    """
    if good == bad:
        raise UserError(f"good and bad are the same commit, {good[:12]}", hint="Name an older one with --good.")
    if tried(folder, "merge-base", "--is-ancestor", good, bad)[0] != 0:
        said = f"{good[:12]} is no ancestor of {bad[:12]}"
        raise UserError(said, where=str(folder), hint="--good must be an older commit of the same history as --bad.")
    words = ("rev-list", "--topo-order", "--reverse", "--parents", "--ancestry-path", f"{good}..{bad}")
    lines = [line.split() for line in ask(folder, *words).decode().splitlines()]
    return {commit: tuple(parents) for commit, *parents in lines}


def brought(folder: Path, merge: str, main: str) -> dict[str, tuple[str, ...]]:
    """The commits that a merge brought which `main`, one of its parents, did not hold: as `between`."""
    out = ask(folder, "rev-list", "--topo-order", "--reverse", "--parents", f"{merge}^@", f"^{main}")
    return {commit: tuple(parents) for commit, *parents in map(str.split, out.decode().splitlines())}


def about(folder: Path, commit: str) -> About:
    """Raises UserError for a commit that is not here."""
    out = ask(folder, "show", "--no-patch", f"--format={_ABOUT}", "--no-show-signature", commit)
    hashed, author, committer, date, subject = out.decode(errors="replace").rstrip("\n").split("\0")
    return About(commit=hashed, author=author, committer=committer, date=date, subject=subject)


def patch(folder: Path, commit: str) -> str:
    """What a commit changed of its first parent, as a unified diff with three lines around; text files only."""
    words = ("diff-tree", "-p", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--root", "-U3")
    parent = tried(folder, "rev-parse", "--verify", "--quiet", f"{commit}^1")[1].decode().strip()
    return ask(folder, *words, *([parent, commit] if parent else [commit])).decode(errors="replace")


def objects(folder: Path, names: Iterable[str]) -> Iterator[str]:
    """Of each `<commit>:<path>` the hash of what lies there, empty where nothing does; in their order.

    A path that holds a line break is never found.
    """
    asked = [one for one in names]
    given = "".join(f"{one}\n" for one in asked if "\n" not in one).encode("utf-8", "surrogateescape")
    lines = iter(
        ask(folder, "cat-file", "--batch-check=%(objectname)", given=given).decode(errors="replace").split("\n")
    )
    for one in asked:
        line = "" if "\n" in one else next(lines)
        yield "" if " " in line else line


def entries(folder: Path, tree: str) -> Mapping[str, str]:
    """What lies in a tree: name -> kind and size. Raises UserError for what is no tree."""
    found = {}
    for line in ask(folder, "ls-tree", "-z", "--long", tree).split(b"\0"):
        about_it, _, name = line.partition(b"\t")
        if name:
            _, kind, _, size = about_it.split()
            found[os.fsdecode(name)] = f"{kind.decode()} {size.decode()}"
    return found


def ignored(folder: Path) -> tuple[str, ...]:
    """What .gitignore leaves out in `folder`, relative to it: a folder that is ignored as a whole ends in `/`."""
    words = ("ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z")
    return tuple(os.fsdecode(one) for one in ask(folder, *words).split(b"\0") if one)
