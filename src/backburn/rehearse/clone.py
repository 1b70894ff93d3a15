"""Fresh local clones: the project as a push of HEAD would deliver it, and the toolkit without what git ignores."""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path

from .. import git, process
from ..errors import UserError

_REPOSITORY = re.compile(r"github\.com[:/]([\w.-]+)/([\w.-]+?)(?:\.git)?/?$")
_AUTHOR = ("-c", "user.name=rehearse", "-c", "user.email=rehearse@localhost", "-c", "commit.gpgsign=false")
_BARE = shutil.ignore_patterns(".git", ".venv", "build", "dist", "__pycache__", "*.egg-info", ".*_cache")


@dataclass(frozen=True, kw_only=True)
class Project:
    """The clone and what was told of its origin. `base` is the commit before, or the default branch's."""

    folder: Path
    repository: str
    branch: str
    default: str
    head: str
    base: str
    not_pushed: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def url(self) -> str:
        """The fake origin. Nothing fetches from it; GITHUB_REPOSITORY is read from it."""
        return f"https://github.com/{self.repository}.git"


def project(root: Path, to: Path, *, dirty: bool) -> Project:
    """Clone the repository that `root` lies in, at HEAD, to `to`; `dirty` commits its tracked changes on top.

    Works from a linked worktree, a detached HEAD, a subfolder and a path with spaces. Raises UserError where there
    is no repository or no commit.
    """
    top = git.top(root)
    if top is None:
        raise UserError("not a git repository", where=str(root), hint="Run `git init`, add your files and commit.")
    if not git.head(root):
        raise UserError("this repository has no commit yet", where=str(top), hint="Commit: what is pushed is HEAD.")
    branch, default = _branches(top)
    _git(top, "clone", "--quiet", "--template=", "--no-checkout", "--", str(top), str(to))
    _git(to, "fetch", "--quiet", "--no-tags", "--", str(top), "+refs/remotes/origin/*:refs/remotes/origin/*")
    _git(to, "checkout", "--quiet", "-B", branch, _answer(top, "rev-parse", "HEAD"))
    changed = _names(top, "diff", "--name-only", "--no-renames", "--ignore-submodules=all", "-z", "HEAD")
    if dirty and changed:
        _overlay(top, to, changed)
    repository = _repository(root, top)
    base = _origin(to, default)
    _git(to, "remote", "set-url", "origin", f"https://github.com/{repository}.git")
    untracked = _names(top, "ls-files", "--others", "--exclude-standard", "-z")
    return Project(
        folder=to,
        repository=repository,
        branch=branch,
        default=default,
        head=_answer(to, "rev-parse", "HEAD"),
        base=base,
        not_pushed=untracked,
        left_out=() if dirty else changed,
    )


def toolkit(source: Path, to: Path) -> str:
    """Copy the toolkit as it lies, without ignored files and without `.git`; return its commit, `+` if changed."""
    names = _names(source, "ls-files", "--cached", "--others", "--exclude-standard", "-z") if git.top(source) else ()
    if not names:
        shutil.copytree(source, to, symlinks=True, ignore=_BARE)
        return ""
    for name in names:
        _copy(source / name, to / name)
    return git.head(source)


def _copy(source: Path, to: Path) -> None:
    if source.is_file() or source.is_symlink():
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, to, follow_symlinks=False)


def _overlay(top: Path, to: Path, names: tuple[str, ...]) -> None:
    """Committed, so that the rehearsal sees what a push would deliver: a clean tree."""
    for name in names:
        (to / name).unlink(missing_ok=True)
        _copy(top / name, to / name)
    _git(to, "add", "--all", "--force")
    _git(to, *_AUTHOR, "commit", "--quiet", "--no-verify", "--allow-empty", "--message", "rehearse: tracked changes")


def _branches(top: Path) -> tuple[str, str]:
    """The current branch and the default one; a detached HEAD stands for the default branch."""
    current = _answer(top, "symbolic-ref", "--short", "--quiet", "HEAD")
    remote = _answer(top, "symbolic-ref", "--short", "--quiet", "refs/remotes/origin/HEAD").removeprefix("origin/")
    known = _answer(top, "for-each-ref", "--format=%(refname:short)", "refs/heads").split()
    default = remote or next((one for one in ("main", "master") if one in known), current or "main")
    return current or default, default


def _origin(clone: Path, default: str) -> str:
    """Make `origin/<default>` exist, as it does on GitHub; the commit that a push or pull request starts from."""
    ref = f"refs/remotes/origin/{default}"
    known = _answer(clone, "rev-parse", "--verify", "--quiet", ref)
    if not known:
        known = _answer(clone, "rev-parse", "HEAD")
        _git(clone, "update-ref", ref, known)
    head = _answer(clone, "rev-parse", "HEAD")
    return known if known != head else _answer(clone, "rev-parse", "--verify", "--quiet", "HEAD~1") or head


def _repository(root: Path, top: Path) -> str:
    """`owner/name` from the origin's URL, else from pyproject's URLs, else made up from the folder's name."""
    urls = [_answer(top, "config", "--get", "remote.origin.url")]
    try:
        listed = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8")).get("project", {}).get("urls", {})
        urls += [url for url in listed.values() if isinstance(url, str)]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        pass  # the stages judge pyproject.toml; here it is one source of a name
    for url in urls:
        if match := _REPOSITORY.search(url):
            return f"{match[1]}/{match[2]}"
    return f"rehearsal/{re.sub(r'[^A-Za-z0-9_.-]+', '-', top.name).strip('-') or 'project'}"


def _names(folder: Path, *words: str) -> tuple[str, ...]:
    code, out, _ = _run(folder, *words)
    return tuple(os.fsdecode(name) for name in out.split(b"\0") if name) if code == 0 else ()


def _answer(folder: Path, *words: str) -> str:
    code, out, _ = _run(folder, *words)
    return os.fsdecode(out).strip() if code == 0 else ""


def _git(folder: Path, *words: str) -> None:
    code, _, error = _run(folder, *words)
    if code != 0:
        raise UserError(f"git {' '.join(words)} failed: {error}", where=str(folder))


def _run(folder: Path, *words: str) -> tuple[int, bytes, str]:
    # No hook of the user's may run in the clone, and a caller inside a git hook has GIT_DIR set. GitHub's checkout
    # leaves Git LFS pointers as they are.
    env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")} | {"GIT_LFS_SKIP_SMUDGE": "1"}
    return process.capture(["git", "-c", "core.hooksPath=/dev/null", *words], cwd=folder, env=env)
