"""What a module, a DataModule and its optimizers hold, put back in place."""

import random

import numpy
import torch
from torch import nn

from backburn.probes.memorize.snapshot import Numbers, Optimizers, Snapshot, numbers_kept


class Module(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(2, 2)
        self.register_buffer("mean", torch.zeros(2))
        self.kept, self.table, self.count = [torch.ones(1)], {"a": 1}, 0
        self.tied = self.net.weight


def changed(module):
    with torch.no_grad():
        module.net.weight.add_(1)
        module.mean.add_(1)
        module.kept[0].add_(1)
    module.kept.append(2)
    module.table["b"] = 2
    module.count = 9
    module.new = "new"
    module.net.weight.grad = torch.ones(2, 2)
    module.net.weight.requires_grad_(False)
    module.net.eval()
    module.net.register_forward_hook(print)
    module.late = nn.Linear(1, 1)
    del module.tied


def test_all_is_put_back_and_tensors_are_the_same_ones():
    module = Module()
    weight, listed = module.net.weight, module.kept
    values = weight.detach().clone()
    one = Snapshot(module)
    changed(module)
    one.restore()
    assert module.net.weight is weight is module.tied and torch.equal(weight, values)
    assert module.kept is listed and [float(x) for x in listed] == [1.0]
    assert (module.table, module.count, hasattr(module, "new"), hasattr(module, "late")) == ({"a": 1}, 0, False, False)
    assert weight.grad is None and weight.requires_grad and module.net.training and not module.net._forward_hooks
    assert float(module.mean.sum()) == 0 and list(dict(module.named_modules())) == ["", "net"]


def test_a_gradient_that_was_there_is_there_again():
    module = Module()
    module.net.weight.grad = before = torch.full((2, 2), 3.0)
    one = Snapshot(module)
    module.net.weight.grad = None
    one.restore()
    assert module.net.weight.grad is before


def test_parameters_can_be_left_as_they_are():
    module = Module()
    one = Snapshot(module, parameters=False)
    changed(module)
    one.restore()
    assert float(module.mean.sum()) == 0 and module.net.weight.requires_grad
    assert not torch.equal(module.net.weight, Module().net.weight)


def test_what_moved_or_grew_has_its_values_anew():
    module = Module()
    one = Snapshot(module)
    module.mean.data = torch.ones(5, dtype=torch.float64)
    one.restore()
    assert torch.equal(module.mean, torch.zeros(2)) and module.mean.dtype == torch.float32


def test_a_plain_object_is_kept_too():
    class Data:
        def __init__(self):
            self.seen, self.size = [1], 3

    data = Data()
    one = Snapshot(data)
    data.seen.append(2)
    data.size = data.more = 5
    one.restore()
    assert vars(data) == {"seen": [1], "size": 3}


def test_optimizers_that_a_module_holds_are_put_back():
    module = Module()
    module.single = torch.optim.Adam(module.net.parameters(), lr=0.1)
    module.several = [torch.optim.SGD([module.net.bias], lr=0.2, momentum=0.9)]
    module.net(torch.ones(1, 2)).sum().backward()
    module.single.step()
    module.several[0].step()
    before = [one.state_dict() for one in (module.single, *module.several)]
    state = {key: one.clone() for key, one in module.single.state[module.net.weight].items()}
    kept = Optimizers(module)
    module.single.step()
    module.several[0].step()
    module.single.param_groups[0]["lr"] = 7.0
    module.several[0].add_param_group({"params": [module.net.weight]})
    torch.optim.lr_scheduler.StepLR(module.single, 1)
    kept.restore()
    assert module.single.param_groups[0]["lr"] == 0.1 and len(module.several[0].param_groups) == 1
    assert "initial_lr" not in module.single.param_groups[0] and "step" not in vars(module.single)
    assert all(torch.equal(one, module.single.state[module.net.weight][key]) for key, one in state.items())
    after = [one.state_dict() for one in (module.single, *module.several)]
    assert [one["param_groups"] for one in before] == [one["param_groups"] for one in after]


def drawn():
    return float(torch.rand(())), random.random(), float(numpy.random.rand())


def test_random_numbers_come_again_and_the_world_sees_none_of_it():
    first = Numbers()
    one = drawn()
    outside = drawn()
    first.again()
    assert drawn() == one and drawn() == outside
    before = Numbers()
    with numbers_kept(first):
        assert drawn() == one
    after = drawn()
    before.again()
    assert drawn() == after


def test_only_what_was_drawn_from_is_put_back():
    first = Numbers()
    torch.rand(())
    drawn_from = first.drawn()
    python = random.random()
    drawn_from.again()
    assert torch.equal(torch.get_rng_state(), first.states[0]) and random.random() != python
    assert (drawn_from.python, drawn_from.numpy, len(drawn_from.generators)) == (None, None, 1)
    numpy.random.rand()
    first.drawn().again()
    assert first.drawn().numpy is None


def test_a_large_frozen_model_is_not_copied_and_a_copy_may_lie_in_the_hosts_memory(monkeypatch):
    monkeypatch.setattr("backburn.probes.memorize.snapshot._LARGE", 10)
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    net[0].requires_grad_(False)
    before, held = net[1].weight.detach().clone(), Snapshot(net, host=True)
    copied = [own for _, own, *_ in held.tensors.values() if own is not None]
    assert len(copied) == 2 and all(one.device.type == "cpu" for one in copied)
    with torch.no_grad():
        net[1].weight.zero_()
    held.restore()
    assert net[1].weight.equal(before) and net[1].weight.requires_grad and not net[0].weight.requires_grad


class Frozen(dict):
    """As diffusers' FrozenDict."""

    def update(self, *args, **given):
        raise TypeError("frozen")

    clear = pop = update


def test_what_cannot_be_changed_needs_no_putting_back():
    module = Module()
    module.config = Frozen(a=1)
    one = Snapshot(module)
    changed(module)
    one.restore()
    assert module.config == {"a": 1} and module.table == {"a": 1}
