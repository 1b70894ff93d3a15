"""What was made is written down before, in a folder that comes into being with it."""

import pytest

from backburn.errors import UserError
from backburn.pool.setup.files import digest
from backburn.pool.setup.journal import Journal, Made


def test_it_begins_with_its_folder_and_remembers(tmp_path):
    folder = tmp_path / "etc"
    journal = Journal(folder)
    assert not journal.exists and journal.made == ()
    journal.begin()
    journal.will("user", "backburn-pool")
    journal.will("file", "/f", b"one")
    journal.will("file", "/f", b"two")
    again = Journal(folder)
    again.begin()
    assert again.exists and [one.kind for one in again.made] == ["folder", "user", "file"]
    assert again.find("file", "/f") == Made(kind="file", name="/f", sha=digest(b"two"))
    again.start("fingerprint")
    again.forget(again.made[1])
    assert Journal(folder).started == "fingerprint" and not Journal(folder).find("user", "backburn-pool")


def test_a_folder_that_was_there_is_not_ours(tmp_path):
    journal = Journal(tmp_path)
    journal.begin()
    assert journal.exists and journal.made == ()


def test_one_that_was_killed_before_the_folder_was_in_place_begins_anew(tmp_path):
    (tmp_path / ".etc.aside").mkdir()
    (tmp_path / ".etc.aside" / "rest").touch()
    Journal(tmp_path / "etc").begin()
    assert [path.name for path in tmp_path.iterdir()] == ["etc"]
    assert [path.name for path in (tmp_path / "etc").iterdir()] == ["installed.json"]


def test_it_ends_with_its_folder_and_leaves_what_is_not_its(tmp_path):
    journal = Journal(tmp_path / "etc")
    journal.begin()
    assert journal.end() and list(tmp_path.iterdir()) == []
    journal = Journal(tmp_path / "etc")
    journal.begin()
    (tmp_path / "etc" / "notes").touch()
    assert not journal.end() and [path.name for path in (tmp_path / "etc").iterdir()] == ["notes"]
    (tmp_path / ".etc.aside").mkdir()
    assert not Journal(tmp_path / "etc").end() and [path.name for path in tmp_path.iterdir()] == ["etc"]


@pytest.mark.parametrize("content", ["", "[]", '{"kind": "pool-installed", "schema": 1, "new": 1}', '{"made": [{}]}'])
def test_one_that_cannot_be_read_is_no_empty_one(tmp_path, content):
    (tmp_path / "installed.json").write_text(content)
    with pytest.raises(UserError, match="installed.json"):
        Journal(tmp_path)
