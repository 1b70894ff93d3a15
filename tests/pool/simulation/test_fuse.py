"""Named points at which a supervisor can die."""

import pytest

from backburn.pool.docker import DockerEngine
from backburn.pool.github import GitHub
from backburn.pool.simulation.fuse import OF_GPUS, POINTS, WATCHED, Fuse
from backburn.pool.simulation.world import Killed
from backburn.pool.store import Store


class Thing:
    def __init__(self):
        self.done = []

    def save(self, what):
        self.done.append(what)
        return f"saved {what}"

    def slots(self):
        return ["cpu0"]


def test_nothing_is_done_before_and_all_is_done_after():
    for side, done in (("before", []), ("after", ["it"])):
        thing = Thing()
        wrapped = Fuse(lambda point, side=side: point == f"{side} store.save").wrap("store", thing)
        with pytest.raises(Killed, match=side):
            wrapped.save("it")
        assert thing.done == done


def test_else_it_is_the_thing_itself():
    fuse = Fuse(lambda point: False)
    wrapped = fuse.wrap("store", Thing())
    assert wrapped.save("it") == "saved it" and wrapped.slots() == ["cpu0"]
    assert fuse.passed == {"before store.save": 1, "after store.save": 1}
    assert not issubclass(Killed, Exception), "no `except Exception` of the supervisor may see it"


def test_every_point_is_a_method_of_the_real_parts():
    for part, thing in (("store", Store), ("registrar", GitHub), ("engine", DockerEngine)):
        assert all(hasattr(thing, name) for name in WATCHED[part])
    assert {point for point in POINTS if point.endswith(OF_GPUS)} == {
        f"{side} {one}" for side in ("before", "after") for one in OF_GPUS
    }
    assert len(POINTS) == len(set(POINTS)) == 2 * sum(map(len, WATCHED.values()))
