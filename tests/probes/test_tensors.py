import math
import os
import subprocess
import sys

import numpy
import pytest
import torch
from torch import nn

from backburn.probes import tensors
from backburn.probes.tensors import digest, nested


def numbers(*shape):
    return torch.arange(math.prod(shape)).reshape(shape).float()


def test_a_digest_is_of_dtype_shape_and_bytes():
    one = numbers(2, 3)
    assert digest(one) == digest(one.clone()) and len(digest(one)) == 16
    others = [one.reshape(3, 2), one.double(), one.int(), one + 1, -one, one.flip(0), numbers(2, 4)]
    assert len({digest(other) for other in [one, *others]}) == 8


@pytest.mark.parametrize("plant", [lambda x: x.index_fill_(0, torch.tensor(3), -0.0), lambda x: x[1].mul_(1 + 2**-23)])
def test_one_bit_makes_another_digest(plant):
    one = torch.tensor([1.0, 2.0, 3.0, 0.0])
    other = one.clone()
    plant(other)
    assert digest(one) != digest(other)


def test_the_way_it_is_stored_does_not_matter():
    one = numbers(2, 3, 4, 4)
    stored = torch.empty(2, 6, 4, 4)[:, ::2].copy_(one)
    assert digest(one) == digest(one.to(memory_format=torch.channels_last)) == digest(stored)
    assert digest(numbers(2, 3).t()) == digest(numbers(2, 3).t().contiguous())
    assert digest(nn.Parameter(one)) == digest(one.requires_grad_())
    complex_one = torch.complex(numbers(3), numbers(3))
    assert digest(complex_one.conj()) == digest(complex_one.conj().resolve_conj()) != digest(complex_one)


@pytest.mark.parametrize(
    "dtype", [torch.bfloat16, torch.float16, torch.bool, torch.uint8, torch.int64, torch.complex64]
)
def test_each_dtype_is_read(dtype):
    one = (numbers(4) % 2).to(dtype)
    assert digest(one) == digest(one.clone()) != digest((numbers(4) // 2 % 2).to(dtype))


def test_numbers_without_dimension_and_empty_ones_are_read():
    assert (
        len({digest(torch.tensor(1.0)), digest(torch.tensor([1.0])), digest(torch.empty(0)), digest(torch.empty(0, 2))})
        == 4
    )
    assert digest(torch.tensor(math.nan)) == digest(torch.tensor(math.nan))


def sparse(value):
    return torch.tensor([[0, 0, value], [4.0, 0, 5.0]])


KINDS = {
    "sparse": lambda x: sparse(x).to_sparse(),
    "sparse rows": lambda x: sparse(x).to_sparse_csr(),
    "sparse columns": lambda x: sparse(x).to_sparse_csc(),
    "uncoalesced": lambda x: torch.sparse_coo_tensor([[0, 0], [2, 2]], [x, x], (2, 3)),
    "nested": lambda x: torch.nested.nested_tensor([torch.full((2,), x), torch.ones(3)]),
    "jagged": lambda x: torch.nested.nested_tensor([torch.full((2,), x), torch.ones(3)], layout=torch.jagged),
    "quantized": lambda x: torch.quantize_per_tensor(torch.full((3,), x), 0.5, 1, torch.qint8),
    "by channel": lambda x: torch.quantize_per_channel(sparse(x), torch.ones(2), torch.zeros(2), 0, torch.qint8),
    "its own class": lambda x: torch.full((2,), x).as_subclass(Own),
}


class Own(torch.Tensor):
    pass


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_a_tensor_of_any_kind_is_read_by_its_values(kind):
    make = KINDS[kind]
    assert digest(make(1.0)) == digest(make(1.0)) != digest(make(2.0))
    assert digest(make(1.0))


def freed():
    one = torch.ones(4)
    one.untyped_storage().resize_(0)
    return one


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "make", [lambda: torch.empty(3, device="meta"), freed, nn.UninitializedParameter, lambda: "no tensor"]
)
def test_what_has_no_values_is_left_out(make):
    assert digest(make()) == "" and tensors.table([("x", make()), ("y", torch.ones(1))]) == {"y": digest(torch.ones(1))}


def test_a_shard_of_a_distributed_tensor_is_this_ranks():
    class Shard:
        def detach(self):
            return self

        def to_local(self):
            return numbers(3)

    assert digest(Shard()) == digest(numbers(3))


def test_inside_of_a_transform_there_is_nothing_to_read():
    seen = []
    torch.func.vmap(lambda x: (seen.append(digest(x)), x)[1])(numbers(2, 3))
    assert seen == [""]


def test_tied_weights_stand_under_each_of_their_names():
    net = nn.ModuleDict({"one": nn.Linear(3, 3), "other": nn.Linear(3, 3)})
    net["other"].weight = net["one"].weight
    found = tensors.parameters(net)
    assert list(found) == ["one.weight", "one.bias", "other.weight", "other.bias"]
    assert found["one.weight"] == found["other.weight"]
    assert set(tensors.norms(net)) == {"one.weight", "one.bias", "other.bias"}


def test_buffers_that_no_checkpoint_keeps_are_read():
    net = nn.BatchNorm1d(2)
    net.register_buffer("mine", torch.ones(1), persistent=False)
    assert list(tensors.buffers(net)) == ["running_mean", "running_var", "num_batches_tracked", "mine"]


def test_norms_are_of_each_parameter():
    net = nn.Linear(2, 1)
    nn.init.constant_(net.weight, -3.0)
    nn.init.constant_(net.bias, 4.0)
    assert tensors.norms(net) == {"weight": (6.0, pytest.approx(math.sqrt(18))), "bias": (4.0, 4.0)}
    assert tensors.norms(nn.Linear(2, 1).bfloat16())["bias"][1] > 0
    net.weight.untyped_storage().resize_(0)
    assert list(tensors.norms(net)) == ["bias"] and tensors.norms(nn.Linear(2, 1, device="meta")) == {}


def test_any_nesting_has_a_digest():
    def batch(x=1.0, name="a", more=None):
        return {"x": [torch.tensor([x]), (name, 3)], "array": numpy.ones(2), "more": more or [None]}

    assert nested(batch()) == nested(batch())
    others = [batch(2.0), batch(name="b"), batch(more=[None, None]), [batch()]]
    assert len({nested(one) for one in [batch(), *others]}) == 5


def test_what_cannot_be_read_inside_makes_it_empty():
    assert nested([torch.ones(1), torch.ones(1, device="meta")]) == ""

    class Failing:
        __slots__ = ("x",)

        def __getattribute__(self, name):
            raise KeyError(name)

    assert nested([Failing()]) == ""


def test_an_address_is_none_of_a_value():
    assert nested([test_an_address_is_none_of_a_value]) == nested([test_an_address_is_none_of_a_value])
    code = "from backburn.probes.tensors import nested; print(nested([print, object(), {1}, lambda: 0]))"
    told = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ).stdout
        for _ in "ab"
    }
    assert len(told) == 1 and told != {"\n"}


def test_nothing_that_it_reads_changes():
    torch.manual_seed(0)
    one = torch.rand(4, requires_grad=True)
    kept, version, state = one.detach().clone(), one._version, torch.get_rng_state()
    for read in (digest, nested, lambda it: nested([it])):
        read(one)
    tensors.norms(nn.Linear(2, 2))
    torch.set_rng_state(state)
    assert torch.equal(one, kept) and one._version == version and one.is_leaf
