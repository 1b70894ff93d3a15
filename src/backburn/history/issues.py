"""An issue per training, hardware, kind of trouble and first bad commit: opened as it begins, kept true, closed."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

import msgspec

from ..errors import Unjudged
from ..received import line
from . import wording
from . import state as states
from .api import Api
from .nightly import CLEAN, Nightly, Trouble
from .state import Key, State, is_clean, is_same

LABEL = "backburn"
AGAIN = datetime.timedelta(days=14)  # closed for less, an issue is re-opened: one trouble, one thread


class Issue(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of an issue; GitHub lists pull requests among them."""

    number: int
    state: str
    body: str | None = None
    closed_at: Annotated[datetime.datetime, msgspec.Meta(tz=True)] | None = None
    pull_request: dict[str, object] | None = None

    @property
    def key(self) -> Key | None:
        """Which trouble it is about, by the comments in its body."""
        return states.read(self.body or "")[0] if self.pull_request is None else None

    @property
    def told(self) -> State:
        """What the last night wrote into the body; nothing where somebody took it out."""
        return states.read(self.body or "")[1]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done: open, update, reopen or close. Empty texts are left as they are."""

    do: str
    title: str
    number: int = 0
    body: str = ""
    comment: str = ""

    def __str__(self) -> str:
        """As a person reads it: `update #7: nightly: reproduce failed [digits]`."""
        return f"{self.do} #{self.number}: {self.title}" if self.number else f"{self.do}: {self.title}"


def known(api: Api, now: datetime.datetime) -> list[Issue]:
    """The issues under our label: all that are open, and those closed so lately that they may be opened again."""
    since = (now - AGAIN).astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    listed = [*api.pages("/issues", state="open", labels=LABEL)]
    listed += api.pages("/issues", state="closed", labels=LABEL, since=since)
    try:
        return msgspec.convert(listed, list[Issue])
    except msgspec.ValidationError as error:
        raise Unjudged(f"the server's list of issues is malformed: {line(str(error))}") from error


def plan(nightly: Nightly, issues: Iterable[Issue], now: datetime.datetime) -> Iterator[Change]:
    """What is to be done so that the issues say what the night says."""
    ours = sorted((one for one in issues if one.key), key=lambda one: one.number)
    taken: set[int] = set()
    for key, trouble in nightly.troubles.items():
        about = [one for one in ours if one.key and is_same(one.key, one.told, key, nightly.night.workflow)]
        about = [one for one in about if one.number not in taken]
        taken |= {one.number for one in about if one.state == "open"}
        yield from _trouble(nightly, key, trouble, about, now)
    left = [one for one in ours if one.state == "open" and one.number not in taken]
    for one in sorted(left, key=lambda one: (one.key or Key(""))[:2]):
        yield from _ended(nightly, one)


def carry_out(api: Api, changes: Sequence[Change]) -> None:
    """Do it, the label first. Raises Disabled and Unjudged as the API does."""
    if any(change.do == "open" for change in changes) and api.ask("GET", f"/labels/{LABEL}", known=404) is None:
        label = {"name": LABEL, "color": "d93f0b", "description": "Kept by backburn publish"}
        api.ask("POST", "/labels", label, known=422)  # 422: another night was faster
    for change in changes:
        if change.do == "open":
            api.ask("POST", "/issues", {"title": change.title, "body": change.body, "labels": [LABEL]})
            continue
        if change.comment:
            api.ask("POST", f"/issues/{change.number}/comments", {"body": change.comment})
        api.ask("PATCH", f"/issues/{change.number}", _fields(change))


def _fields(change: Change) -> dict[str, str]:
    if change.do == "close":
        return {"state": "closed", "state_reason": "completed"}
    return {"body": change.body} | ({"state": "open"} if change.do == "reopen" else {})


def _trouble(
    nightly: Nightly, key: Key, trouble: Trouble, issues: Sequence[Issue], now: datetime.datetime
) -> Iterator[Change]:
    """One trouble: its foremost open issue is kept, one like it closed; else the last closed one; else a new one."""
    lasting = sorted((one for one in issues if one.state == "open"), key=lambda one: _fits(one, key), reverse=True)
    late = [one for one in issues if one.state == "closed" and one.closed_at and now - one.closed_at < AGAIN]
    late.sort(key=lambda one: (one.told.commit == key.commit, one.number))
    if not lasting and not late:
        state = _state(nightly, key, trouble, State(), State())
        yield Change(do="open", title=key.title, body=wording.body(nightly, key, trouble, state))
        return
    one = lasting[0] if lasting else late[-1]
    before, again = one.told, not lasting or one.told.clean > 0
    state = _state(nightly, key, trouble, State() if again else before, before)
    about = Key(key.kind, key.training, state.hardware, state.commit)
    text = wording.body(nightly, about, trouble, state, one.body or "")
    comment = wording.news(nightly, trouble, before, again=again)
    do = "update" if lasting else "reopen"
    yield Change(do=do, title=about.title, number=one.number, body=text, comment=comment)
    for other in lasting[1:]:
        if other.told.commit in ("", state.commit):
            yield Change(do="close", title=key.title, number=other.number, comment=f"The same as #{one.number}.")


def _fits(one: Issue, key: Key) -> tuple[bool, bool, int, int]:
    """How well an open issue fits: of that commit, of that hardware, told of last; of two alike the older."""
    return one.told.commit == key.commit, one.told.hardware == key.hardware, one.told.run, -one.number


def _state(nightly: Nightly, key: Key, trouble: Trouble, before: State, known: State) -> State:
    """How it stands tonight; what tonight does not tell (`known`) is as it was."""
    return State(
        nights=max(1, before.nights + (before.run != nightly.run.id)),
        run=nightly.run.id,
        cause=wording.slug(trouble.cause),
        workflow=nightly.night.workflow,
        hardware=key.hardware or known.hardware,
        commit=key.commit or known.commit,
        reference=trouble.reference,
        standing=trouble.standing,
    )


def _ended(nightly: Nightly, one: Issue) -> Iterator[Change]:
    key, state = one.key or Key(""), one.told
    said = nightly.over(key, state)
    if not said and nightly.outlives(key, state):
        said = f"No stage of {nightly.page} knows this training any more."
    if said:
        yield Change(do="close", title=key.title, number=one.number, comment=said)
        return
    passed = nightly.clean(key, state) if states.failed(key) else None
    if passed is None or passed.reused:
        return
    nights = is_clean(state, nightly.run.id)
    now = state._replace(clean=nights, run=nightly.run.id, workflow=nightly.night.workflow)
    comment = wording.clean(nightly, CLEAN - nights) if not state.clean else ""
    text = states.standing(one.body or "", now)
    yield Change(do="update", title=key.title, number=one.number, body=text, comment=comment)
