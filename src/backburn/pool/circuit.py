"""When GitHub may be asked: one answer for all threads that ask with the same credential."""

from __future__ import annotations

import random
import threading
from collections import defaultdict

from .clock import Clock
from .registrar import Later

SOONEST = 1.0  # seconds after a failure; from there it doubles
# The longest rest between two tries. After an outage all slots are back within a minute (F4), and in half an hour of
# it we ask 80 times of each kind at most, whatever the number of slots: 6 % of what GitHub allows in that time.
LONGEST = 45.0
SECONDARY = 60.0  # seconds where GitHub names none: "wait for at least one minute", and longer each time
MOST = 300.0  # where that has doubled to
HOUR = 3660.0  # what a header can make us wait: the window of a primary limit, and a minute
PROBE = 60.0  # seconds after which a probe that never came back is no longer waited for


class Circuit:
    """Open while GitHub is not to be asked: then `admit` raises Later at once, and no request is sent.

    After an outage the first caller is a probe, and the others wait for what it hears. A failure of something that
    changes the world closes only such calls: questions are still answered, and they tell what came of it.
    """

    def __init__(self, clock: Clock, dice: random.Random) -> None:
        self._clock, self._dice, self._lock = clock, dice, threading.Lock()
        self._until: dict[str, float] = defaultdict(float)  # kind or resource -> moment, by clock.passed()
        self._streak: dict[str, int] = defaultdict(int)  # kind -> failures since the last success
        self._why: dict[str, str] = {}
        self._probe: tuple[int, float] = (0, 0.0)  # the thread that asks whether it is over, since when

    def admit(self, kind: str, resource: str) -> None:
        """Raise Later while a call of `kind` ("read", "write") out of the budget `resource` is not to be made."""
        with self._lock:
            now = self._clock.passed()
            kinds = ("limit", "read", "write")[: 3 if kind == "write" else 2]
            for name in (*kinds, resource):
                if (left := self._until[name] - now) > 0:
                    raise Later(self._why.get(name, ""), left + self._spread())
            if any(self._streak[name] for name in kinds):
                self._let_one_through(now)

    def _let_one_through(self, now: float) -> None:
        thread, since = self._probe
        if thread not in (0, threading.get_ident()) and now - since < PROBE:
            raise Later("another call is asking whether it is over", 2.0 + self._spread())
        self._probe = (threading.get_ident(), now)

    def _spread(self) -> float:
        """So that not all threads of all machines come back in the same moment."""
        return self._dice.uniform(0.0, 1.0)

    def resting(self) -> bool:
        """Some call would not be made now."""
        with self._lock:
            return any(until > self._clock.passed() for until in self._until.values())

    def answered(self, kind: str) -> None:
        """It was carried out, or refused for good: GitHub is there."""
        with self._lock:
            self._probe = (0, 0.0)
            for name in ("limit", "read", "write")[: 3 if kind == "write" else 2]:
                self._streak[name] = 0

    def failed(self, kind: str, why: str) -> float:
        """A server error, or none was reached. Seconds until the next try: exponential, with full jitter."""
        return self._rest(kind, why, SOONEST + self._dice.uniform(0.0, self._doubled(kind, SOONEST, LONGEST) - SOONEST))

    def limited(self, why: str, seconds: float | None) -> float:
        """429, or 403 for the pace: everything rests. `seconds` is what GitHub said, None where it said nothing."""
        doubled = self._doubled("limit", SECONDARY, MOST)
        return self._rest("limit", why, doubled if seconds is None else min(max(seconds, SOONEST), HOUR))

    def spent(self, resource: str, seconds: float) -> None:
        """The last request of the window was used: calls out of this budget rest until it is renewed."""
        with self._lock:
            self._until[resource] = self._clock.passed() + min(max(seconds, SOONEST), HOUR)
            self._why[resource] = f"the rate limit {resource} is used up"

    def _doubled(self, kind: str, first: float, most: float) -> float:
        return float(min(first * 2.0 ** min(self._streak[kind], 12), most))

    def _rest(self, kind: str, why: str, seconds: float) -> float:
        with self._lock:
            now = self._clock.passed()
            if self._until[kind] <= now:  # calls that were under way when the first of them failed do not add up
                self._streak[kind] += 1
            self._probe = (0, 0.0)
            self._until[kind] = max(self._until[kind], now + seconds)
            self._why[kind] = why
            return self._until[kind] - now
