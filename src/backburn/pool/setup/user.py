"""The user whose process the supervisor is: of the system, without a home or a shell, in the group of the engine."""

from __future__ import annotations

import grp
import os
import pwd
import signal
from pathlib import Path

from ... import process
from ...errors import UserError
from ..config import Config
from ..doctor.account import USER as USER

NOLOGIN = "/usr/sbin/nologin"


class Failed(Exception):
    """The machine did not do it: exit code 3."""

    def __init__(self, said: str, hint: str = "") -> None:
        super().__init__(said + (f"\n  {hint}" if hint else ""))


def ids() -> tuple[int, int]:
    """Of the user and its group. Raises KeyError before it is made."""
    entry = pwd.getpwnam(USER)
    return entry.pw_uid, entry.pw_gid


def exists() -> bool:
    """Whether there is one."""
    try:
        ids()
    except KeyError:
        return False
    return True


def engine_group(config: Config) -> str:
    """The group that the engine's socket belongs to. Raises UserError for one that is root's, or no socket."""
    place = config.docker.host.removeprefix("unix://")
    hint = "Setup takes a Docker Engine of this machine, with a socket that a group may use: [docker] host."
    try:
        name = grp.getgrgid(Path(place).stat().st_gid).gr_name
    except (OSError, KeyError) as error:
        raise UserError("no socket of an engine with a group", where=place, hint=hint) from error
    if name == "root":
        raise UserError("only root may use the engine", where=place, hint=f"`groupadd docker`, restart Docker. {hint}")
    return name


def is_member(group: str) -> bool:
    """Whether the user is in it."""
    try:
        return grp.getgrnam(group).gr_gid in os.getgrouplist(USER, ids()[1])
    except KeyError:  # no such group, or no such user
        return False


def make(home: Path) -> None:
    """Raises Failed."""
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", str(home), "--shell", NOLOGIN]
    run(*command, USER)


def join(group: str) -> None:
    """Raises Failed."""
    run("usermod", "--append", "--groups", group, USER)


def leave(group: str) -> None:
    """Raises Failed."""
    run("gpasswd", "--delete", USER, group)


def remove() -> None:
    """And its group. Raises Failed."""
    run("userdel", USER)


def run(*command: str) -> str:
    """What a short program says. Raises Failed with its words. Ctrl-C waits: it may be halfway in /etc/passwd."""
    held = signal.pthread_sigmask(signal.SIG_BLOCK, process.ending())
    try:
        code, out, said = process.capture(command, cwd=Path("/"))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
    if code != 0:
        raise Failed(f"{command[0]}: {said or f'ended with {code}'}")
    return out.decode(errors="replace").strip()
