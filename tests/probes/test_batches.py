import dataclasses

import numpy
import pytest
import torch

from backburn.probes.batches import Batch, digest, leaves, size


@dataclasses.dataclass
class Graph:
    x: torch.Tensor
    name: str = "a"


def batch():
    return {
        "x": torch.tensor([[1.0, float("nan")], [2.0, -0.0]]),
        "half": torch.tensor([1.5], dtype=torch.bfloat16),
        "more": [Graph(torch.arange(3)), (numpy.arange(2.0), "text", 3, float("nan"), None)],
        "sparse": torch.eye(2).to_sparse(),
    }


def test_equal_batches_are_the_same_and_hash_alike():
    one = Batch(batch())
    assert one.differs(batch()) == ""
    assert one.digest == digest(leaves(batch()))
    assert len(one.digest) == 32


def changed(change):
    other = batch()
    change(other)
    return other


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda b: b["x"].__setitem__((0, 0), 1.0000001), "batch['x']: float32 (2, 2)"),
        (lambda b: b["x"].__setitem__((0, 1), 0.0), "batch['x']"),
        (lambda b: b.update(half=b["half"].float()), "batch['half']: float32 (1,)"),
        (lambda b: b["more"][0].x.add_(1), "batch['more'][0].x: int64 (3,)"),
        (lambda b: setattr(b["more"][0], "name", "b"), "batch['more'][0].name: str"),
        (lambda b: b["more"][1][0].__setitem__(0, 9.0), "batch['more'][1][0]: float64 (2,)"),
        (lambda b: b.update(sparse=(2 * torch.eye(2)).to_sparse()), "batch['sparse']"),
        (lambda b: b.update(x=b["x"][:1]), "batch['x']: float32 (1, 2)"),
        (lambda b: b.pop("sparse"), "9 parts instead of 10"),
    ],
)
def test_any_difference_is_found_and_named(change, path):
    other = changed(change)
    assert Batch(batch()).differs(other).startswith(path)
    assert digest(leaves(other)) != Batch(batch()).digest


def test_a_later_change_in_place_is_not_missed():
    x = torch.zeros(2)
    kept = Batch([x])
    x.add_(1)
    assert kept.differs([x]) == "batch[0]: float32 (2,)"


def test_a_batch_that_holds_itself_ends():
    own = Graph(torch.zeros(1))
    own.name = own
    assert len(list(leaves(own))) < 20


@pytest.mark.parametrize(
    ("one", "samples"),
    [
        ([torch.zeros(5, 3), torch.zeros(5)], 5),
        ({"name": "a", "x": numpy.zeros((7, 2))}, 7),
        ([torch.tensor(0.5), torch.zeros(4)], 4),
        ("text", 1),
        (None, 1),
    ],
)
def test_the_samples_of_a_batch_are_its_first_dimension(one, samples):
    assert size(one) == samples


@dataclasses.dataclass(slots=True)
class Slotted:
    nodes: torch.Tensor
    edges: torch.Tensor


class Columned:
    """As pandas' classes: what looks like a shape is a property of the class."""

    @property
    def shape(self):
        return (1,)


def test_what_has_slots_shows_what_it_holds():
    found = dict(leaves([Slotted(torch.zeros(3, 2), torch.ones(2, 4))]))
    assert list(found) == ["batch[0].nodes", "batch[0].edges"]
    assert size([Slotted(torch.zeros(3, 2), torch.ones(2, 4))]) == 3


def test_a_class_is_a_leaf_that_says_its_name():
    assert digest(leaves({"kind": Columned})) == digest(leaves({"kind": Columned}))
