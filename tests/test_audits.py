"""Outside auditors find nothing in this repository, nor in what it bakes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import REPOSITORY

BIN = Path(sys.executable).parent


@pytest.fixture(params=["this repository", "a bake"])
def folder(request):
    return REPOSITORY if request.param == "this repository" else request.getfixturevalue("baked")


def listed(folder, *patterns):
    """The files of the project, committed or about to be, that match a pattern of git's."""
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns]
    names = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True).stdout.split("\0")
    return sorted(name for name in names if name and (folder / name).is_file() and not name.startswith("templates/"))


def audit(folder, *words):
    # actionlint looks for shellcheck on PATH, and so audits the scripts inside the workflows.
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    command = [str(BIN / words[0]), *words[1:]]
    done = subprocess.run(command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_zizmor(folder):
    code, said = audit(folder, "zizmor", "--offline", "--persona", "pedantic", ".")
    assert code == 0 and "completed ./.github/workflows/" in said, said


def test_actionlint(folder):
    assert audit(folder, "actionlint") == (0, "")


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("vendor.github-workflows", ".github/workflows/*.yml"),
        ("vendor.github-actions", "*action.yml"),
        ("vendor.dependabot", ".github/dependabot.yml"),
        ("vendor.renovate", "renovate.json"),
    ],
)
def test_schemas(folder, schema, pattern):
    if not (names := listed(folder, pattern)):
        pytest.skip(f"no {pattern} here")
    code, said = audit(folder, "check-jsonschema", "--builtin-schema", schema, *names)
    assert code == 0, said


def scripts(folder):
    """Shell by name or by first line."""
    for name in listed(folder):
        first = (folder / name).read_bytes()[:40].partition(b"\n")[0]
        if name.endswith(".sh") or re.match(rb"#!.*\b(ba|da)?sh\b", first):
            yield name


def test_shellcheck(folder):
    if names := list(scripts(folder)):
        assert audit(folder, "shellcheck", *names) == (0, "")


BROKEN = """\
on: push
jobs:
  one:
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/checkout@v7
      - run: echo ${{ github.head_ref }} $HOME; cd $X
"""


def test_the_auditors_see_a_broken_workflow(tmp_path):
    workflows = tmp_path / ".github" / "workflows"
    workflows.mkdir(parents=True)
    (workflows / "broken.yml").write_text(BROKEN)
    (tmp_path / "broken.sh").write_text("#!/bin/sh\ncd $1\n")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert "template-injection" in audit(tmp_path, "zizmor", "--offline", "--persona", "pedantic", ".")[1]
    assert "SC2086" in audit(tmp_path, "actionlint")[1]
    assert list(scripts(tmp_path)) == ["broken.sh"] and audit(tmp_path, "shellcheck", "broken.sh")[0] == 1


def test_our_hooks_are_the_versions_of_the_constraints():
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    pins = {pin for hook in hooks for pin in hook["additional_dependencies"]}
    constraints = (REPOSITORY / "constraints.txt").read_text().replace("_", "-").splitlines()
    assert pins and pins <= set(constraints), pins - set(constraints)
