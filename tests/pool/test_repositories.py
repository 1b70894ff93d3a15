"""The calls on a repository; what they are for is in test_provenance.py and test_queue.py."""

import json

import httpx
import pytest

from backburn.pool.questions import Purpose
from backburn.pool.registrar import Later, Refused, Uncertain
from backburn.pool.repositories import Repositories
from backburn.pool.scope import REPOSITORY
from backburn.pool.simulation.faults import Fault

from .moments import answering

ISSUES = Purpose(permissions={"issues": "write"}, key="[queue] issue", repositories=("digits",))
NAMES = {"acme/digits": True, "a-b_corp/x.y_z-1": True, "acme/..": False, "acme/.": False, "acme/...": True}
NAMES |= {"acme": False, "acme/": False, "/x": False, "-a/x": False, "acme/x\n": False, "acme/x/y": False, "a/é": False}


@pytest.mark.parametrize(("name", "sound"), NAMES.items())
def test_a_name_is_one_of_githubs(name, sound):
    assert bool(REPOSITORY.fullmatch(name)) is sound


@pytest.mark.parametrize("name", [name for name, sound in NAMES.items() if not sound])
def test_another_reaches_no_path(rig, name):
    github, asked = answering(rig, httpx.Response(200, json=[]))
    some = Repositories(github.beside(ISSUES))
    for call in (lambda: some.run(name, 1), lambda: list(some.issues(name)), lambda: some.open(name, "x", "y")):
        with pytest.raises(ValueError, match="no repository's name"):
            call()
    assert not asked


def test_an_issue_is_opened_changed_closed_and_no_pull_request(rig):
    home = rig.hub.repository("acme/digits")
    some = Repositories(rig.github.beside(ISSUES))
    number = some.open("acme/digits", "stuck", "why")
    assert [(one.number, one.body) for one in some.issues("acme/digits")] == [(number, "why")]
    assert some.change("acme/digits", number, body="more") and home.issues[number].body == "more"
    assert some.change("acme/digits", number, state="closed") and not list(some.issues("acme/digits"))
    assert not some.change("acme/digits", 99999, body="x")
    github, _ = answering(rig, httpx.Response(410, json={"message": "This issue was deleted"}))
    assert not Repositories(github.beside(ISSUES)).change("acme/digits", number, body="x")
    pull = {"number": 1, "state": "open", "title": "x", "user": None, "pull_request": {"url": "x"}}
    github, _ = answering(rig, httpx.Response(200, json=[pull]))
    assert not list(Repositories(github.beside(ISSUES)).issues("acme/digits"))


def test_lists_have_pages_and_an_end(rig):
    home = rig.hub.repository("acme/digits")
    for _ in range(130):
        home.write("x")
    assert len(list(Repositories(rig.github.beside(ISSUES), pages=9).issues("acme/digits"))) == 130
    assert len(list(Repositories(rig.github.beside(ISSUES)).issues("acme/digits"))) == 90


def test_an_answer_that_is_lost_is_uncertain(rig):
    rig.hub.repository("acme/digits")
    some = Repositories(rig.github.beside(ISSUES))
    rig.hub.faults.plan(Fault.LOST, "open")
    with pytest.raises(Uncertain):
        some.open("acme/digits", "x", "y")
    rig.clock.wait(60)
    assert len(list(some.issues("acme/digits"))) == 1


def test_issues_that_are_switched_off_are_refused(rig):
    rig.hub.repository("acme/digits").issues_disabled = True
    with pytest.raises(Refused, match="410") as error:
        Repositories(rig.github.beside(ISSUES)).open("acme/digits", "x", "y")
    assert "`issues: write`" in error.value.hint and "[queue] issue" in error.value.hint


def test_a_token_of_an_app_is_for_what_it_is_for(app):
    app.hub.repository("acme/digits")
    some, handle, minted = Repositories(app.github.beside(ISSUES)), app.checked.handle, []

    def heard(request):
        minted.extend([json.loads(request.content)] if "access_tokens" in request.url.path else [])
        return handle(request)

    app.checked.handle = heard
    some.open("acme/digits", "x", "y")
    assert minted == [{"permissions": {"issues": "write"}, "repositories": ["digits"]}]
    assert list(app.hub._may.values()) == [{"issues"}]
    with pytest.raises(Refused, match="403"):
        some.run("acme/digits", 1)
    app.hub.expire_tokens()
    assert some.open("acme/digits", "x", "y"), "it is renewed"


def test_what_it_asks_with_is_redacted_for_all(app):
    app.hub.repository("acme/digits")
    Repositories(app.github.beside(ISSUES)).open("acme/digits", "x", "y")
    token = next(iter(app.hub.tokens))
    assert token in app.github.secrets() and token not in app.github.redact(f"it said {token}")


def test_the_pace_is_shared(rig):
    rig.hub.repository("acme/digits")
    some = Repositories(rig.github.beside(ISSUES))
    rig.hub.faults.plan(Fault.THROTTLED, "open")
    with pytest.raises(Later):
        some.open("acme/digits", "x", "y")
    with pytest.raises(Later):
        rig.github.find("a")
    assert rig.github.resting() and rig.hub.trespasses == 0
    assert rig.github.tally().requests["POST", "429"] == 1
