"""URL -> whose jobs, and where the API is."""

import pytest

from backburn.errors import UserError
from backburn.pool.scope import Kind, parse


@pytest.mark.parametrize(
    ("url", "kind", "api", "path"),
    [
        ("https://github.com/acme", Kind.ORGANISATION, "https://api.github.com", "/orgs/acme"),
        ("https://github.com/acme/", Kind.ORGANISATION, "https://api.github.com", "/orgs/acme"),
        ("https://www.github.com/acme/x.git", Kind.REPOSITORY, "https://api.github.com", "/repos/acme/x"),
        ("https://github.com/enterprises/acme", Kind.ENTERPRISE, "https://api.github.com", "/enterprises/acme"),
        ("https://git.acme.org/team", Kind.ORGANISATION, "https://git.acme.org/api/v3", "/orgs/team"),
        ("http://git.acme.org:8443/a/b", Kind.REPOSITORY, "http://git.acme.org:8443/api/v3", "/repos/a/b"),
        ("https://acme.ghe.com/team", Kind.ORGANISATION, "https://api.acme.ghe.com", "/orgs/team"),
        ("https://github.com/a b", Kind.ORGANISATION, "https://api.github.com", "/orgs/a%20b"),
    ],
)
def test_every_kind_of_url(url, kind, api, path):
    scope = parse(url)
    assert (scope.kind, scope.api, scope.path) == (kind, api, path)


def test_where_the_api_is_can_be_said():
    assert parse("https://github.com/acme", "https://proxy/github/").api == "https://proxy/github"


@pytest.mark.parametrize("url", ["", "acme", "https://github.com", "https://github.com/enterprises", "https://x/a/b/c"])
def test_what_names_nobody_is_refused(url):
    with pytest.raises(UserError, match="names no organisation"):
        parse(url)


def test_the_hint_names_who_must_change_what():
    assert "`administration: write` of an App that is installed for acme/x" in parse("https://github.com/acme/x").hint
