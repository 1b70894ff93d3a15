"""Whose the seconds were; and that none is lost or counted twice."""

import random

import pytest

from backburn.pool import costs as subject
from backburn.pool.config import Costs
from backburn.pool.costs import NOBODY, UNNAMED, By
from backburn.pool.lease import State
from tests.pool import scene

DAY = 86400.0
PRICE = Costs(per_hour=3.6, currency="EUR")


@pytest.fixture
def store(tmp_path):
    return scene.store(tmp_path)


def bill(store, by=By.REPOSITORY, since=0.0, until=1000.0, price=PRICE):
    return subject.bill(store, price, by, scene.NOW + since, scene.NOW + until)


def rows(said):
    return {row.name: (row.jobs, row.busy, row.idle) for row in said.rows}


def test_jobs_are_whose_they_were_and_the_rest_is_nobodys(store):
    scene.record(store, "00000001", 0, 100, 300)
    scene.record(store, "00000002", 310, 400, 500, repository="acme/speech")
    scene.record(store, "00000003", 510, None, 800, outcome="idle")
    said = bill(store)
    assert rows(said) == {"acme/vision": (1, 200, 0), "acme/speech": (1, 100, 0), NOBODY: (0, 0, 700)}
    assert [row.name for row in said.rows] == ["acme/vision", "acme/speech", NOBODY]
    assert {row.name: row.cost for row in said.rows} == pytest.approx(
        {"acme/vision": 0.2, "acme/speech": 0.1, NOBODY: 0.7}
    )
    assert (said.since, said.slots, said.seconds) == (scene.NOW, 1, 1000.0)


@pytest.mark.parametrize(
    ("by", "names"),
    [
        (By.REPOSITORY, {"acme/vision", "acme/speech", NOBODY}),
        (By.WORKFLOW, {"acme/vision gpu", "acme/vision nightly", "acme/speech gpu", NOBODY}),
        (By.REF, {"acme/vision main", "acme/vision fix", "acme/speech main", NOBODY}),
        (By.SLOT, {"cpu0", "cpu1"}),
    ],
)
def test_it_is_added_up_by_what_is_asked(store, by, names):
    scene.record(store, "00000001", 0, 0.5, 300)
    scene.record(store, "00000002", 310, 400, 500, workflow="nightly", ref="fix")
    scene.record(store, "00000003", 310, 400, 500, repository="acme/speech", slot="cpu1")
    said = bill(store, by)
    assert set(rows(said)) == names and said.seconds == pytest.approx(2000)


def test_a_slots_row_has_both_kinds_of_seconds(store):
    scene.record(store, "00000001", 0, 100, 300)
    assert rows(bill(store, By.SLOT)) == {"cpu0": (1, 200, 800)}


def test_only_what_lies_in_the_span_counts(store):
    scene.record(store, "00000001", 0, 100, 300)
    scene.record(store, "00000002", 400, 500, 900)
    assert rows(bill(store, since=200, until=600)) == {"acme/vision": (2, 200, 0), NOBODY: (0, 0, 200)}


def test_what_runs_now_counts_up_to_now(store):
    store.save(scene.lease("00000001", "cpu0", started=scene.NOW, busy=scene.NOW + 100, job=scene.job()))
    store.save(scene.lease("00000002", "cpu1", started=scene.NOW + 50))
    assert rows(bill(store)) == {"acme/vision": (1, 900, 0), NOBODY: (0, 0, 1100)}


def test_a_pool_of_yesterday_has_not_been_idle_all_week(store):
    scene.record(store, "00000001", 0, 100, 300)
    assert bill(store, since=-7 * DAY).seconds == 1000.0


def test_a_slot_that_never_had_a_lease_is_idle_all_the_time(store):
    store.settle(scene.standing("cpu1", State.BLOCKED))
    scene.record(store, "00000001", 0, 100, 300)
    assert rows(bill(store))[NOBODY] == (0, 0, 1800)


def test_nothing_at_all(store):
    said = bill(store)
    assert said.rows == () and said.seconds == 0.0 and "0 slots" in subject.render(said, 100, False)


def test_a_job_that_a_jumping_clock_ends_before_it_began_is_still_one(store):
    scene.record(store, "00000001", 0, 200, 100)
    assert rows(bill(store)) == {"acme/vision": (1, 0, 0), NOBODY: (0, 0, 1000)}


def test_no_second_is_counted_twice_or_back(store):
    """Two leases of one slot that overlap, after the clock was set back."""
    scene.record(store, "00000001", 0, 100, 300)
    scene.record(store, "00000002", 150, 200, 250, repository="acme/speech")
    assert rows(bill(store)) == {"acme/vision": (1, 200, 0), "acme/speech": (1, 0, 0), NOBODY: (0, 0, 800)}


def test_a_job_that_did_not_say_whose_it_is(store):
    scene.record(store, "00000001", 0, 100, 300, repository="", workflow="", ref="")
    assert UNNAMED in rows(bill(store))


def test_hostile_names_are_one_line(store):
    scene.record(store, "00000001", 0, 100, 300, repository="[red]evil\x1b[2J\n\u202e" + "x" * 5000)
    text = subject.render(bill(store), 100, False)
    assert "\x1b" not in text and "\u202e" not in text and "[red]evil" in text


@pytest.mark.parametrize("seed", range(4))
def test_the_sum_is_wall_time_times_slots(store, seed):
    """A replay of days: leases of random length on eight slots, with a clock that now and then jumps back a quarter."""
    chance = random.Random(seed)
    for slot in range(8):
        at = 0.0
        for number in range(25):
            start = at + chance.expovariate(1 / 20)
            busy = None if chance.random() < 0.2 else start + chance.expovariate(1 / 300)
            end = (busy or start) + chance.expovariate(1 / 5000)
            who = f"acme/{chance.randrange(5)}"
            if start < 2 * DAY:
                scene.record(store, f"{slot:04x}{number:04x}", start, busy, end, slot=f"cpu{slot}", repository=who)
            at = end - (900 if chance.random() < 0.05 else 0)
    for by in By:
        said = bill(store, by, since=-DAY, until=DAY)
        assert said.slots == 8
        assert said.seconds == pytest.approx((said.until - said.since) * 8, abs=1.0)
        assert all(row.busy >= 0 and row.idle >= 0 for row in said.rows)
        assert sum(row.jobs for row in said.rows) > 50


def test_the_table_and_the_document(store):
    scene.record(store, "00000001", 0, 100, 300)
    text = subject.render(bill(store), 100, False)
    assert "acme/vision" in text and "cost EUR" in text and "20 % of the time" in text and "\x1b" not in text
    assert "cost" not in subject.render(bill(store, price=Costs()), 100, False)
    built = subject.document(bill(store))
    assert (built["kind"], built["schema"], built["by"]) == ("pool-costs", 1, "repository")
