"""`blame.json`: which commit made a training differ, as `backburn blame` found it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import msgspec

from .. import evidence

FILE = "blame.json"  # in build/backburn/reproduce/<training>/


class Conclusion(StrEnum):
    """What a search came to."""

    FOUND = "found"  # one commit, and nothing is left between its parent and it
    RANGE = "range"  # one of several: those between cannot be trained, or the runs did not suffice
    UNJUDGED = "unjudged"  # none, for the reason that is said


class Culprit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One commit. All of it is text of the repository's authors: escape it where it is shown.

    `commit` is the full hash, `author` and `committer` are names, `date` the day it was committed (2026-11-20),
    `pull_request` the number that its subject tells, 0 for none.
    """

    commit: str
    author: str = ""
    committer: str = ""
    date: str = ""
    subject: str = ""
    pull_request: int = 0


class Blame(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The search of one training between two commits, `good` and `bad` (full hashes).

    `said` is one sentence: the finding, or the reason why there is none. `culprit` is set where it was FOUND; the
    `candidates` of a RANGE are in the order of the history. `others` are further commits that changed the training,
    each found after those before it were taken out. `step` (0: not known) is the first training batch that differs,
    `cause` the class of the difference (data, rng, init, forward, backward, clip, optimizer, buffer, evaluation),
    `module` and `op` where it lies, `hunk` the lines of the commit's diff that are likeliest to do it, with `file`
    before them. `proof` says what became of `bad` without the culprit and `proven` whether that was `good` again.
    `certainty` is 1 where bits were compared, else the posterior probability. `cost` is in full trainings (0 where
    their length is not known), `steps` and `reruns` what was trained for it. `skipped` could not be trained;
    `inherited` counts the commits that changed nothing which the training reaches.
    """

    training: str
    hardware: str = ""
    good: str = ""
    bad: str = ""
    conclusion: Conclusion = Conclusion.UNJUDGED
    said: str = ""
    culprit: Culprit | None = None
    candidates: tuple[Culprit, ...] = ()
    others: tuple[Culprit, ...] = ()
    step: int = 0
    cause: str = ""
    module: str = ""
    op: str = ""
    file: str = ""
    hunk: str = ""
    proof: str = ""
    proven: bool = False
    certainty: float = 0.0
    statistical: bool = False
    cost: float = 0.0
    steps: int = 0
    reruns: int = 0
    commits: int = 0
    skipped: tuple[str, ...] = ()
    inherited: int = 0
    notes: tuple[str, ...] = ()
    kind: str = "blame"
    schema: int = 1


def load(path: Path) -> Blame:
    """Raises UserError for a missing, corrupt, foreign or newer file, and says which."""
    return evidence.load(path, Blame)
