"""What was seen of a machine, its engine and its GitHub: plain data, from which the checks conclude."""

from __future__ import annotations

import msgspec

from ..config import Config


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """`error`: why it could not be looked at; "" where it could."""

    error: str = ""


class Driver(Part, frozen=True, kw_only=True):
    """NVIDIA's. `gpus` are the UUIDs that a slot may have: of MIG instances where a GPU is cut into such."""

    gpus: tuple[str, ...] = ()


class Docker(Part, frozen=True, kw_only=True):
    """The engine. `cdi`: those of our GPUs that it can hand out by CDI; `nvidia`: NVIDIA's hook is installed."""

    version: str = ""
    live_restore: bool = False
    cgroup_driver: str = ""
    cdi: tuple[str, ...] = ()
    nvidia: bool = False
    data: str = ""  # where it says that its layers lie


class Image(Part, frozen=True, kw_only=True):
    """What a job runs in. `made`: seconds since the epoch, of its base where the image says so; 0.0: unknown."""

    present: bool = False
    made: float = 0.0
    base: str = ""


class Disk(Part, frozen=True, kw_only=True):
    """`free` in bytes, `inodes` in per cent."""

    place: str
    free: float = 0.0
    inodes: float = 0.0


class GitHub(Part, frozen=True, kw_only=True):
    """`error`: no answer came. The other three: what was refused, with `hint`; "" where it was not, or not asked."""

    secret: str = ""
    refused: str = ""
    group: str = ""
    hint: str = ""
    skew: float = 0.0  # seconds that our clock is behind
    answered: bool = False


class Account(Part, frozen=True, kw_only=True):
    """Who supervises, and what it may: the engine's socket, pool.toml, the folders of state, locks and caches."""

    name: str
    exists: bool = True
    engine: bool = False
    file: bool = True
    state: bool = False
    locks: bool = False
    caches: bool = True


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. `installed`: there is a pool.toml; else the account, the image and the folders are still to come."""

    config: Config
    installed: bool
    driver: Driver
    docker: Docker
    image: Image
    disks: tuple[Disk, ...]
    github: GitHub
    account: Account
    namesake: str = ""  # an account of this machine with the uid of the jobs' user
    unlinked: tuple[str, ...] = ()  # device nodes of NVIDIA's without a link in /dev/char
    now: float = 0.0  # seconds since the epoch
