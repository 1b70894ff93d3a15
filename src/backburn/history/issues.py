"""One issue per training and kind of trouble: opened as it begins, kept true while it lasts, closed when it is over."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import msgspec

from ..errors import Unjudged
from ..received import line
from ..report import Verdict
from .api import Api
from .markdown import code, table
from .night import NO_VERDICT, Cause, Night, Part, Run, Told

LABEL = "backburn"
AGAIN = datetime.timedelta(days=14)  # closed for less, an issue is re-opened: one trouble, one thread
ROWS = 40  # of the table: GitHub takes 65 536 characters, and a row has at most 700
_MARKER = re.compile(r"<!-- backburn: ([a-z]+ failed|no verdict)(?: \[([A-Za-z0-9_-]+)\])? -->")
_STATE = re.compile(r"<!-- nights: (\d{1,9}), run: (\d{1,18}), cause: (\S*?)(?:, workflow: (\S+))? -->")
_WANTING = ("no reference", "another environment")  # what a candidate mends, as references.comparable says it
_MARKS = {Verdict.PASS: "✅", Verdict.FAIL: "❌", Verdict.UNJUDGED: "⚠️", Verdict.SKIP: "➖"}

Key = tuple[str, str]  # (kind, training)


class State(NamedTuple):
    """What the body of an issue keeps for the next night: nights in a row, the last one's run, cause and workflow."""

    nights: int = 0
    run: int = 0
    cause: str = ""
    workflow: str = ""


class Issue(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of an issue; GitHub lists pull requests among them."""

    number: int
    state: str
    body: str | None = None
    closed_at: Annotated[datetime.datetime, msgspec.Meta(tz=True)] | None = None
    pull_request: dict[str, object] | None = None

    @property
    def key(self) -> Key | None:
        """Which trouble it is about, by the marker in its body."""
        found = _MARKER.search(self.body or "")
        return (found[1], found[2] or "") if found and self.pull_request is None else None

    @property
    def told(self) -> State:
        """What the last night wrote into the body; nothing where somebody took it out."""
        found = _STATE.search(self.body or "")
        return State(int(found[1]), int(found[2]), found[3], found[4] or "") if found else State()


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


@dataclass(frozen=True, kw_only=True)
class Nightly:
    """What a night says, for whoever writes of it."""

    run: Run
    night: Night
    reports: Mapping[str, Told]

    @property
    def page(self) -> str:
        """The run, as a link where it has an address: that is GitHub's word, and not the training's to choose."""
        return f"[run {self.run.id}]({self.run.page})" if self.run.page.startswith("http") else f"run {self.run.id}"

    @property
    def about(self) -> str:
        """Which night: its date, commit, branch and run."""
        named = [f"commit {code(self.night.commit)}"] if self.night.commit else []
        named += [code(self.night.ref)] if self.night.ref else []
        return ", ".join([self.night.date[:10], *named, self.page])

    @property
    def table(self) -> str:
        """A row per stage and training."""
        parts = [(told.stage, part) for told in self.reports.values() for part in told.parts]
        rows = [_row(stage, part) for stage, part in parts[:ROWS]]
        more = [["", f"{len(parts) - ROWS} more", "", "", "", ""]] if len(parts) > ROWS else []
        return table(["", "stage", "training", "verdict", "headline", "cause"], rows + more)

    @property
    def troubles(self) -> dict[Key, Cause]:
        """What this night calls for an issue, each with what stands first."""
        found: dict[Key, Cause] = {}
        if self.night.problems:
            found[NO_VERDICT, ""] = Cause(said="; ".join(self.night.problems))
        for stage, told in self.reports.items():
            for part in told.parts:
                if part.cause is not None:
                    kind = f"{stage} failed" if part.verdict is Verdict.FAIL else NO_VERDICT
                    found.setdefault((kind, part.training), part.cause)
        return found

    @property
    def over(self) -> set[Key]:
        """What this night ends: a stage that passes, a training that is judged. Without a verdict it ends nothing."""
        if self.night.problems:
            return set()
        parts = [(f"{told.stage} failed", part) for told in self.reports.values() for part in told.parts]
        passed = {(kind, part.training) for kind, part in parts if part.verdict is Verdict.PASS}
        judged = {(NO_VERDICT, part.training) for _, part in parts} | {(NO_VERDICT, "")}
        return (passed | judged) - self.troubles.keys()

    def outlives(self, issue: Issue) -> bool:
        """Whether this workflow told of that training, and knows it no more: renamed, or taken out."""
        trainings = {part.training for told in self.reports.values() for part in told.parts} - {""}
        here = issue.told.workflow == _word(self.night.workflow) and not self.night.problems
        return bool(here and trainings and issue.key and issue.key[1] and issue.key[1] not in trainings)


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
    by_key: dict[Key, list[Issue]] = {}
    for issue in sorted(issues, key=lambda one: one.number):
        if issue.key:
            by_key.setdefault(issue.key, []).append(issue)
    for key, cause in nightly.troubles.items():
        yield from _trouble(nightly, key, cause, by_key.get(key, []), now)
    for key in sorted(by_key):
        yield from _ended(nightly, key, by_key[key])


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
    nightly: Nightly, key: Key, cause: Cause, issues: Sequence[Issue], now: datetime.datetime
) -> Iterator[Change]:
    """One trouble: its first open issue is kept, a second is closed; else the last closed one; else a new one."""
    lasting = [one for one in issues if one.state == "open"]
    late = [one for one in issues if one.state == "closed" and one.closed_at and now - one.closed_at < AGAIN]
    title = _title(key)
    if not lasting and not late:
        yield Change(do="open", title=title, body=_body(nightly, key, cause, 1))
        return
    one = lasting[0] if lasting else late[-1]
    before = one.told
    count = before.nights + (before.run != nightly.run.id) if lasting else 1
    news = f"Again, with {nightly.page}: {_said(cause)}" if not lasting else ""
    if lasting and before.cause != _slug(cause):
        news = f"Another cause since {nightly.page}: {_said(cause)}"
    body = _body(nightly, key, cause, max(1, count))
    yield Change(do="update" if lasting else "reopen", title=title, number=one.number, body=body, comment=news)
    for other in lasting[1:]:
        yield Change(do="close", title=title, number=other.number, comment=f"The same as #{one.number}.")


def _ended(nightly: Nightly, key: Key, issues: Sequence[Issue]) -> Iterator[Change]:
    for one in (one for one in issues if one.state == "open"):
        if key in nightly.over:
            said = f"Over with {nightly.page}."
        elif nightly.outlives(one):
            said = f"No stage of {nightly.page} knows this training any more."
        else:
            continue
        yield Change(do="close", title=_title(key), number=one.number, comment=said)


def _title(key: Key) -> str:
    """The name of a stage and of a training are words: neither can name a person or an issue."""
    kind, training = key
    return f"nightly: {kind} [{training}]" if training else f"nightly: {kind}"


def _body(nightly: Nightly, key: Key, cause: Cause, nights: int) -> str:
    kind, training = key
    wanting = _wanting(nightly, cause, training)
    lasts = f"{nights} nights in a row" if nights > 1 else "the first night"
    blocks = [
        f"<!-- backburn: {kind}{f' [{training}]' if training else ''} -->\n"
        f"<!-- nights: {nights}, run: {nightly.run.id}, cause: {_slug(cause)},"
        f" workflow: {_word(nightly.night.workflow)} -->",
        _said(cause),
        f"**What to do:** {code(cause.hint)}" if cause.hint and not wanting else "",
        _next(nightly, cause, training, wanting),
        nightly.table if nightly.reports else "",
        f"{nightly.about}, {lasts}.",
        "Kept by `backburn publish`, which closes it when it is over.",
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _said(cause: Cause) -> str:
    where = f" at {code(cause.where)}" if cause.where else ""
    return f"**{code(cause.check)}** {code(cause.said, 1000)}{where}" if cause.check else code(cause.said, 1000)


def _wanting(nightly: Nightly, cause: Cause, training: str) -> list[str]:
    """The stages that a candidate of this night may help; none where something else stands first."""
    parts = [(told.stage, part) for told in nightly.reports.values() for part in told.parts]
    causes = [(stage, part.cause) for stage, part in parts if part.training == training]
    stages = [stage for stage, each in causes if each and each.said.startswith(_WANTING)]
    return stages if cause.said.startswith(_WANTING) else []


def _next(nightly: Nightly, cause: Cause, training: str, wanting: Sequence[str]) -> str:
    """The likely next step, by the check's own words."""
    stage = cause.check.partition("/")[0]
    if not re.fullmatch(r"[a-z]+", stage):
        return "Look at the run: a stage did not come to its end, or its artifact is missing."
    again = f"`backburn {stage}{f' {training}' if training else ''}` asks the same on a machine of yours."
    if not wanting:
        return again
    fetch = f"`gh run download {nightly.run.id}`, look at each `candidate.json`"
    bless = " and ".join(f"`backburn bless {one} <candidate.json>`" for one in wanting)
    return f"If this machine is the one to compare with: {fetch}, then {bless}. {again}"


def _slug(cause: Cause) -> str:
    """The check's name (without one, the problem) as a comment in HTML can hold it."""
    return _word(cause.check or cause.said)


def _word(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9/._]+", "-", text)[:100] or "-"


def _row(stage: str, part: Part) -> list[str]:
    cause = f"{code(part.cause.check, 100)} {code(part.cause.said)}".strip() if part.cause else ""
    verdict = part.verdict.value
    return [_MARKS[part.verdict], stage, part.training and code(part.training), verdict, code(part.headline), cause]
