"""What an engine's error means: that it is going, so nobody knows; or a no, with what to do about it."""

from __future__ import annotations

import re
from typing import Any

from . import injection
from .config import Config, Injection
from .engine import Declined

# A 500 that is no answer: the engine is going down, or has lost its containerd. It may have been done, or not.
_AWAY = re.compile(
    r"context (deadline exceeded|canceled)|connection (refused|reset|error)|transport is closing|code = unavailable"
    r"|connection is (closing|being closed)|ttrpc: closed|shutting down|broken pipe|unexpected eof|i/o timeout",
    re.IGNORECASE,
)
_HINTS = (
    (r"no such image", "Pull it first: `docker pull {image}`."),
    (r"could not select device driver|cdi device|\bcdi\b", "{injection}"),
    (r"nvidia-container|nvml|/dev/nvidia", "The GPU's driver said so: does `nvidia-smi` work on this machine?"),
    (
        r"no space left on device|disk quota exceeded",
        "The engine's disk is full: `docker system df`, `backburn pool gc`.",
    ),
    (r"docker-init|init binary", "The engine has no init: install tini (Debian: docker.io recommends it)."),
    (r"already in use", "Another container has this runner's name; it is not ours to remove."),
    (r"bind source path does not exist|invalid mount", "[docker] mounts names a path that this machine lacks."),
    (
        r"failed to mount local volume",
        "A cache cannot be mounted, and `dmesg` says why. Is all of [cache] root there? Jobs run without it, too.",
    ),
    (r"network \S+ not found|no such network", "[docker] network: `docker network create {network}`."),
    (r"range of cpus", "[limits] cpus asks for more than this machine has."),
    (r"memory limit", "[limits] memory is too small."),
    (
        r"log(ging)? (driver|opt)|logger",
        "The log driver `local` takes Docker Engine 18.09 or later, and [limits] log ≥ 2k.",
    ),
    (r"unable to find (user|group)", '[docker] user: numbers, as "1001:1001".'),
    (
        r"executable file not found|exec format error|no command specified",
        "The image cannot run: its entrypoint, its CPU.",
    ),
    (r"read-only", "The container's root is read-only; see [docker] read-only."),
    (
        r"did not receive an exit event|could not kill",
        "A process cannot be killed (state D): reset its device, or reboot.",
    ),
)


class No(Exception):
    """The engine's answer, where it is not yes."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status
        self.said = said


def away(status: int, said: str) -> bool:
    """Whether this is no answer: of something between, or of an engine that is going."""
    return status in (502, 503, 504) or status >= 500 and bool(_AWAY.search(said))


def declined(no: No, config: Config) -> Declined:
    """The same, with what to do about it where we know."""
    means = injection.HINTS[Injection.CDI if "cdi" in no.said.lower() else Injection.NVIDIA]
    for pattern, hint in _HINTS:
        if re.search(pattern, no.said, re.IGNORECASE):
            return Declined(
                no.said, hint.format(image=config.pool.image, network=config.docker.network, injection=means)
            )
    return Declined(no.said)


def answer(error: Any) -> tuple[int, str]:
    """Status and message of an HTTP error, without the request that it carries about."""
    response = error.response
    said = str(getattr(error, "explanation", "") or "")
    if not said:
        try:
            said = str(response.json()["message"])
        except (ValueError, KeyError, TypeError):
            said = response.text
    return int(response.status_code), line(said)


def silent(error: Exception, host: str) -> str:
    """Why no answer came from `host`, where a library says it by the names of its exceptions."""
    said = f"{type(error).__name__}: {error}"
    if re.search(r"FileNotFoundError|ConnectionRefusedError|Connection refused|No such file", said):
        return line(f"no engine at {host}: is Docker installed, and does it run?")
    if re.search(r"PermissionError|Permission denied", said):
        return line(f"{host} may not be used by this user: is it in the group of the socket?")
    return line(said)


def line(said: str) -> str:
    """One, of 500 characters at most."""
    return " ".join(said.split())[:500]
