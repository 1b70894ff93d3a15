"""Roots of what a training recorded step by step (`parameters@13`), and the first step at which two trainings part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from .. import comparison
from . import roots
from .steps import Step

# The parts of a step in the order in which it does them, with what it means where one is the first to differ.
_PARTS = {
    "batch": "data",
    "served": "data",
    "rng": "rng",
    "loss": "forward",
    "gradients": "backward",
    "settings": "optimizer",
    "optimizer": "optimizer",
    "parameters": "optimizer",
    "buffers": "buffer",
}
# What a training came to. The others are what it came from: a generator that nothing draws from may be any.
STATE = ("loss", "gradients", "optimizer", "parameters", "buffers")
_OWN_NAMES = {"optimizer": "state of the optimizer", "settings": "settings of the optimizer"}
_MOST = 4000  # roots in a reference, about 160 kB; the last steps are left out beyond

Roots = Mapping[str, str]


class Apart(NamedTuple):
    """Where one training leaves another: at `step`, having been the same at `after` (0: from the start on)."""

    step: int
    after: int
    parts: tuple[str, ...]  # that differ there, in the order of a step
    kind: str

    @property
    def is_exact(self) -> bool:
        """Whether it is known to be this very step: the one before was recorded too."""
        return self.step == self.after + 1

    def __str__(self) -> str:
        """`at step 2: rng and loss (rng)`, `between steps 9 and 13: loss and gradients and 2 more`."""
        where = f"at step {self.step}" if self.is_exact else f"between steps {self.after + 1} and {self.step}"
        names = " and ".join(_OWN_NAMES.get(part, part) for part in self.parts[:2])
        more = f" and {len(self.parts) - 2} more" if len(self.parts) > 2 else ""
        return f"{where}: {names}{more}{f' ({self.kind})' if self.kind else ''}"


def of(steps: Iterable[Step], start: int = 0) -> dict[str, str]:
    """The roots of every recorded step of a training that had `start` steps behind it."""
    return {f"{part}@{start + step.step}": root for step in steps for part, root in roots.grid_roots(step).items()}


def kept(night: Roots, again: Roots) -> dict[str, str]:
    """Those that a reference keeps: without what came out otherwise when the same training ran again."""
    varies = {_part(name) for name, root in again.items() if night.get(name, root) != root}
    steady = sorted((name for name in night if _part(name) not in varies), key=comparison.step_of)
    return {name: night[name] for name in steady[:_MOST]}


def common(one: Roots, other: Roots) -> int:
    """How many steps both recorded the state of."""
    return len({comparison.step_of(name) for name in one if name in other and _part(name) in STATE})


def apart(one: Roots, other: Roots) -> Apart | None:
    """The first step at which the state of two trainings differs, and why, as far as what both recorded tells.

    None where no state differs: another batch or random number that changes nothing is no difference.
    """
    steps: dict[int, list[str]] = {}
    for name in one:
        if name in other:
            steps.setdefault(comparison.step_of(name), []).append(name)
    before, idle = 0, set[str]()
    for step in sorted(steps):
        differing = {_part(name) for name in steps[step] if one[name] != other[name]}
        if differing & {*STATE}:
            return _apart(step, before, differing - idle)
        idle = idle if before else differing  # since the start, and without effect: a generator that nothing draws from
        before = step
    return None


def _apart(step: int, before: int, parts: set[str]) -> Apart:
    """A kind is named where the step before is known too, and for what no step of the model makes: its data, its random
    numbers, and a buffer that differs alone.
    """
    ordered = tuple(part for part in _PARTS if part in parts)
    alone = ordered[0] in ("batch", "served", "rng") or ordered == ("buffers",)
    kind = _PARTS[ordered[0]] if alone or step == before + 1 else ""
    return Apart(step, before, ordered, "init or forward" if step == 1 and kind == "forward" else kind)


def only_buffers(one: Roots, other: Roots) -> bool:
    """Whether buffers differ and no other state does at any step."""
    parts = {_part(name) for name in one if name in other and one[name] != other[name]} & {*STATE}
    return parts == {"buffers"}


def _part(name: str) -> str:
    return name.rpartition("@")[0]
