"""Uninstall: no job is ended, GitHub forgets our runners, and what setup made goes; what was changed since stays."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import UserError
from .. import config as configuration
from .. import orders
from ..clock import SystemClock
from ..config import Config
from ..connection import Connection
from ..docker import DockerEngine
from ..engine import Declined, Unreachable
from ..github import GitHub
from ..lease import Wanted
from ..locks import holder
from ..registrar import Later, Refused, Removal, Uncertain
from ..store import FILE, RESERVE, Store
from . import files, image, service, user
from .installation import Reader
from .journal import Journal, Made
from .request import Places
from .user import Failed

Say = Callable[[str], None]
_LAST = ("folder", "toolkit")  # after all else, the journal's folder before the toolkit that this runs from


@dataclass
class Uninstall:
    """One run. `purge`: the database with its ledger goes, too, and the black boxes."""

    places: Places
    journal: Journal
    config: Config | None  # None: setup was interrupted before there was a pool.toml
    purge: bool
    timeout: float | None
    say: Say

    @classmethod
    def asked(cls, places: Places, *, purge: bool, timeout: float | None, say: Say) -> Uninstall:
        """Raises UserError for a journal or a pool.toml that cannot be read."""
        config = configuration.load(places.file) if places.file.exists() else None
        return cls(places, Journal(places.etc), config, purge, timeout, say)

    def changes(self) -> Iterator[str]:
        """All that will be done, a line each."""
        if self.config:
            yield f"slots of {self.config.pool.name}: drained, then their runners and containers removed"
        for entry in self.journal.made:
            if entry.name not in self._kept or self.purge:
                yield f"{_named(entry)}: removed" + (
                    ", unless it was changed" if entry.sha or entry.kind == "link" else ""
                )
        for folder in self._kept:
            if not self.purge:
                yield f"{folder}: kept, as root's (--purge removes it)"

    def carry_out(self) -> list[str]:
        """What was kept, and why. Raises Failed where a job still runs, or somebody does not answer."""
        if self.config:
            self._drain(self.config)
        if self.journal.find("file", str(self.places.units / service.UNIT)):
            service.stop()
        if self.config:
            self._expect_none(self.config)
            deregister(self.config, Reader(self.places), self.say)
            clear(self.config)
        return list(self._take_back())

    @property
    def _kept(self) -> dict[str, str]:
        """Folders of data, with what is in them: that of the database, and that of caches where we made one."""
        made = [one.name for one in self.journal.made if one.kind == "folder" and one.name != str(self.places.etc)]
        found = dict.fromkeys(made, "caches")
        if state := self.config.pool.state if self.config else next(iter(made), ""):
            found[state] = f"the ledger ({FILE}) and the black boxes"
        return found

    @staticmethod
    def _expect_none(config: Config) -> None:
        """No supervisor. Then the order to drain is over: who installs again on this database wants runners."""
        if process := holder(config.state):
            raise Failed(f"a supervisor still runs, process {process}", "End it, and ask again.")
        if (config.state / FILE).exists():
            store = Store.beside(config.state, change=True)
            store.want([one.name for one in store.slots()], Wanted.RUN)
            store.close()

    def _drain(self, config: Config) -> None:
        """Where a supervisor runs: it knows which of its runners has a job."""
        if not holder(config.state):
            return
        store = Store.beside(config.state, change=True)
        slots = [one.name for one in store.slots()]
        if slots and not orders.drain(store, config.state, slots, self.timeout, self.say):
            raise Failed("not all slots are parked: nothing was removed", "Ask again; the order to drain stands.")

    def _take_back(self) -> Iterator[str]:
        entries = [one for one in reversed(self.journal.made) if one.kind not in _LAST]
        # What is needed to ask again goes last: the secret, and last of all pool.toml.
        for entry in sorted(
            entries, key=lambda one: (str(self.places.etc) in one.name, str(self.places.file) == one.name)
        ):
            if kept := self._undo(entry):
                yield kept
            self.journal.forget(entry)
        yield from self._folders()

    def _undo(self, entry: Made) -> str:
        """Why it was kept; "" where it is gone."""
        self.say(_named(entry))
        if entry.kind == "file":
            return _remove_file(Path(entry.name), entry.sha)
        if entry.kind == "link":
            return _remove_link(Path(entry.name), self.places)
        if entry.kind in ("image", "base"):
            return self._remove_image(entry.name)
        if entry.kind == "member" and user.is_member(entry.name):
            user.leave(entry.name)
        if entry.kind == "user" and user.exists():
            user.remove()
        return ""

    def _remove_image(self, name: str) -> str:
        config = self.config or Config()
        gone = image.remove(Connection(config, SystemClock(), quick=15.0, slow=60.0), name)
        return "" if gone else f"image {name}: something else uses it"

    def _folders(self) -> Iterator[str]:
        """The journal goes with its folder: from then on nothing is left to be asked again."""
        for folder, what in self._kept.items():
            yield from self._remove_data(Path(folder), what)
        toolkit = self.journal.find("toolkit", str(self.places.toolkit))
        made = self.journal.find("folder", str(self.places.etc))
        if not self.journal.end() and made:
            yield f"{self.places.etc}: something else is in it"
        if toolkit:
            shutil.rmtree(self.places.toolkit, ignore_errors=True)

    def _remove_data(self, folder: Path, what: str) -> Iterator[str]:
        if self.purge:
            files.remove_tree(folder)
        elif folder.exists() and any(folder.iterdir()):
            (folder / RESERVE).unlink(missing_ok=True)
            files.hand_over(folder, (0, 0))  # the user's number will be another's some day
            yield f"{folder}: {what}; --purge removes them"
        elif folder.exists():
            folder.rmdir()


def _named(entry: Made) -> str:
    if entry.kind == "member":
        return f"user {user.USER} in the group {entry.name}"
    return f"{'image' if entry.kind == 'base' else entry.kind} {entry.name}"


def _remove_file(path: Path, sha: str) -> str:
    files.beside(path).unlink(missing_ok=True)
    if not path.exists():
        return ""
    if files.digest(path.read_bytes()) != sha:
        return f"{path}: changed since setup wrote it"
    path.unlink()
    if path.name == service.UNIT:
        service.forget()
    return ""


def _remove_link(path: Path, places: Places) -> str:
    if path.is_symlink() and places.toolkit in path.readlink().parents:
        path.unlink()
    return f"{path}: no link of setup's any more" if os.path.lexists(path) else ""


def deregister(config: Config, read: Reader, say: Say) -> None:
    """Every runner of this machine's pool. Raises Failed where one has a job, or GitHub does not answer now."""
    ours = re.compile(re.escape(config.prefix) + r"((gpu|mig)[0-9a-f]{8}|cpu\d+)-[0-9a-f]{8}")
    try:
        github = GitHub(config, read=read)
    except UserError as error:
        say(f"GitHub cannot be asked ({error}): it forgets runners that are offline after a day.")
        return
    try:
        found = [one for one in github.ours(config.prefix) if ours.fullmatch(one.name)]
        busy = [one.name for one in found if github.remove(one.id) is Removal.BUSY]
    except (Later, Uncertain) as error:
        raise Failed(f"GitHub does not answer: {error}", "Nothing was removed but the service. Ask again.") from error
    except Refused as error:
        say(f"GitHub refuses ({error}): it forgets runners that are offline after a day.")
        return
    finally:
        github.close()
    if busy:
        raise Failed(f"with a job: {', '.join(busy)}", "Wait for it, and ask again.")


def clear(config: Config) -> None:
    """Every container, volume and network of this pool. Raises Failed where the engine does not do it."""
    engine = DockerEngine(config)
    try:
        for one in engine.containers():
            engine.remove(one.id)
        for slot in config.all_slots:
            engine.sweep(slot)
    except (Unreachable, Declined) as error:
        raise Failed(f"the engine: {error}", "Nothing was removed but the runners. Ask again.") from error
    finally:
        engine.close()
