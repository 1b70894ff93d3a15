"""Which files are read."""

import sqlite3

import pytest

from backburn.errors import UserError
from backburn.pool import schema
from backburn.pool.lease import Kind, Phase, State, Wanted
from backburn.pool.store import FILE, Store
from tests.pool import scene

# As the schema 1 of 0.1's first half wrote it.
OLD = """
CREATE TABLE slots (
  name TEXT PRIMARY KEY, device TEXT NOT NULL, state TEXT NOT NULL, since REAL NOT NULL, reason TEXT NOT NULL,
  failures INTEGER NOT NULL, wanted TEXT NOT NULL DEFAULT 'run'
) STRICT;
CREATE TABLE leases (
  id TEXT PRIMARY KEY, slot TEXT NOT NULL, phase TEXT NOT NULL, opened REAL NOT NULL, row TEXT NOT NULL
) STRICT;
CREATE INDEX by_phase ON leases (phase, slot);
CREATE TABLE ledger (
  lease TEXT PRIMARY KEY, slot TEXT NOT NULL, device TEXT NOT NULL, started REAL NOT NULL, busy REAL NOT NULL,
  ended REAL NOT NULL, outcome TEXT NOT NULL, repository TEXT NOT NULL, workflow TEXT NOT NULL, ref TEXT NOT NULL,
  job TEXT NOT NULL, run_id TEXT NOT NULL
) STRICT;
CREATE INDEX by_end ON ledger (ended);
INSERT INTO slots VALUES ('cpu0', '', 'busy', 5.0, '', 2, 'drain');
INSERT INTO slots VALUES ('gpu1', 'GPU-1', 'quarantined', 6.0, 'I1: two of "them"', 0, 'run');
INSERT INTO leases VALUES ('0a', 'cpu0', 'started', 4.0,
  '{"id": "0a", "slot": "cpu0", "runner": "lab1-cpu0-0a", "phase": "started", "busy": 5.0}');
INSERT INTO ledger VALUES ('09', 'cpu0', '', 1.0, 2.0, 3.0, 'failed', 'acme/vision', 'gpu', 'main', 'train', '7');
PRAGMA user_version = 1;
"""


@pytest.fixture
def database():
    with sqlite3.connect(":memory:", isolation_level=None) as made:
        yield made


def test_what_a_newer_backburn_wrote_is_refused(database, tmp_path):
    schema.prepare(database)
    schema.check(database, tmp_path)
    database.execute(f"PRAGMA user_version = {schema.NUMBER + 1}")
    with pytest.raises(UserError, match=f"schema {schema.NUMBER + 1} is newer than"):
        schema.check(database, tmp_path)


def test_to_prepare_it_twice_changes_nothing(database):
    for _ in range(2):
        schema.prepare(database)
        database.execute("INSERT OR IGNORE INTO slots VALUES ('cpu0', '', 'busy', 1.0, '', 0, 'run', '', 0.0)")
    assert database.execute("SELECT count(*) FROM slots").fetchone() == (1,)


@pytest.fixture
def old(tmp_path):
    with sqlite3.connect(tmp_path / FILE, isolation_level=None) as database:
        database.executescript(OLD)
    return tmp_path


def test_nothing_of_an_older_file_is_lost(old):
    for _ in range(2):
        store = Store(old)
        assert not store.rebuilt
        busy, shut = store.slots()
        assert (busy.state, busy.since, busy.failures, busy.wanted) == (State.BUSY, 5.0, 2, Wanted.DRAIN)
        assert busy.quarantine is None and store.trusted("cpu0") == 0.0
        assert shut.state is State.QUARANTINED and shut.quarantine.kind is Kind.BROKEN
        assert shut.quarantine.reason == 'I1: two of "them"'
        (lease,) = store.open_leases()
        assert (lease.runner, lease.phase, lease.busy, lease.symptoms) == ("lab1-cpu0-0a", Phase.STARTED, 5.0, ())
        (line,) = store.ledger()
        assert (line.repository, line.run_id, line.seconds, line.blame) == ("acme/vision", "7", 1.0, "")
        store.close()


def test_an_older_file_and_a_new_one_have_the_same_columns(old, tmp_path_factory):
    def columns(folder):
        store = Store(folder)
        tables = ("slots", "leases", "ledger")
        return [store._database.execute(f"PRAGMA table_info({table})").fetchall() for table in tables]

    assert columns(old) == columns(tmp_path_factory.mktemp("new"))


def test_a_supervisor_that_dies_while_it_brings_it_up_to_date_changes_nothing(old, monkeypatch):
    monkeypatch.setitem(schema._STEPS, 2, schema._STEPS[2] + "SELECT no_such_function();")
    with sqlite3.connect(old / FILE, isolation_level=None) as database:
        with pytest.raises(sqlite3.OperationalError):
            schema.prepare(database)
    with sqlite3.connect(old / FILE) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
    monkeypatch.undo()
    store = Store(old)
    assert len(store.slots()) == 2 and not store.rebuilt


def test_who_looks_in_from_beside_changes_no_older_file(old):
    before = (old / FILE).read_bytes()
    with pytest.raises(UserError, match="schema 1 is older than") as raised:
        Store.beside(old)
    assert "Restart the supervisor" in raised.value.hint and (old / FILE).read_bytes() == before
    Store(old).close()
    assert len(Store.beside(old).slots()) == 2


def test_a_file_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(FileNotFoundError):
        schema.existing(tmp_path / FILE, change=True)
    assert scene.store(tmp_path).slots() == []
