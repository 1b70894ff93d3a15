"""What is derived is current, and the script that says so can be seen to bite."""

import shutil
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY


def generate(root, *words):
    command = [sys.executable, str(root / "scripts" / "generate.py"), *words]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path):
    for name in ("actions", "docs", "scripts", "src/backburn/stages"):
        shutil.copytree(REPOSITORY / name, tmp_path / name)
    return tmp_path


def test_everything_derived_is_current():
    done = generate(REPOSITORY, "--check")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", ["actions/unit/action.yml", "actions/memorize/README.md", "docs/actions.md"])
def test_a_file_changed_by_hand_is_seen_and_written_anew(copy, name):
    path = copy / name
    before = path.read_text()
    path.write_text(before.replace("verdict", "outcome"))
    done = generate(copy, "--check")
    assert (done.returncode, done.stdout) == (1, f"out of date: {name}\n")
    assert generate(copy).stdout == f"written: {name}\n"
    assert generate(copy, "--check").returncode == 0


def test_a_readme_without_marks_is_an_error(copy):
    (copy / "actions/unit/README.md").write_text("# unit\n")
    assert "expected one <!-- generated: tables -->" in generate(copy, "--check").stderr
