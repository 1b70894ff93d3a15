"""All that the checks need, looked at once: the only side effects of `backburn pool doctor`."""

from __future__ import annotations

import os
import re
import shutil
import stat
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from ...errors import UserError
from .. import injection, secrets
from ..clock import SystemClock
from ..config import Config, Injection
from ..connection import Connection
from ..engine import Unreachable
from ..gate import free
from ..github import GitHub
from ..registrar import Later, Refused, Uncertain
from . import account, driver, seen

Read = Callable[[str], str]
BASE, MADE = "backburn.base", "backburn.base-created"  # labels of an image that setup built
_DEV = Path("/dev")
# Its OCI hook, or the part of it that Docker before 19.03 looked for; the runtime brings the hook along.
_NVIDIA = ("nvidia-container-runtime-hook", "nvidia-container-runtime")


def look(config: Config, file: Path | None, *, read: Read = secrets.resolve) -> seen.Seen:
    """Takes a minute at most, where neither the driver nor the engine nor GitHub answers. `file`: the configuration's;
    None where it is still to come.
    """
    connection = Connection(config, SystemClock(), quick=15.0, slow=30.0)
    docker = of_engine(connection, config)
    return seen.Seen(
        config=config,
        installed=file is not None,
        driver=driver.look(),
        docker=docker,
        image=of_image(connection, config.pool.image) if not docker.error else seen.Image(error=docker.error),
        disks=tuple(of_disk(Path(place)) for place in dict.fromkeys((config.docker.data, config.pool.state))),
        github=of_github(config, read),
        account=account.look(config, file),
        namesake=account.namesake(config),
        unlinked=tuple(unlinked()),
        now=time.time(),
    )


def of_engine(connection: Connection, config: Config) -> seen.Docker:
    """By its own word."""
    try:
        version = connection.look(lambda client: client.version()) or {}
        info = connection.look(lambda client: client.info()) or {}
    except Unreachable as error:
        return seen.Docker(error=str(error))
    return seen.Docker(
        version=str(version.get("Version", "")),
        live_restore=bool(info.get("LiveRestoreEnabled")),
        cgroup_driver=str(info.get("CgroupDriver", "")),
        cdi=tuple(one for one in config.slots.gpus if _by_cdi(one, info)),
        nvidia="nvidia" in (info.get("Runtimes") or {}) or any(map(shutil.which, _NVIDIA)),
        data=str(info.get("DockerRootDir", "")),
    )


def _by_cdi(device: str, info: dict[str, Any]) -> bool:
    return injection.chosen(Injection.AUTO, device, lambda: info) is Injection.CDI


def of_image(connection: Connection, image: str) -> seen.Image:
    """As it lies in the engine; nothing is pulled."""
    try:
        found = connection.look(lambda client: client.inspect_image(image)) if image else None
    except Unreachable as error:
        return seen.Image(error=str(error))
    if found is None:
        return seen.Image()
    labels = (found.get("Config") or {}).get("Labels") or {}
    made = _moment(str(labels.get(MADE) or found.get("Created") or ""))
    return seen.Image(present=True, made=made, base=str(labels.get(BASE, "")))


def _moment(said: str) -> float:
    """Seconds since the epoch; 0.0 for what is no time, or the zero time of Go."""
    try:
        moment = datetime.fromisoformat(said[:19] + "+00:00")
    except ValueError:
        return 0.0
    return moment.timestamp() if moment.year > 1970 else 0.0


def of_disk(place: Path) -> seen.Disk:
    """Of the nearest folder that exists."""
    try:
        space, inodes = free(place)
    except OSError as error:
        return seen.Disk(place=str(place), error=error.strerror or str(error))
    return seen.Disk(place=str(place), free=space, inodes=inodes)


def of_github(config: Config, read: Read) -> seen.GitHub:
    """Two questions that change nothing: may we remove a runner that cannot exist, and which group is ours?"""
    try:
        github = GitHub(config, read=read)
    except UserError as error:
        return seen.GitHub(secret=str(error))
    try:
        return _answered(github)
    finally:
        github.close()


def _answered(github: GitHub) -> seen.GitHub:
    try:
        github.may_register()
    except (Later, Uncertain) as error:
        return seen.GitHub(error=silent("whether runners may be registered", error), skew=github.skew())
    except Refused as error:
        return seen.GitHub(refused=str(error), hint=error.hint, skew=github.skew(), answered=True)
    try:
        github.allowed_group()
    except (Later, Uncertain) as error:
        return seen.GitHub(error=silent("which runner groups there are", error), skew=github.skew())
    except Refused as error:
        return seen.GitHub(group=str(error), hint=error.hint, skew=github.skew(), answered=True)
    return seen.GitHub(skew=github.skew(), answered=True)


def silent(what: str, error: Exception) -> str:
    """Without the request: a DELETE of a runner 0 would alarm whoever reads of it."""
    why = re.sub(r"( for )?[A-Z]{3,7} /[^\s:]*(: )?", " ", str(error)).strip()
    return f"GitHub did not answer {what}: {why}"


def unlinked(dev: Path = _DEV) -> list[str]:
    """The device nodes of NVIDIA that systemd would forget, as it knows devices by /dev/char alone."""
    nodes = [path for path in sorted(dev.glob("nvidia*")) if stat.S_ISCHR(path.stat().st_mode)]
    numbers = {path: path.stat().st_rdev for path in nodes}
    links = {path: dev / "char" / f"{os.major(number)}:{os.minor(number)}" for path, number in numbers.items()}
    return [str(path) for path, link in links.items() if not link.exists()]
