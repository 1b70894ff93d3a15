"""What the body of an issue keeps for the next night, in comments that no reader sees: which trouble, how it stands.

`<!-- backburn: reproduce failed [digits] -->` names the trouble, and a second comment is a list of words. An issue of
an older version has fewer of them: what is not said of an issue (its hardware, its first bad commit) is no difference.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .night import NO_VERDICT

_MARKER = re.compile(r"<!-- backburn: ([a-z]+ failed|no verdict)(?: \[([A-Za-z0-9_-]+)\])? -->")
_STATE = re.compile(r"<!-- (nights: \d{1,9}, run: \d{1,18}, cause: [^\s>]*(?:, [a-z]+: [^\s>,]*)*) -->")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_CULPRIT = re.compile(r"<!-- culprit -->\n(.{1,12000}?)\n<!-- /culprit -->", re.DOTALL)


class Key(NamedTuple):
    """Which trouble: its kind and training, the hardware and the first bad commit where these are known."""

    kind: str
    training: str = ""
    hardware: str = ""
    commit: str = ""

    @property
    def title(self) -> str:
        """Of its issue. Stages, trainings and hardware are words: none of them can name a person or an issue."""
        named = f" [{self.training}]" if self.training else ""
        on = f" on {self.hardware}" if self.hardware else ""
        since = f" since {self.commit[:7]}" if self.commit else ""
        return f"nightly: {self.kind}{named}{on}{since}"


class State(NamedTuple):
    """How it stands: nights in a row, the last one's run, what stood first, its workflow, where it is, the first bad
    commit, the clean nights since, the reference that it was held against, and the class that it was of.
    """

    nights: int = 0
    run: int = 0
    cause: str = ""
    workflow: str = ""
    hardware: str = ""
    commit: str = ""
    clean: int = 0
    reference: str = ""
    standing: str = ""

    def __str__(self) -> str:
        """As one comment."""
        words = [("nights", str(self.nights)), ("run", str(self.run)), ("cause", word(self.cause))]
        words += [("workflow", word(self.workflow))]
        words += [(name, word(str(told))) for name, told in self._asdict().items() if name in _LATER and told]
        return f"<!-- {', '.join(': '.join(pair) for pair in words)} -->"


_LATER = ("hardware", "commit", "clean", "reference", "standing")  # what older versions did not write


def marked(key: Key, state: State) -> str:
    """The two comments that a body begins with."""
    named = f" [{key.training}]" if key.training else ""
    return f"<!-- backburn: {key.kind}{named} -->\n{state}"


def read(body: str) -> tuple[Key | None, State]:
    """Which trouble a body is about (None: none of ours), and how it stood; nothing where somebody took that out."""
    found, state = _MARKER.search(body), _state(body)
    return (Key(found[1], found[2] or "", state.hardware, state.commit) if found else None), state


def standing(body: str, state: State) -> str:
    """The body as it was, but for how it stands."""
    if _STATE.search(body):
        return _STATE.sub(lambda _: str(state), body, count=1)
    return _MARKER.sub(lambda found: f"{found[0]}\n{state}", body, count=1)


def culprit(body: str) -> str:
    """What an earlier night wrote of the first bad commit."""
    found = _CULPRIT.search(body)
    return found[1] if found else ""


def culprit_marked(text: str) -> str:
    """The same, for a body."""
    return f"<!-- culprit -->\n{text}\n<!-- /culprit -->" if text else ""


def is_same(one: Key, state: State, key: Key, workflow: str) -> bool:
    """Whether an issue is about this trouble of a night; `state` is the issue's, `workflow` the night's.

    A hardware that is not known tonight (a training that crashed before it told) is that of the workflow's last night.
    """
    here = one.hardware in ("", key.hardware) or (not key.hardware and state.workflow == word(workflow))
    since = one.commit == key.commit or "" in (one.commit, key.commit)
    return (one.kind, one.training) == (key.kind, key.training) and here and since


def is_clean(state: State, run: int) -> int:
    """The clean nights, with this one: a run that is told a second time is one night."""
    return state.clean if state.clean and state.run == run else state.clean + 1


def word(text: str) -> str:
    """As a comment in HTML can hold it, between commas."""
    return re.sub(r"[^A-Za-z0-9/._+]+", "-", text)[:100] or "-"


def failed(key: Key) -> bool:
    """Whether a stage failed, which takes more than one clean night to be over."""
    return key.kind != NO_VERDICT


def _state(body: str) -> State:
    found = _STATE.search(body)
    if not found:
        return State()
    words = dict(one.split(": ", 1) for one in found[1].split(", "))
    commit = words.get("commit", "")
    return State(
        nights=int(words["nights"]),
        run=int(words["run"]),
        cause=words["cause"],
        workflow=words.get("workflow", ""),
        hardware=words.get("hardware", ""),
        commit=commit if _COMMIT.fullmatch(commit) else "",
        clean=int(words.get("clean") or 0) if words.get("clean", "").isdecimal() else 0,
        reference=words.get("reference", ""),
        standing=words.get("standing", ""),
    )
