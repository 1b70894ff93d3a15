"""Commits that change nothing which is reached have the same name; each kind of reach tells one that does apart."""

import pytest

from backburn.blame.contents import Contents
from backburn.reproduction.rerun import Touched

from ..repositories import begin, commit

FILES = {
    "ml/net.py": "1\n", "ml/unused.py": "1\n", "ml/pyproject.toml": "", "ml/conf/a.yaml": "1\n", "README.md": "1\n",
    "ml/data/x.csv": "1\n",
}  # fmt: skip
TOUCHED = Touched(
    files=frozenset({"ml/net.py", "ml/conf/b.yaml"}),
    folders=frozenset({"ml/data"}),
    modules=frozenset({"ml"}),
    sought=frozenset({"net", "helper"}),
)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"README.md": "2\n"}, True), ({"ml/unused.py": "2\n"}, True), ({"ml/data/NOTES.md": "1\n"}, False),
        ({"ml/conf/a.yaml": "2\n"}, True), ({"ml/other.py": "1\n"}, True), ({"docs/x.md": "1\n"}, True),
        ({"ml/net.py": "2\n"}, False), ({"ml/net.py": None}, False), ({"ml/conf/b.yaml": "1\n"}, False),
        ({"ml/data/x.csv": "12\n"}, False), ({"ml/data/y.csv": "1\n"}, False), ({"ml/helper.py": "1\n"}, False),
        ({"ml/helper/__init__.py": ""}, False), ({"ml/uv.lock": "1\n"}, False), ({"ml/pyproject.toml": "[a]\n"}, False),
        ({"ml/src/helper.py": "1\n"}, False),
    ],
)  # fmt: skip
def test_what_matters_and_what_does_not(tmp_path, change, same):
    before = begin(tmp_path, FILES)
    after = commit(tmp_path, "Change", change)
    held = Contents(top=tmp_path, project="ml")
    held.learn(TOUCHED)
    assert (held.of(before) == held.of(after)) is same


def test_where_not_all_is_seen_the_whole_commit_counts(tmp_path):
    before = begin(tmp_path, FILES)
    after = commit(tmp_path, "Change", {"README.md": "2\n"})
    empty = commit(tmp_path, "Empty", {})
    held = Contents(top=tmp_path)
    held.learn(Touched(unseen="it used the module h5py"))
    assert held.of(before) != held.of(after) == held.of(empty)


def test_what_another_training_reaches_tells_more_apart(tmp_path):
    before = begin(tmp_path, FILES)
    after = commit(tmp_path, "Change", {"ml/unused.py": "2\n"})
    held = Contents(top=tmp_path, project="ml", touched=TOUCHED)
    assert held.of(before) == held.of(after) and held.changed(after, before) == 0
    held.learn(Touched(files=frozenset({"ml/unused.py"})))
    assert held.of(before) != held.of(after) and held.changed(after, before) == 1
