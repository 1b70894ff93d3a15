"""Who supervises on this machine, and what the kernel would let that user do."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

from ..config import Config
from .seen import Account

USER = "backburn-pool"  # whom setup makes, and the unit names


def look(config: Config, file: Path | None, user: str = USER) -> Account:
    """Of the pool's own user; where there is none, of whoever asks, or of one that is still to come."""
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return _asker(config, file) if file else Account(name=user, exists=False)
    return _allowed(config, file, entry.pw_name, entry.pw_uid, frozenset(os.getgrouplist(user, entry.pw_gid)))


def namesake(config: Config) -> str:
    """Who has the number of the jobs' user here; "" where nobody has."""
    number = config.docker.user.partition(":")[0]
    try:
        return pwd.getpwuid(int(number)).pw_name if number.isdecimal() else ""
    except (KeyError, OverflowError):
        return ""


def _asker(config: Config, file: Path) -> Account:
    return _allowed(config, file, _name(os.geteuid()), os.geteuid(), frozenset((*os.getgroups(), os.getegid())))


def _allowed(config: Config, file: Path | None, name: str, uid: int, groups: frozenset[int]) -> Account:
    socket = config.docker.host.removeprefix("unix://")
    return Account(
        name=name,
        engine=not socket.startswith("/") or may_write(Path(socket), uid, groups),
        file=file is None or may_read(file, uid, groups),
        state=may_write(config.state, uid, groups),
        locks=may_write(Path(config.pool.locks), uid, groups),
        caches=not config.cache.root or may_write(Path(config.cache.root), uid, groups),
    )


def may_write(place: Path, uid: int, groups: frozenset[int]) -> bool:
    """By owner, group and mode, of the nearest that exists: asked as root, access(2) says yes to all."""
    while not place.exists() and place != place.parent:
        place = place.parent
    return _may(place, uid, groups, stat.S_IWOTH)


def may_read(file: Path, uid: int, groups: frozenset[int]) -> bool:
    """Likewise, and whether its folder may be entered."""
    return _may(file.absolute().parent, uid, groups, stat.S_IXOTH) and _may(file, uid, groups, stat.S_IROTH)


def _may(place: Path, uid: int, groups: frozenset[int], right: int) -> bool:
    """`right` as the bit of others; a group's is three bits above it, the owner's six."""
    found = place.stat()
    shift = 6 if uid == found.st_uid else 3 if found.st_gid in groups else 0
    return uid == 0 or bool(found.st_mode & right << shift)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
