"""Who made a commit, and the pull request it came by: its own subject, or the merge that brought it."""

from backburn.blame import authors

from ..repositories import begin, commit, git


def test_the_pull_request_of_a_squash_a_merge_and_none(tmp_path):
    begin(tmp_path, {"a": "1"})
    squashed = commit(tmp_path, "Scale the loss (#12)", {"a": "2"}, who="Grace")
    git(tmp_path, "checkout", "-qb", "topic")
    inside = commit(tmp_path, "Inside", {"b": "1"})
    git(tmp_path, "checkout", "-q", "main")
    direct = commit(tmp_path, "Straight to main", {"c": "1"})
    git(tmp_path, "merge", "-q", "--no-ff", "-m", "Merge pull request #7 from me/topic", "topic")
    merge = git(tmp_path, "rev-parse", "HEAD")
    commit(tmp_path, "Last", {"c": "2"})
    numbers = {one: authors.culprit(tmp_path, one, "main").pull_request for one in (squashed, inside, direct, merge)}
    assert numbers == {squashed: 12, inside: 7, direct: 0, merge: 7}
    one = authors.culprit(tmp_path, squashed, "main")
    assert (one.author, one.subject, one.commit) == ("Grace", "Scale the loss (#12)", squashed)
