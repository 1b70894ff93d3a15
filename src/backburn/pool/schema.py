"""The tables of the database, and which number of them a file has."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ..errors import UserError

NUMBER = 2
_TABLES = """
CREATE TABLE IF NOT EXISTS slots (
  name TEXT PRIMARY KEY, device TEXT NOT NULL, state TEXT NOT NULL, since REAL NOT NULL, reason TEXT NOT NULL,
  failures INTEGER NOT NULL, wanted TEXT NOT NULL DEFAULT 'run', quarantine TEXT NOT NULL DEFAULT '',
  trusted REAL NOT NULL DEFAULT 0.0
) STRICT;
CREATE TABLE IF NOT EXISTS leases (
  id TEXT PRIMARY KEY, slot TEXT NOT NULL, phase TEXT NOT NULL, opened REAL NOT NULL, row TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS by_phase ON leases (phase, slot);
CREATE TABLE IF NOT EXISTS ledger (
  lease TEXT PRIMARY KEY, slot TEXT NOT NULL, device TEXT NOT NULL, started REAL NOT NULL, busy REAL NOT NULL,
  ended REAL NOT NULL, outcome TEXT NOT NULL, repository TEXT NOT NULL, workflow TEXT NOT NULL, ref TEXT NOT NULL,
  job TEXT NOT NULL, run_id TEXT NOT NULL, blame TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX IF NOT EXISTS by_end ON ledger (ended);
"""
# From the number before to this one. Every quarantine of schema 1 waited for a person, and goes on to.
_STEPS = {2: """
ALTER TABLE slots ADD COLUMN quarantine TEXT NOT NULL DEFAULT '';
ALTER TABLE slots ADD COLUMN trusted REAL NOT NULL DEFAULT 0.0;
ALTER TABLE ledger ADD COLUMN blame TEXT NOT NULL DEFAULT '';
UPDATE slots SET quarantine = json_object('kind', 'broken', 'reason', reason) WHERE state = 'quarantined';
"""}


def check(database: sqlite3.Connection, path: Path) -> None:
    """Raise UserError for a file that a newer backburn wrote; 0 is one that has nothing in it."""
    if (version := _version(database)) > NUMBER:
        hint = "Run the backburn that wrote it, or drain, and move the file away."
        said = f"schema {version} is newer than the {NUMBER} this backburn reads"
        raise UserError(said, where=str(path), hint=hint)


def prepare(database: sqlite3.Connection) -> None:
    """Bring an older file up to this number, and make what is not there. At once: who looks in from beside sees all of
    it, or none, and a supervisor that is killed in it begins with the file as it was.
    """
    version = _version(database)
    steps = "".join(_STEPS[number] for number in range(version + 1, NUMBER + 1) if version)
    try:
        database.executescript(f"BEGIN IMMEDIATE; {steps} {_TABLES} PRAGMA user_version = {NUMBER}; COMMIT;")
    except sqlite3.Error:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def current(database: sqlite3.Connection, path: Path) -> None:
    """Raise UserError for a file of any other number: who looks in from beside changes nothing."""
    check(database, path)
    if (version := _version(database)) < NUMBER:
        said = f"schema {version} is older than the {NUMBER} this backburn reads"
        raise UserError(said, where=str(path), hint="Restart the supervisor, which brings it up to date.")


def existing(path: Path, change: bool) -> sqlite3.Connection:
    """A connection that makes no file of its own: one that does not exist is no empty one."""
    path.stat()
    mode = "rw" if change else "ro"
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=10.0, isolation_level=None)
    try:
        database.execute("SELECT 1 FROM slots LIMIT 1")
    except sqlite3.OperationalError:
        database.close()
        if change or path.with_name(path.name + "-wal").exists():
            raise
        # No log lies beside it, and none can be made in a folder that is not ours: the file is all there is.
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)
        database.execute("SELECT 1 FROM slots LIMIT 1")
    return database


def _version(database: sqlite3.Connection) -> int:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    return int(version)
