"""What is asked of git about a history, on real repositories."""

import pytest

from backburn import commits
from backburn.errors import UserError

from .repositories import begin, commit, git


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "a repository, ünusual"
    begin(folder, {"net.py": "a\n", "docs/read.md": "b\n"})
    return folder


def test_a_revision_has_a_name_or_is_asked_wrongly(repository, tmp_path):
    assert commits.named(repository, "main") == git(repository, "rev-parse", "HEAD")
    for wrong in ("nowhere", "--all", "main:net.py"):
        with pytest.raises(UserError, match="there is no commit"):
            commits.named(repository, wrong)
    commit(repository, "Two", {"net.py": "b\n"})
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", "shallow")
    with pytest.raises(UserError, match="fetch-depth: 0"):
        commits.named(tmp_path / "shallow", git(repository, "rev-parse", "HEAD~1"))


def test_the_commits_between_oldest_first_with_their_parents(repository):
    good = git(repository, "rev-parse", "HEAD")
    one = commit(repository, "One", {"net.py": "b\n"})
    git(repository, "checkout", "-qb", "topic")
    side = commit(repository, "Side", {"side.py": "b\n"})
    git(repository, "checkout", "-q", "main")
    two = commit(repository, "Two", {"net.py": "c\n"})
    git(repository, "merge", "-q", "--no-ff", "-m", "Merge pull request #7 from a/topic", "topic")
    merge = git(repository, "rev-parse", "HEAD")
    found = commits.between(repository, good, merge)
    assert set(found) == {one, side, two, merge} and [*found][0] == one and [*found][-1] == merge
    assert found[merge] == (two, side) and found[one] == (good,)
    for wrong, said in (((merge, good), "is no ancestor of"), ((good, good), "are the same commit")):
        with pytest.raises(UserError, match=said):
            commits.between(repository, *wrong)


def test_who_made_it_and_what_it_changed(repository):
    one = commit(repository, "Scale (#12)", {"net.py": "b\n"}, who="Grace Hopper")
    about = commits.about(repository, one)
    assert (about.author, about.subject, len(about.date)) == ("Grace Hopper", "Scale (#12)", 10)
    assert "-a\n+b" in commits.patch(repository, one)
    assert "+a" in commits.patch(repository, git(repository, "rev-list", "--max-parents=0", "HEAD"))
    git(repository, "merge", "-q", "--no-ff", "-m", "m", one)


def test_objects_of_paths_present_absent_and_odd(repository):
    head = git(repository, "rev-parse", "HEAD")
    names = [f"{head}:net.py", f"{head}:gone.py", f"{head}:a\nb", f"{head}:docs", f"{head}:", f"{head}:ünd so.py"]
    found = list(commits.objects(repository, names))
    assert found[0] == git(repository, "rev-parse", "HEAD:net.py") and found[1:3] == ["", ""]
    assert found[3] == git(repository, "rev-parse", "HEAD:docs") and found[4] and found[5] == ""
    assert commits.entries(repository, found[4]) == {"docs": "tree -", "net.py": "blob 2"}


def test_what_is_ignored_is_listed_by_folder(repository):
    commit(repository, "Ignore", {".gitignore": "data/\n*.pyc\n"})
    (repository / "data" / "raw").mkdir(parents=True)
    (repository / "data" / "raw" / "x.csv").write_text("1")
    (repository / "net.pyc").write_text("1")
    assert set(commits.ignored(repository)) == {"data/", "net.pyc"}


def test_what_git_says_reaches_the_user(tmp_path):
    with pytest.raises(UserError, match="git rev-list failed: .*not a git repository"):
        commits.ask(tmp_path, "rev-list", "HEAD")
