"""What is counted, from where, and with which labels."""

import sqlite3

import pytest

from backburn.pool import metrics as subject
from backburn.pool.cache.keeper import Figures
from backburn.pool.lease import Slot, State
from backburn.pool.metrics import Metrics, Sources
from backburn.pool.place import Place
from backburn.pool.store import Full
from tests.pool import scene


@pytest.fixture
def made(tmp_path):
    """Metrics, with a slot cpu0 whose worker stepped once."""
    store = scene.store(tmp_path)
    metrics = Metrics(store, scene.Hand())
    metrics.expect(["cpu0"])
    return metrics


def value(metrics, name, **labels):
    return metrics.text() and metrics.registry.get_sample_value(f"backburn_pool_{name}", labels)


def walk(metrics, *states, seconds=1.0):
    """A worker's steps: each a second after the other, unless `seconds`."""
    place = Place(slot=Slot(name="cpu0"))
    for state in states:
        metrics.clock.time += seconds
        place.state = state
        metrics.stepped(place, 1.0)


def test_seconds_by_state_idle_and_busy(made):
    walk(made, State.ONLINE, State.ONLINE, State.ONLINE, State.BUSY, State.BUSY, seconds=5.0)
    assert value(made, "slot_seconds_total", slot="cpu0", state="unknown") == 5.0
    assert value(made, "slot_seconds_total", slot="cpu0", state="online") == 15.0
    assert value(made, "slot_seconds_total", slot="cpu0", state="busy") == 5.0
    assert value(made, "slot_state", slot="cpu0", state="busy") == 1.0
    assert value(made, "slot_state", slot="cpu0", state="online") == 0.0
    made.clock.time += 7
    assert value(made, "slot_state_seconds", slot="cpu0") == 12.0


def test_caches_are_told_of(made):
    assert value(made, "cache_bytes", cache="pip") is None
    figures = Figures(bytes={"pip": 7}, layers={"pip": 2}, promotions={"pip": 1}, refusals={"unprotected": 3})
    made.sources = Sources(caches=lambda: figures)
    assert value(made, "cache_bytes", cache="pip") == 7.0 and value(made, "cache_layers", cache="pip") == 2.0
    assert value(made, "cache_promotions_total", cache="pip") == 1.0
    assert value(made, "cache_refusals_total", reason="unprotected") == 3.0


def test_rearming_is_from_the_end_to_the_next_runner_online(made):
    walk(made, State.BUSY, State.FINISHING, State.CLEANING, State.CHECKING, State.STARTING, State.ONLINE, State.BUSY)
    assert (value(made, "rearm_seconds_count"), value(made, "rearm_seconds_sum")) == (1.0, 4.0)
    assert value(made, "rearm_seconds_bucket", le="4.0") == 1.0 and value(made, "rearm_seconds_bucket", le="3.0") == 0.0


def test_a_job_that_comes_before_the_first_look_counts_too(made):
    walk(made, State.FINISHING, State.STARTING, State.BUSY, State.FINISHING)
    assert value(made, "rearm_seconds_sum") == 2.0


@pytest.mark.parametrize("pause", [State.PARKED, State.QUARANTINED])
def test_an_operators_pause_is_no_rearming(made, pause):
    walk(made, State.BUSY, State.FINISHING, pause, State.CLEANING, State.ONLINE)
    assert value(made, "rearm_seconds_count") == 0.0


def test_the_ledger_is_counted_from_where_this_process_began(tmp_path):
    store = scene.store(tmp_path)
    scene.record(store, "00000001", 0, 10, 110)
    made = Metrics(store, scene.Hand())
    assert value(made, "leases_total", slot="cpu0", outcome="succeeded") is None
    scene.record(store, "00000002", 200, 210, 310)
    scene.record(store, "00000003", 400, None, 500, outcome="idle")
    names = {"repository": "acme/vision", "workflow": "gpu", "ref": "main", "outcome": "succeeded"}
    for _ in range(2):  # a second scrape counts nothing twice
        assert value(made, "leases_total", slot="cpu0", outcome="succeeded") == 1.0
        assert value(made, "leases_total", slot="cpu0", outcome="idle") == 1.0
        assert value(made, "job_seconds_total", **names) == 100.0
    store.prune(scene.NOW + 10_000)  # all of it
    assert value(made, "job_seconds_total", **names) == 100.0
    scene.record(store, "00000004", 600, 610, 620)  # it counts from 1 again
    assert value(made, "job_seconds_total", **names) == 110.0


def test_hostile_names_are_cut_cleaned_and_few(made):
    for number in range(subject.NAMED + 50):
        scene.record(made.store, f"{number:08x}", 0, 1, 2, repository=f"evil/{number}\n\x1b[31m\u202e" + "x" * 5000)
    text = made.text().decode()
    lines = [line for line in text.splitlines() if line.startswith("backburn_pool_job_seconds_total{")]
    assert len(lines) == subject.NAMED + 1 and max(map(len, lines)) < 400
    assert "\x1b" not in text and "\u202e" not in text
    other = {"repository": "other", "workflow": "other", "ref": "other", "outcome": "succeeded"}
    assert value(made, "job_seconds_total", **other) == 50.0


def test_what_others_count(tmp_path):
    sources = Sources(
        requests=lambda: {("GET", "200"): 7, ("POST", "lost"): 1},
        remaining=lambda: {"core": 4999},
        open=lambda: True,
        reachable=lambda: False,
        removals=lambda: 3,
        queued=lambda: (1800.0, 4),
    )
    made = Metrics(scene.store(tmp_path), scene.Hand(), sources)
    assert value(made, "github_requests_total", method="GET", status="200") == 7.0
    assert value(made, "github_requests_total", method="POST", status="lost") == 1.0
    assert value(made, "github_remaining", budget="core") == 4999.0
    assert (value(made, "circuit_open"), value(made, "engine_up"), value(made, "janitor_removals_total")) == (1, 0, 3)
    assert (value(made, "queued_seconds"), value(made, "queued_jobs")) == (1800.0, 4.0)
    assert value(made, "database_rebuilt") == 0.0
    assert b"backburn_pool_build_info{version=" in made.text()


def test_a_rebuilt_database_is_told(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state/pool.sqlite3").write_bytes(b"no database" * 100)
    assert value(Metrics(scene.store(tmp_path), scene.Hand()), "database_rebuilt") == 1.0


def test_two_pools_in_one_process_do_not_meet(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Metrics(scene.store(tmp_path / name), scene.Hand())


def test_health_names_the_slot_whose_worker_hangs(made):
    walk(made, State.ONLINE)
    assert made.health().status == 200
    made.expect(["cpu0", "cpu1"])
    made.clock.time += subject.PATIENCE + 2  # cpu1 has IDLE seconds for its first
    assert made.health().status == 503 and list(made.health().broken) == ["cpu0"]
    made.clock.time += 20
    assert list(made.late()) == ["cpu0", "cpu1"] and "state online" in made.health().broken["cpu0"]
    made.expect([])  # retired
    assert made.health().status == 200


def test_health_says_when_nothing_can_be_written(made, monkeypatch):
    def full():
        raise Full("database or disk is full")

    monkeypatch.setattr(made.store, "prove", full)
    assert made.health().broken == {"database": "database or disk is full"} and made.late() == {}
    monkeypatch.undo()
    assert made.health().status == 503  # believed for some seconds: a probe a millisecond writes nothing
    made.clock.time += subject.PROVED + 1
    assert made.health().status == 200


def test_a_database_that_cannot_be_read_ends_no_scrape(made):
    made.store.close()
    with pytest.raises(sqlite3.ProgrammingError):
        made.store._database.execute("SELECT 1")
    assert b"slot_state" in made.text() and made.health().status == 503


def test_blame_symptoms_and_quarantines(tmp_path):
    store = scene.store(tmp_path)
    counted = {"symptoms": lambda: {("cpu0", "gpu/ecc\n", "unfit"): 2}, "quarantines": lambda: {("cpu0", "reset"): 3}}
    made = Metrics(store, scene.Hand(), Sources(**counted))
    store.record(scene.lease("00000001", "cpu0", blame="machine"), "failed", scene.NOW)
    store.record(scene.lease("00000002", "cpu0"), "succeeded", scene.NOW)
    assert value(made, "blame_total", slot="cpu0", blame="machine") == 1.0
    assert value(made, "blame_total", slot="cpu0", blame="") is None
    assert value(made, "gpu_symptoms", slot="cpu0", check="gpu/ecc", severity="unfit") == 2.0
    assert value(made, "quarantines_total", slot="cpu0", kind="reset") == 3.0
