"""What setup does to a machine, one step after the other: each says what is not yet so, and makes it so.

A step writes down what it is about to make (journal.py), makes it whole, and finds it made when it is asked again:
whoever is killed between any two lines goes on by the same command.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ...errors import UserError
from ..config import Config, load
from ..connection import Connection
from ..store import FILE as DATABASE
from . import files, image, poolfile, service, user
from .image import Recipe
from .journal import Journal
from .request import Places

Say = Callable[[str], None]


class Step(Protocol):
    """`changes` looks only; `make` is called where it names something."""

    def changes(self) -> Iterator[str]:
        """What is not yet so, a line each."""

    def make(self, say: Say) -> None:
        """Make it so. Raises Failed, Declined, Unreachable, OSError."""


@dataclass
class Folder:
    """/etc/backburn, which the supervisor reads and root alone writes. The journal is in it."""

    places: Places
    journal: Journal

    def changes(self) -> Iterator[str]:
        """It is made with the journal, and given to the group when there is one."""
        if not self.journal.exists:
            if not self.places.etc.exists():
                yield f"{self.places.etc}: a folder of root's, mode 0750, readable by {user.USER}"
            yield f"{self.journal.path}: what this makes, so that uninstall finds it, mode 0600"
        elif self.journal.find("folder", str(self.places.etc)) and user.exists() and not self._given():
            yield f"{self.places.etc}: mode 0750, readable by {user.USER}"

    def make(self, say: Say) -> None:
        """Its group comes later: see User."""
        self.journal.begin()
        if user.exists():
            give(self.places, self.journal)

    def _given(self) -> bool:
        found = self.places.etc.stat()
        return found.st_gid == user.ids()[1] and stat.S_IMODE(found.st_mode) == 0o750


def expect_ours(path: Path, journal: Journal) -> None:
    """Raises UserError for a file that is there, and that setup did not make."""
    if path.exists() and not journal.find("file", str(path)):
        raise UserError("it is there, and setup did not make it", where=str(path), hint="Move it away, then ask again.")


def give(places: Places, journal: Journal) -> None:
    """Let the user read the folder, if it is ours to give."""
    if journal.find("folder", str(places.etc)):
        os.chown(places.etc, 0, user.ids()[1])
        places.etc.chmod(0o750)


@dataclass
class User:
    """Who supervises, in the engine's group."""

    config: Config
    places: Places
    journal: Journal

    def changes(self) -> Iterator[str]:
        """The user and the membership."""
        group = user.engine_group(self.config)
        if not user.exists():
            yield f"user {user.USER}: of the system, with a group of its name, without a shell or a home (/etc/passwd)"
        if not user.is_member(group):
            yield f"user {user.USER}: in the group {group}, which is as good as root on this machine"

    def make(self, say: Say) -> None:
        """Both."""
        group = user.engine_group(self.config)
        if not user.exists():
            self.journal.will("user", user.USER)
            user.make(self.config.state)
        give(self.places, self.journal)
        if not user.is_member(group):
            self.journal.will("member", group)
            user.join(group)


def take(path: Path, journal: Journal) -> None:
    """Make a folder the supervisor's; one that was there comes with what its owner had in it."""
    if not path.exists():
        journal.will("folder", str(path))
        path.mkdir(parents=True, mode=0o700)
    files.hand_over(path, user.ids())
    path.chmod(0o700)


@dataclass
class State:
    """The folder that outlives the supervisor."""

    config: Config
    journal: Journal

    def changes(self) -> Iterator[str]:
        """Where there is none, or an earlier pool's. Raises UserError for one that is no pool's."""
        path = self.config.state
        if self._made():
            return
        if path.exists() and any(path.iterdir()) and not (path / DATABASE).exists():
            raise UserError(
                "the folder is not empty, and no pool's", where=str(path), hint="[pool] state: another one."
            )
        yield f"{path}: a folder of {user.USER}'s, mode 0700" + (", with all in it" if path.exists() else "")

    def make(self, say: Say) -> None:
        """Empty, or what an earlier pool left: its ledger goes on."""
        path = self.config.state
        take(path, self.journal)

    def _made(self) -> bool:
        path = self.config.state
        return user.exists() and path.is_dir() and path.stat().st_uid == user.ids()[0]


@dataclass
class Shelves:
    """`[cache] root`, where it is not in the folder of the state."""

    config: Config
    journal: Journal

    def changes(self) -> Iterator[str]:
        """Where there is none, an empty one, or an earlier pool's; any other is its owner's to give (`doctor` asks)."""
        path = Path(self.config.cache.root)
        if not self.config.cache.root or path.is_relative_to(self.config.state):
            return
        if (
            not path.exists()
            or not self._made(path)
            and {one.name for one in path.iterdir()} <= {self.config.pool.name}
        ):
            yield f"{path}: a folder of {user.USER}'s, mode 0700, for caches"

    def make(self, say: Say) -> None:
        """What jobs wrote there stays theirs."""
        take(Path(self.config.cache.root), self.journal)

    @staticmethod
    def _made(path: Path) -> bool:
        return user.exists() and path.stat().st_uid == user.ids()[0]


@dataclass
class Secret:
    """The App's key or the token, in a file that its reader alone reads: root, for systemd, or the supervisor."""

    source: Path | None
    target: Path
    ours: bool  # the supervisor's, who reads it by itself
    journal: Journal

    def changes(self) -> Iterator[str]:
        """Where it is not there as it was given."""
        if self.source and not files.is_so(self.target, self._content(), 0o600, self._owner()):
            expect_ours(self.target, self.journal)
            who = user.USER if self.ours else "root"
            yield f"{self.target}: a copy of {self.source}, {who}'s, mode 0600"

    def make(self, say: Say) -> None:
        """A new one takes the place of the old."""
        self.journal.will("file", str(self.target), self._content())
        files.write(self.target, self._content(), mode=0o600, owner=self._owner())

    def _content(self) -> bytes:
        assert self.source is not None  # else there is nothing to change
        return self.source.read_bytes()

    def _owner(self) -> tuple[int, int]:
        return user.ids() if self.ours and user.exists() else (0, 0)


@dataclass
class Image:
    """What a job runs in: built from a recipe, or one that is ready. `id` is known when it is there."""

    connection: Connection
    config: Config
    recipe: Recipe | None
    ready: str
    journal: Journal

    @property
    def id(self) -> str:
        """By what it is started: an id `sha256:…` of what was built here, as no registry gave that a digest."""
        return self.ready or (image.built(self.connection, self.recipe) if self.recipe else "")

    def changes(self) -> Iterator[str]:
        """A pull, and a build."""
        if self.ready and not image.present(self.connection, self.ready):
            yield f"image {self.ready}: pulled"
        if self.recipe and not self.id:
            if not image.present(self.connection, self.recipe.base):
                yield f"image {self.recipe.base}: pulled"
            yield f"image {self.recipe.tag}: built on it, from runner/Dockerfile"

    def make(self, say: Say) -> None:
        """Whatever of it is missing."""
        wanted = self.ready or (self.recipe.base if self.recipe else "")
        if not image.present(self.connection, wanted):
            self.journal.will("base", wanted)
            image.pull(self.connection, self.config, wanted, say)
        if self.recipe and not self.id:
            self.journal.will("image", self.recipe.tag)
            image.build(self.connection, self.config, self.recipe, say)


@dataclass
class PoolFile:
    """pool.toml: made once; from then on its image alone is changed. `compose` gives its text for an image."""

    places: Places
    image: Image
    compose: Callable[[str], str]
    journal: Journal

    def changes(self) -> Iterator[str]:
        """The whole file, or one line."""
        path, known = self.places.file, self.image.id
        if not path.exists():
            yield f"{path}: from runner/pool.example.toml, root's, readable by {user.USER}, mode 0640"
        elif not known:
            yield f"{path}: image = the id of what is built"
        elif known != load(path).pool.image:
            old = path.read_text(encoding="utf-8")
            yield f"{path}:\n" + poolfile.difference(old, poolfile.put(old, "pool", "image", known), path)

    def make(self, say: Say) -> None:
        """One that was there before us keeps its mode and its owner, and is never ours to remove."""
        path, known = self.places.file, self.image.id
        if not path.exists():
            content = self.compose(known).encode()
            self.journal.will("file", str(path), content)
            files.write(path, content, mode=0o640, owner=(0, user.ids()[1]))
            return
        found, old = path.stat(), path.read_text(encoding="utf-8")
        content = poolfile.put(old, "pool", "image", known).encode()
        if (entry := self.journal.find("file", str(path))) and entry.sha == files.digest(old.encode()):
            self.journal.will("file", str(path), content)
        files.write(path, content, mode=stat.S_IMODE(found.st_mode), owner=(found.st_uid, found.st_gid))


@dataclass
class Unit:
    """The service's file, and its start with what is on the disk now."""

    text: str
    config: Config
    places: Places
    read: tuple[Path, ...]  # what a start reads, beside the unit
    journal: Journal

    @property
    def path(self) -> Path:
        """Of the unit."""
        return self.places.units / service.UNIT

    def changes(self) -> Iterator[str]:
        """Its file; and a start, where it does not run, or with something older."""
        if not files.is_so(self.path, self._content(), 0o644, (0, 0)):
            expect_ours(self.path, self.journal)
            yield f"{self.path}: the unit, mode 0644"
        if self.journal.started != self._now() or not service.active():
            yield f"{service.UNIT}: enabled, and started with the above"

    def make(self, say: Say) -> None:
        """A start that was interrupted is not written down, and made again."""
        if not files.is_so(self.path, self._content(), 0o644, (0, 0)):
            self.journal.will("file", str(self.path), self._content())
            files.write(self.path, self._content(), mode=0o644)
        service.start()
        self.journal.start(self._now())

    def _content(self) -> bytes:
        return service.unit(self.text, self.places, self.config)

    def _now(self) -> str:
        return service.fingerprint(self.path, *self.read)


@dataclass
class Toolkit:
    """The environment that setup.sh made for this, where it did: known from now on, so that uninstall removes it."""

    places: Places
    journal: Journal

    def changes(self) -> Iterator[str]:
        """None on the disk: setup.sh has made it."""
        own = self.places.toolkit in service.program(self.places).parents
        if own and not self.journal.find("toolkit", str(self.places.toolkit)):
            yield f"{self.places.toolkit}: backburn in an environment of its own (made by setup.sh)"

    def make(self, say: Say) -> None:
        """A line in the journal."""
        self.journal.will("toolkit", str(self.places.toolkit))


@dataclass
class Command:
    """`backburn` by its name alone, where setup.sh made the environment and the name is free."""

    places: Places
    journal: Journal

    def changes(self) -> Iterator[str]:
        """Whatever is there already stays: it may be another backburn."""
        place, own = self.places.command, self.places.toolkit in self._program.parents
        if own and place.parent.is_dir() and not os.path.lexists(place):
            yield f"{place}: a link to {self._program}"

    def make(self, say: Say) -> None:
        """It follows `current`, and so each update."""
        self.journal.will("link", str(self.places.command))
        self.places.command.symlink_to(self._program)

    @property
    def _program(self) -> Path:
        return service.program(self.places)
