"""The REST client against a server that fails to order."""

import pytest

from backburn.errors import Unjudged
from backburn.history.api import Api, Disabled

from .conftest import REPOSITORY, TOKEN


@pytest.fixture
def waits():
    return []


@pytest.fixture
def api(github, waits):
    return Api(url=f"{github.url}/api", repository=REPOSITORY, token=TOKEN, wait=waits.append)


def test_every_page_is_read(github, api):
    for number in range(250):
        github._open({"title": str(number), "labels": ["backburn"]})
    found = list(api.pages("/issues", state="open", labels="backburn"))
    assert len(found) == 250 and len({one["number"] for one in found}) == 250
    assert len(github.asked) == 3


def test_a_full_last_page_is_followed_by_an_empty_one(github, api):
    for number in range(100):
        github._open({"title": str(number), "labels": ["backburn"]})
    assert len(list(api.pages("/issues", state="open", labels="backburn"))) == 100


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_is_not_allowed_names_the_permission(github, api, waits, status):
    github.fail("GET", "/issues", status)
    with pytest.raises(Unjudged, match=f"GET /api/repos/{REPOSITORY}/issues: {status}") as error:
        api.get("/issues", state="open", labels="x")
    assert "issues: write" in error.value.hint and waits == []


def test_a_wrong_token_is_not_allowed(github):
    with pytest.raises(Unjudged, match="401"):
        Api(url=f"{github.url}/api", repository=REPOSITORY, token="another").get("")


def test_issues_that_are_switched_off_are_told_apart(github, api):
    github.fail("POST", "/issues", 410)
    with pytest.raises(Disabled):
        api.ask("POST", "/issues", {})


@pytest.mark.parametrize(
    ("method", "status", "headers", "waited"),
    [
        ("GET", 500, {}, [2.0]),
        ("GET", 502, {}, [2.0]),
        ("POST", 429, {"Retry_After": "7"}, [7.0]),
        ("POST", 503, {"Retry_After": "7"}, [7.0]),
        ("POST", 403, {"Retry_After": "3600"}, [60.0]),
        ("POST", 403, {"x_ratelimit_remaining": "0"}, [2.0]),
        ("POST", 429, {"Retry_After": "Sat, 21 Nov 2026 03:23:00 GMT"}, [2.0]),
    ],
)
def test_what_was_not_done_is_asked_again(github, api, waits, method, status, headers, waited):
    github.fail(method, "/issues", status, **headers)
    if method == "GET":
        assert list(api.pages("/issues", state="open", labels="x")) == []
    else:
        assert api.ask(method, "/issues", {"title": "a"})["number"] == 1
    assert waits == waited


def test_patience_has_an_end(github, api, waits):
    github.fail("GET", "/issues", 503, times=9)
    with pytest.raises(Unjudged, match="503 Service Unavailable, 4 times"):
        api.get("/issues", state="open", labels="x")
    assert waits == [2.0, 4.0, 8.0]


def test_what_may_have_been_done_is_not_asked_again(github, api, waits):
    """An issue of which a gateway lost the answer would be there twice."""
    github.fail("POST", "/issues", 502)
    with pytest.raises(Unjudged, match="502"):
        api.ask("POST", "/issues", {"title": "a"})
    assert waits == [] and github.issues == []


def test_a_redirect_is_not_followed_with_the_token(github, api):
    github.fail("GET", "", 301, Location="http://127.0.0.1:9/")
    github.fail("POST", "/issues", 302, Location=f"{github.url}/api/repos/{REPOSITORY}")
    for method, path in (("GET", ""), ("POST", "/issues")):
        with pytest.raises(Unjudged, match="30[12]"):
            api.ask(method, path, {} if method == "POST" else None)
    assert len(github.asked) == 2


def test_no_network_is_tried_four_times(waits):
    with pytest.raises(Unjudged, match="refused, 4 times"):
        Api(url="http://127.0.0.1:9", repository="o/r", token=TOKEN, wait=waits.append).ask("POST", "/issues", {})
    assert len(waits) == 3


def test_an_answer_that_is_no_json_or_no_list_is_told(github, api):
    with pytest.raises(Unjudged, match="no list"):
        list(api.pages(""))
    github.fail("git", "", 200)  # no path of the API's: the answer is two words
    with pytest.raises(Unjudged, match="not JSON: 'as ordered'"):
        Api(url=github.url, repository=REPOSITORY, token=TOKEN).get("")
    github.default_branch = None
    with pytest.raises(Unjudged, match="default"):
        api.default_branch()


def test_a_status_that_is_known_is_no_error(github, api):
    assert api.ask("GET", "/labels/backburn", known=404) is None


def test_the_token_is_in_no_repr(api):
    assert TOKEN not in repr(api)


def test_more_issues_than_are_read_are_told_and_not_passed_over(github, api):
    """Else the one that is ours could be among the rest, and be opened anew each night."""
    for number in range(2001):
        github._open({"title": str(number), "labels": ["backburn"]})
    with pytest.raises(Unjudged, match="more than 2000"):
        list(api.pages("/issues", state="open", labels="backburn"))
