"""One process at a time: asked, ended when it does not answer, started again, left where it cannot be ended."""

import os
import sys
import time
from pathlib import Path

import pytest

from backburn.pool.health import keeper as subject
from backburn.pool.health.keeper import Keeper
from backburn.pool.health.reading import Look, Trouble
from tests.pool.health.test_looker import until

LOOKS = 'import sys\nfor line in sys.stdin: print(\'{"type":"look","readings":[]}\', flush=True)'
DEAF = "import time; time.sleep(60)"


@pytest.fixture
def kept():
    made = []

    def keep(text, interval=60.0, **limits):
        told = []
        words = [sys.executable, "-c", text] if text else ["/nowhere/python"]
        made.append(
            Keeper(words, interval, told.append, **{"begin": 2.0, "answer": 0.5, "paces": (0.1, 0.2), **limits})
        )
        return made[-1], told

    yield keep
    for one in made:
        one.close()


def kinds(told):
    return ["look" if isinstance(one, Look) else one.kind for one in told]


def test_it_looks_at_once_then_when_wanted_and_at_every_interval(kept):
    keeper, told = kept(LOOKS)
    assert until(lambda: kinds(told) == ["look"]) and keeper.prompt
    time.sleep(0.4)
    assert kinds(told) == ["look"]
    keeper.want()
    assert until(lambda: kinds(told) == ["look"] * 2)
    _, often = kept(LOOKS, interval=0.1)
    assert until(lambda: len(often) > 4)


def test_one_that_does_not_answer_is_ended_and_another_started(kept):
    keeper, told = kept(DEAF, begin=0.3)
    assert until(lambda: kinds(told)[:2] == ["hang", "hang"])
    assert not keeper.prompt or kinds(told)[2:] in ([], ["hang"])


def test_one_that_ends_is_started_again_later_each_time(kept):
    _, told = kept("import os; os._exit(7)", paces=(0.1, 30.0))
    assert until(lambda: len(told) == 3) and {(one.kind, one.code) for one in told} == {("end", 7)}
    time.sleep(0.5)
    assert len(told) == 3


def test_one_that_cannot_be_understood_did_not_hang(kept):
    _, told = kept("print('Traceback', flush=True); import time; time.sleep(60)")
    assert until(lambda: len(told) >= 2) and {(one.kind, one.code) for one in told} == {("end", -9)}


def test_one_that_makes_room_for_another_had_no_trouble(kept):
    text = 'input(); print(\'{"type":"look","readings":[]}\\n{"type":"trouble","kind":"anew"}\')'
    _, told = kept(text)
    assert until(lambda: len(told) >= 4) and set(kinds(told)) == {"look", "anew"}


def test_one_that_says_why_is_not_said_to_have_crashed(kept):
    _, told = kept('print(\'{"type":"trouble","kind":"driver","code":9}\', flush=True); raise SystemExit(1)')
    assert until(lambda: len(told) >= 3) and {one.kind for one in told} == {"driver"}


def test_what_cannot_be_started_is_tried_again(kept):
    _, told = kept("")
    assert until(lambda: len(told) >= 2) and (told[0].kind, told[0].code) == ("end", 127) and "nowhere" in told[0].said


class Stone:
    """A process that waits in the kernel: it neither answers nor ends, until `gone`."""

    owes, silent, ended, gone, started = False, False, 0, False, 0

    def __init__(self, words, hear, ended):
        Stone.started += 1

    def ask(self):
        self.owes = True

    def code(self):
        return -9 if Stone.gone else None

    def end(self):
        Stone.ended += 1
        return Stone.gone


def test_beside_one_that_cannot_be_ended_no_other_is_started(kept, monkeypatch):
    monkeypatch.setattr(subject, "Looker", Stone)
    monkeypatch.setattr(subject, "_STILL", 0.3)
    keeper, told = kept(DEAF, begin=0.2)
    assert until(lambda: kinds(told)[:4] == ["hang", "stuck", "stuck", "stuck"])  # said again, for as long as it is so
    assert (Stone.started, Stone.ended) == (1, 1) and not keeper.prompt
    Stone.gone = True
    assert until(lambda: Stone.started > 1) and "end" not in kinds(told)


@pytest.fixture
def ice():
    """A cgroup whose processes wait in the kernel, where SIGKILL does not reach (state D), as NVML's may."""
    place = Path("/sys/fs/cgroup/freezer") / f"backburn-{os.getpid()}"
    try:
        place.mkdir()
    except OSError as error:
        pytest.skip(f"NO FREEZER of cgroup v1: {error.strerror}")
    yield place
    (place / "freezer.state").write_text("THAWED")
    assert until(lambda: not (place / "cgroup.procs").read_text())
    place.rmdir()


def test_one_that_waits_in_the_kernel_is_left_and_is_alone(kept, ice):
    keeper, told = kept(LOOKS, interval=0.1)
    assert until(lambda: told != [])
    number = keeper._looker._child.pid
    (ice / "cgroup.procs").write_text(str(number))
    (ice / "freezer.state").write_text("FROZEN")
    assert until(lambda: kinds(told)[-2:] == ["hang", "stuck"])
    assert Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "D"
    time.sleep(0.6)
    assert keeper._looker._child.pid == number and not keeper.prompt
    begun = time.monotonic()
    keeper.want()
    assert time.monotonic() - begun < 0.1
    (ice / "freezer.state").write_text("THAWED")
    assert until(lambda: kinds(told)[-1] == "look") and keeper._looker._child.pid != number


def test_to_close_it_takes_no_time(kept):
    keeper, told = kept(LOOKS)
    assert until(lambda: told != [])
    begun = time.monotonic()
    keeper.close()
    assert time.monotonic() - begun < 1.5 and keeper._looker.code() is not None
    assert not any(isinstance(one, Trouble) for one in told)
