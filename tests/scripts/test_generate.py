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
    for name in ("actions", "docs", "scripts", "src/backburn"):
        shutil.copytree(REPOSITORY / name, tmp_path / name)
    return tmp_path


def test_everything_derived_is_current():
    done = generate(REPOSITORY, "--check")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    "name", ["actions/unit/action.yml", "actions/memorize/README.md", "actions/publish/README.md", "docs/actions.md"]
)
def test_a_file_changed_by_hand_is_seen_and_written_anew(copy, name):
    path = copy / name
    before = path.read_text()
    path.write_text(before.replace("verdict", "outcome"))
    done = generate(copy, "--check")
    assert (done.returncode, done.stdout) == (1, f"out of date: {name}\n")
    assert generate(copy).stdout == f"written: {name}\n"
    assert generate(copy, "--check").returncode == 0


@pytest.mark.parametrize(
    ("file", "old", "new", "page", "row"),
    [
        ("stages/memorize.py", "steps: int = 300", "steps: int = 1", "memorize", "| `steps` | `1` | at most |"),
        ("stages/unit.py", "Seconds(600)", "Seconds(5400)", "unit", '| `budget` | `"90m"` |'),
        ("stages/hygiene.py", "  # of all together", "  # of all", "hygiene", '| `timeout` | `"10m"` | of all |'),
        ("stages/profile.py", "def step_time", "def step_length", "profile", "| `step-length` | The quickest"),
        ("cli.py", '"--base"', '"--since"', "hygiene", "| `--since REV` | `BACKBURN_BASE` |"),
    ],
)
def test_the_pages_follow_the_code(copy, file, old, new, page, row):
    path = copy / "src/backburn" / file
    code = path.read_text()
    path.write_text(code.replace(old, new).replace(old.removeprefix("def ") + ",", new.removeprefix("def ") + ","))
    assert row not in (copy / f"docs/{page}.md").read_text()
    done = generate(copy)
    assert f"written: docs/{page}.md\n" in done.stdout, done.stderr
    assert row in (copy / f"docs/{page}.md").read_text()


def test_a_key_without_a_word_is_an_error(copy):
    path = copy / "src/backburn/stages/memorize.py"
    path.write_text(path.read_text().replace("steps: int = 300  # at most", "steps: int = 300"))
    assert "KeyError: 'steps'" in generate(copy, "--check").stderr


def test_a_readme_without_marks_is_an_error(copy):
    (copy / "actions/unit/README.md").write_text("# unit\n")
    assert "expected one <!-- generated: tables -->" in generate(copy, "--check").stderr
