"""Files of root's: whole or not at all, with the mode and the owner that they are to have from the first moment."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import subprocess
from pathlib import Path

NEW = ".backburn-new"  # ends the name of a file that is being written


def write(path: Path, content: bytes, *, mode: int, owner: tuple[int, int] = (0, 0)) -> None:
    """Put it in place of what is there. Raises OSError; then what was there is there still, and nothing else."""
    new = beside(path)
    try:
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(handle, "wb") as stream:
            if os.geteuid() == 0:
                os.fchown(handle, *owner)
            os.fchmod(handle, mode)
            stream.write(content)
            stream.flush()
            os.fsync(handle)
        new.rename(path)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
        raise


def beside(path: Path) -> Path:
    """Where its next content is written before it is put in place: left behind by who was killed meanwhile."""
    return path.with_name(f".{path.name}{NEW}")


def is_so(path: Path, content: bytes, mode: int, owner: tuple[int, int]) -> bool:
    """Whether it is there as it is to be."""
    try:
        found = path.lstat()
        return (
            stat.S_ISREG(found.st_mode)
            and stat.S_IMODE(found.st_mode) == mode
            and ((found.st_uid, found.st_gid) == owner or os.geteuid() != 0)
            and path.read_bytes() == content
        )
    except OSError:
        return False


def hand_over(folder: Path, owner: tuple[int, int]) -> None:
    """A folder, and all in it that has its owner; the folder last, which tells whether all was done.

    Jobs write below it, in caches: what has another owner stays as it is and is not walked into, and no link is
    followed, nor one that takes a folder's place meanwhile. Raises OSError.
    """
    folder = folder.resolve()
    ours = {folder.stat().st_uid, owner[0]}
    for _, folders, names, at in os.fwalk(folder, onerror=_raise):
        mine = {one for one in (*folders, *names) if os.stat(one, dir_fd=at, follow_symlinks=False).st_uid in ours}
        for one in mine:
            os.chown(one, *owner, dir_fd=at, follow_symlinks=False)
        folders[:] = [one for one in folders if one in mine]
    os.chown(folder, *owner)


def _raise(error: OSError) -> None:
    raise error


def remove_tree(path: Path) -> None:
    """A folder and all in it; one that is not there is no error. By rm(1): jobs' trees may be deeper than shutil goes.

    Raises OSError.
    """
    done = subprocess.run(
        ["rm", "-rf", "--", str(path)], stderr=subprocess.PIPE, text=True, check=False
    )  # noqa: S603, S607
    if done.returncode:
        raise OSError(done.stderr.strip())


def digest(content: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(content).hexdigest()
