"""`blame.json` comes back as it was written, and a newer or a foreign one is refused."""

import pytest

from backburn import evidence
from backburn.errors import UserError
from backburn.reproduction import culprit
from backburn.reproduction.culprit import Blame, Conclusion, Culprit

ONE = Culprit(commit="0" * 40, author="A", committer="B", date="2026-11-20", subject="lr (#7)", pull_request=7)


def test_it_comes_back_as_it_was(tmp_path):
    told = Blame(training="digits", conclusion=Conclusion.FOUND, culprit=ONE, step=3, cause="optimizer", cost=0.31)
    evidence.save(told, tmp_path / culprit.FILE)
    assert culprit.load(tmp_path / culprit.FILE) == told


@pytest.mark.parametrize(("change", "said"), [('"schema": 2', "newer"), ('"kind": "steps"', "kind 'blame'")])
def test_what_is_not_ours_is_refused(tmp_path, change, said):
    evidence.save(Blame(training="digits"), tmp_path / culprit.FILE)
    text = (tmp_path / culprit.FILE).read_text()
    key = change.partition(":")[0]
    line = next(line for line in text.splitlines() if line.strip().startswith(key))
    (tmp_path / culprit.FILE).write_text(text.replace(line.strip().rstrip(","), change))
    with pytest.raises(UserError, match=said):
        culprit.load(tmp_path / culprit.FILE)
