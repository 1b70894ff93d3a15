"""What goes, and above all what stays."""

import pytest

from backburn.pool import leftovers
from backburn.pool.engine import Inspection
from backburn.pool.lease import Phase
from tests.pool import scene


@pytest.fixture
def left(tmp_path):
    config, store, engine = scene.pool(tmp_path), scene.store(tmp_path), scene.Shelf()

    def collect(dry_run=False):
        return leftovers.collect(config, store, engine, scene.NOW, dry_run=dry_run)

    collect.config, collect.store, collect.engine = config, store, engine
    return collect


@pytest.mark.parametrize("state", ["running", "paused", "restarting", "removing", "a state of tomorrow"])
def test_what_may_run_stays(left, state):
    left.engine.add("one", state, lease="gone")
    assert left.engine.removed == [] and "container" not in str(left()[0])
    assert left.engine.removed == []


@pytest.mark.parametrize("state", ["exited", "created", "dead"])
def test_what_is_over_goes(left, state):
    left.engine.add("one", state, lease="gone")
    assert "container lab1-box-gpu6f1a0b2c-gone" in left()[0] and left.engine.removed == ["one"]


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.CLOSED])
def test_what_an_open_lease_has_stays_for_the_supervisor_to_look_at(left, phase):
    left.engine.add("one", "exited")
    left.store.save(scene.lease(phase=phase))
    left()
    assert left.engine.removed == [] and scene.SLOT not in left.engine.swept


def test_one_that_was_started_since_it_was_listed_stays(left):
    left.engine.add("one", "created", lease="gone")
    left.engine.seen["one"] = Inspection(id="one", state="running")
    assert "container" not in str(left()[0]) and left.engine.removed == []


def test_volumes_go_where_nothing_runs(left):
    left.engine.add("one", "running", slot="cpu0")
    left.engine.add("two", "exited", slot="cpu9", lease="of a slot that is no more")
    left()
    assert sorted(left.engine.swept) == ["cpu1", "cpu9", scene.SLOT]


def test_a_dry_run_removes_nothing(left):
    left.engine.add("one", "exited", lease="gone")
    box = left.config.state / f"blackbox/20200101T000000Z-{scene.SLOT}-00000009"
    box.mkdir(parents=True)
    gone, silent = left(dry_run=True)
    assert gone == [f"black box {box.name}", "container lab1-box-gpu6f1a0b2c-gone"] and silent == ""
    assert left.engine.removed == left.engine.swept == [] and box.exists()
    left()
    assert not box.exists() and left.engine.removed == ["one"]


def test_a_silent_engine_is_said_and_the_boxes_go(left):
    box = left.config.state / f"blackbox/20200101T000000Z-{scene.SLOT}-00000009"
    box.mkdir(parents=True)
    left.engine.silent = True
    assert left() == ([f"black box {box.name}"], "connection refused") and not box.exists()
