"""What must outlive us: slots, leases with their intents, and the ledger, in SQLite (WAL, synchronous FULL)."""

from __future__ import annotations

import contextlib
import errno
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from ..errors import UserError
from . import schema
from .lease import Job, Lease, Phase, Quarantine, State, Wanted

FILE, RESERVE = "pool.sqlite3", "reserve"
RESERVED = 16 << 20  # bytes given back when the disk is full, so that what runs can still be written down
_KEPT = 1000  # closed leases: what `status` and a person looking back need; the ledger keeps the rest


class Full(Exception):
    """Nothing can be written down, so nothing may be done: the disk is full, or the file cannot be written."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A slot as it was last written down. `since` is seconds since the epoch."""

    name: str
    device: str
    state: State
    since: float
    reason: str
    failures: int
    wanted: Wanted
    quarantine: Quarantine | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the ledger: a lease whose container ran. Times are seconds since the epoch; `busy` 0.0: no job."""

    lease: str
    slot: str
    device: str
    started: float
    busy: float
    ended: float
    outcome: str
    repository: str = ""
    workflow: str = ""
    ref: str = ""
    job: str = ""
    run_id: str = ""
    blame: str = ""

    @property
    def seconds(self) -> float:
        """Of the slot, with a job."""
        return max(0.0, self.ended - self.busy) if self.busy else 0.0


class Store:
    """One file, one connection, any thread. Every write is on the disk when its method returns, or raises Full."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        """Open or make it. A file that cannot be read is moved aside: labels and names are enough to begin again."""
        self.folder, self.path, self._durable = folder, folder / FILE, durable
        self.rebuilt = ""  # why the file was made anew
        self._ours = True  # the reserve is, too
        self._lock = threading.RLock()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise UserError(
                f"cannot write: {error.strerror}", where=str(folder), hint="[pool] state says where."
            ) from error
        try:
            self._open()
        except sqlite3.DatabaseError as error:
            if _full(error):
                raise Full(str(error)) from error
            self._aside(str(error))
            self._open()
        if durable:  # in a simulation no power fails
            self._reserve()

    @classmethod
    def beside(cls, folder: Path, *, change: bool = False) -> Store:
        """That of a supervisor, which may run, or run as somebody else: nothing is made, mended or moved aside.

        Raises UserError where there is none, where it cannot be read, and (`change`) where it cannot be written.
        """
        self = cls.__new__(cls)
        self.folder, self.path, self.rebuilt = folder, folder / FILE, ""
        self._lock, self._ours = threading.RLock(), False
        try:
            self._database = schema.existing(self.path, change)
            schema.current(self._database, self.path)
        except (OSError, sqlite3.Error) as error:
            hint = "Is it the user of the supervisor that asks, and is [pool] state right?"
            if isinstance(error, FileNotFoundError):
                hint = "`backburn pool run` makes it; [pool] state says where."
                raise UserError("no supervisor has run here yet", where=str(self.path), hint=hint) from error
            raise UserError(str(error), where=str(self.path), hint=hint) from error
        return self

    def _open(self) -> None:
        self._database = sqlite3.connect(self.path, timeout=10.0, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute(f"PRAGMA synchronous = {'FULL' if self._durable else 'OFF'}")
        (found,) = self._database.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(str(found))
        schema.check(self._database, self.path)
        schema.prepare(self._database)

    def _aside(self, why: str) -> None:
        self._database.close()
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                self.path.with_name(FILE + suffix).rename(self.path.with_name(f"{FILE}{suffix}.corrupt"))
        self.rebuilt = why

    def close(self) -> None:
        """No more of it."""
        with self._lock:
            self._database.close()

    def save(self, *leases: Lease) -> None:
        """Write leases down as they are now, all or none."""
        rows = [
            (one.id, one.slot, one.phase.value, one.opened, msgspec.json.encode(one).decode("utf-8", "replace"))
            for one in leases
        ]
        with self._writing() as database:
            database.executemany("INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?)", rows)

    def lease(self, name: str) -> Lease | None:
        """By id."""
        return next(iter(self._leases("id = ?", (name,))), None)

    def open_leases(self, slot: str = "") -> list[Lease]:
        """Those that are not closed, of one slot or of all, the oldest first."""
        return self._leases("phase != ? AND (slot = ? OR ? = '')", (Phase.CLOSED.value, slot, slot))

    def leaving(self) -> list[Lease]:
        """Those of which only a registration can be left."""
        return self._leases("phase = ?", (Phase.LEAVING.value,))

    def _leases(self, condition: str, values: tuple[Any, ...]) -> list[Lease]:
        query = f"SELECT row FROM leases WHERE {condition} ORDER BY opened, id"  # noqa: S608 - our own words
        return [msgspec.json.decode(row, type=Lease) for (row,) in self._read(query, values)]

    def settle(self, one: Standing) -> None:
        """Write down where a slot stands; what is wanted of it stays, and its quarantine: others may write those."""
        values = (one.name, one.device, one.state.value, one.since, one.reason, one.failures)
        with self._writing() as database:
            database.execute(
                "INSERT INTO slots (name, device, state, since, reason, failures) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET device = excluded.device, state = excluded.state,"
                " since = excluded.since, reason = excluded.reason, failures = excluded.failures",
                values,
            )

    def forget(self, slot: str) -> None:
        """A slot that is no more in the configuration, and has drained."""
        with self._writing() as database:
            database.execute("DELETE FROM slots WHERE name = ?", (slot,))

    def slots(self) -> list[Standing]:
        """All that were ever settled and not forgotten, by name."""
        names = Standing.__struct_fields__
        rows = self._read(f"SELECT {', '.join(names)} FROM slots ORDER BY name")  # noqa: S608 - our own words
        told = [dict(zip(names, row, strict=True)) for row in rows]
        return [msgspec.convert(one | {"quarantine": _quarantine(one["quarantine"])}, Standing) for one in told]

    def want(self, slots: Iterable[str], wanted: Wanted) -> list[str]:
        """Tell the supervisor, running or not, what is wanted of these slots; those of them that exist."""
        with self._writing() as database:
            done = [
                name
                for name in slots
                if database.execute("UPDATE slots SET wanted = ? WHERE name = ?", (wanted.value, name)).rowcount
            ]
        return done

    def wanted(self, slot: str) -> Wanted:
        """What the operator wants of it: to run, unless told otherwise."""
        rows = self._read("SELECT wanted FROM slots WHERE name = ?", (slot,))
        return Wanted(rows[0][0]) if rows else Wanted.RUN

    def hold(self, slot: str, why: Quarantine) -> None:
        """Write down why a slot takes no job from now on, unless that is written down already."""
        row = _row(why)
        with self._writing() as database:
            database.execute(
                "INSERT INTO slots (name, device, state, since, reason, failures, quarantine)"
                " VALUES (?, '', 'unknown', 0.0, '', 0, ?)"
                " ON CONFLICT (name) DO UPDATE SET quarantine = ? WHERE quarantine = ''",
                (slot, row, row),
            )

    def amend(self, slot: str, was: Quarantine, why: Quarantine | None) -> None:
        """Write down what parole came to, unless somebody has ordered something else meanwhile."""
        values = (_row(why), slot, _row(was))
        with self._writing() as database:
            database.execute("UPDATE slots SET quarantine = ? WHERE name = ? AND quarantine = ?", values)

    def order(self, slots: Iterable[str], why: Quarantine) -> None:
        """As `hold`, by a person: whatever was written down before."""
        with self._writing() as database:
            values = [(_row(why), name) for name in slots]
            database.executemany("UPDATE slots SET quarantine = ? WHERE name = ?", values)

    def held(self, slot: str) -> Quarantine | None:
        """Why it takes no job."""
        rows = self._read("SELECT quarantine FROM slots WHERE name = ?", (slot,))
        return _quarantine(rows[0][0]) if rows else None

    def release(self, slots: Iterable[str], now: float) -> None:
        """A person vouches for them: what failed there before `now`, seconds since the epoch, counts no more."""
        with self._writing() as database:
            values = [(now, name) for name in slots]
            database.executemany("UPDATE slots SET quarantine = '', trusted = ? WHERE name = ?", values)

    def trusted(self, slot: str) -> float:
        """When a person last released it, seconds since the epoch; 0.0: never."""
        return float(next((row[0] for row in self._read("SELECT trusted FROM slots WHERE name = ?", (slot,))), 0.0))

    def record(self, lease: Lease, outcome: str, ended: float) -> None:
        """The lease's outcome and its line of the ledger, together: after a crash there is both or none of them."""
        lease.phase, lease.ended = Phase.ENDED, ended
        job = lease.job or Job()
        values = (lease.id, lease.slot, lease.device, lease.started, lease.busy, ended, outcome)
        with self._writing() as database:
            marks = ", ".join("?" * 13)
            told = (job.repository, job.workflow, job.ref, job.job, job.run_id, lease.blame)
            database.execute(f"INSERT OR REPLACE INTO ledger VALUES ({marks})", (*values, *told))
            self.save(lease)

    def ledger(self, since: float = 0.0, until: float = float("inf")) -> list[Entry]:
        """What ended in [since, until), seconds since the epoch, the oldest first."""
        names = Entry.__struct_fields__
        query = f"SELECT {', '.join(names)} FROM ledger WHERE ended >= ? AND ended < ? ORDER BY ended"  # noqa: S608
        rows = self._read(query, (since, until))
        return [Entry(**dict(zip(names, row, strict=True))) for row in rows]

    def ledger_begins(self) -> float:
        """When the first lease in it started, seconds since the epoch; 0.0: it is empty."""
        return float(self._read("SELECT coalesce(min(started), 0.0) FROM ledger")[0][0])

    def recorded(self, after: int) -> tuple[int, list[Entry]]:
        """What was recorded after a line of the ledger, and its last line: -1 gives only that."""
        ((last,),) = self._read("SELECT coalesce(max(rowid), 0) FROM ledger")
        names = Entry.__struct_fields__
        first = 0 if last < after else after  # all of it was pruned, and it counts from 1 again
        query = f"SELECT {', '.join(names)} FROM ledger WHERE rowid > ? AND rowid <= ? ORDER BY rowid"  # noqa: S608
        rows = self._read(query, (first, last)) if after >= 0 else []
        return last, [Entry(**dict(zip(names, row, strict=True))) for row in rows]

    def prove(self) -> None:
        """Write one page, which changes nothing. Raises Full where nothing can be written."""
        with self._writing() as database:
            database.execute(f"PRAGMA user_version = {schema.NUMBER}")

    def prune(self, before: float) -> None:
        """Forget the ledger from before then (seconds since the epoch), and all closed leases but the last thousand."""
        with self._writing() as database:
            database.execute("DELETE FROM ledger WHERE ended < ?", (before,))
            database.execute(
                "DELETE FROM leases WHERE phase = ? AND id NOT IN"
                " (SELECT id FROM leases WHERE phase = ? ORDER BY opened DESC LIMIT ?)",
                (Phase.CLOSED.value, Phase.CLOSED.value, _KEPT),
            )
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            nested = self._database.in_transaction
            try:
                if not nested:
                    self._database.execute("BEGIN IMMEDIATE")
                yield self._database
                if not nested:
                    self._database.execute("COMMIT")
            except BaseException as error:
                if not nested and self._database.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        self._database.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    if self._ours and _full(error):
                        self._give_back()
                    raise Full(f"{self.path}: {error}") from error
                raise

    def _read(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with self._lock:
            try:
                return self._database.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise Full(f"{self.path}: {error}") from error

    def _reserve(self) -> None:
        """Room that is ours when everybody else has filled the disk."""
        path = self.folder / RESERVE
        with contextlib.suppress(OSError):
            if not path.exists() or path.stat().st_size < RESERVED:
                with path.open("wb") as stream:
                    for _ in range(RESERVED >> 20):
                        stream.write(b"\0" * (1 << 20))

    def _give_back(self) -> None:
        with contextlib.suppress(OSError):
            (self.folder / RESERVE).unlink()

    def restore(self) -> None:
        """Take the reserve again, once there is room for it twice over."""
        with contextlib.suppress(OSError):
            import shutil

            if not (self.folder / RESERVE).exists() and shutil.disk_usage(self.folder).free > 2 * RESERVED:
                self._reserve()


def _row(why: Quarantine | None) -> str:
    return msgspec.json.encode(why).decode("utf-8", "replace") if why else ""


def _quarantine(row: str) -> Quarantine | None:
    return msgspec.json.decode(row, type=Quarantine) if row else None


def _full(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
    ) or (isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ENOSPC)
