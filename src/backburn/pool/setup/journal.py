"""What setup made on this machine, written down before it is made: that, and nothing else, uninstall takes away."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from ...errors import UserError
from ...evidence import dumps
from . import files

SCHEMA = 1
FILE = "installed.json"


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """`kind`: folder, file, user, member, image, base, link or toolkit. `sha`: of a file's content as we wrote it."""

    kind: str
    name: str
    sha: str = ""


class _Written(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kind: str = "pool-installed"
    schema: int = SCHEMA
    made: tuple[Made, ...] = ()
    started: str = ""


class Journal:
    """In the folder /etc/backburn, which comes into being together with it."""

    def __init__(self, folder: Path) -> None:
        """Raises UserError for one that a newer backburn wrote, or that nobody can read."""
        self.folder, self.path = folder, folder / FILE
        self._written = self._read()

    @property
    def exists(self) -> bool:
        """Something was begun."""
        return self.path.exists()

    @property
    def made(self) -> tuple[Made, ...]:
        """In the order in which it was made."""
        return self._written.made

    @property
    def started(self) -> str:
        """Of what the service was last started with (see service.py); "" where it was not."""
        return self._written.started

    def begin(self) -> None:
        """Make the folder and this file at once: a folder without it is somebody else's."""
        if self.exists:
            return
        if self.folder.exists():
            self._save(())
            return
        files.remove_tree(self._aside)
        self._aside.mkdir(mode=0o700)
        entry = Made(kind="folder", name=str(self.folder))
        files.write(self._aside / FILE, dumps(_Written(made=(entry,))), mode=0o600)
        self._aside.rename(self.folder)
        self._written = self._read()

    def end(self) -> bool:
        """Take both away at once; whether all is gone. A folder that has something else in it stays, as does one that
        is not ours.
        """
        if self.find("folder", str(self.folder)) and os.listdir(self.folder) == [FILE]:
            files.remove_tree(self._aside)
            self.folder.rename(self._aside)
        files.remove_tree(self._aside)
        self.path.unlink(missing_ok=True)
        return not self.folder.exists()

    @property
    def _aside(self) -> Path:
        """Where the folder is before it is there, and after it was."""
        return self.folder.with_name(f".{self.folder.name}.aside")

    def will(self, kind: str, name: str, content: bytes | None = None) -> None:
        """Write down what is about to be made. Said twice, the last content counts."""
        sha = "" if content is None else files.digest(content)
        others = tuple(one for one in self.made if (one.kind, one.name) != (kind, name))
        entry = Made(kind=kind, name=name, sha=sha)
        if entry not in self.made:
            self._save((*others, entry))

    def forget(self, entry: Made) -> None:
        """It is gone."""
        self._save(tuple(one for one in self.made if one != entry))

    def start(self, what: str) -> None:
        """The service was started with this."""
        self._save(self.made, what)

    def find(self, kind: str, name: str) -> Made | None:
        """Where we made it."""
        return next((one for one in self.made if (one.kind, one.name) == (kind, name)), None)

    def _save(self, made: tuple[Made, ...], started: str | None = None) -> None:
        started = self.started if started is None else started
        self._written = _Written(made=made, started=started)
        files.write(self.path, dumps(self._written), mode=0o600)

    def _read(self) -> _Written:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=_Written)
        except FileNotFoundError:
            return _Written()
        except (OSError, msgspec.MsgspecError) as error:
            hint = "It says what setup made. Ask as root; where it is damaged, remove by hand what it still names."
            raise UserError(str(error), where=str(self.path), hint=hint) from error
