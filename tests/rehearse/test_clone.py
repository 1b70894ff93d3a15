import pytest

from backburn.errors import UserError
from backburn.rehearse import clone

from .conftest import git


def made(place, **options):
    return clone.project(place.folder, place.folder.parent / "clone", dirty=options.pop("dirty", False))


def test_the_clone_is_head_and_nothing_else(place):
    here = place(files={"a.txt": "one\n", "b.txt": "b\n"})
    here.write("a.txt", "two\n")
    here.write("new.txt", "new\n")
    project = made(here)
    assert (project.folder / "a.txt").read_text() == "one\n" and not (project.folder / "new.txt").exists()
    assert project.not_pushed == ("new.txt",) and project.left_out == ("a.txt",)
    assert project.head == git(here.folder, "rev-parse", "HEAD")
    assert git(project.folder, "status", "--porcelain") == ""


def test_dirty_takes_tracked_changes_along_and_leaves_a_clean_tree(place):
    here = place(files={"a.txt": "one\n", "b/c.txt": "c\n", "old.txt": "same\n"})
    here.write("a.txt", "two\n")
    (here.folder / "b/c.txt").unlink()
    git(here.folder, "mv", "old.txt", "moved.txt")
    here.write("staged.txt", "staged\n")
    git(here.folder, "add", "staged.txt")
    (here.folder / "link").symlink_to("a.txt")
    git(here.folder, "add", "link")
    here.write("new.txt", "new\n")
    before = git(here.folder, "status", "--porcelain")
    project = made(here, dirty=True)
    assert sorted(git(project.folder, "ls-files").split()) == [".gitignore", "a.txt", "link", "moved.txt", "staged.txt"]
    assert (project.folder / "a.txt").read_text() == "two\n" and (project.folder / "link").is_symlink()
    assert project.not_pushed == ("new.txt",) and project.left_out == ()
    assert git(project.folder, "status", "--porcelain") == ""
    assert (
        git(here.folder, "status", "--porcelain") == before
        and len(git(here.folder, "log", "--oneline").split("\n")) == 1
    )


def test_ignored_files_are_not_even_listed(place):
    here = place(files={"a.txt": "one\n"})
    here.write("build/x", "x")
    assert made(here).not_pushed == ()


def test_no_repository_and_no_commit_are_said(tmp_path):
    with pytest.raises(UserError, match="not a git repository"):
        clone.project(tmp_path, tmp_path / "clone", dirty=False)
    git(tmp_path, "init", "-q")
    with pytest.raises(UserError, match="no commit yet"):
        clone.project(tmp_path, tmp_path / "clone", dirty=False)


def test_a_detached_head_that_no_branch_holds(place):
    here = place(files={"a.txt": "one\n"})
    git(here.folder, "checkout", "-q", "--detach")
    here.write("a.txt", "two\n")
    here.commit()
    project = made(here)
    assert project.branch == "main" and project.head == git(here.folder, "rev-parse", "HEAD")
    assert git(project.folder, "rev-parse", "HEAD") == project.head
    assert git(project.folder, "symbolic-ref", "--short", "HEAD") == "main"


def test_a_linked_worktree(place, tmp_path):
    here = place(files={"a.txt": "one\n"})
    git(here.folder, "worktree", "add", "-q", "-b", "topic", str(tmp_path / "linked tree"))
    linked = tmp_path / "linked tree"
    (linked / "a.txt").write_text("two\n")
    project = clone.project(linked, tmp_path / "clone", dirty=True)
    assert (project.folder / "a.txt").read_text() == "two\n" and project.branch == "topic" and project.default == "main"
    assert (project.folder / ".git").is_dir()


def test_a_project_in_a_subfolder_brings_the_whole_repository(place):
    here = place(files={"sub/pyproject.toml": "", "top.txt": "x\n"})
    here.write("untracked.txt", "x")
    project = clone.project(here.folder / "sub", here.folder.parent / "clone", dirty=False)
    assert (project.folder / "top.txt").exists() and project.not_pushed == ("untracked.txt",)


def test_a_shallow_clone(place, tmp_path):
    here = place(files={"a.txt": "one\n"})
    here.write("a.txt", "two\n")
    here.commit()
    git(tmp_path, "clone", "-q", "--depth=1", here.folder.as_uri(), "shallow")
    project = clone.project(tmp_path / "shallow", tmp_path / "clone", dirty=False)
    assert (project.folder / "a.txt").read_text() == "two\n"


def test_no_hook_of_the_users_gets_its_hands_on_the_clone(place, tmp_path, monkeypatch):
    hook = tmp_path / "hooks" / "post-checkout"
    hook.parent.mkdir()
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/touched\n")
    hook.chmod(0o755)
    here = place(files={"a.txt": "one\n"})
    monkeypatch.delenv("GIT_CONFIG_GLOBAL")  # else --global would mean the one of all tests
    monkeypatch.setenv("HOME", str(tmp_path))
    git(here.folder, "config", "--global", "core.hooksPath", str(hook.parent))
    made(here)
    assert not (tmp_path / "touched").exists()


def test_git_dir_of_a_calling_hook_does_not_lead_astray(place, monkeypatch, tmp_path):
    here = place(files={"a.txt": "one\n"})
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    assert (made(here).folder / "a.txt").exists()


@pytest.mark.parametrize(
    ("remote", "pyproject", "repository"),
    [
        ("git@github.com:team/digits.git", "", "team/digits"),
        ("https://github.com/team/digits", "", "team/digits"),
        ("https://github.com/team/digits.git", '[project.urls]\nSource = "https://github.com/a/b"\n', "team/digits"),
        ("", '[project.urls]\nDocs = "https://x.org"\nSource = "https://github.com/a/b"\n', "a/b"),
        ("https://gitlab.com/team/digits.git", "broken [", "rehearsal/my-project"),
        ("", "", "rehearsal/my-project"),
    ],
)
def test_the_fake_origin_has_the_projects_name(place, remote, pyproject, repository):
    here = place(files={"pyproject.toml": pyproject}, folder="my project")
    if remote:
        git(here.folder, "remote", "add", "origin", remote)
    project = made(here)
    assert project.repository == repository
    assert git(project.folder, "remote", "get-url", "origin") == f"https://github.com/{repository}.git"


def test_the_base_of_a_pull_request_is_there(place, tmp_path):
    """`hygiene` compares with origin/<default>: the remote's, not the local branch that may lag behind."""
    origin = place(files={"a.txt": "one\n"}, folder="origin")
    git(tmp_path, "clone", "-q", str(origin.folder), "mine")
    mine = tmp_path / "mine"
    remote_main = git(mine, "rev-parse", "origin/main")
    git(mine, "checkout", "-q", "-b", "topic")
    (mine / "a.txt").write_text("two\n")
    git(mine, "commit", "-qam", "two")
    git(mine, "branch", "-qf", "main", "topic")
    project = clone.project(mine, tmp_path / "clone", dirty=False)
    assert git(project.folder, "rev-parse", "origin/main") == remote_main == project.base
    assert project.branch == "topic" and git(project.folder, "merge-base", "origin/main", "HEAD") == remote_main


def test_a_default_branch_that_exists_nowhere_else_is_made_up(place):
    here = place(files={"a.txt": "one\n"})
    here.write("a.txt", "two\n")
    here.commit()
    project = made(here)
    assert git(project.folder, "rev-parse", "origin/main") == project.head
    assert project.base == git(here.folder, "rev-parse", "HEAD~1")


def test_the_toolkit_comes_without_what_git_ignores_and_without_git(place, tmp_path):
    here = place(files={"actions/unit/action.yml": "name: x\n", "src/a.py": "a = 1\n"})
    here.write("build/big", "ignored")
    here.write("src/new.py", "untracked, not ignored")
    commit = clone.toolkit(here.folder, tmp_path / "served")
    found = sorted(one.relative_to(tmp_path / "served").as_posix() for one in (tmp_path / "served").rglob("*"))
    assert found == [
        ".gitignore",
        "actions",
        "actions/unit",
        "actions/unit/action.yml",
        "src",
        "src/a.py",
        "src/new.py",
    ]
    assert commit == git(here.folder, "rev-parse", "HEAD")
    here.write("src/a.py", "a = 2\n")
    assert clone.toolkit(here.folder, tmp_path / "again") == commit + "+"
    assert (tmp_path / "again/src/a.py").read_text() == "a = 2\n"


def test_a_toolkit_from_an_archive_comes_without_what_is_built(tmp_path):
    source = tmp_path / "unpacked"
    for name in ("actions/unit/action.yml", "src/a.py", ".venv/bin/x", "build/y", "src/__pycache__/a.pyc"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("x")
    assert clone.toolkit(source, tmp_path / "served") == ""
    files = sorted(one.relative_to(tmp_path / "served").as_posix() for one in (tmp_path / "served").rglob("*.*"))
    assert files == ["actions/unit/action.yml", "src/a.py"]


def test_a_failing_git_is_quoted(tmp_path, place):
    here = place(files={"a.txt": "one\n"})
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone" / "full").touch()
    with pytest.raises(UserError, match="git clone .* failed: .*already exists"):
        clone.project(here.folder, tmp_path / "clone", dirty=False)
