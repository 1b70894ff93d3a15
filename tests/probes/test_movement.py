import torch
from torch import nn

from backburn.probes.movement import Movement


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))


def step(module, movement, optimizer, loss=None):
    optimizer.zero_grad()
    (module(torch.ones(5, 3)).pow(2).sum() if loss is None else loss()).backward()
    movement.before_step()
    optimizer.step()
    movement.after_step()


def test_all_that_moves_is_forgotten():
    module = net()
    movement = Movement(module)
    assert movement.pending
    step(module, movement, torch.optim.SGD(module.parameters(), lr=0.1))
    assert not movement.pending
    nothing = {"without_gradient": [], "zero_gradient": [], "unmoved": [], "noisy": [], "zero_share": 0.0}
    assert movement.record() == {"trainable": 4} | nothing


def test_what_the_optimizer_lacks_and_what_gets_no_gradient_are_told_apart():
    module = net()
    module.unused = nn.Linear(1, 1)
    movement = Movement(module)
    step(
        module,
        movement,
        torch.optim.SGD(module[1].parameters(), lr=0.1),
        lambda: module[1](module[0](torch.ones(3))).sum(),
    )
    record = movement.record()
    assert record["unmoved"] == ["0.weight", "0.bias"]
    assert record["without_gradient"] == ["unused.weight", "unused.bias"]


def test_a_gradient_of_zero_is_not_none():
    module = net()
    module.unused, module.silent = nn.Linear(1, 1), nn.Linear(1, 1)
    movement = Movement(module)
    loss = lambda: module[:2](torch.ones(5, 3)).sum() + 0 * module.silent(torch.ones(1)).sum()  # noqa: E731
    step(module, movement, torch.optim.SGD(module.parameters(), lr=0.1), loss)
    record = movement.record()
    assert record["without_gradient"] == ["unused.weight", "unused.bias"]
    assert record["zero_gradient"] == ["silent.weight", "silent.bias"]
    assert movement.pending


def test_what_is_frozen_or_empty_is_not_waited_for():
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    module[0].requires_grad_(False)
    module.empty = nn.Parameter(torch.zeros(0))
    movement = Movement(module)
    step(
        module,
        movement,
        torch.optim.SGD(module.parameters(), lr=0.1),
        lambda: module(torch.ones(3)).sum() + module.empty.sum(),
    )
    assert (movement.pending, movement.count) == (False, 3)


def test_updates_lost_in_low_precision_do_not_move():
    module = nn.Linear(2, 1, bias=False).bfloat16()
    module.weight.data.fill_(1.0)
    movement = Movement(module)
    step(
        module, movement, torch.optim.SGD(module.parameters(), lr=1e-4), lambda: module(torch.ones(2).bfloat16()).sum()
    )
    assert movement.record()["unmoved"] == ["weight"]


def test_a_gradient_that_is_rounding_noise_is_not_waited_for():
    module = nn.ParameterDict({"real": nn.Parameter(torch.ones(2)), "noise": nn.Parameter(torch.ones(2))})
    movement = Movement(module)
    loss = lambda: module["real"].sum() + 1e-9 * module["noise"].sum()  # noqa: E731
    step(module, movement, torch.optim.SGD(module.parameters(), lr=0.1), loss)
    assert not movement.pending
    assert movement.record()["noisy"] == ["noise"]


def test_sparse_gradients_count():
    module = nn.Embedding(5, 2, sparse=True)
    movement = Movement(module)
    step(module, movement, torch.optim.SGD(module.parameters(), lr=0.1), lambda: module(torch.tensor([3])).sum())
    assert not movement.pending


def test_of_two_optimizers_in_one_step_the_first_look_counts():
    module = net()
    movement = Movement(module)
    optimizers = [torch.optim.SGD(part.parameters(), lr=0.1) for part in module]
    module(torch.ones(5, 3)).pow(2).sum().backward()
    for optimizer in optimizers:
        movement.before_step()
        optimizer.step()
    movement.after_step()
    assert not movement.pending


def test_what_another_optimizer_holds_waits_for_its_own_step():
    module = net()
    movement = Movement(module)
    first, second = (torch.optim.SGD(part.parameters(), lr=0.1) for part in module)
    module(torch.ones(5, 3)).pow(2).sum().backward()
    movement.before_step([second])
    first.step()
    movement.after_step()
    assert movement.unmoved == {"1.weight", "1.bias"} == movement.without


def test_patience_ends():
    module = net()
    module.unused = nn.Linear(1, 1)
    movement = Movement(module)
    for _ in range(64):
        assert movement.pending
        movement.after_step()
    assert not movement.pending and len(movement.unmoved) == 6
