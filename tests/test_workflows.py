"""Our own workflows: what they promise, and the build by the real act. tests/test_audits.py has the auditors."""

import itertools
import os
import re
import subprocess
import zipfile

import pytest
import yaml

from backburn import rehearse
from backburn.report import Verdict
from tests.conftest import REPOSITORY

FILES = {path.stem: path for path in (REPOSITORY / ".github" / "workflows").glob("*.yml")}


def read(name):
    return yaml.load(FILES[name].read_text(), yaml.BaseLoader)


def steps(name):
    return [step for job in read(name)["jobs"].values() for step in job.get("steps", ())]


def test_every_action_is_run_on_what_the_template_bakes():
    ours = {path.parent.name for path in REPOSITORY.glob("actions/*/action.yml")}
    assert {f"$/actions/{name}" for name in ours} <= {step.get("uses") for step in steps("actions")}


def test_ci_calls_what_the_readme_lists():
    commands = set(re.findall(r"^\| `(make (?:demo|test|lint)[^`]*)`", (REPOSITORY / "README.md").read_text(), re.M))
    assert len(commands) == 4
    runs = [step["run"] for step in steps("ci") if "run" in step]
    called = {run for run in runs if "ARGS" in run} | {
        f"make {target}" for run in runs if "ARGS" not in run for target in run.split()[1:]
    }
    assert called == commands


@pytest.mark.parametrize("name", FILES)
def test_a_job_may_write_only_where_it_runs_no_code_of_others(name):
    workflow = read(name)
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        may = {what for what, how in job["permissions"].items() if how == "write"}
        assert not may or name == "release"
        assert "uses" in job or int(job["timeout-minutes"]) <= 90


def test_a_release_is_checked_built_attested_and_only_then_published():
    workflow = read("release")
    jobs = workflow["jobs"]
    assert workflow["on"] == {"push": {"tags": ["v[0-9]+.[0-9]+.[0-9]+"]}}
    assert {name: job.get("needs") for name, job in jobs.items()} == {
        "check": None,
        "build": "check",
        "attest": "build",
        "pypi": "attest",
        "github": "pypi",
        "pins": "github",
    }
    assert {name: set(job["permissions"]) for name, job in jobs.items() if "write" in job["permissions"].values()} == {
        "attest": {"id-token", "attestations"},
        "pypi": {"id-token"},
        "github": {"contents"},
        "pins": {"contents", "pull-requests"},
    }
    assert jobs["pypi"]["environment"] == "pypi" and "secrets." not in FILES["release"].read_text()
    assert not any("run" in step for name in ("attest", "pypi") for step in jobs[name]["steps"])


@pytest.fixture
def tagged(tmp_path):
    """`tagged() -> folder`: a new clone, as a job checks it out, of a bare repository with a tag on its main."""
    origin, number = tmp_path / "origin", itertools.count()

    def clone():
        folder = tmp_path / f"clone-{next(number)}"
        subprocess.run(["git", "clone", "-q", "-b", "main", str(origin), str(folder)], check=True)
        return folder

    subprocess.run(["git", "clone", "-q", "--bare", str(REPOSITORY), str(origin)], check=True)
    subprocess.run(["git", "update-ref", "refs/heads/main", "HEAD"], cwd=origin, check=True)
    subprocess.run(["git", "tag", "v9.9.9", "main"], cwd=origin, check=True)
    return clone


def run_step(job, name, cwd, **more):
    """A step's own lines, but those that speak to GitHub."""
    (step,) = [one for one in read("release")["jobs"][job]["steps"] if one.get("name") == name]
    script = "".join(line for line in step["run"].splitlines(keepends=True) if not line.startswith("gh "))
    env = {**os.environ, "TAG": "v9.9.9", **more}
    return subprocess.run(["bash", "-e", "-c", script], cwd=cwd, env=env, capture_output=True, text=True)


def test_pins_that_failed_half_way_are_asked_for_again(tagged):
    """The branch is up, the pull request was refused, and a person runs the failed job again."""
    for second in ("2026-01-01T00:00:00Z", "2026-01-01T00:10:00Z"):
        done = run_step("pins", "Ask for the new pins in the documentation", tagged(), GIT_COMMITTER_DATE=second)
        assert done.returncode == 0, done.stderr


def test_a_tag_that_is_not_on_main_is_told_why(tagged):
    name, folder = "What is released is on main, reviewed", tagged()
    assert run_step("check", name, folder).returncode == 0
    who = ["-c", "user.name=a", "-c", "user.email=a@localhost"]
    subprocess.run(["git", *who, "commit", "-q", "--allow-empty", "-m", "aside"], cwd=folder, check=True)
    done = run_step("check", name, folder)
    assert done.returncode == 1 and "::error::" in done.stdout and "not on main" in done.stdout


def test_one_release_waits_for_no_other():
    """Of the runs of one group that wait GitHub keeps the last alone: a tag's release would be dropped unsaid."""
    assert read("release")["concurrency"]["group"] == "release-${{ github.ref }}"


@pytest.mark.slow
def test_the_build_by_the_real_act(tmp_path):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(REPOSITORY), str(clone)], check=True)
    said = []
    rehearsal = rehearse.rehearse(clone, ("build",), rehearse.Options(), said.append)
    assert rehearsal.verdict is Verdict.PASS, said
    (wheel,) = clone.glob("build/rehearsal/build/artifacts/dist/*.whl")
    assert len(list(wheel.parent.glob("*.tar.gz"))) == 1
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=clone, capture_output=True, text=True).stdout.strip()
    with zipfile.ZipFile(wheel) as archive, zipfile.ZipFile(archive.open("backburn/toolkit.zip")) as carried:
        assert carried.read("backburn/COMMIT").decode() == head
