"""The hook after a job: no process, no file, a word about the machine; and it fails no job, whatever it finds."""

import os
import time
from pathlib import Path

import pytest

from backburn.pool.engine import DONE

from .scratch import USER, program

HOOK = "/opt/backburn/hooks/job-completed.sh"
WORKER = "/home/runner/bin/Runner.Worker"
WORKSPACE = "/home/runner/_work/model"


@pytest.fixture
def job(scratch):
    """Runs a job that does as it is told: (exit code, what it printed)."""
    scratch.workspace.mkdir(parents=True)
    for path in (scratch.workspace.parents[1], scratch.workspace.parent, scratch.workspace):
        os.chown(path, USER, USER)

    def run(step="true", within=30, before="/dev/null", **env):
        words = {"RUNNER_WORKSPACE": WORKSPACE, "GITHUB_WORKSPACE": f"{WORKSPACE}/model", "AFTER": HOOK}
        return scratch.run(WORKER, within=within, **{**words, "BEFORE": before, "STEP": step, **env})

    run.scratch = scratch
    run.done = lambda: (scratch.root / DONE.lstrip("/")).exists()
    return run


def left_in(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))


def test_nothing_to_do_is_said_by_nothing(job):
    code, said = job()
    assert code == 100 and "backburn" not in said and job.done()


def test_the_workspace_is_empty_whatever_its_rights(job):
    step = "mkdir -p a/b 'c d' .e; echo 1 >a/b/f; echo 2 >'c d/g\nh'; echo 3 >.e/.i; chmod 0 a/b .e; chmod 500 a"
    code, said = job(step + "; echo 4 >../beside")
    assert code == 100 and "removed" not in said and job.done()
    assert left_in(job.scratch.workspace.parent) == ["model"], "the runner is in there"


def test_what_root_left_is_counted_and_fails_nothing(job):
    folder = job.scratch.workspace / "of root"
    folder.mkdir(mode=0o755)
    (folder / "file").touch()
    (job.scratch.workspace / "ours").touch()
    code, said = job()
    assert code == 100 and "backburn: 2 files of the job could not be removed; they go with the container\n" in said
    assert left_in(job.scratch.workspace) == ["of root", "of root/file"] and job.done()


@pytest.mark.parametrize(
    "workspace", ["", "/", "/home/runner", "/home/runner/_work/", "relative/_work/x", "/no/_work/x"]
)
def test_only_a_workspace_is_emptied(job, workspace):
    before = left_in(job.scratch.root / "home/runner")
    assert job(RUNNER_WORKSPACE=workspace)[0] == 100 and left_in(job.scratch.root / "home/runner") == before


def test_a_link_leads_nowhere(job):
    kept = job.scratch.give("home/runner/kept/file", "kept", 0o440)
    os.chown(kept.parent, USER, USER)
    for step in (
        "ln -s /home/runner/kept inside",
        f"cd /; mv {WORKSPACE} /tmp/gone; ln -s /home/runner/kept {WORKSPACE}",
    ):
        assert job(step)[0] == 100
        assert kept.read_text() == "kept" and kept.stat().st_mode & 0o777 == 0o440


HOLD = "exec 9<>/dev/nvidia0; {trap}while :; do sleep 0.05; done"


@pytest.mark.parametrize("trap", ["", "trap '' TERM HUP INT; "])
def test_nothing_is_left_that_holds_the_gpu(job, trap):
    job.scratch.node("nvidia0")
    hold = HOLD.format(trap=trap)
    step = f'setsid bash -c "{hold}" >/dev/null 2>&1 & env -i bash -c "{hold}" >/dev/null 2>&1 & sleep 0.2'
    script = f'{WORKER}; echo "holding: $(ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c nvidia0)"'
    code, said = job.scratch.run("bash", "-c", script, **_env(step))
    assert "holding: 0" in said and "could not be ended" in said and " 0 of them" in said and job.done()


def _env(step):
    return {
        "RUNNER_WORKSPACE": WORKSPACE,
        "GITHUB_WORKSPACE": f"{WORKSPACE}/model",
        "BEFORE": "/dev/null",
        "AFTER": HOOK,
        "STEP": step,
    }


def test_the_runner_lives(job):
    """Its listener, its worker, and what stands above them."""
    script = f"{WORKER}; echo reported $?"
    code, said = job.scratch.run("bash", "-c", script, **_env("sleep 1000 >/dev/null 2>&1 &"))
    assert code == 0 and "reported 100" in said and "the job left 1 processes" in said


def test_outside_of_a_container_of_ours_nothing_is_killed(job):
    """Process 1 is then not Docker's init: by hand on a machine, this would end everything of its user."""
    script = f"{WORKER}; kill -0 $(cat /tmp/pid) && echo lives; :"
    env = {**_env("sleep 1000 >/dev/null 2>&1 & echo $! >/tmp/pid"), "HOME": "/home/runner"}
    with job.scratch.start("bash", "-c", script, init=False, **env) as process:
        said, _ = process.communicate(timeout=20)
    assert "lives" in said


def test_what_the_supervisor_saw_is_in_the_summary(job):
    job.scratch.give("run/backburn/machine.md", "### the machine\nXid 79\n")
    summary = job.scratch.give("home/runner/summary.md", "what was there\n")
    code, said = job(GITHUB_STEP_SUMMARY="/home/runner/summary.md")
    assert code == 100 and summary.read_text() == "what was there\n### the machine\nXid 79\n"
    assert said.count("the summary says what") == 1


def test_a_summary_is_bounded(job):
    job.scratch.give("run/backburn/machine.md", "x" * 300_000)
    summary = job.scratch.give("home/runner/summary.md", "")
    assert job(GITHUB_STEP_SUMMARY="/home/runner/summary.md")[0] == 100 and summary.stat().st_size == 65536


@pytest.mark.parametrize("summary", ["", "/home/runner/none", "/home/runner"])
def test_without_a_summary_nothing_is_said_of_the_machine(job, summary):
    job.scratch.give("run/backburn/machine.md", "Xid 79")
    code, said = job(GITHUB_STEP_SUMMARY=summary)
    assert code == 100 and "machine" not in said and job.done()


def test_a_folder_that_is_gone_fails_no_job(job):
    code, said = job("rm -rf /run/backburn; rm -rf /home/runner/_work/model/model")
    assert code == 100, said


def test_a_clean_up_that_hangs_fails_no_job(job):
    job.scratch.hasten(HOOK.lstrip("/"), "limit=60", "limit=1")
    program(job.scratch.root, "usr/bin/chmod", "#!/bin/bash\nwhile :; do sleep 1; done\n")
    begun = time.monotonic()
    code, said = job()
    assert code == 100 and 1 <= time.monotonic() - begun < 10
    assert "cleaning up ended with 124; the container goes anyway" in said and job.done()
