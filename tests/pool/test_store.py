"""What was written is there: after a kill, beside another process, on a full disk, and after what cannot be read."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from backburn.errors import UserError
from backburn.pool import store as subject
from backburn.pool.lease import Kind, Phase, Quarantine, State, Wanted
from backburn.pool.store import FILE, RESERVE, Full, Store
from tests.pool import scene

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="SKIPPED, COUNTED: needs root")


@pytest.fixture
def store(tmp_path):
    made = scene.store(tmp_path)
    yield made
    made.close()


@pytest.fixture
def small(tmp_path):
    """A folder on a disk of its own of 40 MB."""
    folder = tmp_path / "state"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "none", folder]).returncode:
        pytest.skip("SKIPPED, COUNTED: no mount here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_lease_comes_back_in_each_phase(store):
    for number, phase in enumerate(Phase):
        store.save(scene.lease(f"{number:08x}", opened=scene.NOW + number, phase=phase))
    assert [one.phase for one in store.open_leases()] == [phase for phase in Phase if phase is not Phase.CLOSED]
    assert [one.phase for one in store.leaving()] == [Phase.LEAVING]
    assert store.open_leases("cpu7") == [] and len(store.open_leases(scene.SLOT)) == 8
    assert store.lease("00000000").phase is Phase.REGISTERING and store.lease("none") is None


def test_several_are_written_all_or_none(store, monkeypatch):
    bad = scene.lease("00000002")
    bad.phase = None
    with pytest.raises(AttributeError):
        store.save(scene.lease("00000001"), bad)
    assert store.open_leases() == []


@pytest.mark.parametrize("text", ["a\u202eb", "\x00", "x" * 100_000, "'; DROP TABLE leases; --"])
def test_hostile_text_breaks_nothing(store, text):
    one = scene.lease(job=scene.job(repository=text))
    store.save(one)
    store.record(one, "failed", scene.NOW)
    assert len(store.open_leases()) == 1 and len(store.ledger()) == 1


def test_what_is_wanted_is_the_operators(store):
    store.settle(scene.standing("cpu0"))
    assert store.want(["cpu0", "cpu9"], Wanted.DRAIN) == ["cpu0"]
    store.settle(scene.standing("cpu0", State.BUSY))  # with wanted RUN, which is not its to say
    assert store.wanted("cpu0") is Wanted.DRAIN and store.slots()[0].state is State.BUSY
    assert store.wanted("cpu9") is Wanted.RUN
    store.forget("cpu0")
    assert store.slots() == [] and store.wanted("cpu0") is Wanted.RUN


class TestQuarantine:
    UNFIT = Quarantine(kind=Kind.UNFIT, reason="ecc \u202e", looks=2, good=1)
    ORDERED = Quarantine(kind=Kind.ORDERED, reason="new disk")

    def test_it_is_there_whatever_the_slot_stands_at(self, store):
        store.hold("cpu0", self.UNFIT)  # before it was ever settled
        store.settle(scene.standing("cpu0", State.BUSY))
        assert store.held("cpu0") == self.UNFIT == store.slots()[0].quarantine and store.held("cpu1") is None
        assert store.slots()[0].state is State.BUSY and store.wanted("cpu0") is Wanted.RUN

    def test_the_first_reason_stays_but_for_a_persons_order(self, store):
        store.hold("cpu0", self.UNFIT)
        store.hold("cpu0", Quarantine(kind=Kind.STREAK))
        assert store.held("cpu0") == self.UNFIT
        store.order(["cpu0", "cpu9"], self.ORDERED)
        store.hold("cpu0", self.UNFIT)
        assert store.held("cpu0") == self.ORDERED and store.held("cpu9") is None

    def test_parole_amends_what_it_looked_at_and_nothing_else(self, store):
        store.hold("cpu0", self.UNFIT)
        store.amend("cpu0", self.ORDERED, None)
        assert store.held("cpu0") == self.UNFIT
        store.amend("cpu0", self.UNFIT, self.ORDERED)
        store.amend("cpu0", self.ORDERED, None)
        assert store.held("cpu0") is None and store.trusted("cpu0") == 0.0

    def test_a_release_is_remembered(self, store):
        store.hold("cpu0", self.UNFIT)
        store.release(["cpu0"], scene.NOW)
        assert store.held("cpu0") is None and store.trusted("cpu0") == scene.NOW and store.trusted("cpu9") == 0.0
        store.forget("cpu0")
        assert store.trusted("cpu0") == 0.0


def test_the_outcome_and_the_ledger_are_written_together(store, monkeypatch):
    one = scene.lease(phase=Phase.STARTED)
    store.save(one)

    def fails(*_):
        raise RuntimeError

    monkeypatch.setattr(store, "save", fails)
    with pytest.raises(RuntimeError):
        store.record(one, "done", scene.NOW)
    assert store.ledger() == [] and store.lease(one.id).phase is Phase.STARTED


def test_recording_twice_is_recording_once(store):
    """A crash after the record, and the step again."""
    for _ in range(2):
        scene.record(store, "00000001", 0, 10, 20)
    assert len(store.ledger()) == 1 and store.ledger()[0].seconds == 10.0


def test_the_ledger_is_read_by_its_ends(store):
    for number in range(5):
        scene.record(store, f"{number:08x}", number * 10, None, number * 10 + 5)
    assert len(store.ledger(scene.NOW + 15, scene.NOW + 35)) == 2
    assert store.ledger_begins() == scene.NOW and store.ledger()[0].seconds == 0.0


def test_pruning_keeps_what_is_open_and_the_last_thousand(store, monkeypatch):
    monkeypatch.setattr(subject, "_KEPT", 3)
    for number in range(8):
        scene.record(store, f"{number:08x}", number, None, number + 1)
        store.save(scene.lease(f"{number:08x}", opened=scene.NOW + number, phase=Phase.CLOSED))
    store.save(scene.lease("open", opened=1.0))
    store.prune(scene.NOW + 4)
    assert len(store.ledger()) == 5 and store.lease("open") and store.lease("00000007") and not store.lease("00000004")


def test_a_kill_loses_nothing_that_was_said_to_be_written(tmp_path):
    """By SIGKILL in the middle of writing: what the process had printed is there, and the file is whole."""
    code = """
        import sys
        from pathlib import Path
        from tests.pool import scene
        store = scene.store(Path(sys.argv[1]))
        for number in range(10**6):
            store.save(scene.lease(f"{number:08x}"))
            print(number, flush=True)
    """
    writer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    for _ in range(50):
        writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    said = [line for line in writer.stdout.read().split("\n") if line]
    last = int(said[-1]) if said else 49
    again = scene.store(tmp_path)
    assert again.rebuilt == "" and again.lease(f"{last:08x}") and again.lease("00000000")


def test_two_processes_write_beside_each_other(store, tmp_path):
    """`drain` while the supervisor writes: no order is lost, no step fails."""
    store.settle(scene.standing("cpu0"))
    code = """
        import sys
        from pathlib import Path
        from backburn.pool.lease import Wanted
        from backburn.pool.store import Store
        beside = Store.beside(Path(sys.argv[1]), change=True)
        for number in range(40):
            assert beside.want(["cpu0"], Wanted.DRAIN if number % 2 else Wanted.RUN) == ["cpu0"]
    """
    other = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), str(store.folder)])
    while other.poll() is None:
        store.settle(scene.standing("cpu0", State.BUSY, reason=str(time.monotonic())))
    assert other.returncode == 0 and store.wanted("cpu0") is Wanted.DRAIN


def test_many_threads_write_through_one_store(store):
    def write(thread):
        for number in range(20):
            store.save(scene.lease(f"{thread}-{number}"))
            scene.record(store, f"{thread}+{number}", 0, 1, 2)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(store.ledger()) == 120 and len(store.open_leases()) == 120


@pytest.mark.parametrize("bad", [b"no database at all" * 300, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_file_that_cannot_be_read_is_moved_aside(tmp_path, bad):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / FILE).write_bytes(bad)
    store = scene.store(tmp_path)
    assert store.rebuilt and (tmp_path / "state" / f"{FILE}.corrupt").read_bytes() == bad
    store.save(scene.lease())
    assert scene.store(tmp_path).rebuilt == ""


def test_a_page_that_was_overwritten_is_found(tmp_path):
    store = scene.store(tmp_path)
    for number in range(200):
        store.save(scene.lease(f"{number:08x}"))
    store.prune(0.0)
    store.close()
    path = tmp_path / "state" / FILE
    content = bytearray(path.read_bytes())
    content[4096 * 6 : 4096 * 8] = b"\xaa" * 8192
    path.write_bytes(content)
    again = scene.store(tmp_path)
    assert again.rebuilt and again.open_leases() == []


def test_an_empty_file_is_a_new_one(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / FILE).touch()
    assert scene.store(tmp_path).rebuilt == ""


@pytest.mark.parametrize("opened", [Store, Store.beside, lambda folder: Store.beside(folder, change=True)])
def test_a_newer_schema_is_left_alone(tmp_path, opened):
    store = scene.store(tmp_path)
    store._database.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(UserError, match="schema 99 is newer"):
        opened(tmp_path / "state")
    assert not (tmp_path / "state" / f"{FILE}.corrupt").exists()


def test_a_folder_that_cannot_be_made_is_the_users(tmp_path):
    (tmp_path / "state").write_text("a file")
    with pytest.raises(UserError, match=r"\[pool\] state"):
        Store(tmp_path / "state")


def test_the_folder_is_its_owners_alone(store):
    assert os.stat(store.folder).st_mode & 0o077 == 0


@ROOT
def test_a_full_disk_raises_full_and_the_reserve_lets_us_go_on(small):
    store = Store(small)
    store.save(scene.lease("before"))
    assert (small / RESERVE).stat().st_size == subject.RESERVED
    with pytest.raises(OSError):
        (small / "others").write_bytes(b"\0" * (1 << 26))
    with pytest.raises(Full):
        for number in range(100_000):
            store.save(scene.lease(f"{number:08x}", forced="x" * 2000))
    store.save(scene.lease("after"))  # the reserve was given back
    assert not (small / RESERVE).exists() and store.lease("before") and store.lease("after")
    store.restore()
    assert not (small / RESERVE).exists()  # not while it is full
    (small / "others").unlink()
    store.restore()
    assert (small / RESERVE).exists()
    store.close()
    again = Store(small)
    assert again.rebuilt == "" and again.lease("after")
    again.close()


@ROOT
def test_a_full_disk_at_the_start_is_full_and_not_corrupt(small):
    store = Store(small)
    store.save(scene.lease("before"))
    store.close()
    (small / RESERVE).unlink()
    with pytest.raises(OSError):
        (small / "others").write_bytes(b"\0" * (1 << 26))
    try:
        Store(small).close()
    except Full:
        pass
    assert not (small / f"{FILE}.corrupt").exists()
    (small / "others").unlink()
    again = Store(small)
    assert again.lease("before") and again.rebuilt == ""
    again.close()


def test_prove_writes_and_says_when_it_cannot(store, monkeypatch):
    store.prove()
    store._database.execute("PRAGMA query_only = 1")
    with pytest.raises(Full):
        store.prove()


def test_what_is_no_full_disk_gives_no_reserve_back(store):
    """Another process held the lock for too long."""
    store._database.execute("PRAGMA busy_timeout = 10")
    other = Store.beside(store.folder, change=True)
    other._database.execute("BEGIN IMMEDIATE")
    with pytest.raises(Full, match="locked"):
        store.save(scene.lease())
    assert (store.folder / RESERVE).exists()
    other._database.execute("ROLLBACK")
    store.save(scene.lease())


class TestBeside:
    """What another process opens."""

    def test_it_makes_nothing(self, tmp_path):
        for change in (False, True):
            with pytest.raises(UserError, match="no supervisor has run here yet"):
                Store.beside(tmp_path / "state", change=change)
        assert list(tmp_path.iterdir()) == []

    def test_it_does_not_write_unless_it_may(self, store):
        store.settle(scene.standing("cpu0"))
        with pytest.raises(Full):
            Store.beside(store.folder).want(["cpu0"], Wanted.DRAIN)
        assert Store.beside(store.folder, change=True).want(["cpu0"], Wanted.DRAIN) == ["cpu0"]
        assert store.wanted("cpu0") is Wanted.DRAIN

    def test_it_moves_nothing_aside(self, tmp_path):
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / FILE).write_bytes(b"no database" * 500)
        with pytest.raises(UserError, match="not a database"):
            Store.beside(tmp_path / "state")
        assert [one.name for one in (tmp_path / "state").iterdir()] == [FILE]

    def test_it_sees_what_was_just_written(self, store):
        beside = Store.beside(store.folder)
        store.save(scene.lease())
        assert beside.lease("00000001")

    def test_a_failed_write_of_its_own_gives_no_reserve_back(self, store):
        """The reserve is the supervisor's."""
        store.settle(scene.standing("cpu0"))
        with pytest.raises(Full):
            Store.beside(store.folder).want(["cpu0"], Wanted.DRAIN)
        assert (store.folder / RESERVE).exists()

    @ROOT
    def test_a_folder_that_cannot_be_written_is_read(self, small):
        store = Store(small)
        store.save(scene.lease())
        store.close()
        subprocess.run(["mount", "-o", "remount,ro", small], check=True)
        assert Store.beside(small).lease("00000001")

    def test_a_path_with_odd_characters(self, tmp_path):
        odd = tmp_path / "100% ?mode=memory#x"
        Store(odd).save(scene.lease())
        assert Store.beside(odd).lease("00000001")


def test_recorded_gives_each_line_once(store):
    last, nothing = store.recorded(-1)
    assert (last, nothing) == (0, [])
    scene.record(store, "00000001", 0, 1, 2)
    last, entries = store.recorded(last)
    assert [one.lease for one in entries] == ["00000001"] and store.recorded(last) == (last, [])
    scene.record(store, "00000001", 0, 1, 3)  # again: a new line, in the place of the old
    assert len(store.recorded(last)[1]) == 1
    store.prune(scene.NOW + 100)
    assert store.recorded(5) == (0, [])


def test_writes_are_on_the_disk_when_they_return(store):
    for name, value in (("journal_mode", "wal"), ("synchronous", 2)):
        assert store._database.execute(f"PRAGMA {name}").fetchone() == (value,)
