"""How two recorded trainings differ: environment, settings, data, curves, metrics, first divergence, modules."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import msgspec

from .. import comparison, references
from ..references import Machine, Reference
from ..report import Level
from . import divergence, recorded
from .divergence import Divergence
from .pair import parent
from .recorded import Recorded
from .steps import Step


class Side(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which training it is; `recorded` counts the steps of which there are digests."""

    where: str
    training: str
    commit: str
    hardware: str
    steps: int
    recorded: int


class Other(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of thing that is not the same, a line each; `counts` where it makes another training of it."""

    said: str
    counts: bool
    lines: tuple[str, ...]


class Curve(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A figure over the `points` steps that both have. `step` is the first that differs (0: none), where it was
    `before` and is `now`; `largest` is the largest |now - before| / |before|, at `largest_step`.
    """

    name: str
    points: int
    step: int = 0
    before: float = 0.0
    now: float = 0.0
    largest: float = 0.0
    largest_step: int = 0


class Metric(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At the end; None where one of the two lacks it, or was ended before."""

    name: str
    before: float | int | None
    now: float | int | None

    @property
    def differs(self) -> bool:
        """To the last bit; one that is only in one of them is new, and no difference."""
        return self.before is not None and self.now is not None and not same(self.before, self.now)


class Module(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters that lie in one module itself: how many are identical, and by how much the root of their sum of
    squares changed, relative to what it was.
    """

    name: str
    parameters: int
    identical: int
    change: float


class Diff(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it. `compared` counts the steps that both recorded, `module_step` is the last of them."""

    base: Side
    head: Side
    hard: tuple[str, ...]
    others: tuple[Other, ...]
    curves: tuple[Curve, ...]
    metrics: tuple[Metric, ...]
    compared: int
    divergence: Divergence | None
    module_step: int
    modules: tuple[Module, ...]
    kind: str = "diff"
    schema: int = 1

    @property
    def same(self) -> bool:
        """Whether nothing differs that makes another training of it: a folder, a time of day or a kernel does not."""
        lines = self.hard or any(one.counts for one in self.others)
        numbers = any(one.step for one in self.curves) or any(one.differs for one in self.metrics)
        return not (lines or numbers or self.divergence)


def diff(base: Recorded, head: Recorded) -> Diff:
    """What differs. Raises UserError for two trainings that cannot be compared."""
    recorded.expect_same_training(base, head)
    if base.rooted or head.rooted:
        base, head = recorded.rooted(base), recorded.rooted(head)
    pairs = divergence.shared(base.steps, head.steps)
    last = next((pair for pair in reversed(pairs) if pair[0].norms and pair[1].norms), None)
    return Diff(
        base=_side(base),
        head=_side(head),
        hard=_hard(base.machine, head.machine),
        others=tuple(_others(base, head)),
        curves=tuple(_curves(base, head)),
        metrics=tuple(_metrics(base, head)),
        compared=sum(bool(before.parameters and now.parameters) for before, now in pairs),
        divergence=divergence.first(base.steps, head.steps),
        module_step=last[0].step if last else 0,
        modules=tuple(_modules(*last)) if last else (),
    )


def same(one: float, other: float) -> bool:
    """To the last bit; two that are NaN are the same."""
    return one == other or (math.isnan(one) and math.isnan(other))


def _side(one: Recorded) -> Side:
    return Side(
        where=one.where,
        training=one.training,
        commit=one.commit,
        hardware=one.machine.hardware if one.machine else "",
        steps=int(one.figures.get("steps", 0)),
        recorded=sum(bool(step.parameters) for step in one.steps),
    )


def _hard(before: Machine | None, now: Machine | None) -> tuple[str, ...]:
    """What changes bits by itself."""
    if before is None or now is None:
        return ()
    hardware = ({"hardware": one.hardware} | one.hard for one in (before, now))
    return references.differences(*hardware)


def _others(base: Recorded, head: Recorded) -> Iterator[Other]:
    """Settings, data, seed and what should not matter, as the stage tells them apart."""
    blank = Machine(hardware="any")
    before = Reference(
        stage=base.stage,
        training=base.training,
        machine=base.machine or blank,
        seeds=(base.seed or 0,),
        settings=base.settings,
        data=base.data,
    )
    seed = head.seed if None not in (base.seed, head.seed) else base.seed
    soft = (head.machine or blank).soft if base.machine and head.machine else before.machine.soft
    for said, level, lines in comparison.differences(before, head.settings, head.data, seed or 0, soft):
        if lines:
            yield Other(said=said, counts=level is not Level.NOTICE, lines=lines)


def _curves(base: Recorded, head: Recorded) -> Iterator[Curve]:
    """In the order in which the first has them; those without a step in common are left out."""
    families: dict[str, list[int]] = {}
    for name in base.figures:
        family, _, step = name.rpartition("@")
        if step.isdecimal() and family and not name.startswith(comparison.FINAL) and name in head.figures:
            families.setdefault(family, []).append(int(step))
    for family, steps in families.items():
        yield _curve(family, ((step, *_values(base, head, f"{family}@{step}")) for step in sorted(steps)))


def _values(base: Recorded, head: Recorded, name: str) -> tuple[float, float]:
    return base.figures[name], head.figures[name]


def _curve(name: str, points: Iterable[tuple[int, float, float]]) -> Curve:
    every = tuple(points)
    apart = [one for one in every if not same(one[1], one[2])]
    if not apart:
        return Curve(name=name, points=len(every))
    step, before, now = apart[0]
    largest, at = max(((relative(before, now), step) for step, before, now in apart), key=lambda one: one[0])
    return Curve(name=name, points=len(every), step=step, before=before, now=now, largest=largest, largest_step=at)


def relative(before: float, now: float) -> float:
    """|now - before| / |before|; infinite where it was 0, or where one of the two is not finite."""
    if same(before, now):
        return 0.0
    change = abs(now - before) / abs(before) if before else math.inf
    return change if math.isfinite(change) else math.inf


def _metrics(base: Recorded, head: Recorded) -> Iterator[Metric]:
    names = [name for name in (*base.figures, *head.figures) if "@" not in name or name.startswith(comparison.FINAL)]
    for name in dict.fromkeys(names):
        short = name.removeprefix(comparison.FINAL)
        yield Metric(name=short, before=base.figures.get(name), now=head.figures.get(name))


def _modules(base: Step, head: Step) -> Iterator[Module]:
    """The ones that moved furthest first."""
    names: dict[str, list[str]] = {}
    for name in base.norms:
        if name in head.norms:
            names.setdefault(parent(name), []).append(name)
    found = [_module(path, inside, base, head) for path, inside in names.items()]
    yield from sorted(found, key=lambda one: (-one.change, one.identical / one.parameters))


def _module(path: str, inside: list[str], base: Step, head: Step) -> Module:
    before, now = (math.hypot(*(step.norms[name][1] for name in inside)) for step in (base, head))
    digests = [(base.parameters.get(name, ""), head.parameters.get(name, "-")) for name in inside]
    equal = sum(one == other for one, other in digests)
    return Module(name=path, parameters=len(inside), identical=equal, change=relative(before, now))
