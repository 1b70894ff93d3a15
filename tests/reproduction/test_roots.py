"""A root changes with what lies below it, and with nothing else."""

import msgspec

from backburn.reproduction import roots
from backburn.reproduction.steps import Step
from tests.reproduction.symbols import trained

TABLE = {"encoder.0.weight": "aa", "encoder.0.bias": "bb", "encoder.1.weight": "cc", "head.weight": "dd", "scale": "ee"}


def test_a_root_for_each_module_and_one_for_all():
    assert [*roots.roots(TABLE)] == ["", "encoder", "encoder.0", "encoder.1", "head"]
    assert roots.roots({}) == {} and roots.root({}) == ""
    assert roots.roots(TABLE)[""] == roots.root(TABLE)
    assert {len(one) for one in roots.roots(TABLE).values()} == {16}


def test_only_the_modules_above_a_change_have_another_root():
    before, now = roots.roots(TABLE), roots.roots(TABLE | {"encoder.1.weight": "xx"})
    assert [path for path in before if before[path] != now[path]] == ["", "encoder", "encoder.1"]


def test_order_and_place_do_not_matter_names_do():
    assert roots.roots(dict(reversed(TABLE.items()))) == roots.roots(TABLE)
    moved = roots.roots({f"net.{name}": value for name, value in TABLE.items()})
    assert moved["net.encoder"] == roots.roots(TABLE)["encoder"]
    assert moved["net"] == roots.root(TABLE) != moved[""]
    assert roots.root({"ab": "c"}) != roots.root({"a": "bc"})


def test_a_step_has_a_root_for_each_part_that_was_recorded():
    one, *_ = trained(steps=1, detailed=False)
    parts = roots.grid_roots(one)
    assert [*parts] == [
        "batch", "served", "rng", "loss", "parameters", "buffers", "gradients", "optimizer", "settings",
    ]  # fmt: skip
    assert (parts["batch"], parts["parameters"]) == (one.batch, roots.root(one.parameters))
    assert roots.grid_roots(Step(step=4, validation={"val_loss": "nan"})) == {}


def test_generators_that_a_script_may_leave_unseeded_are_no_part_of_it():
    one, *_ = trained(steps=1)
    other = msgspec.structs.replace(one, rng=one.rng | {"python": "other", "numpy": "other"})
    assert roots.grid_roots(other) == roots.grid_roots(one)
    for name in ("torch", "cuda:0"):
        drawn = msgspec.structs.replace(one, rng=one.rng | {name: "other"})
        assert roots.grid_roots(drawn)["rng"] != roots.grid_roots(one)["rng"]
