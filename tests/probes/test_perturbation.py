import pytest
import torch
from torch import nn

from backburn.probes.perturbation import perturb

from . import recorded as r


def perturbed(number, dtype=torch.float32):
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(40, 40), nn.Linear(40, 40)).to(dtype)
    net[1].weight = net[0].weight
    net.register_parameter("count", nn.Parameter(torch.tensor([7]), requires_grad=False))
    before = {name: one.detach().clone() for name, one in net.named_parameters()}
    perturb(net, number)
    return before, dict(net.named_parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_each_number_is_off_by_one_rounding_or_not_at_all(dtype):
    before, after = perturbed(1, dtype)
    eps = torch.finfo(dtype).eps
    ratio = (after["0.weight"].double() / before["0.weight"].double() - 1) / eps
    shares = [(ratio.round() == one).double().mean() for one in (-1, 0, 1)]
    assert ratio.abs().max() <= 1.51 and min(shares) > 0.2  # a product is rounded once more
    assert after["count"].item() == 7


def test_each_number_has_a_draw_of_its_own_and_the_same_each_time():
    one, again, other = (perturbed(number)[1]["0.weight"] for number in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_no_random_number_of_the_training_is_drawn():
    state = torch.get_rng_state()
    net = nn.Linear(3, 3)
    torch.set_rng_state(state)
    perturb(net, 1)
    assert torch.equal(torch.get_rng_state(), state)


def test_parameters_of_other_kinds_stay():
    perturb(nn.LazyLinear(3), 1)


def test_a_training_starts_with_it_once(tmp_path):
    """And goes on from there: what a later fit starts with is what the first one left."""
    (bare, left), (net, after) = r.fitted(tmp_path / "bare"), r.fitted(tmp_path / "ulp", ulp=1)
    assert left == after and not r.same(bare, net)
    assert (r.told(tmp_path / "bare").ulp, r.told(tmp_path / "ulp").ulp) == (0, 1)
    one, other = (r.told(tmp_path / name).losses for name in ("bare", "ulp"))
    assert other != one and other == tuple((step, pytest.approx(loss, rel=1e-5)) for step, loss in one)
    frozen = {"trainer": {"limit_train_batches": 1, "max_epochs": 1}}
    asked = r.asking(tmp_path / "two", ulp=1)
    seen = []
    for _ in range(2):
        torch.manual_seed(0)
        module = r.Net()
        module.configure_optimizers = lambda module=module: torch.optim.SGD(module.parameters(), lr=0.0)
        before = module.head.weight.detach().clone()
        one = r.pl.Trainer(**r.QUIET | frozen["trainer"], callbacks=[r.probe.callback(asked, "lightning.pytorch")])
        one.fit(module, r.t.loader())
        seen.append(torch.equal(before, module.head.weight))
    assert seen == [False, True]
