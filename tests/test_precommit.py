"""By the real pre-commit and the real git, with hooks that need no installation."""

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest
import yaml

from backburn import precommit
from backburn.errors import Unjudged, UserError
from backburn.precommit import Status

from .conftest import NOBODY


def hook(identity, script, **more):
    """A hook that is a line of shell; the files are its arguments."""
    entry = f"sh -c '{script}' sh"
    return {"id": identity, "name": identity, "language": "system", "entry": entry, "require_serial": True, **more}


@pytest.fixture
def project(tmp_path):
    folder = tmp_path.resolve() / "odd, präject"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "a b.txt").write_text("one\ntwo\n")
    (folder / "ü,c.txt").write_text("one\n")
    git(folder, "add", "--all")
    git(folder, *NOBODY, "commit", "-q", "-m", "Begin")
    return folder


def git(folder, *words):
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def run(project, *hooks, files=None, skip=(), timeout=60, **config):
    (project / precommit.FILE).write_text(
        yaml.safe_dump({"repos": [{"repo": "local", "hooks": list(hooks)}], **config})
    )
    out = project.parent / "out"
    out.mkdir(exist_ok=True)
    return precommit.run(project / precommit.FILE, project, out, files=files, skip=skip, timeout=timeout)


def statuses(ran):
    return [one.status for one in ran.hooks]


APPEND = 'for f in "$@"; do echo more >>"$f"; done'


def test_each_hook_in_the_config_s_order(project):
    ran = run(
        project,
        hook("good", "true"),
        hook("bad", 'echo "a b.txt:2: not so"; exit 3'),
        hook("none", "true", types=["python"]),
        hook("later", "true", stages=["manual"]),
        hook("left-out", "false"),
        hook("good", "true", name="the same id again"),
        skip=["left-out"],
    )
    assert statuses(ran) == [
        Status.PASSED,
        Status.FAILED,
        Status.NO_FILES,
        Status.OTHER_STAGE,
        Status.SKIPPED,
        Status.PASSED,
    ]
    assert [one.name for one in ran.hooks][-1] == "the same id again"
    bad = ran.hooks[1]
    assert (bad.code, bad.changed, bad.tail) == (3, False, "a b.txt:2: not so")
    assert [(one.file, one.line, one.message) for one in bad.places] == [("a b.txt", 2, "not so")]
    assert all(one.seconds is not None for one in (ran.hooks[0], ran.hooks[1], ran.hooks[5]))
    assert ran.code == 1
    assert not ran.timed_out


def test_a_hook_s_own_change_in_a_tree_that_was_dirty(project):
    (project / "a b.txt").write_text("one\nmine\n")
    before = git(project, "count-objects")
    ran = run(project, hook("first", APPEND, files="a b"), hook("second", APPEND), hook("third", "true"))
    first, second, third = ran.hooks
    assert [(one.file, one.line, one.message) for one in first.places] == [("a b.txt", 2, "first changed this file")]
    assert first.places[0].detail.startswith("@@ -1,2 +1,3 @@\n one\n mine\n+more")
    assert {one.file for one in second.places} == {"a b.txt", "ü,c.txt"}
    assert second.places[0].detail.count("+more") == 1
    assert (third.status, third.places) == (Status.PASSED, ())
    assert (project / "a b.txt").read_text() == "one\nmine\nmore\nmore\n", "fixes stay"
    assert git(project, "count-objects") == before, "nothing of ours is left in the repository"
    assert git(project, "diff", "--cached", "--name-only") == "", "nor in its index"
    assert "+more" in (project.parent / "out" / "1-first.diff").read_text()


def test_what_looks_like_pre_commit_in_a_hook_s_output_is_just_output(project):
    fake = 'printf "next.......Passed\\n- hook id: next\\n- duration: 9s\\n"; exit 1'
    ran = run(project, hook("liar", fake), hook("next", "exit 7"))
    assert [(one.status, one.code) for one in ran.hooks] == [(Status.FAILED, 1), (Status.FAILED, 7)]


def test_fail_fast_reaches_no_further(project):
    ran = run(project, hook("stop", APPEND), hook("after", "true"), fail_fast=True)
    assert statuses(ran) == [Status.FAILED, Status.NOT_REACHED]
    assert {one.file for one in ran.hooks[0].places} == {"a b.txt", "ü,c.txt"}


def test_the_time_limit(project):
    ran = run(project, hook("quick", "true"), hook("hangs", "sleep 60"), hook("after", "true"), timeout=2)
    assert ran.timed_out
    assert statuses(ran) == [Status.PASSED, Status.CUT_SHORT, Status.NOT_REACHED]


def test_only_the_files_given(project):
    listing = hook("list", 'for f in "$@"; do echo "$f:1: seen"; done; exit 1')
    ran = run(project, listing, files=[str(project / "ü,c.txt")])
    assert [one.file for one in ran.hooks[0].places] == ["ü,c.txt"]
    ran = run(project, listing, hook("always", "true", always_run=True), files=[])
    assert statuses(ran) == [Status.NO_FILES, Status.PASSED]


def test_seconds_are_those_of_the_hooks(project):
    """However long it takes here: they are at most those of the whole, and what is installed is no hook's."""
    started = time.monotonic()
    ran = run(project, hook("slow", "sleep 0.5"))
    took = time.monotonic() - started
    assert ran.seconds >= 0.5 and ran.install_seconds > 0 and ran.seconds + ran.install_seconds <= took
    assert 0.5 <= ran.hooks[0].seconds <= ran.seconds


def test_outside_a_hook_s_business(project, monkeypatch):
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "PYTHONPATH", "GITHUB_OUTPUT", "BACKBURN_BASE"):
        monkeypatch.setenv(name, "/elsewhere")
    monkeypatch.setenv("SKIP", "other")
    monkeypatch.setenv("GIT_ASKPASS", "kept")
    shown = 'echo "$GIT_DIR$GIT_INDEX_FILE$PYTHONPATH$GITHUB_OUTPUT$BACKBURN_BASE $SKIP $GIT_ASKPASS"; exit 1'
    ran = run(project, hook("show", shown), hook("other", "false"), hook("third", "false"), skip=["third"])
    assert ran.hooks[0].tail == "other,third kept"
    assert statuses(ran)[1:] == [Status.SKIPPED, Status.SKIPPED]


@pytest.mark.parametrize(
    "text", ["repos: [", "repos: 3", "- a", "{}", "repos: [{repo: local, hooks: [{name: x}]}]", ""]
)
def test_a_config_that_pre_commit_refuses(project, text):
    (project / precommit.FILE).write_text(text)
    with pytest.raises(UserError) as caught:
        precommit.run(project / precommit.FILE, project, project.parent, files=None, skip=(), timeout=60)
    assert precommit.FILE in str(caught.value)
    assert "refuses" in str(caught.value)


def test_a_config_that_only_pre_commit_knows_to_be_wrong(project):
    with pytest.raises(UserError, match="language") as caught:
        run(project, {"id": "x", "name": "x", "language": "klingon", "entry": "x"})
    assert "backburn-" not in str(caught.value), "in terms of the user's own file"


def test_skip_names_a_hook(project):
    with pytest.raises(UserError, match="'blakc'"):
        run(project, hook("black", "true"), skip=["blakc"])


def python_hook(identity, *needs):
    return {"id": identity, "name": "x", "language": "python", "entry": "x", "additional_dependencies": list(needs)}


def test_hooks_that_cannot_be_installed(project, monkeypatch, tmp_path):
    """Not the config's fault: the hook and the cause are named."""
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path / "empty"))
    for name, value in {"CONFIG_FILE": os.devnull, "INDEX_URL": "http://127.0.0.1:9/", "RETRIES": "1"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    with pytest.raises(Unjudged, match="could not get the hook 'odd' ready: the package index could not be") as caught:
        run(project, hook("good", "true"), python_hook("odd", "iniconfig"))
    assert "127.0.0.1" in caught.value.detail
    unreached = {"repo": "https://127.0.0.1:9/x/y", "rev": "1", "hooks": [{"id": "z"}]}
    (project / precommit.FILE).write_text(yaml.safe_dump({"repos": [unreached]}))
    with pytest.raises(Unjudged, match="hooks of https://127.0.0.1:9/x/y ready: the repository could not be reached"):
        precommit.run(project / precommit.FILE, project, tmp_path, files=None, skip=(), timeout=60)


@pytest.mark.parametrize(
    ("need", "said"),
    [
        ("iniconfig==9.9.9", "the hook 'odd': No matching distribution found for iniconfig==9.9.9"),
        ("./no", "the hook 'odd': Invalid requirement: './no'"),
    ],
)
def test_a_requirement_that_nothing_meets_is_the_config_s_fault(project, monkeypatch, tmp_path, need, said):
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path / "empty"))
    with pytest.raises(UserError, match=said) as caught:
        run(project, python_hook("odd", need))
    assert precommit.FILE in str(caught.value)
    assert str(tmp_path.resolve() / "out" / precommit.LOG) in caught.value.hint


def test_a_repository_of_hooks_with_a_manifest(project, tmp_path):
    """Remote hooks: names and entries come from the manifest, and a mistyped id is the user's to mend."""
    source = tmp_path / "hooks"
    source.mkdir()
    manifest = [{"id": "remote", "name": "from afar", "language": "system", "entry": "true"}]
    (source / ".pre-commit-hooks.yaml").write_text(yaml.safe_dump(manifest))
    git(source, "init", "-q", "-b", "main")
    git(source, "add", "--all")
    git(source, *NOBODY, "commit", "-q", "-m", "Begin")
    repo = {"repo": str(source), "rev": git(source, "rev-parse", "HEAD").strip()}
    (project / precommit.FILE).write_text(yaml.safe_dump({"repos": [repo | {"hooks": [{"id": "remote"}]}]}))
    ran = precommit.run(project / precommit.FILE, project, tmp_path, files=None, skip=(), timeout=60)
    assert [(one.name, one.status) for one in ran.hooks] == [("from afar", Status.PASSED)]
    (project / precommit.FILE).write_text(yaml.safe_dump({"repos": [repo | {"hooks": [{"id": "remoet"}]}]}))
    with pytest.raises(UserError, match="`remoet` is not present"):
        precommit.run(project / precommit.FILE, project, tmp_path, files=None, skip=(), timeout=60)
    repo["rev"] = "v9.9.9"
    (project / precommit.FILE).write_text(yaml.safe_dump({"repos": [repo | {"hooks": [{"id": "remote"}]}]}))
    with pytest.raises(UserError, match=f"the hooks of {source}: pathspec 'v9.9.9' did not match"):
        precommit.run(project / precommit.FILE, project, tmp_path / "out", files=None, skip=(), timeout=60)


def test_before_the_first_commit(tmp_path):
    folder = tmp_path.resolve()
    git(folder, "init", "-q")
    (folder / "a.txt").write_text("a\n")
    git(folder, "add", "a.txt")
    ran = run(folder, hook("fix", APPEND))
    assert [(one.file, one.line) for one in ran.hooks[0].places] == [("a.txt", 1)]


def test_in_a_linked_worktree(project):
    linked = project.parent / "linked"
    git(project, "worktree", "add", "-q", str(linked))
    ran = run(linked, hook("fix", APPEND))
    assert {one.file for one in ran.hooks[0].places} == {"a b.txt", "ü,c.txt"}


def test_outside_the_main_thread(project):
    """As `backburn.hygiene()` may be called from a test runner's thread."""
    found = []
    thread = threading.Thread(target=lambda: found.append(run(project, hook("good", "true"))))
    thread.start()
    thread.join()
    assert statuses(found[0]) == [Status.PASSED]


def test_so_many_files_that_no_command_line_holds_them(project):
    count = 2_000_000 // len(os.fsencode(project / "gone.txt"))
    ran = run(project, hook("good", "true"), files=[str(project / "gone.txt")] * count)
    assert statuses(ran) == [Status.PASSED]


def test_the_log_is_as_pre_commit_alone_would_write_it(project):
    run(project, hook("good", "true"), hook("bad", "echo said; exit 1"))
    log = (project.parent / "out" / precommit.LOG).read_text()
    assert "backburn" not in log
    assert log.count("- hook id: ") == 2
    assert "said" in log
    assert Path(project.parent / "out" / "1-good.diff").exists() is False


def test_a_cold_installation_is_not_the_hooks_time(project, monkeypatch, tmp_path):
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path / "empty"))
    ran = run(
        project, {"id": "x", "name": "x", "language": "python", "entry": "python -c pass", "require_serial": True}
    )
    assert statuses(ran) == [Status.PASSED]
    assert ran.install_seconds > 1, "a virtual environment was made"
    assert ran.seconds < ran.install_seconds / 2
