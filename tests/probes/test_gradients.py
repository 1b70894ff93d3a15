"""How large a gradient is."""

import math

import pytest
import torch

from backburn.probes.gradients import squared_norm


def stepped(*gradients):
    parameters = [torch.nn.Parameter(torch.zeros_like(one.to_dense() if one.is_sparse else one)) for one in gradients]
    for parameter, gradient in zip(parameters, gradients):
        parameter.grad = gradient
    half = len(parameters) // 2
    groups = [{"params": parameters[:half]}, {"params": [*parameters[half:], torch.nn.Parameter(torch.ones(3))]}]
    return torch.optim.SGD(groups, lr=0.1)


def test_it_is_over_all_parameters_that_have_one():
    assert squared_norm(stepped(torch.tensor([3.0, 0.0]), torch.tensor([[4.0]]))) == 25.0
    assert squared_norm(stepped()) is None


def test_what_is_not_there_of_a_sparse_one_is_0():
    twice = torch.sparse_coo_tensor([[1, 1]], [1.0, 2.0], (3,))
    assert squared_norm(stepped(torch.tensor([4.0]), twice)) == 25.0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.complex64])
def test_half_precision_is_summed_in_more(dtype):
    """In float16 the sum of 1e6 squares is infinite."""
    many = torch.ones(1_000_000, dtype=dtype)
    assert squared_norm(stepped(many, torch.zeros(1))) == pytest.approx(1e6, rel=1e-6)


def test_what_is_not_finite_shows():
    assert math.isnan(squared_norm(stepped(torch.tensor([math.nan, 1.0]), torch.ones(1))))
