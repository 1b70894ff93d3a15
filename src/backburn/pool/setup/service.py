"""The unit of systemd: its file, and whether it runs with what is on the disk now."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from ..config import Config
from .files import digest
from .request import Places
from .user import Failed, run

UNIT = "backburn-pool.service"
COMING = "BACKBURN_POOL_TOOLKIT"  # from a dry run of setup.sh, whose own environment is gone afterwards
_WRITABLE = ("/run/lock", "/var/lib/backburn-pool")  # ReadWritePaths=, StateDirectory=
_SYSTEMD = Path("/run/systemd/system")  # sd_booted(3)


def expect() -> None:
    """Raises Failed where there is none to start it."""
    if not _SYSTEMD.is_dir() or shutil.which("systemctl") is None:
        hint = "`--no-service` sets up all but the unit; start `backburn pool run` in your own way then."
        raise Failed(f"systemd does not run here: {_SYSTEMD}", hint)


def program(places: Places) -> Path:
    """The `backburn` that the unit starts: by the name that outlives an update where this is setup.sh's own, or where
    its dry run says that it will be.
    """
    own, coming = Path(sys.prefix, "bin", "backburn"), os.environ.get(COMING) == str(places.toolkit)
    return places.toolkit / "current/bin/backburn" if coming or places.toolkit in own.parents else own


def unit(text: str, places: Places, config: Config) -> bytes:
    """The kit's, with the program that is here, and free to write where pool.toml says besides."""
    text = re.sub(r"^(ExecStart=)\S+", rf"\g<1>{program(places)}", text, flags=re.MULTILINE)
    more = "".join(f' "{_escaped(place)}"' for place in _written(config))
    return re.sub(r"^ReadWritePaths=.*", lambda found: found[0] + more, text, flags=re.MULTILINE).encode()


def _written(config: Config) -> list[str]:
    """Folders that the supervisor writes to, and the kit's unit does not know."""
    places = (config.pool.state, config.pool.locks, config.cache.root)
    return [one for one in places if one and not any(Path(one).is_relative_to(known) for known in _WRITABLE)]


def _escaped(place: str) -> str:
    """For systemd.syntax(7), where % begins a specifier."""
    return re.sub(r'(["\\])', r"\\\1", place).replace("%", "%%")


def fingerprint(*paths: Path) -> str:
    """Of all that a start reads: what is running is this, or an older one."""
    contents = [path.read_bytes() if path.is_file() else b"" for path in paths]
    return digest(b"\0".join([sys.prefix.encode(), *contents]))


def active() -> bool:
    """Whether it runs."""
    try:
        return run("systemctl", "is-active", UNIT) == "active"
    except Failed:  # inactive and unknown end with a code of their own
        return False


def start() -> None:
    """At each boot, and now; one that runs already begins anew, which ends no job. It is not waited for: it is ready
    when the engine has answered. Raises Failed.
    """
    run("systemctl", "daemon-reload")
    run("systemctl", "enable", UNIT)
    run("systemctl", "restart", "--no-block", UNIT)


def stop() -> None:
    """Now, and for good; jobs go on. Raises Failed."""
    run("systemctl", "disable", "--now", UNIT)


def forget() -> None:
    """After its file is gone. Raises Failed."""
    run("systemctl", "daemon-reload")
