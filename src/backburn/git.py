"""What git knows of the project: its top folder, its commit, what changed, and whether the clone is shallow."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from . import process
from .errors import Unjudged, UserError

_BINDING = re.compile(
    r"GIT_(DIR|WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|ALTERNATE_OBJECT_DIRECTORIES|COMMON_DIR|PREFIX|NAMESPACE)$"
)


def unbound(environ: Mapping[str, str]) -> dict[str, str]:
    """Without what binds git to one repository, as a caller inside a git hook has it; GIT_CONFIG_* and such stay."""
    return {key: value for key, value in environ.items() if not _BINDING.match(key)}


def top(folder: Path) -> Path | None:
    """The repository's top folder; None outside a repository or without git."""
    code, out, _ = _git(folder, "rev-parse", "--show-toplevel")
    return Path(os.fsdecode(out.rstrip(b"\n"))) if code == 0 and out.strip() else None


def head(folder: Path, *, apart_from: str = "") -> str:
    """The full hash of HEAD, with `+` behind it when tracked files differ; empty where there is none.

    Files in `apart_from`, a folder relative to this one, may differ.
    """
    code, out, _ = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if code != 0:
        return ""
    return out.decode().strip() + ("+" if is_dirty(folder, apart_from=apart_from) else "")


def is_dirty(folder: Path, *, apart_from: str = "") -> bool:
    """Whether tracked files of the repository differ from HEAD, those in `apart_from` left out."""
    words = ("status", "--porcelain", "--untracked-files=no", "--", ":/", *_without(apart_from))
    code, out, _ = _git(folder, *words)
    return code == 0 and bool(out.strip())


def uncommitted(folder: Path, *, apart_from: str = "") -> tuple[str, ...]:
    """Files of the repository, relative to its top, that differ from HEAD or are neither tracked nor ignored.

    Raises UserError where git does not answer.
    """
    words = ("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--", ":/", *_without(apart_from))
    code, out, error = _git(folder, *words)
    if code != 0:
        raise UserError(f"git status failed: {error}", where=str(folder))
    return tuple(line[3:] for line in _names(out))  # `XY path`


def committed_since(folder: Path, commit: str, *, apart_from: str = "") -> tuple[str, ...]:
    """Files of the repository that HEAD has otherwise than its ancestor `commit`, a full hash.

    Raises UserError where that is no ancestor of HEAD, or is not in this clone.
    """
    if _git(folder, "cat-file", "-e", f"{commit}^{{commit}}")[0] != 0:
        hint = "This clone is shallow: `git fetch --unshallow`." if _is_shallow(folder) else "Fetch it first."
        raise UserError(f"commit {commit[:12]} is not in this clone", where=str(folder), hint=hint)
    if _git(folder, "merge-base", "--is-ancestor", commit, "HEAD")[0] != 0:
        raise UserError(f"commit {commit[:12]} is no part of what is checked out", where=str(folder))
    code, out, error = _git(folder, "diff", "--name-only", "-z", commit, "HEAD", "--", ":/", *_without(apart_from))
    if code != 0:
        raise UserError(f"git diff failed: {error}", where=str(folder))
    return _names(out)


def is_ignored(path: Path, folder: Path) -> bool:
    """Whether .gitignore leaves `path` out; False outside a repository."""
    return _git(folder, "check-ignore", "--quiet", "--", str(path))[0] == 0


def changed_since(folder: Path, base: str) -> tuple[str, ...]:
    """Files under `folder`, relative to it, that differ from the merge base with `base` and still exist.

    Raises Unjudged when the clone is shallow and lacks the base, UserError when there is no such revision.
    """
    code, out, error = _git(folder, "merge-base", "--", base, "HEAD")
    if code != 0:
        if _is_shallow(folder):
            raise Unjudged(f"this clone is shallow and lacks {base}", hint="Check out with `fetch-depth: 0`.")
        raise UserError(f"git finds no merge base with {base!r}: {error or 'unrelated histories'}", where=str(folder))
    merge_base = out.decode().strip()
    code, out, error = _git(folder, "diff", "--name-only", "-z", "--relative", "--diff-filter=d", merge_base)
    if code != 0:
        raise UserError(f"git diff failed: {error}", where=str(folder))
    return _names(out)


def tracked(folder: Path) -> tuple[str, ...]:
    """Files under `folder`, relative to it, that git tracks. Raises UserError where git does not answer."""
    code, out, error = _git(folder, "ls-files", "-z")
    if code != 0:
        raise UserError(f"git ls-files failed: {error}", where=str(folder))
    return _names(out)


def user(folder: Path) -> str:
    """The name that commits here are made under; empty where git knows none."""
    code, out, _ = _git(folder, "config", "user.name")
    return out.decode(errors="replace").strip() if code == 0 else ""


def relative(path: Path, top: Path) -> str:
    """`path` as seen from `top`, with slashes; as it is where it lies elsewhere."""
    return path.relative_to(top).as_posix() if path.is_relative_to(top) else path.as_posix()


def _without(folder: str) -> tuple[str, ...]:
    return (f":(exclude){folder}",) if folder else ()


def _names(out: bytes) -> tuple[str, ...]:
    return tuple(os.fsdecode(name) for name in out.split(b"\0") if name)


def _is_shallow(folder: Path) -> bool:
    return _git(folder, "rev-parse", "--is-shallow-repository")[1].strip() == b"true"


def _git(folder: Path, *words: str) -> tuple[int, bytes, str]:
    return process.capture(["git", *words], cwd=folder, env=unbound(os.environ))
