"""The verb as a job starts it: a process, a server that remembers, real git, and what people and the runner read."""

import contextlib
import importlib
import json
import os
import re
import socketserver
import subprocess
import sys
import threading
import time

import pytest

from backburn.github import Actions
from backburn.history.publish import Asked

from .conftest import TOKEN, git, leave, lines, report, three

wing = importlib.import_module("backburn.history.publish")  # the package has a function of that name


@pytest.fixture
def place(tmp_path):
    """Where the job stands: no checkout."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def publish(place, artifacts, github):
    """`publish("--result", "success", NAME=text) -> finished process`, its outputs and summary beside it."""

    def publish(*words, environ=None, **more):
        files = {"GITHUB_OUTPUT": place / "output", "GITHUB_STEP_SUMMARY": place / "summary"}
        kept = {key: text for key, text in os.environ.items() if not key.startswith(("GITHUB_", "BACKBURN_"))}
        about = github.environ() if environ is None else environ
        env = kept | {"GITHUB_ACTIONS": "true"} | {name: str(path) for name, path in files.items()} | about | more
        command = [sys.executable, "-m", "backburn", "publish", str(artifacts), *words]
        done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, timeout=60)
        done.outputs = dict(re.findall(r"^(\w+)<<\S+\n(.*)\n", read(place / "output"), re.MULTILINE))
        done.summary = read(place / "summary")
        done.told = obeyed(done.stdout) + obeyed(done.stderr)
        found = subprocess.run(["grep", "-rlF", TOKEN, place.parent], capture_output=True, text=True)
        assert TOKEN not in done.stdout + done.stderr and found.stdout == ""
        return done

    return publish


def read(path):
    return path.read_text() if path.exists() else ""


def obeyed(text):
    """The workflow commands that a runner would carry out."""
    found, mark = [], ""
    for line in text.splitlines():
        if mark:
            mark = "" if line.strip() == f"::{mark}::" else mark
        elif line.strip().startswith("::stop-commands::"):
            mark = line.strip().removeprefix("::stop-commands::")
        elif line.strip().startswith("::") or "##[" in line:
            found.append(line.strip())
    return found


def test_a_night_that_passes(publish, github, artifacts):
    leave(artifacts, *three())
    done = publish("--result", "success")
    assert (done.returncode, done.stderr, done.told) == (0, "", [])
    (one,) = lines(github.bare)
    assert (one["verdict"], one["run"], one["ref"]) == ("pass", 7, "refs/heads/main")
    assert (done.outputs["verdict"], done.outputs["issues"]) == ("pass", "0")
    assert json.loads(done.outputs["line"]) == one and done.outputs["line"] in done.stdout.splitlines()
    assert done.summary.startswith("### ✅ night: pass\n") and "| ✅ | reproduce | `digits` | pass |" in done.summary
    assert github.issues == []


def test_a_night_that_failed_is_told_and_the_job_is_green(publish, github, artifacts):
    leave(artifacts, *three(reproduce=report(said="the loss differs")))
    done = publish("--result", "failure")
    assert (done.returncode, done.outputs["verdict"], done.outputs["issues"]) == (0, "fail", "1")
    assert list(github.open_issues()) == ["nightly: reproduce failed [digits]"]
    assert "`reproduce/loss-agrees` `the loss differs`" in done.summary
    leave(artifacts, *three())
    assert "update #1: " in publish("--result", "success", GITHUB_RUN_ID="8").stdout
    done = publish("--result", "success", GITHUB_RUN_ID="9")
    assert github.open_issues() == {} and "close #1: nightly: reproduce failed [digits]" in done.stdout
    assert [one["verdict"] for one in lines(github.bare)] == ["fail", "pass", "pass"]


def test_a_night_that_was_not_judged_is_told_and_the_job_is_green(publish, github, artifacts):
    leave(artifacts, *three(reproduce=report(unjudged="no reference for cpu-avx512")))
    done = publish("--result", "success")
    assert (done.returncode, done.outputs["verdict"]) == (0, "unjudged")
    assert list(github.open_issues()) == ["nightly: no verdict [digits]"]


@pytest.mark.parametrize("result", ["cancelled", "success"])
def test_without_all_reports_there_is_no_verdict_and_it_is_written_down(publish, github, artifacts, result):
    leave(artifacts, *(three() if result == "cancelled" else three()[:2]))
    done = publish("--result", result)
    assert (done.returncode, done.outputs["verdict"]) == (3, "no verdict")
    assert [one["verdict"] for one in lines(github.bare)] == ["no verdict"]
    assert list(github.open_issues()) == ["nightly: no verdict"]
    (told,) = done.told
    assert told.startswith("::error title=backburn publish::no verdict: ")
    assert "### ⚠️ night: no verdict" in done.summary and "- **error** `no verdict: " in done.summary


def test_a_night_without_any_artifact_is_told(publish, github):
    done = publish("--result", "failure")
    assert done.returncode == 3 and len(lines(github.bare)) == 1
    assert "unit: no report" in done.stdout and len(done.told) == 3


def test_only_the_stages_that_are_expected_must_report(publish, artifacts):
    leave(artifacts, report("memorize"))
    assert publish("--result", "success", "--expect", "memorize,").returncode == 0
    assert publish("--result", "success", BACKBURN_EXPECT=" memorize\n unit").returncode == 3


def test_inputs_arrive_by_the_environment(place, publish, github, artifacts):
    leave(artifacts, *three())
    artifacts.rename(place / "artifacts")
    env = os.environ | github.environ() | {"BACKBURN_PATH": "", "BACKBURN_EXPECT": "", "BACKBURN_RESULT": "success"}
    command = [sys.executable, "-m", "backburn", "publish"]
    done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True)
    assert (done.returncode, lines(github.bare)[0]["verdict"]) == (0, "pass")
    done = subprocess.run(command, cwd=place, env=env | {"BACKBURN_PATH": "elsewhere"}, capture_output=True, text=True)
    assert done.returncode == 3 and "profile: no report" in done.stderr


def test_the_same_attempt_again_leaves_one_line(publish, github, artifacts):
    leave(artifacts, *three())
    publish("--result", "success")
    done = publish("--result", "success")
    assert done.returncode == 0 and "has this run already" in done.stdout and len(lines(github.bare)) == 1


def test_where_the_branch_cannot_be_written_the_line_and_the_issues_are(publish, github, artifacts):
    leave(artifacts, *three(reproduce=report(said="no")))
    github.fail("git", "git-receive-pack", 403)
    done = publish("--result", "failure")
    assert done.returncode == 3 and git(github.bare, "for-each-ref") == ""
    assert list(github.open_issues()) == ["nightly: reproduce failed [digits]"]
    assert json.loads(done.stdout.splitlines()[1])["verdict"] == "fail"
    (told,) = done.told
    assert "403" in told and "contents: write" in told


def test_where_the_issues_cannot_be_written_the_line_is(publish, github, artifacts):
    leave(artifacts, *three(reproduce=report(said="no")))
    github.fail("POST", "/issues", 403)
    done = publish("--result", "failure")
    assert done.returncode == 3 and len(lines(github.bare)) == 1
    (told,) = done.told
    assert told.startswith("::error") and "403" in told and "issues: write" in told


def test_issues_that_are_switched_off_are_a_warning(publish, github, artifacts):
    leave(artifacts, *three(reproduce=report(said="no")))
    github.fail("POST", "/issues", 410)
    done = publish("--result", "failure")
    assert done.returncode == 0 and len(lines(github.bare)) == 1
    (told,) = done.told
    assert told.startswith("::warning") and "has no issues" in told


def test_a_night_of_another_branch_leaves_the_issues_alone(publish, github, artifacts):
    leave(artifacts, *three(reproduce=report(said="no")))
    publish("--result", "failure")
    leave(artifacts, *three())
    done = publish("--result", "success", GITHUB_REF="refs/heads/try", GITHUB_RUN_ID="8")
    assert (done.returncode, done.outputs["issues"]) == (0, "0") and len(github.open_issues()) == 1
    assert "issues: left alone, they tell of refs/heads/main" in done.stdout
    assert [one["ref"] for one in lines(github.bare)] == ["refs/heads/main", "refs/heads/try"]


def test_an_earlier_night_that_is_run_again_leaves_the_issues_alone(publish, github, artifacts):
    leave(artifacts, *three(reproduce=report(said="no")))
    publish("--result", "failure", GITHUB_RUN_ID="9")
    leave(artifacts, *three())
    done = publish("--result", "success", GITHUB_RUN_ID="7", GITHUB_RUN_ATTEMPT="2")
    assert (done.returncode, done.outputs["issues"]) == (0, "0") and len(github.open_issues()) == 1
    assert "issues: left alone, they tell of a later night, run 9" in done.stdout
    publish("--result", "success", GITHUB_RUN_ID="9", GITHUB_RUN_ATTEMPT="2")
    publish("--result", "success", GITHUB_RUN_ID="10")
    assert github.open_issues() == {} and len(lines(github.bare)) == 4


@pytest.mark.parametrize("slow", ["git", "api"])
def test_a_server_that_never_ends_its_answer_wears_nobody_out(artifacts, github, monkeypatch, tmp_path, slow):
    """A byte every now and then: no time limit of a socket sees that."""
    leave(artifacts, *three(reproduce=report(said="no")))
    monkeypatch.setattr(wing, "PATIENCE", 1.0)
    asked = Asked(
        folder=artifacts, expect=(), result="success", rehearsal=False, stages=("unit", "reproduce", "profile")
    )
    said = []
    with dribbling() as url:
        environ = github.environ(**{"git": {"SERVER_URL": url}, "api": {"API_URL": url}}[slow])
        started = time.monotonic()
        done = wing.publish(asked, Actions(), said.append, environ)
    assert time.monotonic() - started < 10 and not done.ok
    (trouble,) = done.troubles
    assert "no end after 1 s" in trouble[1]
    assert len(github.issues) == (slow == "git") and bool(git(github.bare, "for-each-ref")) == (slow == "api")


@contextlib.contextmanager
def dribbling():
    """A server that says a letter of its head ten times a second."""
    over = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            with contextlib.suppress(OSError):
                while not over.wait(0.1):
                    self.request.sendall(b"x")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        over.set()
        server.shutdown()


def test_a_full_disk_keeps_the_line_in_the_log(publish, github, artifacts, full):
    leave(artifacts, *three())
    done = publish("--result", "success", TMPDIR=str(full))
    assert done.returncode == 3 and "No space left on device" in done.told[0]
    assert json.loads(done.stdout.splitlines()[1])["verdict"] == "pass" and "Traceback" not in done.stderr


class TestAskedWrongly:
    def test_no_token(self, publish, github, artifacts):
        done = publish("--result", "success", BACKBURN_TOKEN="")
        assert done.returncode == 2 and "there is no token" in done.stderr and "contents: write" in done.stderr
        assert github.asked == []

    def test_no_run_of_githubs(self, publish):
        done = publish("--result", "success", environ={})
        assert done.returncode == 2 and "--rehearsal" in done.stderr

    def test_no_such_stage(self, publish):
        done = publish("--expect", "unit nightly")
        assert done.returncode == 2 and "no stage is called 'nightly'" in done.stderr


def test_what_a_training_wrote_gives_no_order_to_the_runner(publish, github, artifacts):
    evil = "x\n::add-mask::a\n::error::mine\n##[set-env name=PATH]/evil\n\n::stop-commands::x\nEOF"
    leave(artifacts, *three(reproduce=report(said=evil), profile=report("profile", interrupted=evil, said=evil)))
    (artifacts / "unit-\n::error::b").mkdir()
    done = publish("--result", "failure")
    assert done.returncode == 3 and len(done.told) == 2
    assert all(one.startswith("::error title=backburn publish::no verdict: ") for one in done.told)
    assert set(done.outputs) == {"verdict", "line", "issues"}
    assert not [line for line in done.summary.splitlines() if line.startswith(("::", "##["))]


def test_a_summary_shows_what_a_training_wrote_as_code(publish, artifacts):
    evil = "a @everyone #1 <img src=x> `b | c"
    leave(artifacts, *three(reproduce=report(said=evil), profile=report("profile", interrupted=evil)))
    summary = publish("--result", "failure").summary
    outside = "".join(summary.split("`")[::2])
    assert "@everyone" in summary and not [one for one in ("@", "#1", "<img") if one in outside]
    assert {len(row.split("|")) for row in summary.splitlines() if row.startswith("|")} == {8}


class TestRehearsal:
    def test_the_line_lies_in_the_folder_and_no_issue_is_sent(self, publish, place, artifacts, github):
        leave(artifacts, *three(reproduce=report(said="no")))
        done = publish("--result", "failure", environ={"BACKBURN_REHEARSAL": "1"}, GITHUB_RUN_ID="1")
        assert done.returncode == 0 and "would open: nightly: reproduce failed [digits]" in done.stdout
        folder = place / "build" / "backburn"
        assert [one["verdict"] for one in lines(folder / "publish" / "history.git")] == ["fail"]
        (change,) = json.loads((folder / "publish" / "issues.json").read_text())
        assert (change["do"], change["title"]) == ("open", "nightly: reproduce failed [digits]")
        assert ", run 1, the first night." in change["body"]  # no server, no link
        assert change["body"].rstrip() in done.stdout  # a rehearsed job leaves its log alone
        assert "would `open: nightly" in done.summary and done.outputs["verdict"] == "fail"
        assert github.asked == [] and (folder / ".gitignore").exists()

    def test_it_is_never_green_without_a_verdict(self, publish):
        done = publish("--rehearsal", environ={})
        assert done.returncode == 3 and "would open: nightly: no verdict" in done.stdout

    def test_one_at_a_time_may_begin_it_and_the_next_appends(self, publish, place, artifacts):
        leave(artifacts, *three())
        for _ in range(2):
            assert publish("--rehearsal", "--result", "success", environ={}).returncode == 0
        assert len(lines(place / "build" / "backburn" / "publish" / "history.git")) == 2


@pytest.mark.parametrize("at", ["GET ", "POST /labels", "POST /issues", "PATCH /issues/1"])
def test_killed_anywhere_the_next_night_mends_it(place, artifacts, github, monkeypatch, at):
    """SIGKILL after the server did what it was asked to, and before it could say so."""
    command = [sys.executable, "-m", "backburn", "publish", str(artifacts), "--result", "failure"]
    children, answer = [], github.answer

    def start(run):
        leave(artifacts, *three(reproduce=report(said="no")))
        env = os.environ | github.environ(RUN_ID=run)
        children.append(subprocess.Popen(command, cwd=place, env=env, stdout=subprocess.DEVNULL))
        return children[-1].wait(60)

    def deadly(method, path, query, body):
        said = answer(method, path, query, body)
        if f"{method} {path}" == at:
            children[-1].kill()
        return said

    if at.startswith("PATCH"):
        assert start("1") == 0
    monkeypatch.setattr(github, "answer", deadly)
    assert start("2") == -9
    monkeypatch.setattr(github, "answer", answer)
    assert start("3") == 0
    assert [one["run"] for one in lines(github.bare)][-2:] == [2, 3]
    assert list(github.open_issues()) == ["nightly: reproduce failed [digits]"] and len(github.issues) == 1
    assert "run: 3" in github.issues[0]["body"] and github.labels == {"backburn"}


def test_two_nights_at_once_both_land(place, artifacts, github):
    leave(artifacts, *three())
    command = [sys.executable, "-m", "backburn", "publish", str(artifacts), "--result", "success"]
    nights = [
        subprocess.Popen(command, cwd=place, env=os.environ | github.environ(RUN_ID=run), stdout=subprocess.DEVNULL)
        for run in ("1", "2")
    ]
    assert [one.wait(60) for one in nights] == [0, 0]
    assert sorted(one["run"] for one in lines(github.bare)) == [1, 2]
