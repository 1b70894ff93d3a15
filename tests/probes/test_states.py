import random

import numpy
import pytest
import torch
from torch import nn

from backburn.probes import states


def stepped(make, net=None):
    torch.manual_seed(0)
    net = net or nn.Linear(3, 2)
    one = make(net.parameters())
    net(torch.ones(1, 3)).sum().backward()
    one.step(lambda: net(torch.ones(1, 3)).sum())
    return net, one


DRAWS = {"torch": lambda: torch.rand(1), "python": random.random, "numpy": numpy.random.random}


@pytest.mark.parametrize("name", DRAWS)
def test_each_generator_is_told_apart(name):
    before = states.rng()
    assert before == states.rng()  # and reading draws nothing
    DRAWS[name]()
    after = states.rng()
    assert {one for one in before if before[one] != after[one]} == {name}


@pytest.mark.filterwarnings("error")
def test_numpy_with_another_generator_is_told_too():
    kept = numpy.random.get_bit_generator()
    try:
        numpy.random.set_bit_generator(numpy.random.PCG64(1))
        before = states.rng()
        numpy.random.random()
        assert before["numpy"] != states.rng()["numpy"]
    finally:
        numpy.random.set_bit_generator(kept)


def test_settings_are_exact():
    _, one = stepped(lambda given: torch.optim.Adam(given, lr=0.1, betas=(0.9, 0.99)))
    found = states.settings([one, one])
    assert found["0.0.lr"] == (0.1).hex() == found["1.0.lr"]
    assert (found["0.0.betas.1"], found["0.0.amsgrad"], found["0.0.foreach"]) == ((0.99).hex(), "False", "None")
    assert "0.0.params" not in found
    one.param_groups[0]["lr"] = torch.tensor(0.25)
    assert states.settings([one])["0.0.lr"] == (0.25).hex()


def test_what_an_optimizer_keeps_has_the_parameters_name():
    net, one = stepped(lambda given: torch.optim.Adam(given, lr=0.1))
    found = states.kept([one], states.names(net))
    assert set(found) == {f"0.{key}.{name}" for key in ("step", "exp_avg", "exp_avg_sq") for name in ("weight", "bias")}
    _, other = stepped(lambda given: torch.optim.Adam(given, lr=0.1, betas=(0.8, 0.999)))
    differs = {name for name, value in states.kept([other], {}).items() if value not in found.values()}
    assert differs == {"0.exp_avg.0.0", "0.exp_avg.0.1"}  # which has no names


@pytest.mark.parametrize("kind", ["SGD", "Adagrad", "LBFGS", "RMSprop"])
def test_other_optimizers_are_read_too(kind):
    net, one = stepped(lambda given: getattr(torch.optim, kind)(given, lr=0.1))
    found = states.kept([one], states.names(net))
    assert found == states.kept([one], states.names(net)) and bool(found) == (kind != "SGD")


def test_an_optimizer_of_another_kind_is_no_reason_to_end():
    assert states.kept([object()], {}) == {} == states.settings([object()])


def test_gradients_are_of_the_optimizers_own():
    net, one = stepped(lambda given: torch.optim.SGD(list(given)[:1], lr=0.1))
    assert [name for name, _ in states.gradients(one, states.names(net))] == ["weight"]


def test_a_number_is_exact():
    assert states.number(torch.tensor(0.5)) == (0.5).hex() and states.number(float("nan")) == "nan"
    assert states.number(torch.ones(2)) == "" == states.number("1")
