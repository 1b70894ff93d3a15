"""Looks are taken one after the other; what goes wrong in one is its own affair."""

import time
import types

from backburn.probes.memorize import looks
from backburn.probes.memorize.session import Untold


def taken(limit=20.0, **asks):
    modules = {name: types.SimpleNamespace(look=one) for name, one in asks.items()}
    return looks.take(modules, None, limit)


def raising(error):
    def look(session):
        raise error

    return look


def test_each_tells_or_says_why_not():
    told = taken(
        one=lambda session: {"x": 1},
        two=raising(Untold("no batch")),
        three=raising(KeyError("y")),
        four=lambda session: None,
    )
    assert told == {"one": {"x": 1}, "four": None, "untold": {"two": "no batch", "three": "it raised KeyError: 'y'"}}


def test_what_takes_too_long_is_the_last_one():
    told = taken(0.01, one=lambda session: time.sleep(0.02), two=lambda session: {})
    assert told["untold"] == {"two": "the looks before took 0 s"}


def test_a_reason_stays_short():
    assert len(taken(one=raising(ValueError("x" * 9999)))["untold"]["one"]) == 300


def test_no_look_is_taken_twice_under_one_name():
    assert len(looks.FIRST | looks.MOVED | looks.LAST) == len(looks.FIRST) + len(looks.MOVED) + len(looks.LAST)
