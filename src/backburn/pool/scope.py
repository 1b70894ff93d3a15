"""Whose jobs are run: an organisation's, a repository's or an enterprise's, and where its API is."""

from __future__ import annotations

import re
from enum import StrEnum
from urllib.parse import quote, urlsplit

import msgspec

from ..errors import UserError

PUBLIC = "https://api.github.com"
# owner/name. An owner of Enterprise Managed Users has _ in it; neither half may be what a path takes for a folder.
REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")


class Kind(StrEnum):
    """What the URL names."""

    ORGANISATION = "organisation"
    REPOSITORY = "repository"
    ENTERPRISE = "enterprise"


# kind -> the permissions of an App's installation token that registering takes, and the scope of a classic token.
PERMISSIONS = {
    Kind.ORGANISATION: {"organization_self_hosted_runners": "write"},
    Kind.REPOSITORY: {"administration": "write"},
    Kind.ENTERPRISE: {"enterprise_self_hosted_runners": "write"},
}
_CLASSIC = {Kind.ORGANISATION: "admin:org", Kind.REPOSITORY: "repo", Kind.ENTERPRISE: "manage_runners:enterprise"}


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """`api` has no slash at its end; `path` is below it, as /orgs/acme; `names` are those of the URL."""

    kind: Kind
    api: str
    path: str
    names: tuple[str, ...]

    def has(self, repository: str) -> bool:
        """Is owner/name one whose jobs are run here? Which organisations an enterprise has, its name does not say."""
        names = tuple(repository.lower().split("/"))
        return self.kind is not Kind.ENTERPRISE and names[: len(self.names)] == tuple(map(str.lower, self.names))

    @property
    def hint(self) -> str:
        """What to change where GitHub refuses."""
        (permission, level), *_ = PERMISSIONS[self.kind].items()
        return (
            f"It takes `{permission}: {level}` of an App that is installed for {'/'.join(self.names)}, or a token with "
            f"`{_CLASSIC[self.kind]}` (fine-grained: `{permission}: {level}`) of someone who administers the "
            f"{self.kind}. [github] url must name it as GitHub does: a wrong name is answered like a missing right."
        )


def parse(url: str, api: str = "") -> Scope:
    """The scope that `url` names; `api` overrides where its API is. Raises UserError."""
    parts = urlsplit(url)
    names = tuple(part for part in parts.path.split("/") if part)
    if not parts.hostname or not 1 <= len(names) <= 2 or names == ("enterprises",):
        hint = "https://github.com/acme, https://github.com/acme/repository or https://github.com/enterprises/acme"
        raise UserError(f"names no organisation, repository or enterprise: {url!r}", where="[github] url", hint=hint)
    quoted = [quote(name, safe="") for name in names]
    root = (api or _api(parts.scheme, parts.netloc, parts.hostname)).rstrip("/")
    if len(names) == 1:
        return Scope(kind=Kind.ORGANISATION, api=root, path=f"/orgs/{quoted[0]}", names=names)
    if names[0] == "enterprises":
        return Scope(kind=Kind.ENTERPRISE, api=root, path=f"/enterprises/{quoted[1]}", names=names[1:])
    names = (names[0], names[1].removesuffix(".git"))
    return Scope(kind=Kind.REPOSITORY, api=root, path=f"/repos/{quoted[0]}/{quote(names[1], safe='')}", names=names)


def _api(scheme: str, netloc: str, host: str) -> str:
    if host in ("github.com", "www.github.com"):
        return PUBLIC
    if host.endswith(".ghe.com"):  # GitHub Enterprise Cloud with data residency
        return f"{scheme}://api.{netloc}"
    return f"{scheme}://{netloc}/api/v3"
