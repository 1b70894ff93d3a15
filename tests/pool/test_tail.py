"""The last lines: of a container, else of a black box."""

from backburn.pool.blackbox import Recorder
from backburn.pool.exits import Outcome
from backburn.pool.lease import Slot
from backburn.pool.tail import last
from tests.pool import scene

TOKEN = "ghs_canary0123456789abcdefABCDEF0123456789"


def made(folder):
    engine = scene.Shelf()
    engine.add("old", "exited", lease="00000000")
    engine.add("new", "running")
    engine.printed = {"old": b"old\n", "new": f"one\ntwo {TOKEN}\n\x1b[2Jthree".encode()}
    return engine


def test_of_the_container_that_runs_without_secrets_or_colours(tmp_path):
    said, text = last(tmp_path, scene.SLOT, made(tmp_path), 2)
    assert text == "two <redacted>\nthree\n" and "00000001, running" in said


def test_of_one_that_ended_where_none_runs(tmp_path):
    engine = made(tmp_path)
    engine.remove("new")
    assert last(tmp_path, scene.SLOT, engine, 9)[1] == "old\n"


def test_of_the_newest_black_box_where_there_is_no_container_or_no_engine(tmp_path):
    config, engine, clock = scene.pool(tmp_path), made(tmp_path), scene.Hand()
    recorder = Recorder(config, engine, clock, print)
    for name in ("old", "new"):
        clock.time += 60
        recorder.keep(Slot(name=scene.SLOT), scene.lease(container=name), Outcome.FAILED)
    said, text = last(config.state, "cpu0", engine, 9)
    assert text == "" and "no black box" in said
    engine.silent = True
    said, text = last(config.state, scene.SLOT, engine, 1)
    assert text == "three\n" and "connection refused" in said and "newest black box" in said
    engine.silent, engine.shelf = False, {}
    assert "no container" in last(config.state, scene.SLOT, engine, 1)[0]
