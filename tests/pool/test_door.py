"""The verbs, as somebody types them: what is said, where, and the exit code."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from backburn import cli
from backburn.pool import door, locks
from backburn.pool.lease import Phase, State, Wanted
from backburn.pool.store import Full, Store
from tests.pool import scene

TOKEN = "ghs_canary0123456789abcdefABCDEF0123456789"


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    """`typed("status")` -> (exit code, stdout, stderr), with a pool.toml here and an engine that is a shelf."""
    scene.written(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKEN", TOKEN)
    monkeypatch.setenv("COLUMNS", "120")
    engine = scene.Shelf()
    monkeypatch.setattr(door, "engine", lambda config: engine)

    def type_(*words):
        code = cli._guarded(["pool", *words])
        return code, *capsys.readouterr()

    type_.engine, type_.folder = engine, tmp_path
    return type_


@pytest.fixture
def stored(typed):
    """The same, after a supervisor has been there."""
    store = scene.store(typed.folder)
    for name, state in (("cpu0", State.BUSY), ("cpu1", State.PARKED), (scene.SLOT, State.ONLINE)):
        store.settle(scene.standing(name, state))
    store.save(scene.lease("00000001", "cpu0", device="", busy=scene.NOW, job=scene.job()))
    typed.store = store
    return typed


VERBS = ["status", "drain", "resume", "quarantine", "release", "logs", "gc", "costs"]
GIVEN = {verb: ["all"] for verb in ("drain", "resume", "quarantine", "release")} | {"logs": ["cpu0"]}


@pytest.mark.parametrize("verb", VERBS)
def test_before_the_first_run_each_verb_says_what_to_do(typed, verb):
    code, out, err = typed(verb, *GIVEN.get(verb, []))
    assert code == 2 and "no supervisor has run here yet" in err and "backburn pool run" in err and out == ""
    assert not (typed.folder / "state").exists()  # and made nothing


@pytest.mark.parametrize("verb", [*VERBS, "run"])
def test_without_a_file_each_verb_says_where_it_looked(typed, verb, monkeypatch):
    monkeypatch.setattr("backburn.pool.config.PLACES", ("pool.toml", "/no/such/pool.toml"))
    (typed.folder / "pool.toml").unlink()
    code, _, err = typed(verb, *GIVEN.get(verb, []))
    assert code == 2 and "pool.toml or /no/such/pool.toml" in err and "--config" in err
    code, _, err = typed(verb, *GIVEN.get(verb, []), "--config", "other.toml")
    assert code == 2 and "other.toml" in err


def test_status(stored):
    code, out, err = stored("status")
    assert code == 0 and err == "" and "acme/vision gpu train run 77" in out and "does not run" in out
    code, out, err = stored("status", "--json")
    document = json.loads(out)
    assert code == 0 and [one["slot"] for one in document["slots"]] == ["cpu0", "cpu1", scene.SLOT]


def test_status_while_another_process_writes(stored):
    """Readers do not wait for a writer: WAL."""
    stored.store._database.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    assert stored("status")[0] == 0 and time.monotonic() - began < 5
    stored.store._database.execute("ROLLBACK")


def test_the_config_may_lie_elsewhere(stored, monkeypatch):
    (stored.folder / "pool.toml").rename(stored.folder / "lab.toml")
    assert stored("status", "--config", "lab.toml")[0] == 0
    monkeypatch.setenv("BACKBURN_POOL_CONFIG", str(stored.folder / "lab.toml"))
    assert stored("status")[0] == 0


def test_drain_without_a_supervisor_leaves_the_order(stored):
    code, out, err = stored("drain", "cpu0")
    assert code == 3 and "No supervisor runs: the order stands" in err and stored.store.wanted("cpu0") is Wanted.DRAIN
    assert stored.store.wanted("cpu1") is Wanted.RUN
    assert stored("drain", "cpu1")[0] == 0  # is parked already
    assert stored("drain", "all", "--timeout", "1")[0] == 3
    assert {stored.store.wanted(one.name) for one in stored.store.slots()} == {Wanted.DRAIN}


def test_drain_waits_its_time(stored):
    held = locks.hold(scene.pool(stored.folder))
    began = time.monotonic()
    code, _, err = stored("drain", "cpu0", "--timeout", "1s")
    assert code == 3 and "Not yet after 1 s: cpu0" in err and 1 <= time.monotonic() - began < 5
    for one in held:
        one.close()


def test_a_database_that_cannot_be_written_is_no_bug(stored, monkeypatch):
    def full(*_):
        raise Full("database or disk is full")

    monkeypatch.setattr(Store, "want", full)
    code, _, err = stored("drain", "cpu0")
    assert code == 3 and "disk is full" in err and "Nothing was ordered" in err and "Traceback" not in err


def test_resume(stored):
    stored("drain", "all")
    assert stored("resume", "cpu0")[0] == 0 and stored.store.wanted("cpu0") is Wanted.RUN
    assert stored.store.wanted("cpu1") is Wanted.DRAIN


def test_quarantine_and_release(stored):
    code, _, err = stored("quarantine", "cpu0", "--reason", "new disk")
    assert code == 0 and "the order stands" in err and stored.store.held("cpu0").reason == "new disk"
    code, _, err = stored("resume", "cpu0")
    assert code == 2 and "backburn pool release cpu0" in err and stored.store.held("cpu0")
    assert stored("resume", "all")[0] == 0
    code, _, err = stored("release", "cpu0", "cpu1")
    assert code == 2 and "not quarantined" in err and stored.store.held("cpu0")
    assert stored("release", "all")[0] == 0 and stored.store.held("cpu0") is None
    code, _, err = stored("release", "all")
    assert code == 0 and "There is none." in err


@pytest.mark.parametrize("verb", ["drain", "resume", "quarantine", "release"])
def test_a_slot_that_there_is_not_orders_nothing(stored, verb):
    code, _, err = stored(verb, "cpu0", "cpu7", "--config", "pool.toml")
    assert code == 2 and "cpu7" in err and "cpu0, cpu1" in err and "all" in err
    assert stored.store.wanted("cpu0") is Wanted.RUN
    code, _, err = stored(verb)
    assert code == 2 and "which slots?" in err


@pytest.mark.parametrize("span", ["soon", "-1", "0", "9999999d"])
def test_a_span_that_is_none(stored, span):
    code, _, err = stored("drain", "all", f"--timeout={span}")
    assert code == 2 and "duration" in err


def test_logs(stored):
    stored.engine.add("one", "running", slot="cpu0")
    stored.engine.printed["one"] = f"first\n{TOKEN}\nlast\n".encode()
    code, out, err = stored("logs", "cpu0", "--lines", "2")
    assert (code, out) == (0, "<redacted>\nlast\n") and "running" in err
    code, out, err = stored("logs", "cpu9")
    assert code == 2 and "cpu0, cpu1" in err


def test_gc(stored):
    stored.engine.add("one", "exited", slot="cpu1", lease="gone")
    code, out, _ = stored("gc", "--dry-run")
    assert (code, out) == (0, "would remove container lab1-box-cpu1-gone\n") and stored.engine.removed == []
    code, out, _ = stored("gc")
    assert code == 0 and "removed container lab1-box-cpu1-gone\n" in out and stored.engine.removed == ["one"]
    stored.engine.silent = True
    code, _, err = stored("gc")
    assert code == 3 and "connection refused" in err and "[docker] host" in err


def test_costs(stored, monkeypatch):
    now = time.time() - scene.NOW
    stored.store.save(scene.lease("00000001", "cpu0", phase=Phase.CLOSED))
    scene.record(stored.store, "00000002", now - 5000, now - 4000, now - 3000)
    code, out, _ = stored("costs", "--since", "7d")
    assert code == 0 and re.search(r"acme/vision +1 +0.28 +0.00", out) and "(no job)" in out
    document = json.loads(stored("costs", "--since", "1h", "--by", "slot", "--json")[1])
    assert document["by"] == "slot" and document["until"] - document["since"] == pytest.approx(3600)
    assert stored("costs", "--by", "colour")[0] == 2


class Soak:
    """Stands in for simulation.soak, which has tests of its own."""

    broken: list = []

    @classmethod
    def run(cls, days, slots, seed, say):
        import msgspec

        say("day 1")
        made = msgspec.defstruct("Soaked", [("seed", int), ("days", float), ("outcomes", dict), ("broken", list)])
        return made(seed, days, {"done": 3}, list(cls.broken))


@pytest.fixture
def soak(monkeypatch):
    from backburn.pool import simulation

    monkeypatch.setattr(simulation, "soak", Soak, raising=False)
    monkeypatch.setitem(sys.modules, "backburn.pool.simulation.soak", Soak)
    return Soak


def test_simulate(typed, soak, monkeypatch):
    code, out, err = typed("simulate", "--days", "2", "--seed", "7")
    assert code == 0 and "seed 7" in err and "Every invariant held" in out and "done 3" in out
    document = json.loads(typed("simulate", "--seed", "7", "--json")[1])
    assert (document["kind"], document["schema"], document["seed"]) == ("pool-simulation", 1, 7)
    monkeypatch.setattr(soak, "broken", ["I1: two on cpu0"])
    code, out, _ = typed("simulate", "--seed", "7")
    assert code == 4 and "BROKEN I1: two on cpu0" in out and "seed 7" in out


def test_a_seed_by_lot_is_printed(typed, soak):
    assert re.search(r"^seed \d+$", typed("simulate")[2], re.MULTILINE)


def test_a_library_that_is_missing_is_named(typed, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, _, err = typed("run")
    assert code == 2 and "docker, httpx, jwt, prometheus_client" in err and "pip install 'backburn[pool]'" in err


def test_a_mistake_in_the_file_is_no_bug_of_ours(stored):
    scene.written(stored.folder, "[poool]\n")
    code, _, err = stored("status")
    assert code == 2 and "[poool]" in err and "Traceback" not in err


def test_json_stays_one_document_when_asked_wrongly(typed):
    code, out, _ = typed("status", "--json")
    assert code == 2 and json.loads(out)["exit-code"] == 2


def test_ctrl_c_in_a_drain_leaves_the_order_and_says_so(stored):
    """In a process of its own, by a real signal."""
    held = locks.hold(scene.pool(stored.folder))
    process = subprocess.Popen(
        [sys.executable, "-m", "backburn", "pool", "drain", "cpu0"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=stored.folder,
    )
    try:
        assert "cpu0: busy" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=30)[1]
    finally:
        process.kill()
    assert process.returncode == 130 and "The order stands" in said
    assert stored.store.wanted("cpu0") is Wanted.DRAIN
    for one in held:
        one.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="SKIPPED, COUNTED: another user needs root")
def test_what_a_stranger_may_not_read_is_said(stored):
    os.chmod(stored.folder / "state", 0o700)
    pid = os.fork()
    if not pid:
        os.setuid(65534)
        try:
            Store.beside(stored.folder / "state")
        except Exception as error:
            os._exit(0 if "Permission denied" in str(error) or "no supervisor" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_every_verb_says_in_one_line_what_it_is():
    for name, verb in door.pool.commands.items():
        assert verb.help.splitlines()[0] == verb.short_help and verb.short_help[-1] in ".?", name
