"""What a search came to, as it is written to `blame.json`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from .. import commits
from ..errors import Unjudged, UserError
from ..reproduction import operations
from ..reproduction.culprit import Blame, Conclusion
from ..reproduction.rerun import Ask, Ran, Touched
from . import authors, hunks, story
from .chances import Weighed
from .exact import Guilt, Searched
from .search import History
from .world import Ledger

_LISTED = 50  # candidates and skipped commits that are kept


@dataclass(frozen=True, kw_only=True)
class About:
    """Of what training in which repository, and what was not looked at."""

    training: str
    top: Path
    notes: tuple[str, ...] = ()


def exact(found: Searched, ledger: Ledger, history: History, about: About) -> Blame:
    """Of bits: the first finding, the others behind it."""
    guilt = found.guilts[0]
    told = story.of(guilt.at, guilt.before, guilt.after)
    candidates = (guilt.inside,) if guilt.inside else guilt.narrowed.candidates
    came = (f"it came by the merge {guilt.commit[:12]}, which was taken out as a whole",) if guilt.inside else ()
    who = [authors.culprit(about.top, one, history.bad) for one in candidates[:_LISTED]]
    op = _operation(guilt, history, ledger) if guilt.commit and told.has_op else None
    told = story.placed(told, op) if op else told
    module = told.module or (op.module if op else "")
    hunk = _hunk(about.top, candidates[0], guilt.after.touched, told) if guilt.commit else None
    others = [one.inside or one.commit for one in found.guilts[1:] if one.commit]
    small = (_SMALL,) if _is_rounding(guilt) and not others else ()
    about = replace(about, notes=(*about.notes, *came, *small))
    return _with_cost(
        Blame(
            training=about.training,
            conclusion=Conclusion.FOUND if guilt.commit else Conclusion.RANGE,
            said=told.said or f"it is another training from step {told.step} on",
            culprit=who[0] if guilt.commit else None,
            candidates=() if guilt.commit else tuple(who),
            others=tuple(authors.culprit(about.top, one, history.bad) for one in others),
            step=told.step,
            cause=told.cause,
            module=module,
            op=op.op if op else "",
            file=hunk.file if hunk else "",
            hunk="\n".join(hunk.lines) if hunk else "",
            proof=found.proof,
            proven=found.proven,
            certainty=1.0 if guilt.commit else 0.0,
            skipped=guilt.narrowed.skipped[:_LISTED],
            inherited=guilt.narrowed.inherited,
        ),
        ledger,
        history,
        about,
    )


_SMALL = (
    "it moves the loss by no more than another order of summation does; what made a metric worse may lie behind it:"
    " a higher --budget looks further"
)


def _is_rounding(guilt: Guilt) -> bool:
    """Whether the loss at the first step that differs is another one by rounding alone (8e-7 at most, as measured for
    the tolerances).
    """
    losses = [one.loss for ran in (guilt.before, guilt.after) for one in ran.steps if one.step == guilt.at.step]
    try:
        before, after = map(float.fromhex, losses)
    except ValueError:  # none, or of one side alone
        return False
    return 0 < abs(after - before) <= 1e-6 * abs(before)


def weighed(found: Weighed, ledger: Ledger, history: History, about: About) -> Blame:
    """Of whole runs."""
    alone = len(found.candidates) == 1
    who = [authors.culprit(about.top, one, history.bad) for one in found.candidates[:_LISTED]]
    touched = next((ran.touched for ran in ledger.done.values() if not ran.failed), Touched())
    hunk = _hunk(about.top, found.candidates[0], touched, story.Story(step=0)) if alone else None
    return _with_cost(
        Blame(
            training=about.training,
            conclusion=Conclusion.FOUND if alone else Conclusion.RANGE,
            said=found.said,
            culprit=who[0] if alone else None,
            candidates=() if alone else tuple(who),
            file=hunk.file if hunk else "",
            hunk="\n".join(hunk.lines) if hunk else "",
            proof=found.proof,
            proven=found.proven,
            certainty=found.certainty,
            statistical=True,
            skipped=found.skipped[:_LISTED],
            inherited=_inherited(ledger, history),
        ),
        ledger,
        history,
        about,
    )


def none(reason: str, hint: str, ledger: Ledger, history: History, about: About) -> Blame:
    """Why there is no finding."""
    one = Blame(
        training=about.training, said=". ".join(filter(None, (reason, hint))), inherited=_inherited(ledger, history)
    )
    return _with_cost(one, ledger, history, about)


def _inherited(ledger: Ledger, history: History) -> int:
    if not ledger.done:
        return 0
    return len(history.commits) - history.mattering(ledger.world.contents).bit_count()


def _with_cost(one: Blame, ledger: Ledger, history: History, about: About) -> Blame:
    told: dict[str, Any] = {
        "hardware": ledger.hardware,
        "good": history.good,
        "bad": history.bad,
        "cost": round(ledger.cost, 4),
        "steps": ledger.steps,
        "reruns": len(ledger.done),
        "commits": len(history.commits),
        "notes": about.notes,
    }
    return msgspec.structs.replace(one, **told)


def _hunk(top: Path, commit: str, touched: Touched, told: story.Story) -> hunks.Hunk | None:
    return hunks.likeliest(commits.patch(top, commit), touched.files, told.cause, told.names)


def _operation(guilt: Guilt, history: History, ledger: Ledger) -> operations.Parting | None:
    """The first operation that differs, from one more training of the culprit and of its parent; None where these
    cannot be had.
    """
    step = guilt.at.step
    parent = next((one for one in history.parents[guilt.commit] if one in history.parents), history.good)
    try:
        before, after = (_op_by_op(ledger, one, step) for one in (parent, guilt.commit))
        return operations.first_operation(before.operations, after.operations)
    except (Unjudged, UserError):
        return None


def _op_by_op(ledger: Ledger, commit: str, step: int) -> Ran:
    return ledger.sound(Ask(commit=commit, until=step, operations=step))
