"""What is run: a module of its own, which the process beside can import."""

import sys
import time

from . import health, real, virtual

# Row -> (function, what it is given in a full run, and with --quick).
VIRTUAL = {
    "F1 virtual": (virtual.killed, (25,), (1,)),
    "F2": (virtual.unheard, (2000,), (200,)),
    "F2 peer: the same name again": (virtual.same_name, (2000,), (200,)),
    "F4": (virtual.storms, (5,), (1,)),
    "F6 rows": (health.blocked, (1800, 5), (600, 1)),
    "F6 noise": (health.noise, (10000,), (500,)),
    "F6 driver": (health.driver, (120.0,), (12.0,)),
    "F8": (virtual.jumps, (7,), (0.25,)),
    "F9 virtual": (virtual.drains, (10000,), (200,)),
    "F9 peer: look, then kill": (virtual.drains_by_looking, (10000,), (200,)),
    "F12 weeks": (virtual.weeks, (7.0, tuple(range(1, 9))), (0.25, (1,))),
    "F12 any order": (virtual.orders, (100_000,), (2_000,)),
}
# The same, where the first argument is an engine that stays up.
REAL = {
    "F1 real": (real.killed, (5,), None),
    "F5": (real.ends, (), None),
    "F7": (real.full, (5,), None),
    "F9 real": (real.drains, (200,), (6,)),
    "F11": (real.strangers, (), None),
    "F13": (real.secrets, (5,), (1,)),
}
LAST = {"F10": (real.rush, (1000,), (12,))}


def in_virtual_time(name, place):
    """One row; `place` is 1 for a full run, 2 for a quick one."""
    function, *given = VIRTUAL[name]
    return function(*given[place - 1], telling(name))


def telling(name):
    """Says how far a row has come, on stderr, every five seconds at most."""
    begun, last = time.monotonic(), [0.0]

    def say(said):
        if time.monotonic() - last[0] > 5:
            last[0] = time.monotonic()
            print(f"{name}, {last[0] - begun:.0f} s: {said}", file=sys.stderr, flush=True)

    say("begins")
    return say
