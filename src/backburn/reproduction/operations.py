"""`operations.jsonl`: one step op by op; and the first operation in which two recordings of it differ.

What feeds an operation is known by the digests of its tensors: one whose inputs agree and whose outputs differ did it
itself; an input that differs leads to an operation that only one of the two has, or to what came from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from . import steps
from .divergence import Divergence
from .pair import Kind

FILE = "operations.jsonl"  # beside probe.json
_WINDOW = 200  # operations that one of them may have more, in one place
_AGREE = 4  # operations in a row that say that two sequences are together again
_DRAWS = (
    "bernoulli", "cauchy", "dropout", "exponential", "geometric", "log_normal", "multinomial", "normal", "poisson",
    "rand", "rrelu", "uniform",
)  # fmt: skip


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first line."""

    kind: str = "operations"
    schema: int = 1


class Operation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One, as torch dispatched it (`aten.addmm.default`), in the module whose code asked for it ("": the
    LightningModule's own), in a phase: forward, backward or optimizer. Digests are of the tensors among its arguments
    and results, "" for one that holds nothing yet.
    """

    index: int
    name: str
    module: str = ""
    phase: str = "forward"
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


class Parting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first operation that differs; `said` is one sentence, `index` its place in the recording that has it."""

    op: str
    module: str
    phase: str
    index: int
    said: str


def load(path: Path) -> tuple[Operation, ...]:
    """The operations of a step, in their order. Raises UserError as `steps.load` does."""
    return tuple(steps.rows(path, Header, Operation))


def first_operation(base: Sequence[Operation], head: Sequence[Operation]) -> Parting | None:
    """Where two recordings of the same step part; None where whatever both have comes out the same.

    Operations of one of them alone (`unmatched`) are no difference while nothing that both have depends on them.
    """
    gone: list[Operation] = []
    new: list[Operation] = []
    for one, other in _aligned(base, head):
        if one is None or other is None:
            gone += [one] if one else []
            new += [other] if other else []
        elif not _same(one.outputs, other.outputs):
            return _parting(one, other, gone, new)
    return None


def placed(found: Divergence, parting: Parting | None) -> Divergence:
    """The divergence in the module whose own code did it, where the operations of the step tell.

    Outputs of modules are recorded and inputs are not: of what a module computes between its children the child behind
    it is the first to differ, and of a gradient that it changes on its way the parameter before it.
    """
    if parting is None or parting.phase == "optimizer" or found.part not in ("forward", "loss", "gradients"):
        return found
    said, module = f"{found.said}; {parting.said}", parting.module
    if found.kind is Kind.FORWARD:
        drawn = found.part == "forward" and _draws(parting.op) and module != found.module  # before the one that differs
        name = module if found.part == "forward" and module else found.name
        kind = Kind.RNG if drawn else Kind.FORWARD
        return msgspec.structs.replace(found, kind=kind, name=name, module=module, said=said)
    single = found.name in (*found.names, "")  # not the module of several that have a gradient no more
    if found.kind is Kind.BACKWARD and parting.phase == "backward" and module and single:
        return msgspec.structs.replace(found, name=module, module=module, said=said)
    return msgspec.structs.replace(found, said=said)


def _parting(one: Operation, other: Operation, gone: list[Operation], new: list[Operation]) -> Parting:
    if _same(one.inputs, other.inputs):
        if _draws(other.name):  # from a state that an operation before it left
            for earlier, word in (*((one, "only now") for one in new), *((one, "no longer") for one in gone)):
                if _draws(earlier.name):
                    return _told(earlier, f"{earlier.name} in {_where(earlier)} is there {word}, and draws")
        return _told(other, f"{other.name} in {_where(other)} gets the same and gives something else")
    for source, unmatched, word in ((other, new, "only now"), (one, gone, "no longer")):
        if found := _origin(source, unmatched):
            return _told(found, f"{found.name} in {_where(found)} is there {word}")
    return _told(other, f"{other.name} in {_where(other)} gets something else, which no operation before it made")


def _draws(name: str) -> bool:
    return any(word in name for word in _DRAWS)


def _where(one: Operation) -> str:
    return one.module or "the LightningModule's own code"


def _told(one: Operation, said: str) -> Parting:
    return Parting(op=one.name, module=one.module, phase=one.phase, index=one.index, said=said)


def _origin(one: Operation, unmatched: list[Operation]) -> Operation | None:
    """The first of the operations that the other recording lacks on the way to what `one` gets."""
    found = None
    wanted = {*one.inputs} - {""}
    for earlier in reversed(unmatched):
        if wanted & {*earlier.outputs}:
            found, wanted = earlier, wanted | {*earlier.inputs} - {""}
    return found


def _same(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether digests agree; what held nothing, or could not be read, agrees with anything."""
    return len(one) == len(other) and all(a == b or not a or not b for a, b in zip(one, other))


def _aligned(
    base: Sequence[Operation], head: Sequence[Operation]
) -> Iterator[tuple[Operation | None, Operation | None]]:
    """Both sequences side by side, None where one lacks an operation. It ends where they never come together again."""
    i = j = 0
    made: set[str] = set()  # by operations that only one of them has
    while i < len(base) and j < len(head):
        more, others = _apart(base, head, i, j, made)
        for one in base[i : i + more]:
            yield one, None
        for one in head[j : j + others]:
            yield None, one
        made.update(*(one.outputs for one in (*base[i : i + more], *head[j : j + others])))
        i, j = i + more, j + others
        if i < len(base) and j < len(head):
            yield base[i], head[j]
            i, j = i + 1, j + 1


def _apart(base: Sequence[Operation], head: Sequence[Operation], i: int, j: int, made: set[str]) -> tuple[int, int]:
    """How many operations to leave out of each, as few as possible, until they agree again; else all that are left.

    Two of one name may be two different ones: where they get something else that nothing explains, those count that
    come out the same further on.
    """
    one, other = base[i], head[j]
    alike = _key(one) == _key(other)
    same = alike and (_same(one.outputs, other.outputs) or _same(one.inputs, other.inputs))
    if same or (alike and ({*one.inputs, *other.inputs} - {""}) & made):
        return 0, 0
    result = _together(base, head, i, j, _result)
    if alike:
        return result or (0, 0)
    named = _together(base, head, i, j, _key)
    if result and named and sum(result) > 3 * sum(named) + _AGREE:  # by chance
        return named
    return result or named or (len(base) - i, len(head) - j)


def _together(
    base: Sequence[Operation], head: Sequence[Operation], i: int, j: int, read: Callable[[Operation], object]
) -> tuple[int, int] | None:
    """The least number of operations to leave out of each, until some in a row are read as the same."""
    one, other = ([read(it) for it in many[at : at + _WINDOW + _AGREE]] for many, at in ((base, i), (head, j)))
    for both in range(1, _WINDOW):
        for more in range(both + 1):
            following = one[more : more + _AGREE]
            if following and following == other[both - more : both - more + _AGREE]:
                return more, both - more
    return None


def _key(one: Operation) -> tuple[str, str]:
    return one.phase, one.name


def _result(one: Operation) -> tuple[str, str, tuple[str, ...]]:
    return one.phase, one.name, one.outputs
