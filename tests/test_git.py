import subprocess

import pytest

from backburn import git
from backburn.errors import Unjudged, UserError


def run(folder, *words):
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words], cwd=folder, check=True)


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "a repository, ünusual"
    folder.mkdir()
    run(folder, "init", "-q", "-b", "main")
    (folder / "one.py").write_text("1\n")
    (folder / "gone.py").write_text("1\n")
    run(folder, "add", ".")
    run(folder, "commit", "-qm", "one")
    return folder


def test_top_and_head(repository, tmp_path):
    (repository / "sub").mkdir()
    assert git.top(repository / "sub") == repository
    assert git.top(tmp_path) is None
    assert git.head(tmp_path) == ""
    assert len(git.head(repository)) == 40
    (repository / "one.py").write_text("2\n")
    assert git.head(repository).endswith("+")


def test_a_folder_may_differ_and_other_files_may_not(repository):
    project = repository / "ml"
    (project / "references").mkdir(parents=True)
    (project / "references" / "a.json").write_text("1\n")
    run(repository, "add", ".")
    run(repository, "commit", "-qm", "two")
    clean = git.head(project)
    (project / "references" / "a.json").write_text("2\n")
    (project / "references" / "b.json").write_text("2\n")
    assert git.head(project) == clean + "+"
    assert git.head(project, apart_from="references") == clean
    assert git.uncommitted(project, apart_from="references") == ()
    assert git.uncommitted(project) == ("ml/references/a.json", "ml/references/b.json")
    (repository / "one.py").rename(repository / "ünd two.py")
    assert git.head(project, apart_from="references") == clean + "+"
    assert git.uncommitted(project, apart_from="references") == ("one.py", "ünd two.py")


def test_what_was_committed_since_an_ancestor(repository, tmp_path):
    first = git.head(repository)
    (repository / "references").mkdir()
    (repository / "references" / "a.json").write_text("1\n")
    (repository / "two.py").write_text("2\n")
    run(repository, "add", ".")
    run(repository, "commit", "-qm", "two")
    assert git.committed_since(repository, first) == ("references/a.json", "two.py")
    assert git.committed_since(repository, first, apart_from="references") == ("two.py",)
    second = git.head(repository)
    run(repository, "checkout", "-q", first)
    with pytest.raises(UserError, match="no part of what is checked out"):
        git.committed_since(repository, second)
    with pytest.raises(UserError, match="is not in this clone\n  Fetch it first"):
        git.committed_since(repository, "0" * 40)
    run(tmp_path, "clone", "-q", "--depth", "1", "-b", "main", f"file://{repository}", "shallow")
    with pytest.raises(UserError, match="git fetch --unshallow"):
        git.committed_since(tmp_path / "shallow", first)


def test_git_that_does_not_answer_is_not_a_clean_tree(tmp_path):
    with pytest.raises(UserError, match="git status failed"):
        git.uncommitted(tmp_path)


def test_changed_since_the_merge_base_odd_names_and_all(repository):
    run(repository, "checkout", "-qb", "work")
    (repository / "sub, é").mkdir()
    (repository / "sub, é" / "two ü.py").write_text("2\n")
    (repository / "gone.py").unlink()
    run(repository, "add", "-A")
    run(repository, "commit", "-qm", "two")
    (repository / "one.py").write_text("changed\n")
    assert git.changed_since(repository, "main") == ("one.py", "sub, é/two ü.py")
    assert git.changed_since(repository / "sub, é", "main") == ("two ü.py",)


def test_an_unknown_base_is_the_users_mistake(repository):
    with pytest.raises(UserError, match="no merge base with 'nowhere'"):
        git.changed_since(repository, "nowhere")
    with pytest.raises(UserError):
        git.changed_since(repository, "--output=owned")
    assert not (repository / "owned").exists()


def test_a_shallow_clone_that_lacks_the_base_says_so(repository, tmp_path):
    (repository / "one.py").write_text("2\n")
    run(repository, "commit", "-qam", "two")
    run(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", "shallow")
    with pytest.raises(Unjudged, match="shallow and lacks origin/other") as caught:
        git.changed_since(tmp_path / "shallow", "origin/other")
    assert "fetch-depth: 0" in caught.value.hint


def test_a_surrounding_git_hook_does_not_lead_astray(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert git.top(repository) == repository


def test_git_s_own_settings_stay():
    """A container may give safe.directory by GIT_CONFIG_COUNT."""
    kept = {"GIT_CONFIG_COUNT": "1", "GIT_SSL_CAINFO": "x", "PATH": "/bin"}
    assert git.unbound({"GIT_DIR": "x", "GIT_INDEX_FILE": "x", "GIT_WORK_TREE": "x", **kept}) == kept


def test_what_git_tracks_is_relative_to_the_folder(repository, tmp_path):
    (repository / "sub").mkdir()
    (repository / "sub" / "zwei ü.py").touch()
    (repository / "untracked.py").touch()
    run(repository, "add", "sub")
    assert git.tracked(repository) == ("gone.py", "one.py", "sub/zwei ü.py")
    assert git.tracked(repository / "sub") == ("zwei ü.py",)
    with pytest.raises(UserError, match="git ls-files failed"):
        git.tracked(tmp_path)


def test_a_path_elsewhere_stays_as_it_is(tmp_path):
    assert git.relative(tmp_path / "a" / "b.py", tmp_path) == "a/b.py"
    assert git.relative(tmp_path, tmp_path / "a") == tmp_path.as_posix()


def test_the_name_that_commits_are_made_under(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert git.user(tmp_path) == ""
    subprocess.run(["git", "config", "user.name", "Ada Lovelace"], cwd=tmp_path, check=True)
    assert git.user(tmp_path) == "Ada Lovelace"
