"""Where a supervisor can be killed: before and after each call that it makes to the world, by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from .world import Killed

# What changes something; between two looks, nothing is there to be lost.
WATCHED = {
    "store": ("save", "settle", "record", "hold", "amend"),
    "registrar": ("register", "remove", "find"),
    "engine": ("create", "deliver", "start", "tell", "remove", "sweep"),
}
POINTS = tuple(
    f"{side} {part}.{name}" for part, names in WATCHED.items() for name in names for side in ("before", "after")
)

OF_GPUS = ("engine.tell", "store.hold", "store.amend")  # called only where one falls ill


class Fuse:
    """Wraps the store, the registrar and the engine; `blow(point)` says whether the supervisor dies there and then."""

    def __init__(self, blow: Callable[[str], bool]) -> None:
        self.blow, self.passed = blow, Counter[str]()

    def wrap(self, part: str, thing: Any) -> Any:
        """The same thing, with a fuse before and after each call that changes something."""
        return _Wrapped(self, part, thing)

    def pass_(self, point: str) -> None:
        """Go by a point, or die there."""
        self.passed[point] += 1
        if self.blow(point):
            raise Killed(point)


class _Wrapped:
    def __init__(self, fuse: Fuse, part: str, thing: Any) -> None:
        self._fuse, self._part, self._thing = fuse, part, thing

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._thing, name)
        if name not in WATCHED[self._part]:
            return found
        point = f"{self._part}.{name}"

        def call(*given: Any, **named: Any) -> Any:
            self._fuse.pass_(f"before {point}")
            answer = found(*given, **named)
            self._fuse.pass_(f"after {point}")
            return answer

        return call
