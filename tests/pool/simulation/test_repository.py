"""What the hub's repositories show, held against GitHub's description of its API."""

import pytest

from backburn.pool.simulation.repository import Branch

from .test_hub import Asking

PATH = "/repos/acme/digits"


@pytest.fixture
def ask():
    made = Asking()
    home = made.hub.repository("acme/digits")
    home.branches = {"main": Branch(commits=["a" * 40, "b" * 40], protected=True), "x/y": Branch(commits=["c" * 40])}
    return made


def get(ask, below, status=200, method="GET", body=None):
    response = ask(method, path=PATH + below, body=body)
    assert response.status_code == status
    return response.json()


def test_a_run_is_what_its_jobs_are(ask):
    home = ask.hub.repository("acme/digits")
    first, second = ask.hub.submit(("gpu",), job="train"), ask.hub.submit(("gpu",))
    run = home.run(first, second)
    shown = get(ask, f"/actions/runs/{run.id}")
    assert (shown["status"], shown["head_branch"], shown["head_sha"]) == ("queued", "main", "b" * 40)
    assert get(ask, "/actions/runs?status=queued")["total_count"] == 1
    session = ask.hub.connect(ask.made().json()["encoded_jit_config"])
    ask.hub.assign()
    ask.hub.poll(session)
    assert get(ask, "/actions/runs?status=queued")["total_count"] == 0
    assert get(ask, "/actions/runs?status=in_progress")["total_count"] == 1
    taken, waits = get(ask, f"/actions/runs/{run.id}/jobs")["jobs"]
    assert (taken["name"], taken["status"], taken["runner_name"]) == ("train", "in_progress", "a")
    assert taken["runner_id"] == ask.hub.named("a").id
    assert (waits["status"], waits["runner_name"], waits["runner_id"]) == ("queued", None, None)
    ask.hub.finish(session)
    second.progress = "finished"
    assert get(ask, f"/actions/runs/{run.id}")["status"] == "completed"
    get(ask, "/actions/runs/99999", 404)


def test_runs_of_a_time(ask):
    ask.hub.repository("acme/digits").run(ask.hub.submit())
    ask.clock.wait(60)
    for created, count in (("2026-11-18T11:06:39Z", 0), ("2026-11-18T11:06:40Z", 1)):
        assert get(ask, f"/actions/runs?created=%3C%3D{created}")["total_count"] == count


def test_branches_and_what_they_have(ask):
    assert get(ask, "/branches/main")["protected"] and not get(ask, "/branches/x%2Fy")["protected"]
    get(ask, "/branches/v1", 404)
    for head, status in (("a", "behind"), ("b", "identical"), ("c", "diverged")):
        assert get(ask, f"/compare/{'b' * 40}...{head * 40}")["status"] == status
    get(ask, f"/compare/{'d' * 40}...{'a' * 40}", 404)


def test_issues_stay(ask):
    number = get(ask, "/issues", 201, "POST", {"title": "x", "body": "y"})["number"]
    assert [one["number"] for one in get(ask, "/issues?state=open")] == [number]
    assert get(ask, f"/issues/{number}", 200, "PATCH", {"state": "closed", "body": "z"})["body"] == "z"
    assert get(ask, "/issues?state=open") == []
    get(ask, "/issues/99999", 404, "PATCH", {"body": "z"})


@pytest.mark.parametrize(
    ("below", "right"), [("/actions/runs", "actions"), ("/branches/main", "contents"), ("/issues", "issues")]
)
def test_each_call_takes_its_right(ask, below, right):
    ask.hub.granted -= {right}
    assert "not accessible" in get(ask, below, 403)["message"]
    ask.hub.granted = {right}
    get(ask, below)
    assert ask("GET", path="/repos/acme/none" + below).status_code == 404
