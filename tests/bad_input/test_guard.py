"""What every row leaves behind is looked at; each of the looks is seen to bite."""

import fcntl
import subprocess
import sys

import pytest

from .conftest import STALE


def leave_a_process(project):
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(99)"], env=project.environ())


def leave_a_lock(project):
    stream = project.out("memorize").with_name(".memorize.lock").open("w")
    fcntl.flock(stream, fcntl.LOCK_EX)
    return stream


def leave(name, content=b""):
    return lambda project: (project.root / name).write_bytes(content)


LEFT = {
    "a process": leave_a_process,
    "a lock": leave_a_lock,
    "a partial answer": leave("build/backburn/memorize/net/probe.json.1.part"),
    "a partial report": leave("build/backburn/memorize/.report.json.x"),
    "an earlier run's evidence": leave("build/backburn/memorize/net/evidence.json", STALE),
    "a change in the repository": leave("train.py", b"print(1)\n"),
    "a file in the repository": leave("checkpoint.ckpt"),
}


@pytest.mark.parametrize("what", LEFT)
def test_what_is_left_behind_is_seen(make, what):
    project = make(train="raise KeyError(1)\n")
    done = project.backburn("memorize")
    left = LEFT[what](project)
    try:
        with pytest.raises((AssertionError, BlockingIOError)):
            project.expect_sound(done, "memorize")
    finally:
        if isinstance(left, subprocess.Popen):
            left.kill()
            left.wait()


@pytest.mark.parametrize(
    "change", [{"code": 0}, {"code": 3}, {"code": 2}, {"err": "Traceback (most recent call last)"}]
)
def test_a_code_that_the_report_does_not_bear_out_is_seen(make, change):
    project = make(train="raise KeyError(1)\n")
    done = project.backburn("memorize")
    for name, value in change.items():
        setattr(done, name, value)
    with pytest.raises(AssertionError):
        project.expect_sound(done, "memorize")
