"""A lease's caches, as its container has them: an overlay each, and where tools look for it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from ..clock import Clock
from ..config import Config
from ..engine import Declined
from ..lease import Lease
from .porter import Porter
from .shelf import Shelf

MOUNTS = "/cache"
# HF_HOME is not among them: a token that a job logs in with lies there, and would be kept for all. uv links files of
# its cache into environments, which leads from no file system to another: it warns, and copies.
ENVIRONMENT = {
    "pip": {"PIP_CACHE_DIR": "/cache/pip"},
    "uv": {"UV_CACHE_DIR": "/cache/uv", "UV_LINK_MODE": "copy"},
    "hf": {"HF_HUB_CACHE": "/cache/hf/hub", "HF_XET_CACHE": "/cache/hf/xet", "HF_DATASETS_CACHE": "/cache/hf/datasets"},
    "torch": {"TORCH_HOME": "/cache/torch"},
    "data": {},
}
AGAIN = 600.0  # seconds until it is tried again whether this machine can do it
_NOBODY = "0" * 8  # a lease that nobody has
_VOLUME = re.compile(r"[0-9a-f]{12,}")  # another one in each of the engine's answers
_PATIENCE = 60.0  # seconds that each half of the trial may take


class Fitted(msgspec.Struct, frozen=True, kw_only=True):
    """What is added to a container: `KEY=value` each, and entries of HostConfig.Mounts."""

    environment: tuple[str, ...] = ()
    mounts: tuple[dict[str, Any], ...] = ()


Fit = Callable[[Lease, dict[str, str]], Fitted]
"""For a container that is about to be made; its volumes get these labels. Raises Unreachable."""


def bare(lease: Lease, labels: dict[str, str]) -> Fitted:
    """No caches."""
    return Fitted()


class Fitter:
    """Tries, before the first lease, whether this machine can do it at all. Where it cannot, jobs have no caches, and
    `note` says so once. From any thread.
    """

    def __init__(self, config: Config, clock: Clock, note: Callable[[str, str, str], None]) -> None:
        self.config, self.clock, self.note = config, clock, note
        self.shelf = Shelf(config)
        self.porter = Porter(config, self.shelf.folder, clock)
        self._lock = threading.Lock()
        self._good, self._tried, self._said = False, -AGAIN, ""

    def fit(self, lease: Lease, labels: dict[str, str]) -> Fitted:
        """Its caches; the same layers, should it be asked for the same lease again. Raises Unreachable."""
        try:
            if not self._tested():
                return Fitted()
            opened = self.shelf.open(lease.id)
        except OSError as error:
            self.say(f"{error.strerror or error}: {error.filename}")
            return Fitted()
        words = [f"{key}={value}" for name in opened for key, value in ENVIRONMENT[name].items()]
        return Fitted(environment=tuple(words), mounts=tuple(_overlay(*one, labels) for one in opened.items()))

    def can(self) -> bool:
        """Whether this machine can, tried now if it is time to. Only for who is `Shelf.working`. Raises Unreachable."""
        with self._lock:
            if not self._good and self.clock.passed() - self._tried >= AGAIN:
                self._try()
            return self._good

    def say(self, why: str) -> None:
        """Once, until there is something else to say."""
        if why != self._said:
            self._said = why
            self.note("", "warning", f"caches: {why}")

    def _tested(self) -> bool:
        if self._good:
            return True
        self.shelf.prepare()
        with self.shelf.working() as alone:
            if alone:
                return self.can()
        with self._lock:  # whoever works here tries it first
            return self._good

    def _try(self) -> None:
        """What a job writes through an overlay, root can link and remove: a whole lease, which no GitHub knows."""
        try:
            name, options = next(iter(self.shelf.open(_NOBODY).items()))
            command = ["/bin/sh", "-c", f": >{MOUNTS}/{name}/probe"]
            self.porter.run(self.config.docker.user, command, [_overlay(name, options, {})], limit=_PATIENCE)
            upper, built = self.shelf.upper(_NOBODY, name), self.shelf.build("probe")
            self.porter.do("take", *map(self.porter.inside, (upper, built)), MOUNTS, 0, limit=_PATIENCE)
            self._good = (built / "probe").exists()
        except Declined as error:
            self._tried = self.clock.passed()
            said = _VOLUME.sub("…", str(error).replace(str(self.shelf.folder), "…"))
            self.say(f"none, for this machine or its engine cannot do it: {said} {error.hint}".rstrip())
        finally:
            self.shelf.close(_NOBODY)


def _overlay(name: str, options: str, labels: dict[str, str]) -> dict[str, Any]:
    """A volume without a name: it goes with its container, or by its labels."""
    driver = {"Name": "local", "Options": {"type": "overlay", "device": "overlay", "o": options}}
    volume = {"NoCopy": True, "Labels": labels, "DriverConfig": driver}
    return {"Type": "volume", "Target": f"{MOUNTS}/{name}", "VolumeOptions": volume}
