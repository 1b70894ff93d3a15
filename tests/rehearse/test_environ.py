import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backburn.errors import UserError
from backburn.rehearse import environ

HERE = {"HOME": "/h", "PATH": os.environ["PATH"]}


def steps(tmp_path, **more):
    return environ.steps(HERE | more, tmp_path, "mark")


@pytest.mark.parametrize(
    "name",
    ["LC_ALL", "TZ", "PIP_INDEX_URL", "PRE_COMMIT_HOME", "HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE", "CURL_CA_BUNDLE"]
    + ["CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_CBWR", "CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE"],
)
def test_what_a_machine_needs_to_build_and_to_compute_alike_is_passed_on(tmp_path, name):
    assert steps(tmp_path, **{name: "/kept"})[name] == "/kept"


@pytest.mark.parametrize(
    "name",
    ["BACKBURN_CACHE", "XDG_CACHE_HOME", "PRE_COMMIT_HOME", "PIP_CACHE_DIR", "PIP_CERT", "SSL_CERT_FILE", "HOME"],
)
def test_a_relative_path_stays_the_one_that_it_was_where_backburn_was_called(tmp_path, monkeypatch, name):
    """Steps work in another folder: torch would be installed again there."""
    monkeypatch.chdir(tmp_path)
    assert steps(tmp_path, **{name: "build/it"})[name] == str(tmp_path / "build" / "it")
    assert steps(tmp_path, RUNNER_TOOL_CACHE="tools")["BACKBURN_CACHE"] == str(tmp_path / "tools" / "backburn")
    assert steps(tmp_path, PIP_CERT="")["PIP_CERT"] == ""
    links = steps(tmp_path, PIP_FIND_LINKS="wheels https://a.example/x /more")["PIP_FIND_LINKS"]
    assert links == f"{tmp_path}/wheels https://a.example/x /more"


@pytest.mark.parametrize(
    "name",
    ["GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY", "PGPASSWORD", "PIP_TOKEN", "PIP_PASSWORD", "LC_KEY"]
    + ["PYTHONPATH", "VIRTUAL_ENV", "BACKBURN_BASE", "EDITOR", "SSH_AUTH_SOCK", "CONDA_PREFIX", "NETRC"],
)
def test_all_else_is_not(tmp_path, name):
    assert name not in steps(tmp_path, **{name: "canary"})
    assert "canary" not in str(steps(tmp_path, **{name: "canary"}))


@pytest.mark.parametrize(
    ("given", "caches"),
    [
        ({}, ("/h/.cache", "/h/.cache/backburn")),
        ({"XDG_CACHE_HOME": "/c"}, ("/c", "/c/backburn")),
        ({"RUNNER_TOOL_CACHE": "/t"}, ("/h/.cache", "/t/backburn")),
        ({"RUNNER_TOOL_CACHE": "/t", "BACKBURN_CACHE": "/b"}, ("/h/.cache", "/b")),
    ],
)
def test_caches_are_the_users(tmp_path, given, caches):
    made = steps(tmp_path, **given)
    assert (made["XDG_CACHE_HOME"], made["BACKBURN_CACHE"]) == caches


def test_temporary_files_are_the_rehearsals(tmp_path):
    made = steps(tmp_path, TMPDIR="/elsewhere")
    assert Path(made["TMPDIR"]).is_dir() and Path(made["TMPDIR"]).is_relative_to(tmp_path)
    assert made["BACKBURN_REHEARSAL"] == "1"


def test_act_gets_a_home_and_a_cache_of_its_own(tmp_path):
    made = environ.act(steps(tmp_path), tmp_path)
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        assert Path(made[name]).is_relative_to(tmp_path)


def test_the_path_lacks_the_toolkits_environment_and_has_a_python(tmp_path):
    ours = str(Path(sys.prefix, "bin"))
    other = tmp_path / "venv" / "bin"
    other.mkdir(parents=True)
    path = os.pathsep.join([ours, str(other), "relative", os.environ["PATH"]])
    made = environ.search_path({"PATH": path, "VIRTUAL_ENV": str(other.parent)}).split(os.pathsep)
    assert ours not in made and str(other) not in made and "relative" not in made
    assert any(Path(one, "python3").exists() for one in made)


def test_no_git_on_the_path_is_said(tmp_path):
    (tmp_path / "python3").symlink_to(sys.executable)
    with pytest.raises(UserError, match="no git on the PATH"):
        environ.search_path({"PATH": str(tmp_path)})


def test_a_failing_step_lingers_in_a_bash_that_no_step_sees(tmp_path):
    scratch = tmp_path / "it's a folder"
    scratch.mkdir()
    made = steps(scratch)
    command = ["bash", "-c", 'echo "$PATH"; command -v bash; exit 3']
    started = time.monotonic()
    done = subprocess.run(command, env=made | {"PATH": f"/before:{made['PATH']}"}, capture_output=True, text=True)
    assert done.returncode == 3 and time.monotonic() - started > 0.1
    assert "folder" not in done.stdout and done.stdout.startswith("/before:/") and done.stderr == ""
