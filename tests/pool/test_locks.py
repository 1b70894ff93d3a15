"""One supervisor for each state folder, pool and GPU."""

import os
import subprocess
import sys

import pytest

from backburn.errors import UserError
from backburn.pool import locks
from backburn.pool.config import Config, Pool, Slots


def given(tmp_path, name="lab1", state="state", gpus=("GPU-0123abcd-1",)):
    pool = Pool(name=name, image="x", state=str(tmp_path / state), locks=str(tmp_path / "locks"))
    return Config(pool=pool, slots=Slots(gpus=gpus))


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({}, "the state folder"),
        ({"name": "lab2"}, "the state folder"),
        ({"state": "elsewhere"}, "a pool called 'lab1' on this machine"),
        ({"name": "lab2", "state": "elsewhere"}, "GPU-0123abcd-1"),
    ],
)
def test_a_second_one_is_told_who_has_what(tmp_path, other, what):
    held = locks.hold(given(tmp_path))
    with pytest.raises(UserError) as told:
        locks.hold(given(tmp_path, **other))
    assert what in told.value.problem and f"process {os.getpid()}" in told.value.problem
    for each in held:
        each.close()
    for each in locks.hold(given(tmp_path, **other)):
        each.close()


def test_another_pool_with_other_gpus_is_no_second_one(tmp_path):
    held = locks.hold(given(tmp_path))
    held += locks.hold(given(tmp_path, name="lab2", state="elsewhere", gpus=("GPU-4567cdef-1",)))
    assert len(held) == 6
    for each in held:
        each.close()


def test_what_was_taken_before_the_refusal_is_given_back(tmp_path):
    held = locks.hold(given(tmp_path))
    with pytest.raises(UserError):
        locks.hold(given(tmp_path, name="lab2", state="elsewhere"))
    for each in held:
        each.close()
    for each in locks.hold(given(tmp_path, name="lab2", state="elsewhere")):
        each.close()


def test_a_lock_dies_with_its_holder(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from backburn.pool import locks;"
        " from tests.pool.test_locks import given; held = locks.hold(given(Path(sys.argv[1])));"
        " print('held', flush=True); time.sleep(60)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    folder = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, env=environment, cwd=folder
    ) as one:
        assert one.stdout.readline() == b"held\n"
        assert locks.holder(tmp_path / "state") == one.pid
        one.kill()
    assert locks.holder(tmp_path / "state") == 0
    for each in locks.hold(given(tmp_path)):
        each.close()


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "locks").write_text("a file")
    with pytest.raises(UserError, match="cannot lock"):
        locks.hold(given(tmp_path))
    assert locks.holder(tmp_path / "nowhere") == 0
