"""A night as its issues tell it: which troubles it has, and which are over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ..reproduction.culprit import Blame
from ..report import Verdict
from . import culprits
from .markdown import code, table
from .night import NO_VERDICT, Cause, Night, Part, Run, Told
from .state import Key, State, failed, is_clean, is_same, word

CLEAN = 2  # nights: one that passes may be luck, where a training does not repeat
ROWS = 40  # of the table: GitHub takes 65 536 characters, and a row has at most 700
_BLAMED = "reproduce"  # the stage that `backburn blame` searches for
_MARKS = {Verdict.PASS: "✅", Verdict.FAIL: "❌", Verdict.UNJUDGED: "⚠️", Verdict.SKIP: "➖"}


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What calls for an issue: what stands first, the class and the reference of that training, who is to blame."""

    cause: Cause
    standing: str = ""
    reference: str = ""
    blame: Blame | None = None


@dataclass(frozen=True, kw_only=True)
class Nightly:
    """What a night says, for whoever writes of it. `blames` are by training."""

    run: Run
    night: Night
    reports: Mapping[str, Told]
    blames: Mapping[str, Blame] = field(default_factory=dict)

    @property
    def page(self) -> str:
        """The run, as a link where it has an address: that is GitHub's word, and not the training's to choose."""
        return f"[run {self.run.id}]({self.run.page})" if self.run.page.startswith("http") else f"run {self.run.id}"

    @property
    def home(self) -> str:
        """The repository's address, if it has one."""
        return self.run.page.partition("/actions/")[0] if self.run.page.startswith("http") else ""

    @property
    def about(self) -> str:
        """Which night: its date, commit, branch and run."""
        named = [f"commit {code(self.night.commit)}"] if self.night.commit else []
        named += [code(self.night.ref)] if self.night.ref else []
        return ", ".join([self.night.date[:10], *named, self.page])

    @property
    def parts(self) -> Iterator[tuple[str, Part]]:
        """(stage, what it said of one training), in order."""
        return ((told.stage, part) for told in self.reports.values() for part in told.parts)

    @property
    def table(self) -> str:
        """A row per stage and training."""
        parts = list(self.parts)
        rows = [_row(stage, part) for stage, part in parts[:ROWS]]
        more = [["", f"{len(parts) - ROWS} more", "", "", "", ""]] if len(parts) > ROWS else []
        return table(["", "stage", "training", "verdict", "headline", "cause"], rows + more)

    @property
    def troubles(self) -> dict[Key, Trouble]:
        """What this night calls for an issue, each with what stands first."""
        found: dict[Key, Trouble] = {}
        if self.night.problems:
            found[Key(NO_VERDICT)] = Trouble(cause=Cause(said="; ".join(self.night.problems)))
        for stage, part in self.parts:
            if part.cause is not None:
                blame = self._blame(stage, part)
                one = Trouble(cause=part.cause, standing=part.standing, reference=part.reference, blame=blame)
                found.setdefault(self._key(stage, part, blame), one)
        return found

    def over(self, key: Key, state: State) -> str:
        """Why an issue can be closed tonight, in words; empty where it cannot."""
        if self.night.problems:
            return ""
        if not failed(key):
            return f"Over with {self.page}." if self._is_judged(key, state) else ""
        passed = self.clean(key, state)
        if passed is None:
            return ""
        if state.reference and passed.reference and state.reference != word(passed.reference):
            return f"Over with {self.page}: another reference was blessed, and it holds."
        if not passed.reused and is_clean(state, self.run.id) >= CLEAN:
            return f"Over with {self.page}, the second clean night."
        return ""

    def clean(self, key: Key, state: State) -> Part | None:
        """What passed tonight of that which an issue is about. A night without a verdict says nothing of any."""
        if self.night.problems:
            return None
        passed = ((stage, part) for stage, part in self.parts if part.verdict is Verdict.PASS)
        here = ((self._key(stage, part, None, failed=True), part) for stage, part in passed)
        return next((part for one, part in here if is_same(key, state, one, self.night.workflow)), None)

    def outlives(self, key: Key, state: State) -> bool:
        """Whether this workflow told of that training, and knows it no more: renamed, or taken out."""
        trainings = {part.training for _, part in self.parts} - {""}
        here = state.workflow == word(self.night.workflow) and not self.night.problems
        return bool(here and trainings and key.training and key.training not in trainings)

    def _key(self, stage: str, part: Part, blame: Blame | None, *, failed: bool = False) -> Key:
        is_failed = failed or part.verdict is Verdict.FAIL
        kind = f"{stage} failed" if is_failed else NO_VERDICT
        return Key(kind, part.training, self._hardware(part.training), culprits.first_bad(blame) if is_failed else "")

    def _is_judged(self, key: Key, state: State) -> bool:
        trainings = dict.fromkeys(part.training for _, part in self.parts if part.training == key.training)
        here = (Key(key.kind, training, self._hardware(training)) for training in trainings)
        return not key.training or any(is_same(key, state, one, self.night.workflow) for one in here)

    def _hardware(self, training: str) -> str:
        """Where its stages ran: one that crashed did not tell, and another did."""
        return next((part.hardware for _, part in self.parts if part.training == training and part.hardware), "")

    def _blame(self, stage: str, part: Part) -> Blame | None:
        found = self.blames.get(part.training) if stage == _BLAMED and part.verdict is Verdict.FAIL else None
        return found if found and found.hardware in ("", part.hardware) else None


def _row(stage: str, part: Part) -> list[str]:
    cause = f"{code(part.cause.check, 100)} {code(part.cause.said)}".strip() if part.cause else ""
    verdict = part.verdict.value
    return [_MARKS[part.verdict], stage, part.training and code(part.training), verdict, code(part.headline), cause]
