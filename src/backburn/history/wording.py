"""What an issue says: how it stands, what stands first, who is to blame, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ..reproduction.culprit import Blame
from . import culprits, state
from .markdown import code
from .night import Cause
from .nightly import Nightly, Trouble
from .state import Key, State

_WANTING = ("no reference", "another environment")  # what a candidate mends, as references.comparable says it
_REGRESSED = "regressed"  # a class, as the ladder of reproduce has it


def body(nightly: Nightly, key: Key, trouble: Trouble, now: State, before: str = "") -> str:
    """The whole text. `before` is that of the night before, of which a culprit stays until another is found."""
    wanting = _wanting(nightly, trouble.cause, key.training)
    hint = trouble.cause.hint
    lasts = f"{now.nights} nights in a row" if now.nights > 1 else "the first night"
    blamed = _blamed(nightly, trouble.blame) or state.culprit(before)
    blocks = [
        state.marked(key, now),
        said(trouble),
        state.culprit_marked(blamed),
        f"**What to do:** {code(hint)}" if hint and not wanting else "",
        *_next(nightly, key, trouble, wanting),
        nightly.table if nightly.reports else "",
        f"{nightly.about}, {lasts}.",
        "Kept by `backburn publish`, which closes it when it is over.",
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def said(trouble: Trouble) -> str:
    """What stands first, its class before it."""
    cause = trouble.cause
    where = f" at {code(cause.where)}" if cause.where else ""
    named = f"{code(trouble.standing, 40)} " if trouble.standing else ""
    return f"{named}**{code(cause.check)}** {code(cause.said, 1000)}{where}" if cause.check else code(cause.said, 1000)


def news(nightly: Nightly, trouble: Trouble, before: State, *, again: bool) -> str:
    """What a comment says: the trouble is back, or it stands otherwise than the night before; else nothing."""
    if again:
        return f"Again, with {nightly.page}: {said(trouble)}"
    commit = culprits.first_bad(trouble.blame)
    changes = []
    if before.cause != slug(trouble.cause):
        changes.append(f"Another cause since {nightly.page}: {said(trouble)}")
    elif trouble.standing and before.standing and before.standing != state.word(trouble.standing):
        changes.append(f"Since {nightly.page} it is {code(trouble.standing, 40)}: {said(trouble)}")
    if trouble.blame and commit and before.commit != commit:
        changes.append(_blamed(nightly, trouble.blame))
    return "\n\n".join(changes)


def clean(nightly: Nightly, more: int) -> str:
    """What a comment says of the first night that passes."""
    return f"Passed with {nightly.page}. {more} more clean night{'s' if more > 1 else ''}, and this is closed."


def slug(cause: Cause) -> str:
    """The check's name (without one, the problem), as the state keeps it."""
    return state.word(cause.check or cause.said)


def _blamed(nightly: Nightly, blame: Blame | None) -> str:
    return culprits.told(blame, nightly.home, nightly.page) if blame else ""


def _wanting(nightly: Nightly, cause: Cause, training: str) -> list[str]:
    """The stages that a candidate of this night may help; none where something else stands first."""
    causes = [(stage, part.cause) for stage, part in nightly.parts if part.training == training]
    stages = [stage for stage, each in causes if each and each.said.startswith(_WANTING)]
    return stages if cause.said.startswith(_WANTING) else []


def _next(nightly: Nightly, key: Key, trouble: Trouble, wanting: Sequence[str]) -> Iterator[str]:
    """The likely next step, by the check's own words, and by the class of what it came to."""
    stage = trouble.cause.check.partition("/")[0]
    if not re.fullmatch(r"[a-z]+", stage):
        yield "Look at the run: a stage did not come to its end, or its artifact is missing."
        return
    training = key.training
    again = f"`backburn {stage}{f' {training}' if training else ''}` asks the same on a machine of yours."
    if wanting:
        bless = " and ".join(f"`backburn bless {one} <candidate.json>`" for one in wanting)
        yield f"If this machine is the one to compare with: {_fetch(nightly)}, then {bless}. {again}"
        return
    if key.commit:
        yield f"- It is a mistake: `git revert {key.commit[:12]}`, or mend what that commit does."
    if trouble.standing and trouble.standing.lower() != _REGRESSED:
        yield (
            f"- It is meant: {_fetch(nightly)}, then `backburn bless {stage} <candidate.json>`; or, for a while, an"
            f" entry in `[[tool.backburn.allow]]` for {code(trouble.cause.check, 100)}."
        )
    yield again


def _fetch(nightly: Nightly) -> str:
    return f"`gh run download {nightly.run.id}`, look at each `candidate.json`"
