"""That a breach of GitHub's description is seen, on either side."""

import json

import httpx
import pytest

from .contract import wrong_answer, wrong_request

API = "https://api.github.com"
HEADERS = {
    "accept": "application/vnd.github+json",
    "x-github-api-version": "2022-11-28",
    "authorization": "Bearer x",
    "user-agent": "backburn",
}
REGISTER = f"{API}/orgs/acme/actions/runners/generate-jitconfig"
BODY = {"name": "a", "runner_group_id": 1, "labels": ["gpu"], "work_folder": "_work"}
RUNNER = {"id": 1, "name": "a", "os": "unknown", "status": "offline", "busy": False, "labels": [{"name": "gpu"}]}
MADE = {"runner": RUNNER, "encoded_jit_config": "x"}


def asked(method="POST", url=REGISTER, body=BODY, **headers):
    return httpx.Request(method, url, headers={**HEADERS, **headers}, json=body)


def test_a_sound_request_and_answer_break_nothing():
    assert list(wrong_request(asked())) == []
    assert list(wrong_request(asked("GET", f"{API}/orgs/acme/actions/runners?name=a&per_page=100", None))) == []
    assert list(wrong_answer(asked(), httpx.Response(201, json=MADE))) == []


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (asked(url=f"{API}/orgs/acme/actions/runner"), "no such call"),
        (asked("PUT"), "no such call"),
        (asked("GET", f"{API}/orgs/acme/actions/runners?names=a", None), "unknown query parameter names"),
        (asked("GET", f"{API}/orgs/acme/actions/runners?page=one", None), "is not of type 'integer'"),
        (asked("GET", f"{API}/orgs/acme/actions/runners/x", None), "is not of type 'integer'"),
        (asked(body={**BODY, "labels": []}), "labels"),
        (asked(body={**BODY, "labels": ["x"] * 101}), "labels"),
        (asked(body={**BODY, "runner_group_id": "1"}), "runner_group_id"),
        (asked(body={"name": "a"}), "required property"),
        (asked(body={**BODY, "workfolder": "x"}), "unknown key workfolder"),
        (asked(accept="*/*"), "accept"),
        (asked(authorization=""), "no authorization"),
        (asked("DELETE", f"{API}/orgs/acme/actions/runners/1", {"a": 1}), "describes none"),
    ],
)
def test_each_breach_of_a_request_is_seen(request_, said):
    assert said in "\n".join(wrong_request(request_))


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (httpx.Response(200, json=MADE), "200 is not described"),
        (httpx.Response(201, json={"runner": RUNNER}), "encoded_jit_config"),
        (httpx.Response(201, json={**MADE, "runner": {**RUNNER, "id": "1"}}), "integer"),
        (httpx.Response(201, json={**MADE, "runner": {**RUNNER, "version": 1}}), "version"),
        (httpx.Response(201, content=b"x"), "without JSON"),
        (httpx.Response(409, json=[]), "object"),
        (httpx.Response(403, json={}), "message"),
        (httpx.Response(201, content=json.dumps(MADE)), "content-type"),
    ],
)
def test_each_breach_of_an_answer_is_seen(response, said):
    assert said in "\n".join(wrong_answer(asked(), response))


def test_what_may_be_null_may_be_null():
    assert list(wrong_answer(asked(), httpx.Response(201, json={**MADE, "runner": {**RUNNER, "version": None}}))) == []
