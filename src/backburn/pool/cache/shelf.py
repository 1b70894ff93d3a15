"""Where caches lie: layers that never change, what each lease writes above them, and a rename for every step.

    lock, work                    who chooses layers, and who works here (flock)
    empty/                        what an overlay without layers stands on
    layers/NAME/00000007-0123abcd what the lease 0123abcd added to the cache NAME; 00000008-base: all before it, as one
    leases/0123abcd/              NAME/upper and NAME/work; `layers` that it reads; `offer`, once it has ended well
    building/, trash/             what is no layer yet, and what is on its way out

All of it is the supervisor's own but what jobs wrote: that belongs to the jobs' user, and only root may look into it
(porter.py). A layer appears by one rename, whole; it goes by one, when no lease reads it and none can begin to.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ..config import Config
from ..lease import Lease

LAYERS = 16  # at most, before they are made one: their paths have to fit into the 4,096 bytes of mount(2)
BASE = "base"
# Whatever the kernel's defaults: without these a layer could hold a file's name without its content, or a folder's
# content under its old name. nodev and nosuid: nothing of that kind is ever needed in a cache.
OPTIONS = "index=off,metacopy=off,redirect_dir=off,nodev,nosuid"
_ID = re.compile(r"[0-9a-f]{4,16}")  # of a lease; it becomes a folder's name
_LAYER = re.compile(rf"\d{{8}}-({_ID.pattern}|{BASE})")
_FOLDERS = ("empty", "leases", "building", "trash")


class Shelf:
    """The caches of one pool. Any thread; `backburn pool gc` may do the same beside it."""

    def __init__(self, config: Config) -> None:
        self.folder = Path(config.cache.root) / config.pool.name
        self.names = config.cache.names

    def prepare(self) -> None:
        """Make the folders that are missing, for nobody else to look into. Raises OSError."""
        for one in (*_FOLDERS, *(f"layers/{name}" for name in self.names)):
            (self.folder / one).mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)

    # For a lease that begins.

    def open(self, lease: str) -> dict[str, str]:
        """For each cache, the options of the overlay that this lease writes to; the same ones when it asks again."""
        home = self._home(lease)
        with self._choosing():
            if not home.exists():
                self._make(home, {name: self.current(name) for name in self.names})
            return {name: self._options(home, name, layers) for name, layers in self._read(home).items()}

    def _make(self, home: Path, layers: dict[str, list[str]]) -> None:
        part = self.build(f"lease-{home.name}")
        for name in layers:
            for one in ("upper", "work"):
                (part / name / one).mkdir(parents=True)
            (part / name / "upper").chmod(0o777)  # its user is another; nobody else gets into the folders above
        (part / "layers").write_bytes(msgspec.json.encode(layers))
        part.rename(home)

    def _options(self, home: Path, name: str, layers: list[str]) -> str:
        lower = [str(self.folder / "layers" / name / layer) for layer in layers] or [str(self.folder / "empty")]
        return f"lowerdir={':'.join(lower)},upperdir={home / name / 'upper'},workdir={home / name / 'work'},{OPTIONS}"

    # For one that has ended.

    def offer(self, lease: Lease) -> None:
        """What it wrote may be kept, if it had the right to; nothing of a lease that has no caches."""
        home = self._home(lease.id)
        with contextlib.suppress(FileNotFoundError):
            (home / "offer.part").write_bytes(msgspec.json.encode(lease))
            (home / "offer.part").rename(home / "offer")

    def offered(self, lease: str) -> Lease | None:
        """The lease, as it was when it ended; None where it made no offer, or one that cannot be read."""
        with contextlib.suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return msgspec.json.decode((self._home(lease) / "offer").read_bytes(), type=Lease)
        return None

    def leases(self) -> list[str]:
        """Those that have a folder here, whether they run or not."""
        return sorted(one for one in _listed(self.folder / "leases") if _ID.fullmatch(one))

    def upper(self, lease: str, name: str) -> Path:
        """What this lease wrote to this cache."""
        return self._home(lease) / name / "upper"

    def written(self, lease: str) -> list[str]:
        """The caches that it wrote anything to."""
        return [name for name in self.names if _listed(self.upper(lease, name))]

    def close(self, lease: str) -> None:
        """It reads no layer any more, and what it wrote goes."""
        with self._choosing():
            self._discard(self._home(lease))

    # Layers.

    def layers(self, name: str) -> list[str]:
        """Of one cache, the newest first."""
        return sorted((one for one in _listed(self.folder / "layers" / name) if _LAYER.fullmatch(one)), reverse=True)

    def current(self, name: str) -> list[str]:
        """Those that a new lease reads: from the newest down to the newest base."""
        chosen = []
        for layer in self.layers(name):
            chosen.append(layer)
            if layer.endswith(BASE):
                break
        return chosen

    def has(self, name: str, lease: str) -> bool:
        """Whether what this lease wrote to this cache is a layer already."""
        return any(layer.endswith(f"-{lease}") for layer in self.layers(name))

    def build(self, what: str) -> Path:
        """A new empty folder for something that is not there yet."""
        part = self.folder / "building" / f"{what}-{secrets.token_hex(4)}"
        part.mkdir(mode=0o700)
        return part

    def add(self, built: Path, name: str, mark: str) -> None:
        """Make it the newest layer: seen whole by every lease that begins from here on. `mark`: a lease, or BASE."""
        _synced(built)
        newest = next((int(layer[:8]) for layer in self.layers(name)), 0)
        built.rename(self.folder / "layers" / name / f"{newest + 1:08d}-{mark}")

    def retire(self) -> list[str]:
        """Put the layers into the trash that no lease reads, nor any that begins: which. Also caches no more named."""
        with self._choosing():
            old = self.retired()
            for one in old:
                self._discard(self.folder / "layers" / one, one.replace("/", "-"))
        return old

    def retired(self) -> list[str]:
        """Those that `retire` would put there, as NAME/LAYER; none while a list of a lease cannot be read."""
        try:
            used = self._used()
        except (OSError, msgspec.MsgspecError):
            return []  # after a power cut; the lease is over, and its folder goes first
        kept = {name: self.current(name) for name in self.names}
        every = ((name, layer) for name in _listed(self.folder / "layers") for layer in self.layers(name))
        free = ((name, layer) for name, layer in every if layer not in kept.get(name, ()))
        return [f"{name}/{layer}" for name, layer in free if f"{name}/{layer}" not in used]

    def litter(self) -> list[str]:
        """What nobody builds any more is trash, too: all there is of that. Only for who is `working`."""
        with self._choosing():
            for one in _listed(self.folder / "building"):
                self._discard(self.folder / "building" / one)
        return _listed(self.folder / "trash")

    # Who is here.

    @contextlib.contextmanager
    def working(self) -> Iterator[bool]:
        """Whether nobody else makes or removes layers while inside."""
        with (self.folder / "work").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    @contextlib.contextmanager
    def _choosing(self) -> Iterator[None]:
        """No layer is chosen and none retired but by us: some renames long."""
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _home(self, lease: str) -> Path:
        if not _ID.fullmatch(lease):
            raise ValueError(f"no lease: {lease!r}")
        return self.folder / "leases" / lease

    def _read(self, home: Path) -> dict[str, list[str]]:
        return msgspec.json.decode((home / "layers").read_bytes(), type=dict[str, list[str]])

    def _used(self) -> set[str]:
        """By a lease that has a folder. It is there whole, with its list, or not at all."""
        every = (self._read(self._home(lease)) for lease in self.leases())
        return {f"{name}/{layer}" for each in every for name, layers in each.items() for layer in layers}

    def _discard(self, path: Path, name: str = "") -> None:
        """Out of sight at once; root removes it later."""
        with contextlib.suppress(FileNotFoundError):
            path.rename(self.folder / "trash" / f"{name or path.name}-{secrets.token_hex(4)}")


def _listed(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _synced(folder: Path) -> None:
    """All of its file system is on the disk: a layer that is there after a power cut has its content. Takes as long as
    the disk has to write.
    """
    import ctypes

    handle = os.open(folder, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(handle):
            raise OSError(ctypes.get_errno(), "syncfs", str(folder))
    finally:
        os.close(handle)
