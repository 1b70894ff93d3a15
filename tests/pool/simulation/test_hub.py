"""The API in front of the service: rights, pace, faults, and that each answer is as GitHub describes it."""

import random

import httpx
import pytest

from backburn.pool.simulation.faults import Fault
from backburn.pool.simulation.hub import App, Group, Hub

from ..contract import wrong_answer, wrong_request
from ..moments import TOKEN, Moments

HEADERS = {"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28", "user-agent": "x"}
URLS = ["https://github.com/acme", "https://github.com/acme/digits", "https://github.com/enterprises/acme"]
BODY = {"name": "a", "runner_group_id": 1, "labels": ["gpu"]}


class Asking:
    def __init__(self, url="https://github.com/acme", **given):
        self.clock = Moments()
        self.hub = Hub(self.clock, random.Random(1), url=url, token=TOKEN, **given)

    def __call__(self, method, below="", body=None, token=TOKEN, path=None):
        where = self.hub.scope.api + (self.hub.scope.path + below if path is None else path)
        request = httpx.Request(method, where, headers={**HEADERS, "authorization": f"Bearer {token}"}, json=body)
        response = self.hub.handle(request)
        assert not list(wrong_request(request)) and not list(wrong_answer(request, response))
        return response

    def made(self, name="a"):
        return self("POST", "/actions/runners/generate-jitconfig", {**BODY, "name": name})


@pytest.fixture
def ask():
    return Asking()


@pytest.mark.parametrize("url", URLS)
def test_every_answer_is_as_described(url):
    ask = Asking(url)
    made = ask.made().json()
    number = made["runner"]["id"]
    assert ask.made().status_code == 409
    assert ask("GET", "/actions/runners").json()["total_count"] == 1
    assert ask("GET", f"/actions/runners/{number}").json()["name"] == "a"
    session = ask.hub.connect(made["encoded_jit_config"])
    ask.hub.submit()
    ask.hub.assign()
    assert ask("GET", "/actions/runners?name=a").json()["runners"][0]["busy"] is True
    assert ask("DELETE", f"/actions/runners/{number}").status_code == 422
    ask.hub.poll(session)
    ask.hub.finish(session)
    assert ask("GET", f"/actions/runners/{number}").status_code == 404
    assert ask("DELETE", f"/actions/runners/{number}").status_code == 404
    other = ask.made("b").json()["runner"]["id"]
    assert ask("DELETE", f"/actions/runners/{other}").status_code == 204
    assert ask("GET", "/actions/runners", token="wrong").status_code == 401
    if "digits" in url:
        assert ask("GET", "").json()["private"] is True
    else:
        assert ask("GET", "/actions/runner-groups").json()["total_count"] == 3


def test_lists_have_pages_with_links(ask):
    for number in range(70):
        ask.hub.register(f"r{number}", ("gpu",), 1)
    pages = [ask("GET", f"/actions/runners?page={page}") for page in (1, 2, 3, 4)]
    assert [len(page.json()["runners"]) for page in pages] == [30, 30, 10, 0]
    assert ['rel="next"' in page.headers.get("link", "") for page in pages] == [True, True, False, False]
    assert "page=2" in pages[0].headers["link"] and "link" not in pages[0].json()
    assert len(ask("GET", "/actions/runners?per_page=100").json()["runners"]) == 70


@pytest.mark.parametrize(
    "body",
    [{**BODY, "name": "x" * 65}, {**BODY, "name": ""}, {**BODY, "runner_group_id": 9}, {**BODY, "labels": ["x"]}],
)
def test_a_registration_that_cannot_be(ask, body):
    sound = body["labels"] == ["x"]
    assert ask("POST", "/actions/runners/generate-jitconfig", body).status_code == (
        201 if sound else 404 if body["runner_group_id"] == 9 else 422
    )
    assert len(ask.hub.runners) == sound


def test_late_lists_and_exact_ids(ask):
    ask.hub.behaviour.late, ask.hub.behaviour.late_for = 1.0, (60.0, 60.0)
    number = ask.made().json()["runner"]["id"]
    assert ask("GET", "/actions/runners?name=a").json() == {"total_count": 0, "runners": []}
    assert ask("GET", f"/actions/runners/{number}").status_code == 200 and ask.made().status_code == 409
    ask.clock.wait(60)
    assert ask("GET", "/actions/runners?name=a").json()["total_count"] == 1


@pytest.mark.parametrize(
    ("fault", "status", "there"),
    [
        (Fault.LOST, None, True),
        (Fault.DROPPED, None, False),
        (Fault.REFUSED, None, False),
        (Fault.FAILED_AFTER, 500, True),
        (Fault.FAILED, 502, False),
        (Fault.TAKEN, 409, False),
        (Fault.THROTTLED, 429, False),
        (Fault.SECONDARY, 403, False),
        (Fault.UNAUTHORIZED, 401, False),
        (Fault.SLOW, 201, True),
        (Fault.GARBLED, 200, True),
    ],
)
def test_each_fault_does_what_it_says(ask, fault, status, there):
    ask.hub.faults.plan(fault, "register")
    if status is None:
        with pytest.raises((httpx.ReadTimeout, httpx.ConnectError)) as error:
            ask.made()
        assert isinstance(error.value, httpx.ConnectError) == (fault is Fault.REFUSED)
    else:
        assert ask.made().status_code == status
    assert ("a" in ask.hub.names) == there and ask.hub.faults.seen[fault] == 1
    assert (ask.clock.passed() > 0) == (fault is Fault.SLOW)


def test_busy_although_idle(ask):
    number = ask.made().json()["runner"]["id"]
    ask.hub.faults.plan(Fault.BUSY)
    assert ask("DELETE", f"/actions/runners/{number}").status_code == 422 and number in ask.hub.live


def test_the_hour_has_a_budget(ask):
    ask = Asking(limit=3)
    left = [ask("GET", "/actions/runners").headers["x-ratelimit-remaining"] for _ in range(3)]
    assert left == ["2", "1", "0"]
    refused = ask("GET", "/actions/runners")
    assert refused.status_code == 403 and refused.headers["x-ratelimit-remaining"] == "0" and ask.hub.trespasses == 1
    ask.clock.wait(3601)
    assert ask("GET", "/actions/runners").status_code == 200


def test_the_minute_has_points(ask):
    ask = Asking(points=12)
    assert [ask.made(str(number)).status_code for number in range(4)] == [201, 201, 201, 403]
    assert ask("GET", "/actions/runners").headers["retry-after"] == "60" and ask.hub.trespasses == 1
    ask.clock.wait(61)
    assert ask.made("x").status_code == 201


def test_who_comes_too_early_is_counted(ask):
    ask.hub.faults.retry_after = (30, 30)
    ask.hub.faults.plan(Fault.THROTTLED)
    assert ask("GET", "/actions/runners").headers["retry-after"] == "30"
    ask.clock.wait(29)
    ask("GET", "/actions/runners")
    assert ask.hub.trespasses == 1
    ask.clock.wait(1)
    ask("GET", "/actions/runners")
    assert ask.hub.trespasses == 1


@pytest.mark.parametrize("offset", [-300, 0, 300])
def test_date_is_of_the_hubs_clock(ask, offset):
    import email.utils

    ask.hub.offset = offset
    ask.clock.jump(12345)
    moment = email.utils.parsedate_to_datetime(ask("GET", "/actions/runners").headers["date"]).timestamp()
    assert moment == int(ask.hub.now() + offset) == ask.clock.now() - 12345 + offset


@pytest.fixture(scope="module")
def key():
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class TestApps:
    @pytest.fixture
    def ask(self, key):
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        return Asking(app=App(id="5", public_key=public))

    def signed(self, ask, key, issued=-60, lasts=600, **claims):
        import jwt

        begun = int(ask.hub.now()) + issued
        return jwt.encode({"iss": "5", "iat": begun, "exp": begun + lasts, **claims}, key, algorithm="RS256")

    @pytest.mark.parametrize("url", URLS)
    def test_a_token_is_minted_and_ends(self, key, ask, url):
        ask = Asking(url, app=ask.hub._app)
        assert ask("GET", "/installation", token=self.signed(ask, key)).json()["id"] == 77
        path = "/app/installations/77/access_tokens"
        minted = ask("POST", token=self.signed(ask, key), path=path, body={}).json()
        assert minted["token"].startswith("ghs_") and minted["token"] in ask.hub.secrets
        assert ask("GET", "/actions/runners", token=minted["token"]).status_code == 200
        ask.clock.wait(3600)
        assert ask("GET", "/actions/runners", token=minted["token"]).status_code == 401

    @pytest.mark.parametrize(
        ("given", "status", "said"),
        [
            ({"issued": 5}, 401, "'iat'"),
            ({"issued": -60, "lasts": 700}, 401, "'exp'"),
            ({"issued": -900}, 401, "'exp'"),
            ({"iss": "6"}, 404, "Integration not found"),
            ({}, 200, ""),
        ],
    )
    def test_a_jwt_must_be_of_now(self, ask, key, given, status, said):
        answer = ask("GET", "/installation", token=self.signed(ask, key, **given))
        assert answer.status_code == status and said in answer.text

    def test_another_key_is_nobodys(self, ask):
        from cryptography.hazmat.primitives.asymmetric import rsa

        other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        assert ask("GET", "/installation", token=self.signed(ask, other)).status_code == 401
        assert ask("GET", "/installation", token=TOKEN).status_code == 401

    def test_another_installation_is_nobodys(self, ask, key):
        path = "/app/installations/5/access_tokens"
        assert ask("POST", token=self.signed(ask, key), path=path, body={}).status_code == 404


def test_paths_that_are_none(ask):
    for method, path in (
        ("GET", "/orgs/other/actions/runners"),
        ("POST", "/orgs/acme/actions/runners/1"),
        ("GET", "/x"),
    ):
        request = httpx.Request(method, f"https://api.github.com{path}", headers={"authorization": f"Bearer {TOKEN}"})
        assert ask.hub.handle(request).status_code == 404
    assert ask("GET", "/actions/runner-groups").status_code == 200


def test_groups_are_as_they_were_set(ask):
    ask.hub.groups = [Group(id=4, name="x", public=True)]
    (group,) = ask("GET", "/actions/runner-groups").json()["runner_groups"]
    assert group["allows_public_repositories"] and group["id"] == 4


def test_what_was_asked_is_known(ask):
    ask.made()
    ask.hub.faults.plan(Fault.LOST)
    with pytest.raises(httpx.ReadTimeout):
        ask("GET", "/actions/runners")
    assert ask.hub.requests == {("register", 201): 1, ("list", 0): 1}
    assert [(call, status) for _, call, status in ask.hub.asked] == [("register", 201), ("list", 0)]
