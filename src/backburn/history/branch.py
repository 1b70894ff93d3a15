"""The branch `backburn-history`: an orphan with a line of JSON per night, appended by real git, never by force."""

from __future__ import annotations

import base64
import os
import random
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from .. import git, github, process
from ..errors import Unjudged
from ..received import line
from .night import Night, dumps

BRANCH = "backburn-history"
ATTEMPTS = 5
README = """\
# What the nights said

Written by `backburn publish`: one line of JSON per night in `nights/YYYY-MM.jsonl`, appended and never rewritten. No
code lies here, and no branch is meant to be merged with this one. Delete the branch, and the next night begins it anew.
"""
_REF = f"refs/heads/{BRANCH}"
_BOT = "41898282+github-actions[bot]@users.noreply.github.com"
_NAMES = {f"GIT_{role}_NAME": "github-actions[bot]" for role in ("AUTHOR", "COMMITTER")}
_EMAILS = {f"GIT_{role}_EMAIL": _BOT for role in ("AUTHOR", "COMMITTER")}
_QUIET = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
# What no second attempt mends.
_FINAL = re.compile(
    r"not found|does not exist|does not appear to be|error: 40[13]|[Aa]uthentication|could not read Username"
    r"|[Pp]ermission|No space left|protected|both a file and as a directory|bad file"
)

Pause = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Remote:
    """Where the branch lives. The token goes to git by its environment: not in argv, not in a file, not in a repr."""

    url: str
    token: str = field(default="", repr=False)

    def environ(self, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
        """What git is started with: settings by GIT_CONFIG_*, after those that a container gives."""
        kept = {name: text for name, text in github.for_user_code(git.unbound(environ)).items() if _is_kept(name)}
        settings = {
            "core.hooksPath": os.devnull,  # a machine's own pre-push hook has no business here
            "credential.helper": "",
            "http.followRedirects": "false",  # our header would follow
        }
        if self.token:
            settings[f"http.{self.url}.extraheader"] = f"AUTHORIZATION: basic {self._basic}"
        start = int(kept.get("GIT_CONFIG_COUNT") or 0)
        for number, (key, text) in enumerate(settings.items(), start):
            kept |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": text}
        return kept | _NAMES | _EMAILS | _QUIET | {"GIT_CONFIG_COUNT": str(start + len(settings))}

    def hide(self, text: str) -> str:
        """What git said, without the token in either of its forms."""
        for secret in filter(None, (self.token, self.token and self._basic)):
            text = text.replace(secret, "***")
        return line(text)

    @property
    def _basic(self) -> str:
        return base64.b64encode(f"x-access-token:{self.token}".encode()).decode()


def pause(attempt: int) -> None:
    """Wait a while before another attempt, each time longer: two nights that met must not meet again."""
    time.sleep(random.uniform(0.5, 1.5) * attempt)  # noqa: S311


def append(night: Night, remote: Remote, wait: Pause = pause) -> bool:
    """Put the night on the branch, which is begun where it is not there; False where it is on it already.

    Raises Unjudged where git could not after five attempts, or at once where another would not help.
    """
    with tempfile.TemporaryDirectory(prefix="backburn-history-") as folder:
        repository = _Repository(Path(folder), remote)
        for attempt in range(ATTEMPTS):
            if attempt:
                wait(attempt)
            try:
                return _append(night, repository)
            except _Failed as error:
                said = str(error)
            if _FINAL.search(said):
                break
    hint = (
        f"It takes `permissions: contents: write`, and a rule set that lets this workflow push to {BRANCH}. "
        "Where something else lies there, delete the branch: the next night begins it anew."
    )
    raise Unjudged(f"the night is not on the branch {BRANCH}, after attempt {attempt + 1}: {said}", hint=hint)


class _Failed(Exception):
    """Git ended with another code than 0."""


class _Repository:
    """A bare repository of its own, so that nothing of the branch is ever checked out: no link, no filter, no hook."""

    def __init__(self, folder: Path, remote: Remote) -> None:
        self.folder, self.remote, self.env = folder, remote, remote.environ()

    def git(self, *words: str) -> bytes:
        code, out, error = process.capture(["git", *words], cwd=self.folder, env=self.env)
        if code:
            raise _Failed(self.remote.hide(error or out.decode(errors="replace")) or f"git ended with {code}")
        return out

    def fetch(self) -> str:
        """The branch's commit, empty where there is no branch."""
        if not self.git("ls-remote", self.remote.url, _REF).strip():
            return ""
        self.git("fetch", "--quiet", "--no-tags", "--depth", "1", self.remote.url, _REF)
        return self.git("rev-parse", "FETCH_HEAD").decode().strip()

    def files(self, commit: str) -> dict[str, bytes]:
        """What is on the branch: README.md and the nights by month."""
        if not commit:
            return {}
        names = self.git("ls-tree", "-r", "-z", "--name-only", commit, "README.md", "nights/").split(b"\0")
        return {
            os.fsdecode(name): self.git("cat-file", "blob", f"{commit}:{os.fsdecode(name)}") for name in names if name
        }

    def commit(self, parent: str, changed: Mapping[str, bytes], message: str) -> str:
        """A commit on `parent` (none: an orphan) with these files changed, all others as they were."""
        self.git("read-tree", *([parent] if parent else ["--empty"]))
        for name, content in changed.items():
            (self.folder / "content").write_bytes(content)
            blob = self.git("hash-object", "-w", "--no-filters", "content").decode().strip()
            self.git("update-index", "--add", "--cacheinfo", f"100644,{blob},{name}")
        tree = self.git("write-tree").decode().strip()
        above = ["-p", parent] if parent else []
        return self.git("commit-tree", tree, *above, "-m", message).decode().strip()


def _append(night: Night, repository: _Repository) -> bool:
    repository.git("init", "--quiet", "--bare")  # again after a failure: that changes nothing
    parent = repository.fetch()
    files = repository.files(parent)
    if any(_holds(content, night) for name, content in files.items() if name.startswith("nights/")):
        return False
    month = f"nights/{night.date[:7]}.jsonl"
    before = files.get(month, b"")
    if before and not before.endswith(b"\n"):
        before += b"\n"  # a line cut short, by whatever hand, stays as it is
    changed = {month: before + dumps(night)} | ({} if "README.md" in files else {"README.md": README.encode()})
    new = repository.commit(parent, changed, f"{night.date[:10]}: {night.verdict}")
    repository.git("push", "--quiet", "--porcelain", repository.remote.url, f"{new}:{_REF}")
    return True


def _holds(content: bytes, night: Night) -> bool:
    """Whether this attempt of this run has a line; one that is no JSON of ours is passed over."""
    return night.run != 0 and any(_run(one) == (night.run, night.attempt) for one in content.splitlines())


def _run(one: bytes) -> tuple[object, object] | None:
    try:
        found = msgspec.json.decode(one, type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return found.get("run"), found.get("attempt")


def _is_kept(name: str) -> bool:
    return not name.startswith(("GIT_TRACE", "GIT_CURL_VERBOSE")) and "TOKEN" not in name
