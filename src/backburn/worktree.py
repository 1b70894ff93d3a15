"""Another commit of the project in a folder of its own, while the user's files and index stay as they are.

It is a git worktree, with detached HEAD and no hooks run. Data that git ignores is linked into it file by file, in
folders of its own, so that what a training writes there stays there.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import re
import shutil
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import commits, process
from .errors import UserError

_MOST = 20_000  # files of one ignored folder that are linked one by one; a larger one is linked as a whole
# Ignored, and no data: environments, caches, what builds and trainings leave.
_NOT_DATA = tuple(
    """build dist .venv venv env .env.d node_modules __pycache__ .git *.pyc *.egg-info .eggs .tox .nox .cache .*_cache
    .ipynb_checkpoints .hypothesis .coverage htmlcov .idea .vscode lightning_logs tb_logs logs runs wandb mlruns outputs
    multirun checkpoints *.ckpt *.log *.so""".split()
)
# Of one commit to the next: the environment knows when it is old.
_KEPT = ("**/build/backburn/environment", "**/build/backburn/environment.lock", "*.egg-info")


@dataclass(frozen=True, kw_only=True)
class Worktree:
    """`folder` is its top; `top` that of the repository whose history it shows."""

    folder: Path
    top: Path

    def show(self, commit: str, without: Sequence[str] = (), onto: str = "") -> None:
        """Make it exactly that commit, merged into another if one is given, with the changes of others (newest first)
        taken out again.

        Raises Conflict where that cannot be done, UserError where git fails (a filter that is missing, say).
        """
        keep = [word for one in _KEPT for word in ("-e", one)]
        commits.tried(self.folder, "revert", "--quit")  # of the commit before; a reset ends a merge by itself
        commits.ask(self.folder, "reset", "--quiet", "--hard")
        commits.ask(self.folder, "checkout", "--quiet", "--force", "--detach", onto or commit)
        commits.ask(self.folder, "clean", "--quiet", "-ffdx", *keep)
        if onto:
            self._put_in(commit)
        for one in without:
            self._take_out(one)
        self._link_data()

    def _put_in(self, commit: str) -> None:
        if commits.tried(self.folder, "merge", "--quiet", "--no-commit", "--no-ff", commit)[0] != 0:
            raise commits.Conflict(commit, self._conflicting())

    def _take_out(self, commit: str) -> None:
        parents = commits.ask(self.folder, "rev-list", "--parents", "-n1", commit).split()[1:]
        mainline = ("--mainline", "1") if len(parents) > 1 else ()
        before = commits.ask(self.folder, "write-tree").decode().strip()
        if commits.tried(self.folder, "revert", "--no-commit", *mainline, commit)[0] == 0:
            return
        files = self._conflicting()
        commits.tried(self.folder, "revert", "--quit")
        commits.ask(self.folder, "read-tree", "--reset", "-u", before)
        if not parents or not self._take_lines_out(commit):
            raise commits.Conflict(commit, files)

    def _take_lines_out(self, commit: str) -> bool:
        """Its own lines alone, wherever they are now: a revert wants the lines around them as they were, too."""
        words = ("diff-tree", "-p", "-U0", "--binary", "--no-color", "--no-ext-diff", "--no-renames")
        patch = commits.ask(self.folder, *words, f"{commit}^1", commit)
        if re.search(rb"^@@ -\S+ \+\d+,0 @@", patch, re.MULTILINE):
            return False  # lines that it removed: where they would go, nothing tells
        return commits.tried(self.folder, "apply", "--reverse", "--unidiff-zero", "--index", given=patch)[0] == 0

    def _conflicting(self) -> list[str]:
        files = commits.ask(self.folder, "diff", "--name-only", "--diff-filter=U", "-z").decode(errors="replace")
        return [one for one in files.split("\0") if one]

    def _link_data(self) -> None:
        for name in commits.ignored(self.top):
            there = self.folder / name.rstrip("/")
            parts = Path(name).parts
            if any(fnmatch.fnmatch(part, one) for part in parts for one in _NOT_DATA):
                continue
            if there.parent.is_dir() and not os.path.lexists(there):
                _link(self.top / name.rstrip("/"), there)


def _link(source: Path, target: Path) -> None:
    """A link to a file; of a folder, a folder of links, so that new files of a training do not land in the user's."""
    if not source.is_dir() or source.is_symlink():
        target.symlink_to(source.absolute())
        return
    found = []
    for folder, _, files in os.walk(source):
        found += [Path(folder, one) for one in files]
        if len(found) > _MOST:
            target.symlink_to(source.absolute())
            return
    target.mkdir()
    for path in found:
        link = target / path.relative_to(source)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path.absolute())


@contextlib.contextmanager
def opened(top: Path, folder: Path, commit: str) -> Iterator[Worktree]:
    """A worktree at `folder`, gone when it is left, by an interrupt too; what a killed run left there goes first.

    Raises UserError where git makes none.
    """
    _remove(top, folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        commits.ask(top, "worktree", "add", "--quiet", "--force", "--detach", str(folder), commit)
        yield Worktree(folder=folder, top=top)
    finally:
        with undisturbed():
            _remove(top, folder)


def _remove(top: Path, folder: Path) -> None:
    """The folder and what git notes of it; links are not followed."""
    commits.tried(top, "worktree", "remove", "--force", "--force", str(folder))  # also where the folder is gone
    shutil.rmtree(folder, ignore_errors=True)
    if os.path.lexists(folder):
        raise UserError("cannot be removed", where=str(folder), hint="Check its owner.")


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """What ends us is put off while a clean-up runs: a second Ctrl-C must not leave half of it."""
    before = {}
    try:
        for number in process.ending():
            before[number] = signal.signal(number, signal.SIG_IGN)
    except ValueError:  # not the main thread
        pass
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
