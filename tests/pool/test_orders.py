"""Orders are written before they are waited for, and stand."""

import pytest

from backburn.errors import Interrupted, UserError
from backburn.pool import orders
from backburn.pool.lease import Kind, Quarantine, State, Wanted
from tests.pool import scene


@pytest.fixture
def scene_of(tmp_path, monkeypatch):
    """A store with two slots, a supervisor by its lock, and what happens at each sleep."""
    store, said, days = scene.store(tmp_path), [], []
    for name in ("cpu0", "cpu1"):
        store.settle(scene.standing(name, State.BUSY))
    store.save(scene.lease("00000001", "cpu0", job=scene.job()))
    monkeypatch.setattr(orders, "holder", lambda state: 4711)
    monkeypatch.setattr(orders.time, "sleep", lambda seconds: days.pop(0)() if days else pytest.fail("waits for ever"))
    return store, tmp_path, said, days


def park(store, *names):
    return lambda: [store.settle(scene.standing(name, State.PARKED)) for name in names]


def test_it_waits_until_all_are_parked_and_says_what_is_new(scene_of):
    store, folder, said, days = scene_of
    days += [lambda: None, park(store, "cpu0"), lambda: None, park(store, "cpu1")]
    assert orders.drain(store, folder, ["cpu0", "cpu1"], None, said.append)
    assert said == ["cpu0: busy, acme/vision gpu train", "cpu1: busy", "cpu0: parked", "cpu1: parked"]
    assert store.wanted("cpu0") is store.wanted("cpu1") is Wanted.DRAIN


def test_other_slots_are_left_alone(scene_of):
    store, folder, said, days = scene_of
    days += [park(store, "cpu0")]
    assert orders.drain(store, folder, ["cpu0"], None, said.append) and store.wanted("cpu1") is Wanted.RUN


def test_ctrl_c_leaves_the_order_standing(scene_of):
    store, folder, said, days = scene_of

    def interrupt():
        raise Interrupted(2)

    days += [interrupt]
    with pytest.raises(Interrupted):
        orders.drain(store, folder, ["cpu0"], None, said.append)
    assert store.wanted("cpu0") is Wanted.DRAIN and "order stands" in said[-1] and "resume" in said[-1]


def test_a_time_limit(scene_of):
    store, folder, said, days = scene_of
    days += [lambda: None] * 1000
    assert not orders.drain(store, folder, ["cpu0"], 0.0, said.append)
    assert "Not yet after 0 s: cpu0" in said[-1] and store.wanted("cpu0") is Wanted.DRAIN


def test_without_a_supervisor_nothing_is_waited_for(scene_of, monkeypatch):
    store, folder, said, _ = scene_of
    monkeypatch.setattr(orders, "holder", lambda state: 0)
    assert not orders.drain(store, folder, ["cpu0"], None, said.append)
    assert "No supervisor runs" in said[-1] and store.wanted("cpu0") is Wanted.DRAIN


def test_a_slot_that_was_forgotten_is_drained(scene_of):
    store, folder, said, days = scene_of
    days += [lambda: store.forget("cpu0")]
    assert orders.drain(store, folder, ["cpu0"], None, said.append)


def test_what_a_job_says_of_itself_is_one_line(scene_of):
    store, folder, said, days = scene_of
    store.save(scene.lease("00000001", "cpu0", job=scene.job(repository="evil\x1b[2J\nDone.")))
    days += [park(store, "cpu0")]
    orders.drain(store, folder, ["cpu0"], None, said.append)
    assert said[0] == "cpu0: busy, evil [2J Done. gpu train"


def test_a_quarantined_slot_has_nothing_to_drain(scene_of):
    store, folder, said, _ = scene_of
    store.settle(scene.standing("cpu0", State.QUARANTINED))
    assert orders.drain(store, folder, ["cpu0"], None, said.append) and store.wanted("cpu0") is Wanted.DRAIN


SHUT = Quarantine(kind=Kind.RESET, reason="row remapping")


class TestResume:
    def test_a_drained_slot(self, scene_of):
        store, folder, said, _ = scene_of
        store.want(["cpu0"], Wanted.DRAIN)
        orders.resume(store, folder, ["cpu0"], said.append)
        assert store.wanted("cpu0") is Wanted.RUN and said == ["cpu0: resumed within 15 s"]

    def test_a_quarantined_one_is_asked_wrongly_and_nothing_is_ordered(self, scene_of):
        store, folder, said, _ = scene_of
        store.want(["cpu1"], Wanted.DRAIN)
        store.hold("cpu0", SHUT)
        with pytest.raises(UserError, match="quarantined") as raised:
            orders.resume(store, folder, ["cpu0", "cpu1"], said.append)
        assert raised.value.where == "cpu0" and "backburn pool release cpu0" in raised.value.hint
        assert store.wanted("cpu1") is Wanted.DRAIN and store.held("cpu0") == SHUT and said == []

    def test_of_all_it_is_left_out(self, scene_of):
        store, folder, said, _ = scene_of
        store.want(["cpu1"], Wanted.DRAIN)
        store.hold("cpu0", SHUT)
        orders.resume(store, folder, ["cpu0", "cpu1"], said.append, strict=False)
        assert said == ["cpu1: resumed within 15 s"] and store.held("cpu0") == SHUT

    def test_one_that_is_both_is_drained_no_more_and_stays_quarantined(self, scene_of):
        store, folder, said, _ = scene_of
        store.want(["cpu0"], Wanted.DRAIN)
        store.hold("cpu0", SHUT)
        orders.resume(store, folder, ["cpu0"], said.append)
        assert store.wanted("cpu0") is Wanted.RUN and store.held("cpu0") == SHUT and "still quarantined" in said[0]


class TestQuarantine:
    def test_it_is_ordered_with_its_reason(self, scene_of):
        store, folder, said, _ = scene_of
        store.hold("cpu0", Quarantine(kind=Kind.UNFIT))
        orders.quarantine(store, folder, ["cpu0"], "new\x1b[2J disk", said.append)
        assert store.held("cpu0") == Quarantine(kind=Kind.ORDERED, reason="new [2J disk") and not store.held("cpu1")
        assert said == ["cpu0: quarantined within 15 s, or when a job that runs has ended"]
        orders.quarantine(store, folder, ["cpu1"], "", said.append)
        assert store.held("cpu1").reason == "by order"

    def test_without_a_supervisor_the_order_stands(self, scene_of, monkeypatch):
        store, folder, said, _ = scene_of
        monkeypatch.setattr(orders, "holder", lambda state: 0)
        orders.quarantine(store, folder, ["cpu0"], "", said.append)
        assert store.held("cpu0") and "No supervisor runs" in said[-1]


class TestRelease:
    def test_a_person_vouches_for_it(self, scene_of):
        store, folder, said, _ = scene_of
        store.hold("cpu0", SHUT)
        orders.release(store, folder, ["cpu0"], said.append)
        assert store.held("cpu0") is None and store.trusted("cpu0") > scene.NOW and store.trusted("cpu1") == 0.0
        assert said == ["cpu0: released within 15 s, and looked at before the next job"]

    @pytest.mark.parametrize(("wanted", "hint"), [("drain", "backburn pool resume cpu0"), ("run", "pool status")])
    def test_one_that_is_not_quarantined_is_asked_wrongly(self, scene_of, wanted, hint):
        store, folder, said, _ = scene_of
        store.hold("cpu1", SHUT)
        store.want(["cpu0"], Wanted(wanted))
        with pytest.raises(UserError, match="not quarantined") as raised:
            orders.release(store, folder, ["cpu0", "cpu1"], said.append)
        assert hint in raised.value.hint and store.held("cpu1") == SHUT

    def test_of_all_only_those_that_are(self, scene_of):
        store, folder, said, _ = scene_of
        store.hold("cpu1", SHUT)
        orders.release(store, folder, ["cpu0", "cpu1"], said.append, strict=False)
        assert said[0].startswith("cpu1: released") and not store.held("cpu1")
        orders.release(store, folder, ["cpu0", "cpu1"], said.append, strict=False)
        assert said[-1] == "There is none."
