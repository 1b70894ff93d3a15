"""A worktree shows any commit and leaves nothing behind; the user's files and index are never touched."""

import signal
import subprocess
import sys

import pytest

from backburn.commits import Conflict
from backburn.worktree import opened

from .repositories import begin, commit, git


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    begin(folder, {"net.py": "one\n", "same.py": "x\n", ".gitignore": "data/\nlightning_logs/\nbuild/\n.venv/\n"})
    (folder / "data" / "raw").mkdir(parents=True)
    (folder / "data" / "raw" / "x.csv").write_text("1,2\n")
    (folder / "lightning_logs").mkdir()
    (folder / ".venv").mkdir()
    return folder


def state(folder):
    """All that must stay as it is."""
    files = {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if ".git/" not in f"{path}/"}
    return files, git(folder, "status", "--porcelain"), git(folder, "branch", "-a"), git(folder, "worktree", "list")


def test_it_shows_commits_and_is_gone(repository, tmp_path):
    first = git(repository, "rev-parse", "HEAD")
    second = commit(repository, "Two", {"net.py": "two\n", "new.py": "y\n"})
    (repository / "net.py").write_text("not committed\n")
    before = state(repository)
    with opened(repository, tmp_path / "tree", second) as tree:
        tree.show(first)
        assert (tree.folder / "net.py").read_text() == "one\n" and not (tree.folder / "new.py").exists()
        (tree.folder / "left.txt").write_text("by a training")
        (tree.folder / "net.py").write_text("changed by a training")
        tree.show(second)
        assert (tree.folder / "net.py").read_text() == "two\n" and not (tree.folder / "left.txt").exists()
    assert not (tmp_path / "tree").exists() and state(repository) == before


def test_ignored_data_is_there_and_what_is_written_beside_it_stays_in_the_worktree(repository, tmp_path):
    with opened(repository, tmp_path / "tree", "HEAD") as tree:
        tree.show("HEAD")
        assert (tree.folder / "data" / "raw" / "x.csv").read_text() == "1,2\n"
        assert not (tree.folder / "lightning_logs").exists() and not (tree.folder / ".venv").exists()
        (tree.folder / "data" / "raw" / "cache.bin").write_text("by a training")
    assert [path.name for path in (repository / "data" / "raw").iterdir()] == ["x.csv"]


def test_the_environment_of_one_commit_is_kept_for_the_next(repository, tmp_path):
    with opened(repository, tmp_path / "tree", "HEAD") as tree:
        (tree.folder / "ml" / "build" / "backburn" / "environment").mkdir(parents=True)
        (tree.folder / "ml" / "build" / "backburn" / "environment" / "python").write_text("")
        (tree.folder / "ml" / "build" / "other").write_text("")
        tree.show("HEAD")
        assert (tree.folder / "ml" / "build" / "backburn" / "environment" / "python").exists()
        assert not (tree.folder / "ml" / "build" / "other").exists()


def test_a_commit_is_taken_out_or_is_said_to_conflict(repository, tmp_path):
    culprit = commit(repository, "Culprit", {"net.py": "one\ntwo\n"})
    other = commit(repository, "Other", {"same.py": "xx\n"})
    after = commit(repository, "After", {"net.py": "one\nthree\n"})
    with opened(repository, tmp_path / "tree", after) as tree:
        tree.show(other, (culprit,))
        assert (tree.folder / "net.py").read_text() == "one\n" and (tree.folder / "same.py").read_text() == "xx\n"
        tree.show(other, (other, culprit))
        assert (tree.folder / "net.py").read_text() == "one\n" and (tree.folder / "same.py").read_text() == "x\n"
        with pytest.raises(Conflict, match="conflicts in net.py"):
            tree.show(after, (culprit,))
        tree.show(after)
        assert (tree.folder / "net.py").read_text() == "one\nthree\n"
        assert git(tree.folder, "status", "--porcelain", "--untracked-files=no") == ""


def test_lines_are_taken_out_from_between_what_came_beside_them(repository, tmp_path):
    first = commit(repository, "First", {"net.py": "one\nrate = 1\nend\n", "more.py": "a\n"})
    culprit = commit(repository, "Culprit", {"net.py": "one\nrate = 2\nend\n", "more.py": "b\n", "odd.bin": "\0x"})
    after = commit(repository, "After", {"net.py": "zero\none more\nrate = 2\n# a note\nend\n"})
    removing = commit(repository, "Removing", {"net.py": "zero\none more\n# a note\nend\n"})
    last = commit(repository, "Last", {"net.py": "zero\none more still\n# two notes\nend\n"})
    with opened(repository, tmp_path / "tree", last) as tree:
        tree.show(after, (culprit,))
        assert (tree.folder / "net.py").read_text() == "zero\none more\nrate = 1\n# a note\nend\n"
        assert (tree.folder / "more.py").read_text() == "a\n" and not (tree.folder / "odd.bin").exists()
        tree.show(after, (after, culprit))
        assert (tree.folder / "net.py").read_text() == "one\nrate = 1\nend\n"
        with pytest.raises(Conflict, match="conflicts in net.py"):
            tree.show(last, (removing,))
        tree.show(first)
        assert git(tree.folder, "status", "--porcelain", "--untracked-files=no") == ""


def test_a_merge_is_taken_out_as_a_whole(repository, tmp_path):
    git(repository, "checkout", "-qb", "topic")
    commit(repository, "Topic", {"net.py": "topic\n"})
    git(repository, "checkout", "-q", "main")
    git(repository, "merge", "-q", "--no-ff", "-m", "Merge", "topic")
    merge = git(repository, "rev-parse", "HEAD")
    with opened(repository, tmp_path / "tree", merge) as tree:
        tree.show(merge, (merge,))
        assert (tree.folder / "net.py").read_text() == "one\n"


def test_what_a_killed_run_left_is_taken_away(repository, tmp_path):
    git(repository, "worktree", "add", "-q", "--detach", str(tmp_path / "tree"))
    with opened(repository, tmp_path / "tree", "HEAD") as tree:
        assert (tree.folder / "net.py").exists()
    assert git(repository, "worktree", "list").count("\n") == 0
    git(repository, "worktree", "add", "-q", "--detach", str(tmp_path / "tree"))
    subprocess.run(["rm", "-rf", str(tmp_path / "tree")], check=True)
    with opened(repository, tmp_path / "tree", "HEAD"):
        pass
    assert git(repository, "worktree", "list").count("\n") == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_none(repository, tmp_path, number):
    code = f"""
import signal, sys, time
from pathlib import Path
from backburn.cli import _interrupt
from backburn.worktree import opened
for one in (signal.SIGINT, signal.SIGTERM):
    signal.signal(one, _interrupt)
with opened(Path({str(repository)!r}), Path({str(tmp_path / "tree")!r}), "HEAD"):
    print("there", flush=True)
    time.sleep(60)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert child.stdout.readline() == "there\n"
    child.send_signal(number)
    child.send_signal(number)  # a second one comes at once, as from an impatient hand
    child.wait(20)
    assert not (tmp_path / "tree").exists() and git(repository, "worktree", "list").count("\n") == 0


def test_no_hook_of_the_user_runs(repository, tmp_path):
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\n")
    hook.chmod(0o755)
    with opened(repository, tmp_path / "tree", "HEAD") as tree:
        tree.show("HEAD")
    assert not (tmp_path / "ran").exists()


def test_a_commit_is_merged_into_another_or_is_said_to_conflict(repository, tmp_path):
    git(repository, "checkout", "-qb", "topic")
    side = commit(repository, "Side", {"same.py": "side\n"})
    clash = commit(repository, "Clash", {"net.py": "topic\n"})
    git(repository, "checkout", "-q", "main")
    main = commit(repository, "Main", {"net.py": "main\n"})
    with opened(repository, tmp_path / "tree", main) as tree:
        tree.show(side, onto=main)
        assert [(tree.folder / name).read_text() for name in ("net.py", "same.py")] == ["main\n", "side\n"]
        with pytest.raises(Conflict, match="conflicts in net.py"):
            tree.show(clash, onto=main)
        tree.show(main)
        assert (tree.folder / "same.py").read_text() == "x\n"
