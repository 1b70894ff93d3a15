"""The script of a release, on a copy of this repository with commits and tags of its own."""

import re
import shutil
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY, commit

OLD = "# Changelog\n\n## Unreleased\n### Added\n- A thing.\n\n## 0.0.9 - 2026-01-02\n### Added\n- The first.\n"


@pytest.fixture
def copy(tmp_path):
    for name in ("actions", "docs", "scripts"):
        shutil.copytree(REPOSITORY / name, tmp_path / name)
    (tmp_path / "src" / "backburn").mkdir(parents=True)
    for name in ("README.md", "pyproject.toml", "src/backburn/__init__.py"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    (tmp_path / "CHANGELOG.md").write_text(OLD)
    commit(tmp_path)
    return tmp_path


def release(root, *words):
    command = [sys.executable, str(root / "scripts" / "release.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def git(root, *words):
    return subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def released(copy):
    """Version 0.2.0, as the script and a person make it."""
    code, said = release(copy, "prepare", "0.2.0")
    assert code == 0 and "git tag -a v0.2.0 -m v0.2.0\ngit push origin v0.2.0" in said
    git(copy, "commit", "-qam", "release: v0.2.0")
    git(copy, "tag", "v0.2.0")
    return copy


def test_it_is_prepared_by_one_command(released):
    assert git(released, "show", "--format=", "--name-only").split() == [
        "CHANGELOG.md",
        "pyproject.toml",
        "src/backburn/__init__.py",
    ]
    text = (released / "CHANGELOG.md").read_text()
    assert re.search(r"## Unreleased\n\n## 0\.2\.0 - \d{4}-\d\d-\d\d\n### Added\n- A thing\.\n\n## 0\.0\.9 - ", text)
    assert release(released, "check", "v0.2.0") == (0, "\n")


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("v0.2.0", "is no version"),
        ("0.2", "is no version"),
        ("0.02.0", "is no version"),
        ("0.2.0rc1", "is no version"),
        ("0.0.9", "0.0.9 does not come after 0.0.9"),
        ("0.0.10", ""),
    ],
)
def test_a_version_that_cannot_be_next_is_refused(copy, version, said):
    code, told = release(copy, "prepare", version)
    assert (code, said in told) == (1 if said else 0, True)
    assert bool(git(copy, "status", "--porcelain")) == (not said)


def test_nothing_to_release_is_refused(released):
    code, told = release(released, "prepare", "0.3.0")
    assert code == 1 and "nothing under Unreleased" in told


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("pyproject.toml", '\nversion = "0.2.0"', '\nversion = "0.2.1"', "pyproject.toml: version is 0.2.1"),
        ("src/backburn/__init__.py", "0.2.0", "0.1.0", "src/backburn/__init__.py: __version__ is 0.1.0"),
        ("CHANGELOG.md", "## 0.2.0 - ", "## 0.2.0 ", "CHANGELOG.md: no heading `## 0.2.0 - <date>`"),
        ("CHANGELOG.md", "### Added\n- A thing.\n", "", "CHANGELOG.md: nothing under 0.2.0"),
    ],
)
def test_a_tag_that_does_not_agree_is_seen(released, file, old, new, said):
    text = (released / file).read_text()
    assert text.count(old) == 1
    (released / file).write_text(text.replace(old, new))
    code, told = release(released, "check", "v0.2.0")
    assert code == 1 and told.startswith(said) and told.count("\n") == 1


def test_a_tag_of_another_commit_or_shape_is_seen(released):
    git(released, "commit", "-q", "--allow-empty", "-m", "More")
    assert release(released, "check", "v0.2.0") == (1, "v0.2.0 is not what is checked out\n")
    assert "a release is a full version" in release(released, "check", "v0")[1]
    assert release(released, "check", "v0.3.0")[0] == 1


def uses(root):
    pages = [root / "README.md", *root.glob("docs/*.md"), *root.glob("actions/*/README.md")]
    return {
        path.relative_to(root): re.findall(r"uses: (backburn-ci/backburn/\S+ # \S+)", path.read_text())
        for path in pages
        if "uses: backburn-ci/" in path.read_text()
    }


def test_what_readers_copy_is_pinned_and_moves_with_the_next_release(released):
    tagged = git(released, "rev-parse", "HEAD")
    code, said = release(released, "pin", "v0.2.0")
    assert code == 0 and set(said.split()) == {str(path) for path in uses(released)} > {"README.md"}
    for shown in uses(released).values():
        assert all(one.endswith(f"@{tagged} # v0.2.0") for one in shown)
    git(released, "commit", "-qam", "docs: pin v0.2.0")
    git(released, "tag", "v0.2.1")
    release(released, "pin", "v0.2.1")
    assert tagged not in (released / "README.md").read_text()
    assert release(released, "pin", "v0.2.1") == (0, "\n")


def test_the_notes_have_what_changed_and_the_line_to_copy(released):
    code, said = release(released, "notes", "v0.2.0")
    assert code == 0 and said.startswith("### Added\n- A thing.\n") and "The first" not in said
    assert f"actions/memorize@{git(released, 'rev-parse', 'HEAD')} # v0.2.0" in said


def test_what_is_no_verb_shows_the_verbs(copy):
    for words in ((), ("publish", "v1.0.0"), ("check",)):
        code, said = release(copy, *words)
        assert code == 2 and "release.py prepare 1.2.3" in said


def test_the_files_of_this_repository_agree():
    """Else `prepare` would write into one of two."""
    versions = set()
    for name in ("pyproject.toml", "src/backburn/__init__.py"):
        versions |= set(re.findall(r'(?m)^(?:__)?version(?:__)? = "([^"]+)"', (REPOSITORY / name).read_text()))
    assert len(versions) == 1
