"""Our own workflows: what they promise, and the build by the real act. tests/test_audits.py has the auditors."""

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
