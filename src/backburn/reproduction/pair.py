"""One step of two trainings side by side, and what can be said of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from .steps import Step

_LISTED = 3  # names in a sentence; the rest is counted
_UNSEEDED = ("python", "numpy")  # what a script that seeds torch alone leaves to chance


class Kind(StrEnum):
    """What differs first."""

    DATA = "data"
    RNG = "rng"
    INIT = "init"
    FORWARD = "forward"
    BACKWARD = "backward"
    CLIP = "clip"
    OPTIMIZER = "optimizer"
    BUFFER = "buffer"
    EVALUATION = "evaluation"


class Cause(NamedTuple):
    """What a judge found. `kind` is None where what was recorded does not tell; `name` is that of a module, parameter,
    setting, generator or metric, or empty where it is the whole; `module` is the path of the one it lies in, if any;
    `names` are all that differ.
    """

    kind: Kind | None
    part: str
    name: str
    module: str
    said: str
    before: str = ""
    now: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One step of both trainings. `last` is the step before it that both recorded and that was the same, 0 for none;
    `aside` are generators that differ and have moved nothing so far, `drew` those that differ as the next step begins,
    where that was recorded, and did not as this one did; `goes_on` says that the next step has the same batch, and
    `uneven` that since the last one only one of the two validated, or at other steps: an epoch has another length.
    """

    base: Step
    head: Step
    last: int = 0
    aside: frozenset[str] = frozenset()
    drew: tuple[str, ...] = ()
    goes_on: bool = False
    uneven: bool = False

    @property
    def fresh(self) -> bool:
        """Whether nothing was trained before it."""
        return self.base.step == 1

    @property
    def near(self) -> bool:
        """Whether no step lies between it and the last one that was the same."""
        return self.base.step == self.last + 1

    def changed(self, part: str) -> tuple[str, ...]:
        """The names in a table that both have with another value; none where one of them did not record it."""
        one, other = getattr(self.base, part), getattr(self.head, part)
        return tuple(name for name in one if name in other and one[name] != other[name])

    def only(self, part: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names in a table that only one of the two has, where both recorded it."""
        one, other = getattr(self.base, part), getattr(self.head, part)
        if not one or not other:
            return (), ()
        return tuple(name for name in one if name not in other), tuple(name for name in other if name not in one)

    def differs(self, part: str) -> bool:
        """Whether a table or a digest is another one, where both recorded it."""
        return self.recorded(part) and bool(getattr(self.base, part) != getattr(self.head, part))

    def recorded(self, part: str) -> bool:
        """Whether both have it."""
        return bool(getattr(self.base, part) and getattr(self.head, part))

    @property
    def generators(self) -> tuple[str, ...]:
        """Those whose state differs, and not for want of a seed."""
        without = self.aside | idle(self)
        return tuple(name for name in self.changed("rng") if name not in without)


def idle(pair: Pair) -> frozenset[str]:
    """Python's or numpy's generator where it differs from the first step on: it was never seeded, or moves nothing."""
    return frozenset(name for name in pair.changed("rng") if not pair.last and name in _UNSEEDED)


def number(text: str) -> str:
    """A value as people read it: `float.hex()` as its shortest decimal; other words as they are.

    >>> number((0.1).hex()), number("(0.9, 0.999)"), number("nan")
    ('0.1', '(0.9, 0.999)', 'nan')
    """
    try:
        return repr(float.fromhex(text)) if "0x" in text else text
    except (ValueError, OverflowError):
        return text


def either(gone: tuple[str, ...], new: tuple[str, ...]) -> str:
    """`no longer drop; only now head.bias`."""
    words = [f"{word} {some(names)}" for word, names in (("no longer", gone), ("only now", new)) if names]
    return "; ".join(words)


def some(names: Iterable[str]) -> str:
    """`a, b, c and 4 more`; an empty name is that of the whole, of which there is but a root."""
    listed = [name or "the whole" for name in names]
    rest = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    return ", ".join(listed[:_LISTED]) + rest


def parent(name: str) -> str:
    """The module that a parameter or a buffer lies in.

    >>> parent("encoder.0.weight"), parent("scale")
    ('encoder.0', '')
    """
    return name.rpartition(".")[0]


def common(names: Iterable[str]) -> str:
    """The path of the module that all of some parameters lie in.

    >>> common(["encoder.0.weight", "encoder.1.weight"]), common(["head.bias"]), common(["a.x", "b.x"])
    ('encoder', 'head', '')
    """
    shared = []
    for level in zip(*(parent(name).split(".") for name in names)):
        if len({*level}) > 1:
            break
        shared.append(level[0])
    return ".".join(shared)
