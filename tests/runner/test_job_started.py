"""The hook before a job: whose it is, what it refuses, and that a refused job runs no step whatever its steps say."""

import json
import os
import time

import msgspec
import pytest

from backburn.pool.engine import MARKER
from backburn.pool.lease import Job

from .scratch import GPU, program, program_path

HOOK = "/opt/backburn/hooks/job-started.sh"
WORKER = "/home/runner/bin/Runner.Worker"
EVENT = "home/runner/event.json"
NAMES = {
    "GITHUB_REPOSITORY": "acme/vision",
    "GITHUB_WORKFLOW": "gpu",
    "GITHUB_JOB": "train",
    "GITHUB_RUN_ID": "17",
    "GITHUB_REF": "refs/heads/main",
    "GITHUB_EVENT_NAME": "push",
    "GITHUB_EVENT_PATH": f"/{EVENT}",
    "BEFORE": HOOK,
    "AFTER": "/dev/null",
}
ALWAYS = "always: a step"
OWN, FORK = {"id": 1, "full_name": "acme/vision"}, {"id": 2, "full_name": "mallory/vision"}


def pull(head):
    return {"pull_request": {"head": {"repo": head}, "base": {"repo": OWN}}}


def follows(head):
    return {"workflow_run": {"head_repository": head, "repository": OWN}}


@pytest.fixture
def job(scratch):
    """Runs a job whose worker runs the hook: (exit code, what it printed, the marker)."""
    scratch.workspace.mkdir(parents=True)

    def run(event=None, **env):
        if event is not None:
            scratch.give(EVENT, event if isinstance(event, str) else json.dumps(event))
        code, said = scratch.run(WORKER, **{**NAMES, **env})
        marker = scratch.root / MARKER.lstrip("/")
        return code, said, msgspec.json.decode(marker.read_bytes(), type=Job) if marker.exists() else None

    run.scratch = scratch
    return run


def test_it_says_whose_job_it_is(job):
    code, said, told = job()
    assert code == 100 and ALWAYS in said
    assert told == Job(repository="acme/vision", workflow="gpu", job="train", run_id="17", ref="refs/heads/main")
    assert [one.name for one in job.scratch.here.iterdir()] == ["job.json"]


@pytest.mark.parametrize(
    "name",
    [
        'a "quoted" name \\" \\\\',
        "two\nlines\n::error::of them\n",
        "$(touch /home/runner/owned) `touch /home/runner/owned`; '",
        "--arg -n . @/etc/passwd",
        "ü 🔥 \u202e",
        "\x1b[31m\x07\x7f",
        "x" * 100_000,
        "",
    ],
)
def test_a_name_is_only_ever_a_name(job, name):
    code, said, told = job(GITHUB_WORKFLOW=name, GITHUB_JOB=name, GITHUB_REF=name)
    assert code == 100 and told.workflow == told.job == told.ref == name[:200] and told.repository == "acme/vision"
    assert not (job.scratch.root / "home/runner/owned").exists() and "error" not in said


def test_a_name_that_is_no_text_is_still_written(job):
    code, _, told = job(GITHUB_WORKFLOW=b"\xff\xfe")
    assert code == 100 and told.workflow and told.repository == "acme/vision"


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("push", None),
        ("schedule", None),
        ("workflow_dispatch", "not even JSON"),
        ("issue_comment", {"issue": {}}),
        ("pull_request", pull(OWN)),
        ("pull_request_target", pull(OWN)),
        ("pull_request_review", pull(OWN)),
        ("workflow_run", follows(OWN)),
    ],
)
def test_the_repositorys_own_code_runs(job, event, payload):
    code, said, told = job(payload, GITHUB_EVENT_NAME=event)
    assert code == 100 and ALWAYS in said and told


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("pull_request", pull(FORK)),
        ("pull_request", pull(None)),  # its repository was deleted
        ("pull_request", {"pull_request": {"head": {}, "base": {}}}),
        ("pull_request", {}),
        ("pull_request", {"pull_request": "none"}),
        ("pull_request", [pull(OWN)]),
        ("pull_request", '{"pull_request": {"head"'),
        ("pull_request", ""),  # with which jq 1.6 --exit-status is content
        ("pull_request", json.dumps(pull(OWN)) + json.dumps(pull(FORK))),
        ("pull_request", json.dumps(pull(OWN)) + "x"),
        ("pull_request", None),
        ("pull_request_target", pull(FORK)),
        ("pull_request_review_comment", pull(FORK)),
        ("workflow_run", follows(FORK)),
        ("workflow_run", pull(OWN)),
        ("", pull(OWN)),
    ],
)
def test_a_forks_code_does_not_run(job, event, payload):
    job.scratch.sleepless()
    code, said, told = job(payload, GITHUB_EVENT_NAME=event)
    assert told.repository == "acme/vision", "the ledger knows whose it was"
    assert code == 137 and ALWAYS not in said, "its worker is killed: `if: always()` would run in one that failed"
    (error,) = [line for line in said.splitlines() if line.startswith("::error")]
    assert "no code of a fork" in error and "allow-public" in error


@pytest.mark.parametrize("payload", [pull(FORK), "{"])
def test_where_forks_are_let_in_theirs_does(job, payload):
    code, said, _ = job(payload, GITHUB_EVENT_NAME="pull_request", BACKBURN_ALLOW_FORKS="1")
    assert code == 100 and ALWAYS in said


def test_only_the_worker_is_killed(job):
    """What started it must live to report."""
    job.scratch.give(EVENT, json.dumps(pull(FORK)))
    listener = f"{WORKER}; code=$?; sleep 0.5; echo reported $code"
    code, said = job.scratch.run("bash", "-c", listener, **{**NAMES, "GITHUB_EVENT_NAME": "pull_request"})
    assert code == 0 and "reported 137" in said


def test_a_gpu_out_of_sight_fails_the_job_and_blames_the_machine(job):
    code, said, told = job(BACKBURN_DEVICE=GPU)
    assert code == 102 and told and ALWAYS in said
    (error,) = [line for line in said.splitlines() if line.startswith("::error")]
    assert "lost sight of its GPU, which is not the job's fault" in error and "no device node" in error
    assert "no device node" in (job.scratch.here / "blind").read_text()


def test_a_gpu_in_sight_is_named(job):
    job.scratch.node("nvidia0")
    code, said, _ = job(BACKBURN_DEVICE=GPU)
    assert code == 100 and f"this job has {GPU}\n" in said


def test_a_marker_that_cannot_be_written_is_the_machines_fault(job):
    job.scratch.sleepless()
    job.scratch.here.chmod(0o500)
    code, said, told = job()
    assert code == 137 and told is None and ALWAYS not in said and "not the job's fault" in said


def test_the_jobs_own_path_does_not_matter(job):
    for name in ("jq", "mv", "timeout", "sleep"):
        program(job.scratch.root, f"home/runner/tools/{name}", "#!/bin/bash\nexit 0\n")
    code, _, told = job(PATH=f"/home/runner/tools:{program_path()}")
    assert code == 100 and told.repository == "acme/vision"


def test_a_hook_that_hangs_ends_the_job(job):
    """By an event file that never ends: nothing but its own limit ends this."""
    os.mkfifo(job.scratch.root / EVENT)
    job.scratch.hasten(HOOK.lstrip("/"), "limit=60", "limit=1")
    begun = time.monotonic()
    code, said = job.scratch.run(WORKER, **{**NAMES, "GITHUB_EVENT_NAME": "pull_request"})
    assert code == 137 and 4 <= time.monotonic() - begun < 15
    assert "ended with 124, which is not the job's fault" in said and ALWAYS not in said
