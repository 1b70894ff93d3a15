"""The branch: real git, real bare repositories, two nights at once, and a token that is nowhere to be found."""

import os
import subprocess
import sys

import pytest

from backburn.errors import Unjudged
from backburn.history import branch
from backburn.history.branch import Remote, append
from backburn.history.night import Night

from .conftest import REPOSITORY, TOKEN, git, lines


def night(run=1, attempt=1, date="2026-11-21T03:23:00Z", **more):
    about = {
        "commit": "c0ffee",
        "ref": "refs/heads/main",
        "event": "schedule",
        "workflow": "nightly",
        "verdict": "pass",
    }
    return Night(run=run, attempt=attempt, date=date, **about | more)


@pytest.fixture
def remote(bare):
    return Remote(url=f"file://{bare}")


class Waits(list):
    """What was waited for, in place of waiting."""

    def __call__(self, attempt):
        self.append(attempt)


def test_the_first_night_begins_an_orphan_and_the_next_is_appended(bare, remote):
    assert (
        append(night(1), remote) and append(night(2), remote) and append(night(3, date="2026-12-01T03:23:00Z"), remote)
    )
    assert [one["run"] for one in lines(bare)] == [1, 2, 3]
    assert [one["run"] for one in lines(bare, "2026-12")] == [3]
    log = git(bare, "log", "--format=%an <%ae> %cn|%P|%s", "backburn-history").splitlines()
    who = "github-actions[bot] <41898282+github-actions[bot]@users.noreply.github.com> github-actions[bot]"
    assert len(log) == 3 and log[-1] == f"{who}||2026-11-21: pass"
    touched = git(bare, "log", "--format=", "--name-only", "backburn-history").split()
    assert touched.count("README.md") == 1
    assert git(bare, "for-each-ref", "--format=%(refname)").split() == ["refs/heads/backburn-history"]


def test_a_run_has_one_line_and_its_second_attempt_another(bare, remote):
    assert append(night(1), remote) and not append(night(1, date="2026-12-01T00:00:00Z"), remote)
    assert append(night(1, attempt=2), remote)
    assert [(one["run"], one["attempt"]) for one in lines(bare)] == [(1, 1), (1, 2)]
    assert append(night(0), remote) and append(night(0), remote)  # no run of GitHub's: two rehearsals


def put(bare, tmp_path, **files):
    """Somebody's own commit on the branch."""
    work = tmp_path / "work"
    subprocess.run(["git", "clone", "-q", bare, work], check=True, capture_output=True)
    if git(bare, "for-each-ref"):
        git(work, "checkout", "-q", "backburn-history")
    else:
        git(work, "checkout", "-q", "--orphan", "backburn-history")
    for name, content in files.items():
        path = work / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(content) if isinstance(content, os.PathLike) else path.write_bytes(content)
    git(work, "add", ".")
    git(work, "commit", "-q", "-m", "by hand")
    git(work, "push", "-q", "origin", "HEAD:backburn-history")


@pytest.mark.parametrize(
    "there", [b"{not json\n", b"{cut short", b"\xff\xfe\n", b"[" * 100_000 + b"\n", b'{"run":1}\r\n', b"[1]\n", b"\n"]
)
def test_what_is_there_already_stays_byte_for_byte(bare, remote, tmp_path, there):
    name = "nights/2026-11.jsonl"
    put(bare, tmp_path, **{name.replace("/", "__"): there, "README.md": b"ours"})
    assert append(night(1), remote)
    content = subprocess.check_output(["git", "show", f"backburn-history:{name}"], cwd=bare)
    kept = there if there.endswith(b"\n") else there + b"\n"
    assert content.startswith(kept) and content[len(kept) :].startswith(b'{"date"') and content.count(b"\n") == 2
    assert git(bare, "show", "backburn-history:README.md") == "ours"


def test_a_link_on_the_branch_is_not_followed(bare, remote, tmp_path):
    target = tmp_path / "target"
    target.write_text("mine\n")
    put(bare, tmp_path, **{"nights__2026-11.jsonl": target, "other.txt": b"kept"})
    assert append(night(1), remote)
    assert git(bare, "show", "backburn-history:other.txt") == "kept"
    assert target.read_text() == "mine\n"
    assert git(bare, "ls-tree", "backburn-history", "nights/").startswith("100644 blob")


@pytest.mark.parametrize("name", ["nights", "README.md__x", "nights__2026-11.jsonl__x"])
def test_what_stands_in_the_way_is_not_replaced_and_the_way_out_is_said(bare, remote, tmp_path, name):
    put(bare, tmp_path, **{"other.txt": b"kept", name: b"mine"})
    with pytest.raises(Unjudged, match="after attempt 1: .*a file and as a directory") as error:
        append(night(1), remote)
    assert "delete the branch" in error.value.hint
    assert git(bare, "show", f"backburn-history:{name.replace('__', '/')}") == "mine"
    git(bare, "branch", "-D", "backburn-history")
    assert append(night(1), remote)


def moving(monkeypatch, times, then):
    """Let `then` move the branch between the fetch and the push, `times` times."""
    commit, left = branch._Repository.commit, list(range(times))

    def slow(*words):
        new = commit(*words)
        if left:
            number = left.pop(0)
            monkeypatch.setattr(branch._Repository, "commit", commit)
            then(number)
            monkeypatch.setattr(branch._Repository, "commit", slow)
        return new

    monkeypatch.setattr(branch._Repository, "commit", slow)


@pytest.mark.parametrize("begun", [False, True])
def test_a_branch_that_moves_meanwhile_is_appended_to_again(bare, remote, monkeypatch, begun):
    if begun:
        append(night(1), remote)
    waits = Waits()
    moving(monkeypatch, 4, lambda number: append(night(10 + number), remote))
    assert append(night(5), remote, waits)
    assert sorted(one["run"] for one in lines(bare)) == [1][: int(begun)] + [5, 10, 11, 12, 13]
    assert waits == [1, 2, 3, 4]


def test_after_five_attempts_it_is_told_and_nothing_is_forced(bare, remote, monkeypatch):
    moving(monkeypatch, 5, lambda number: append(night(10 + number), remote))
    with pytest.raises(Unjudged, match="after attempt 5: .*rejected") as error:
        append(night(5), remote, Waits())
    assert "contents: write" in error.value.hint
    assert [one["run"] for one in lines(bare)] == [10, 11, 12, 13, 14]


def test_nights_at_once_all_land(bare, remote):
    code = (
        "import sys; from backburn.history.branch import Remote, append; from tests.history.test_branch import night\n"
        "sys.stdin.read(); sys.exit(not append(night(int(sys.argv[1])), Remote(url=sys.argv[2])))"
    )
    command = [sys.executable, "-c", code]
    children = [
        subprocess.Popen([*command, str(run), remote.url], stdin=subprocess.PIPE, cwd=branch.__file__.split("/src/")[0])
        for run in (1, 2, 3)
    ]
    for child in children:  # all wait for this: start them together
        child.stdin.close()
    assert [child.wait(60) for child in children] == [0, 0, 0]
    assert sorted(one["run"] for one in lines(bare)) == [1, 2, 3]


def test_no_repository_is_told_at_once(tmp_path):
    waits = Waits()
    with pytest.raises(Unjudged, match="after attempt 1: .*does not appear to be a git repository"):
        append(night(), Remote(url=f"file://{tmp_path}/none.git"), waits)
    assert waits == []


def test_no_network_is_tried_five_times():
    waits = Waits()
    with pytest.raises(Unjudged, match="after attempt 5: .*127.0.0.1"):
        append(night(), Remote(url="http://127.0.0.1:9/o/r", token=TOKEN), waits)
    assert waits == [1, 2, 3, 4]


def test_a_hook_that_refuses_is_told(bare, remote):
    (bare / "hooks" / "pre-receive").write_text("#!/bin/sh\necho protected branch; exit 1\n")
    (bare / "hooks" / "pre-receive").chmod(0o755)
    with pytest.raises(Unjudged, match="after attempt 1"):
        append(night(), remote, Waits())


def test_a_full_disk_is_told(bare, remote, full, monkeypatch):
    monkeypatch.setattr(branch.tempfile, "tempdir", str(full))
    with pytest.raises(Unjudged, match="after attempt 1: .*No space left on device"):
        append(night(), remote, Waits())
    assert git(bare, "for-each-ref") == "" and os.listdir(full) == ["filler"]


class TestToken:
    def remote(self, github):
        return Remote(url=f"{github.url}/{REPOSITORY}", token=TOKEN)

    def test_it_reaches_the_server_by_a_header_and_is_nowhere_else(self, github, tmp_path, monkeypatch):
        monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
        (tmp_path / "tmp").mkdir()
        monkeypatch.setattr(branch.tempfile, "tempdir", None)
        seen = []

        def look():
            basic = self.remote(github)._basic
            files = [path for path in (tmp_path / "tmp").rglob("*") if path.is_file()]
            content = b"".join(path.read_bytes() for path in files) + arguments()
            seen.append((len(files), TOKEN.encode() in content or basic.encode() in content, b"git" in content))

        github.looked.append(look)
        assert append(night(), self.remote(github))
        assert [one["run"] for one in lines(github.bare)] == [1]
        assert len(seen) > 2 and all(files and not found and git for files, found, git in seen)

    def test_it_is_in_no_repr_and_in_no_environment_but_gits_own(self, github):
        remote = self.remote(github)
        assert TOKEN not in repr(remote)
        env = remote.environ({"BACKBURN_TOKEN": TOKEN, "GITHUB_TOKEN": TOKEN, "GIT_TRACE_CURL": "1", "PATH": "/bin"})
        assert TOKEN not in str(env) and "GIT_TRACE_CURL" not in env and env["PATH"] == "/bin"
        assert env["GIT_TERMINAL_PROMPT"] == "0"

    def test_settings_that_a_container_gives_stay(self, github):
        given = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
        env = self.remote(github).environ(given)
        assert env["GIT_CONFIG_KEY_0"] == "safe.directory" and env["GIT_CONFIG_KEY_4"].startswith("http.")
        assert env["GIT_CONFIG_COUNT"] == "5"

    def test_a_server_that_says_it_back_is_not_believed(self, github):
        remote = self.remote(github)
        assert remote.hide(f"fatal: {TOKEN} and {remote._basic}\x1b[0m") == "fatal: *** and *** [0m"

    @pytest.mark.parametrize(("status", "attempts"), [(401, 1), (403, 1), (404, 1), (500, 5)])
    def test_what_no_second_attempt_mends_is_tried_once(self, github, status, attempts):
        github.fail("git", "info/refs", status, times=9)
        waits = Waits()
        with pytest.raises(Unjudged, match=f"after attempt {attempts}: ") as error:
            append(night(), self.remote(github), waits)
        assert len(waits) == attempts - 1 and TOKEN not in str(error.value)

    def test_a_redirect_is_not_followed_with_it(self, github):
        github.fail("git", "info/refs", 302, times=9, Location=f"{github.url}/elsewhere/info/refs?service=x")
        with pytest.raises(Unjudged):
            append(night(), self.remote(github), Waits())
        assert github.asked and not [path for _, path in github.asked if "elsewhere" in path]

    def test_a_server_that_falters_is_asked_again(self, github):
        github.fail("git", "git-receive-pack", 502, times=2)
        assert append(night(), self.remote(github), Waits())
        assert len(lines(github.bare)) == 1


def arguments():
    """The command lines of every process there is."""
    found = b""
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{number}/cmdline", "rb") as stream:
                found += stream.read()
        except OSError:
            continue
    return found
