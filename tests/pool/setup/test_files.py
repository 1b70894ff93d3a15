"""Whole or not at all, and never more readable than it is to be."""

import os
import stat
from pathlib import Path

import pytest

from backburn.pool.setup import files

ME = (os.geteuid(), os.getegid())


def test_a_file_comes_with_its_mode_and_replaces_what_was_there(tmp_path):
    path = tmp_path / "f"
    path.write_text("old")
    files.beside(path).write_text("left by somebody who was killed")
    files.write(path, b"new", mode=0o640, owner=ME)
    assert path.read_text() == "new" and stat.S_IMODE(path.stat().st_mode) == 0o640 and os.listdir(tmp_path) == ["f"]
    assert files.is_so(path, b"new", 0o640, ME)
    assert not files.is_so(path, b"old", 0o640, ME) and not files.is_so(path, b"new", 0o600, ME)
    (tmp_path / "link").symlink_to(path)
    assert not files.is_so(tmp_path / "link", b"new", 0o777, ME) and not files.is_so(tmp_path / "none", b"", 0o600, ME)


def test_what_cannot_be_written_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "f"
    path.write_text("old")
    monkeypatch.setattr(files.os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="space"):
        files.write(path, b"new", mode=0o600, owner=ME)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["f"]


def test_a_link_that_was_planted_is_not_followed(tmp_path):
    (tmp_path / "victim").write_text("mine")
    files.beside(tmp_path / "f").symlink_to(tmp_path / "victim")
    files.write(tmp_path / "f", b"new", mode=0o600, owner=ME)
    assert (tmp_path / "victim").read_text() == "mine" and (tmp_path / "f").read_text() == "new"


def test_a_tree_goes_and_one_that_is_not_there_is_no_error(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    files.remove_tree(tmp_path / "a")
    files.remove_tree(tmp_path / "a")
    assert not (tmp_path / "a").exists()
    with pytest.raises(OSError, match="proc"):
        files.remove_tree(Path("/proc/self/fdinfo"))
    assert files.digest(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_jobs_left_in_a_folder_that_is_handed_over_leads_nowhere(tmp_path):
    """Neither a link of theirs nor a folder of theirs; and what they own stays theirs."""
    outside, state = tmp_path / "outside", tmp_path / "state"
    upper = state / "cache" / "upper"
    upper.mkdir(parents=True)
    outside.write_text("root's")
    (state / "ledger").touch()
    for link, target in ((state / "to a file", outside), (upper / "theirs", outside), (upper / "folder", tmp_path)):
        link.symlink_to(target)
    (upper / "wheels" / "deep").mkdir(parents=True)
    for one in (state, *state.rglob("*")):
        os.chown(one, 4001, 4001, follow_symlinks=False)
    os.chown(upper / "wheels", 1001, 1001)
    files.hand_over(state, (4002, 4003))
    assert outside.stat().st_uid == tmp_path.stat().st_uid == 0
    owners = {one.name: (one.lstat().st_uid, one.lstat().st_gid) for one in (state, *state.rglob("*"))}
    ours = ("state", "cache", "upper", "ledger", "to a file", "theirs", "folder")
    assert owners == {"wheels": (1001, 1001), "deep": (4001, 4001)} | dict.fromkeys(ours, (4002, 4003))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_handover_that_was_interrupted_is_finished(tmp_path):
    """A folder in it has changed hands already, and what is in that has not."""
    (tmp_path / "state" / "done").mkdir(parents=True)
    (tmp_path / "state" / "done" / "not").touch()
    os.chown(tmp_path / "state" / "done", 4002, 4003)
    files.hand_over(tmp_path / "state", (4002, 4003))
    assert (tmp_path / "state" / "done" / "not").stat().st_uid == 4002
