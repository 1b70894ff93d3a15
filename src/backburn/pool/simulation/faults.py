"""What goes wrong between a client and GitHub: by chance, by a script, or for a while."""

from __future__ import annotations

import random
from collections.abc import Collection
from enum import StrEnum

import msgspec


class Fault(StrEnum):
    """Of one request."""

    LOST = "lost"  # carried out; no answer comes
    FAILED_AFTER = "failed after"  # carried out; 500
    GARBLED = "garbled"  # carried out; the answer is not what belongs to it
    SLOW = "slow"  # carried out, after `delay`
    DROPPED = "dropped"  # not carried out; no answer comes
    REFUSED = "refused"  # nothing listens there
    FAILED = "failed"  # not carried out; 502
    TAKEN = "taken"  # 409 although the name is free; registrations only
    BUSY = "busy"  # 422 although the runner is idle; removals only
    THROTTLED = "throttled"  # 429 with retry-after
    SECONDARY = "secondary"  # 403, the secondary rate limit, which does not say how long
    UNAUTHORIZED = "unauthorized"  # 401


ONLY = {Fault.TAKEN: "register", Fault.BUSY: "remove"}  # fault -> the one call that it can befall


class _Planned(msgspec.Struct):
    fault: Fault
    call: str
    times: int


class _Storm(msgspec.Struct, frozen=True):
    faults: tuple[Fault, ...]
    since: float
    until: float
    share: float


class Faults:
    """`rates`: fault -> its share of the requests that it can befall. What is planned comes before what is chance."""

    def __init__(self, dice: random.Random) -> None:
        self.rates: dict[Fault, float] = {}
        self.delay = (1.0, 10.0)  # seconds, of SLOW
        self.retry_after = (10, 60)  # seconds, of THROTTLED
        self.seen: dict[Fault, int] = dict.fromkeys(Fault, 0)
        self._dice = dice
        self._planned: list[_Planned] = []
        self._storms: list[_Storm] = []

    def plan(self, fault: Fault, call: str = "", times: int = 1) -> None:
        """The next `times` requests that are a `call` ("register", "list", …; "" for any); in the order planned."""
        self._planned.append(_Planned(fault, call, times))

    def storm(self, faults: Collection[Fault], since: float, until: float, share: float = 1.0) -> None:
        """Between two moments of the hub's clock, `share` of all requests meet one of `faults`."""
        self._storms.append(_Storm(tuple(faults), since, until, share))

    def stormy(self, now: float) -> bool:
        """Whether a storm goes on."""
        return any(storm.since <= now < storm.until for storm in self._storms)

    def chosen(self, call: str, now: float) -> Fault | None:
        """What befalls a request."""
        fault = self._next(call) or self._stormy(call, now) or self._by_chance(call)
        if fault is not None:
            self.seen[fault] += 1
        return fault

    def _next(self, call: str) -> Fault | None:
        for planned in self._planned:
            if planned.call in ("", call) and ONLY.get(planned.fault, call) == call:
                planned.times -= 1
                if not planned.times:
                    self._planned.remove(planned)
                return planned.fault
        return None

    def _stormy(self, call: str, now: float) -> Fault | None:
        if not self._storms:
            return None
        self._storms = [storm for storm in self._storms if now < storm.until]
        for storm in self._storms:
            if storm.since <= now and self._dice.random() < storm.share:
                fault = self._dice.choice(storm.faults)
                return fault if ONLY.get(fault, call) == call else None
        return None

    def _by_chance(self, call: str) -> Fault | None:
        for fault, rate in self.rates.items():
            if rate and ONLY.get(fault, call) == call and self._dice.random() < rate:
                return fault
        return None
