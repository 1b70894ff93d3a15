"""A branch that left before the good commit: the commit inside it is named, not the merge alone."""

import pytest

from backburn import blame as searching
from backburn.blame import branches
from backburn.blame.exact import Search
from backburn.blame.search import History
from backburn.blame.world import Ledger
from backburn.reproduction import rerun

from ..repositories import begin, commit, git
from .projects import NET, PYPROJECT, Trainer
from .worlds import Edit, Memory


def test_the_commit_inside_a_merge(tmp_path, monkeypatch):
    trainer = Trainer()
    monkeypatch.setattr(rerun, "train", trainer)
    start = begin(
        tmp_path / "it", {"pyproject.toml": PYPROJECT, "net.py": f"{NET}\n\n\n# end\n", ".gitignore": "build/\n"}
    )
    git(tmp_path / "it", "checkout", "-qb", "topic", start)
    notes = f"# a note\n{NET}\n\n\n# end\n"
    commit(tmp_path / "it", "Note", {"net.py": notes})
    culprit = commit(
        tmp_path / "it", "Raise", {"net.py": notes.replace("step 1 on\n", "step 1 on\nRATE = 0.02  # from step 3 on\n")}
    )
    for number in range(4):
        commit(tmp_path / "it", f"Docs {number}", {"README.md": str(number)})
    git(tmp_path / "it", "checkout", "-q", "main")
    good = commit(tmp_path / "it", "Good", {"net.py": f"{NET}\n\n\n# end of it\n"})
    commit(tmp_path / "it", "Straight", {"other.md": "x"})
    git(tmp_path / "it", "merge", "-q", "--no-ff", "-m", "Merge pull request #9 from me/topic", "topic")
    (one,) = searching.blame(searching.Asked(folder=tmp_path / "it", good=good))
    assert (one.culprit.commit, one.culprit.pull_request, one.culprit.subject) == (culprit, 9, "Raise")
    assert one.proven and one.notes[0].startswith("it came by the merge ") and "+RATE = 0.02" in one.hunk
    assert one.step == 3


@pytest.mark.parametrize(
    ("side", "merge", "expected"),
    [
        (Edit(since=2), Edit(quiet=True), "side"),
        (Edit(quiet=True), Edit(since=2), ""),
        (Edit(broken=True), Edit(since=2, mended=True), ""),
    ],
)
def test_the_merge_stays_the_culprit_where_no_commit_of_it_does_it_alone(side, merge, expected):
    edits = {"c1": Edit(quiet=True), "side": side, "merge": merge}
    world = Memory(edits, parents={"c1": ("good",), "side": ("before",), "merge": ("c1", "side")})
    search = Search(
        ledger=Ledger(world=world), history=History.of("good", "merge", {"c1": ("good",), "merge": ("c1", "side")})
    )
    guilt = search.narrow(search.locate())
    assert guilt.commit == "merge"
    assert branches.narrowed(guilt, search.ledger, {"side": ("before",)}, "c1").inside == expected
