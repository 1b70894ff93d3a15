"""The file that outlives a supervisor."""

import pytest

from backburn.errors import UserError
from backburn.pool import spell as subject
from backburn.pool.spell import FILE, Spell


def test_what_was_known_comes_back(tmp_path):
    assert subject.load(tmp_path) is None
    one = Spell(since=5.0, jobs=2, oldest=1.5, repositories=("acme/digits",), causes=("x",), told=True, issue=7)
    subject.save(one, tmp_path)
    assert subject.load(tmp_path) == one
    subject.forget(tmp_path)
    subject.forget(tmp_path)
    assert subject.load(tmp_path) is None


def test_a_newer_one_is_refused(tmp_path):
    subject.save(Spell(schema=2), tmp_path)
    with pytest.raises(UserError, match="newer"):
        subject.load(tmp_path)


def test_a_disk_that_is_full_leaves_the_old(tmp_path, monkeypatch):
    subject.save(Spell(issue=1), tmp_path)

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        subject.save(Spell(issue=2), tmp_path)
    assert subject.load(tmp_path).issue == 1 and [path.name for path in tmp_path.iterdir()] == [FILE]
