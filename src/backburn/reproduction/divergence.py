"""Where two recorded trainings part: the step, the kind of difference and its name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from . import parts, renaming
from .pair import Cause, Kind, Pair, idle
from .steps import Step

_NAMES = 50  # kept of all that differ


class Divergence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first step that differs, and in what.

    It is `exact` where the step before it was recorded, and the same (`since`; 0: it is the first of all); else the
    cause lies in one of the steps from `since` + 1 to `step`. `kind` is None where what was recorded does not tell:
    then record these steps in detail. `part` is the field of `Step` that gave it away; `name` that of the module,
    parameter, setting, generator or metric, empty where it is the whole; `module` the path of the module that it lies
    in, empty where it is in none; `said` is one sentence without the step. `before` and `now` are given where they are
    numbers or words, not digests. `names` are all that differ there.
    """

    step: int
    since: int
    exact: bool
    kind: Kind | None
    part: str
    name: str
    module: str
    said: str
    before: str = ""
    now: str = ""
    names: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """`step 17`, or `steps 9-13` where one of these it is."""
        return f"step {self.step}" if self.exact else f"steps {self.since + 1}-{self.step}"

    def __str__(self) -> str:
        """`step 17, optimizer: lr of the optimizer is 0.0101, was 0.01`."""
        return f"{self.where}, {self.kind.value if self.kind else self.part}: {self.said}"


def first(base: Sequence[Step], head: Sequence[Step]) -> Divergence | None:
    """The first step that both recorded and that differs; None where all of them are the same.

    Only what both recorded is compared, and parts of the model that have but another name are the same. Each step is
    looked at, not every second half: a buffer or a validation may differ once and never again. Python's and numpy's
    random state do not count where they differ from the first step on and nothing else does: a script that seeds torch
    alone has others in each run.
    """
    judged = _judged(base, renaming.as_named_in(base, head))
    pair, cause = next(((pair, cause) for pair, cause in judged if cause), (None, None))
    if pair is None or cause is None:
        return None
    if cause.kind is None and cause.part == "validation" and _trains_on(judged):
        cause = cause._replace(kind=Kind.EVALUATION, said=f"only {cause.said}")
    return _divergence(pair, cause)


def _trains_on(judged: Iterator[tuple[Pair, Cause | None]]) -> bool:
    """Whether the weights are the same at the next step of which they were recorded: bits that part stay apart."""
    following = next((pair for pair, _ in judged if pair.recorded("parameters")), None)
    return following is not None and not following.differs("parameters")


def interval(base: Sequence[Step], head: Sequence[Step]) -> tuple[int, int] | None:
    """(the last step that is the same, 0 for none, the first that differs); None where none differs."""
    found = first(base, head)
    return (found.since, found.step) if found else None


def shared(base: Sequence[Step], head: Sequence[Step]) -> tuple[tuple[Step, Step], ...]:
    """The steps that both recorded, ascending."""
    others = {one.step: one for one in head}
    return tuple((one, others[one.step]) for one in base if one.step in others)


def shifted(steps: Sequence[Step], start: int) -> tuple[Step, ...]:
    """Those of a training that went on from a checkpoint after `start` batches, counted as if it had never stopped."""
    return tuple(msgspec.structs.replace(one, step=one.step + start) for one in steps)


def _judged(base: Sequence[Step], head: Sequence[Step]) -> Iterator[tuple[Pair, Cause | None]]:
    last, aside = 0, frozenset[str]()
    pairs = shared(base, head)
    for place, (one, other) in enumerate(pairs):
        pair = Pair(base=one, head=other, last=last, aside=aside)
        pair = replace(pair, **_following(pair, *pairs[place + 1 : place + 2]), uneven=_uneven(base, head, pair))
        yield pair, parts.judge(pair)
        aside |= idle(pair)
        if pair.recorded("parameters"):  # else it has nothing but a validation after it
            last = one.step


def _following(pair: Pair, following: tuple[Step, Step] | None = None) -> dict[str, Any]:
    """What the step behind it tells, where it was recorded."""
    if following is None or following[0].step != pair.base.step + 1:
        return {}
    after = Pair(base=following[0], head=following[1])
    drew = {*after.changed("rng")} - {*pair.changed("rng")}
    return {"drew": tuple(sorted(drew)), "goes_on": after.recorded("batch") and not after.differs("batch")}


def _uneven(base: Sequence[Step], head: Sequence[Step], pair: Pair) -> bool:
    """Whether the two validated behind other steps since the last one that was the same."""
    since = range(pair.last, pair.base.step)
    one, other = ({step.step for step in steps if step.validation and step.step in since} for steps in (base, head))
    return bool(pair.last) and one != other


def _divergence(pair: Pair, cause: Cause) -> Divergence:
    kind, part, name, module, said, before, now, names = cause
    return Divergence(
        step=pair.base.step,
        since=pair.last,
        exact=pair.near or kind is Kind.EVALUATION,
        kind=kind,
        part=part,
        name=name,
        module=module,
        said=said,
        before=before,
        now=now,
        names=names[:_NAMES],
    )
