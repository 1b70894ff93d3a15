"""Setup from its beginning to its end: what is asked, what is wrong with it, what will change, and the change."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import UserError
from .. import config as configuration
from .. import secrets
from ..clock import SystemClock
from ..config import Config
from ..connection import Connection
from ..doctor import driver, gathering
from ..doctor.diagnosis import Diagnosis, diagnose
from . import image, poolfile, service
from .journal import Journal
from .request import Places, Request
from .steps import Command, Folder, Image, PoolFile, Secret, Shelves, State, Step, Toolkit, Unit, User
from .user import Failed

EXAMPLE = "pool.example.toml"
TO_COME = "to-be-built"  # in place of an image, before there is one


@dataclass(frozen=True)
class Reader:
    """Of secrets, for root: systemd's credentials by their files, and one that is being replaced as it will be."""

    places: Places
    target: Path | None = None
    source: Path | None = None

    def __call__(self, where: str) -> str:
        """As secrets.resolve."""
        place = located(where, self.places)
        if place is not None and place == self.target and self.source:
            place = self.source
        return secrets.resolve(where if place is None else f"file:{place}")


def located(where: str, places: Places) -> Path | None:
    """The file of a secret; None where it is in none, or systemd has handed it to this process."""
    kind, _, name = where.partition(":")
    if kind == "file":
        return Path(name)
    handed = "CREDENTIALS_DIRECTORY" in os.environ
    return places.etc / name if kind == "credential" and not handed and "/" not in name else None


@dataclass(frozen=True)
class Setup:
    """One run. `kit`: the files of runner/."""

    request: Request
    places: Places
    kit: Mapping[str, bytes]
    config: Config
    gpus: tuple[str, ...]

    @classmethod
    def asked(cls, request: Request, places: Places, kit: Mapping[str, bytes]) -> Setup:
        """Raises UserError for what cannot be meant, and Failed where GPUs are looked for and there are none."""
        first = not places.file.exists()
        request.check(first=first)
        if not first:
            config = configuration.load(places.file)
            poolfile.agree(config, request, places.file)
            return cls(request, places, kit, config, config.slots.gpus)
        gpus = wanted_gpus(request)
        text = poolfile.composed(kit[EXAMPLE].decode(), request, gpus, TO_COME, place_of(request, places))
        return cls(request, places, kit, configuration.parse(text, places.file), gpus)

    def doctor(self) -> Diagnosis:
        """Of the machine as it is before."""
        return diagnose(gathering.look(self.config, None, read=self.reader))

    @property
    def reader(self) -> Reader:
        """Of the secret that is to be."""
        return Reader(self.places, self._target, self.request.secret)

    def steps(self) -> list[Step]:
        """In their order. Raises Declined and Unreachable where the base cannot be found."""
        journal = Journal(self.places.etc)
        made = self._image(journal)
        ours = self._where.startswith("file:")
        steps: list[Step] = [
            Folder(self.places, journal),
            Toolkit(self.places, journal),
            Command(self.places, journal),
            User(self.config, self.places, journal),
            State(self.config, journal),
            Shelves(self.config, journal),
            Secret(self.request.secret, self._target, ours, journal),
            made,
            PoolFile(self.places, made, self._composed, journal),
        ]
        if self.request.service:
            read = (self.places.file, self._target)
            steps.append(Unit(self.kit[service.UNIT].decode(), self.config, self.places, read, journal))
        return steps

    def _image(self, journal: Journal) -> Image:
        connection = Connection(self.config, SystemClock(), quick=15.0, slow=60.0)
        request = self.request
        known = self.config.pool.image
        kept = not request.image and not request.base and known != TO_COME and not known.startswith("sha256:")
        ready = request.image or (known if kept else "")  # somebody's own choice stands until another is made
        recipe = None if ready else image.recipe(connection, self.kit, request.base)
        return Image(connection, self.config, recipe, ready, journal)

    def _composed(self, known: str) -> str:
        place = place_of(self.request, self.places)
        return poolfile.composed(self.kit[EXAMPLE].decode(), self.request, self.gpus, known, place)

    @property
    def _where(self) -> str:
        return self.config.github.private_key or self.config.github.token

    @property
    def _target(self) -> Path:
        """Where the secret is to lie. Raises UserError where that is not in our folder, and one was given."""
        place = located(self._where, self.places)
        if self.request.secret and (place is None or place.parent != self.places.etc):
            hint = "Put the new one there yourself, and leave the option out."
            raise UserError(f"the secret is at {self._where}", where=str(self.places.file), hint=hint)
        return place or self.places.etc / "token"


def wanted_gpus(request: Request) -> tuple[str, ...]:
    """UUIDs. Raises Failed where the driver was to name them, and names none."""
    if not request.automatic:
        return () if request.gpus == ("none",) else request.gpus
    found = driver.look()
    if not found.gpus and not request.cpu:
        hint = "Install NVIDIA's driver, or say --cpu 1 for a slot without a GPU."
        raise Failed(f"no GPU to be found: {found.error}", hint)
    return found.gpus


def place_of(request: Request, places: Places) -> str:
    """Where a new pool.toml says that the secret is: with systemd as its credential, which root alone can read."""
    name = "app.pem" if request.key else "token"
    return f"credential:{name}" if request.service else f"file:{places.etc / name}"


def carry_out(steps: list[Step], say: Callable[[str], None]) -> None:
    """Each where it has something to change. Raises what its steps raise; what was made is found by the next run."""
    for step in steps:
        if changes := list(step.changes()):
            say(changes[0].splitlines()[0])
            step.make(say)
