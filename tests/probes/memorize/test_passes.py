"""Who listens to a pass hears the outermost modules, the logged values and the roots of backward, and then goes."""

import torch
from torch import nn

from backburn.probes.memorize.passes import Pass, observed

from .. import trainings as t


class Nested(t.Net):
    """Logs a loss, calls a loss module and a metric's namesake, and backward twice."""

    def __init__(self):
        super().__init__()
        self.criterion = nn.CrossEntropyLoss()

    def step(self, x, y):
        loss = self.criterion(self(x), y)
        self.log("a", loss)
        self.log_dict({"b": 1, "c": 2})
        loss.backward(retain_graph=True)
        torch.autograd.backward([2 * loss, 3 * loss])
        return loss


def test_all_of_it_is_heard_and_nothing_stays():
    module, done, before = Nested(), Pass(), torch.autograd.backward
    names = sorted(vars(module))
    with observed(module, done):
        done.returned = module.step(*t.samples(16))
    assert [name for name, _ in done.inputs] == [name for name, _ in done.outputs] == ["encoder", "head"]
    assert [call.name for call in done.calls] == ["cross_entropy"] and done.calls[0].where[0] == __file__
    assert list(done.logged) == ["a", "b", "c"]
    assert len(done.roots) == 3 and done.losses == done.roots
    assert torch.autograd.backward is before and sorted(vars(module)) == names
    assert not any(one._forward_hooks or one._forward_pre_hooks for one in module.modules())


def test_a_pass_that_raises_leaves_nothing_either():
    module, before = Nested(), torch.autograd.backward
    try:
        with observed(module, Pass()):
            module.step(torch.ones(2, 3), torch.ones(2))
    except RuntimeError:
        pass
    assert torch.autograd.backward is before and "log" not in vars(module)
    assert not any(one._forward_hooks for one in module.modules())


def test_a_loss_of_several_elements_counts_as_their_mean():
    done = Pass()
    assert (done.value, done.losses) == (None, [])
    done.returned = torch.tensor([1.0, 3.0], requires_grad=True)
    assert done.value == 2.0 and done.losses == [done.returned]
