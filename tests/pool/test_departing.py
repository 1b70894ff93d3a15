"""How a lease goes: GitHub before the container, and what is left until it is gone."""

import pytest

from backburn.pool import departing
from backburn.pool.engine import Container
from backburn.pool.invariants import Broken
from backburn.pool.lease import Phase, Slot
from backburn.pool.place import Tools
from backburn.pool.registrar import Later, Registration, Removal, Uncertain
from tests.pool import scene


class GitHub:
    """Registrations by id, and what was asked, in order."""

    def __init__(self):
        self.listed, self.busy, self.fails, self.asked = {}, set(), None, []

    def add(self, number, name):
        self.listed[number] = name

    def _answer(self, *asked):
        self.asked.append(asked)
        if self.fails:
            raise self.fails

    def find(self, name):
        self._answer("find", name)
        found = [number for number, one in self.listed.items() if one == name]
        return Registration(id=found[0], name=name, online=False, busy=False) if found else None

    def remove(self, number):
        self._answer("remove", number)
        if number in self.busy:
            return Removal.BUSY
        self.listed.pop(number, None)
        return Removal.GONE


@pytest.fixture
def tools(tmp_path):
    notes = []
    made = Tools(
        config=scene.pool(tmp_path),
        store=scene.store(tmp_path),
        engine=scene.Shelf(),
        registrar=GitHub(),
        gate=None,
        clock=scene.Hand(),
        note=lambda *said: notes.append(said),
        keep=None,
    )
    made.engine.add("box00000001", "exited")
    made.notes = notes
    return made


def written(tools, one):
    return tools.store.lease(one.id)


def test_an_idle_runner_is_let_go_and_that_is_written_down(tools):
    one = scene.lease(runner_id=7)
    tools.registrar.add(7, one.runner)
    assert departing.retire(one, "drained", tools) is Removal.GONE
    assert written(tools, one).removed == scene.NOW and written(tools, one).cause == "drained"


def test_a_busy_one_stays_and_nothing_is_written(tools):
    one = scene.lease(runner_id=7)
    tools.registrar.busy = {7}
    assert departing.retire(one, "drained", tools) is Removal.BUSY
    assert not one.removed and not one.cause and written(tools, one) is None


def test_what_github_did_not_answer_is_not_taken_for_gone(tools):
    one = scene.lease(runner_id=7)
    tools.registrar.fails = Uncertain("lost")
    with pytest.raises(Uncertain):
        departing.retire(one, "drained", tools)
    assert not one.removed


def test_without_an_id_it_is_looked_for_by_name(tools):
    one = scene.lease()
    tools.registrar.add(9, one.runner)
    assert departing.deregister(one, tools.registrar) is Removal.GONE and tools.registrar.listed == {}
    assert departing.deregister(one, tools.registrar) is Removal.GONE  # none is none


def test_a_container_that_runs_is_not_taken_away(tools):
    tools.engine.add("box00000001", "running")
    with pytest.raises(Broken, match="I5"):
        departing.take_away(scene.lease(runner_id=7), tools)
    assert tools.engine.removed == [] and tools.registrar.asked == []


def test_the_rest_goes(tools):
    one = scene.lease(runner_id=7, phase=Phase.ENDED)
    departing.take_away(one, tools)
    assert tools.engine.removed == ["box00000001"] and written(tools, one).phase is Phase.CLOSED


@pytest.mark.parametrize("fails", [Later("503", 5.0), Uncertain("lost")])
def test_what_github_cannot_do_now_is_left_to_the_janitor(tools, fails):
    one = scene.lease(runner_id=7, phase=Phase.ENDED)
    tools.registrar.fails = fails
    departing.take_away(one, tools)
    assert written(tools, one).phase is Phase.LEAVING and "removed later" in tools.notes[0][2]
    tools.registrar.fails = None
    assert departing.depart(one, tools) and written(tools, one).phase is Phase.CLOSED


def test_a_runner_with_a_job_is_asked_about_until_it_is_gone(tools):
    one = scene.lease(runner_id=7, phase=Phase.LEAVING)
    tools.registrar.busy = {7}
    assert not departing.depart(one, tools)
    tools.registrar.busy = set()
    assert departing.depart(one, tools)


def test_one_that_github_let_go_before_is_not_asked_for_again(tools):
    assert departing.depart(scene.lease(runner_id=7, removed=scene.NOW), tools) and tools.registrar.asked == []


def test_an_attempt_whose_answer_was_lost_is_waited_for_as_long_as_a_list_may_be_late(tools):
    one = scene.lease(phase=Phase.LEAVING)
    assert not departing.depart(one, tools)
    tools.registrar.add(9, one.runner)  # now it is listed
    assert departing.depart(one, tools) and tools.registrar.listed == {}
    two = scene.lease("00000002", phase=Phase.LEAVING)
    tools.clock.time += departing.LISTED
    assert not departing.depart(two, tools)
    tools.clock.time += 1
    assert departing.depart(two, tools)


def test_a_lease_is_made_of_labels_where_the_database_was_lost():
    labels = {"backburn.lease": "ab", "backburn.slot": "cpu0", "backburn.runner": "r", "backburn.runner-id": "12"}
    one = departing.from_labels(Container(id="x" * 64, name="r", state="running", labels=labels), 5.0)
    assert (one.id, one.slot, one.runner, one.runner_id, one.phase) == ("ab", "cpu0", "r", 12, Phase.STARTED)
    assert one.gated == one.opened == one.started == 5.0
    made = departing.from_labels(Container(id="x" * 64, name="r", state="created", labels={}), 5.0)
    assert (made.id, made.runner, made.runner_id, made.phase) == ("xxxxxxxx", "r", 0, Phase.CREATED)


@pytest.mark.parametrize("number", ["", "twelve", "-1", "9" * 400])
def test_a_label_that_is_no_number_is_none(number):
    one = departing.from_labels(
        Container(id="x" * 64, name="r", state="exited", labels={"backburn.runner-id": number}), 5.0
    )
    assert one.runner_id == 0


def test_containers_are_those_of_one_slot(tools):
    tools.engine.add("two", slot="cpu0")
    assert [one.id for one in departing.containers(Slot(name="cpu0"), tools.engine)] == ["two"]
