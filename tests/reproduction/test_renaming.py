"""A layer that has another name is the same layer; one that is another is not."""

import msgspec
import pytest

from backburn.reproduction import renaming
from backburn.reproduction.divergence import first
from backburn.reproduction.pair import Kind
from tests.reproduction.symbols import at, trained

SOUND = trained(steps=6)


def renamed(steps, old="second", new="2nd"):
    """Every name of a training whose layer is called otherwise."""
    other = []
    for one in steps:
        tables = {
            part: {name.replace(old, new): value for name, value in getattr(one, part).items()}
            for part in ("before", "parameters", "gradients", "clipped", "buffers", "optimizer", "norms")
        }
        forward = tuple((name.replace(old, new), value) for name, value in one.forward)
        other.append(msgspec.structs.replace(one, **tables, forward=forward))
    return tuple(other)


@pytest.mark.parametrize(("old", "new"), [("second", "2nd"), ("net.", "model.inner."), ("net.norm", "norm")])
@pytest.mark.parametrize("detailed", [True, False])
def test_another_name_is_no_difference(old, new, detailed):
    steps = trained(steps=6, detailed=detailed)
    assert renamed(steps, old, new) != steps
    assert first(steps, renamed(steps, old, new)) is None
    assert renaming.as_named_in(steps, steps) is steps


@pytest.mark.parametrize(
    ("place", "kind", "name"),
    [
        ("second", Kind.FORWARD, "net.second"),
        ("back.net.second.weight", Kind.BACKWARD, "net.second.weight"),
        ("state", Kind.OPTIMIZER, ""),
        ("update.net.second.weight", Kind.OPTIMIZER, "net.second.weight"),
    ],
)
def test_a_defect_beside_it_is_found_under_the_old_name(place, kind, name):
    found = first(SOUND, renamed(trained(at(place, 3), steps=6)))
    assert (found.step, found.kind, found.name) == (3, kind, name)


def test_a_second_call_and_names_that_only_begin_alike():
    names = {"net.readout": "net.head"}
    assert renaming._old("net.readout#2", names) == "net.head#2"
    assert renaming._old("net.readout.weight", names) == "net.head.weight"
    assert renaming._old("net.readouts.weight", names) == "net.readouts.weight"
    assert renaming._of_optimizer("0.exp_avg.net.readout.weight", names) == "0.exp_avg.net.head.weight"


def test_a_layer_that_begins_otherwise_is_another():
    other = renamed(trained(at("init.net.second.weight", 0), steps=6))
    found = first(SOUND, other)
    assert (found.step, found.kind, found.module) == (1, Kind.INIT, "net.2nd")
