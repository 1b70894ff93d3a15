"""The leaf sets of real small fits: what is cut off, unused, forgotten, frozen or a copy is told apart."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from backburn import api
from backburn.stages import memorize

from .test_steps import Manual, Net, batches, told


class Encoded(Net):
    """An encoder before the net."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))

    def encode(self, x):
        return self.encoder(x)

    def loss(self, batch):
        return F.cross_entropy(self.net(self.encode(batch[0])), batch[1])


class Detached(Encoded):
    def encode(self, x):
        return self.encoder(x).detach()


class WithoutGradient(Encoded):
    @torch.no_grad()
    def encode(self, x):
        return self.encoder(x)


class Probed(WithoutGradient):
    """A linear probe: only what comes after the encoder is in the optimizer."""

    def optimizer(self):
        return torch.optim.Adam(self.net.parameters(), lr=1e-2)


class Resting(Encoded):
    """The same, by eval mode instead."""

    def on_train_start(self):
        self.encoder.eval()

    def optimizer(self):
        return torch.optim.Adam(self.net.parameters(), lr=1e-2)


class Unused(Encoded):
    def encode(self, x):
        return x


class Skipped(Net):
    """Two normalisations begin alike, and the second is left out."""

    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)

    def loss(self, batch):
        return F.cross_entropy(self.net(self.norm1(batch[0])), batch[1])


class Twin(Net):
    """A target that is a copy, and that no gradient reaches, in the optimizer for want of care."""

    def __init__(self):
        super().__init__()
        self.target = copy.deepcopy(self.net)

    def loss(self, batch):
        with torch.no_grad():
            wanted = self.target(batch[0])
        return super().loss(batch) + 0.01 * F.mse_loss(self.net(batch[0]), wanted)


class Penalised(Net):
    """A gradient penalty: a leaf that is of the step, not of the model."""

    def loss(self, batch):
        between = batch[0].clone().requires_grad_()
        (slope,) = torch.autograd.grad(self.net(between).sum(), between, create_graph=True)
        return super().loss(batch) + 0.001 * slope.pow(2).sum()


class Listed(Net):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(8, 8)]

    def loss(self, batch):
        return F.cross_entropy(self.net(self.layers[0](batch[0])), batch[1])


class Seldom(Manual):
    """The second part is trained in each other step only."""

    def training_step(self, batch, batch_idx):
        first, second = self.optimizers()
        hidden = self.net[:2](batch[0])
        hidden, optimizer = (hidden, first) if batch_idx % 2 else (hidden.detach(), second)
        optimizer.zero_grad()
        self.manual_backward(F.cross_entropy(self.net[2](hidden), batch[1]))
        optimizer.step()

    def configure_optimizers(self):
        return [torch.optim.Adam(part.parameters(), lr=1e-2) for part in (self.net[0], self.net[2])]


class Shared(Seldom):
    def configure_optimizers(self):
        return [torch.optim.Adam(part.parameters(), lr=1e-2) for part in (self.net, self.net[2])]


EXPECTED = {
    Encoded: {},
    Detached: {"parameters-are-connected": "error"},
    WithoutGradient: {"parameters-are-connected": "error"},
    Probed: {"parameters-are-connected": "warning"},
    Resting: {"parameters-are-optimized": "warning"},
    Unused: {"parameters-are-connected": "warning"},
    Skipped: {"parameters-are-connected": "warning"},
    Twin: {},
    Penalised: {},
    Listed: {"parameters-are-registered": "error"},
    Seldom: {},
    Shared: {"parameters-are-optimized": "warning"},
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_what_became_of_the_parameters(kind):
    outcomes = {one.check.partition("/")[2]: one.findings for one in told(kind).outcomes}
    names = [name for name in outcomes if name.startswith(("parameters-are", "parameters-stay"))]
    assert {name: str(outcomes[name][0].level.value) for name in names if outcomes[name]} == EXPECTED[kind]


class Flat(Net):
    """All weights begin at 0, the biases do not."""

    def __init__(self):
        super().__init__()
        for one in self.parameters():
            if one.dim() > 1:
                nn.init.zeros_(one)


class FlatHead(Net):
    """The last layer alone begins at 0."""

    def __init__(self):
        super().__init__()
        nn.init.zeros_([one for one in self.parameters() if one.dim() > 1][-1])


@pytest.mark.parametrize("kind, cause", [(Flat, "memorize/gradients-reach"), (FlatHead, None)])
def test_weights_that_all_begin_as_one_number_are_named(kind, cause):
    assert told(kind).cause == cause


class Adapted(Net):
    """As torch draws them, but for one that begins at 0."""

    def __init__(self):
        super().__init__()
        self.adapter = nn.Linear(8, 8)
        nn.init.zeros_(self.adapter.weight)

    def loss(self, batch):
        return F.cross_entropy(self.net(batch[0] + self.adapter(batch[0])), batch[1])


class TwoTasks(Encoded):
    def loss(self, batch):
        h = self.encode(batch[0])
        return F.cross_entropy(self.net(h), batch[1]) + F.mse_loss(self.split(h), batch[0])

    def split(self, h):
        return h


class Split(TwoTasks):
    def split(self, h):
        return self.net[0](h.detach())[:, :8]


def test_what_each_call_of_the_loss_reaches_is_told():
    reach = [[one.unreached for one in looked(kind).loss_calls.calls] for kind in (TwoTasks, Split)]
    assert reach == [[0, 4], [0, 6]]  # the net; the encoder and the rest of the net


class Grown(Adapted):
    def __init__(self):
        super().__init__()
        for one in self.parameters():
            one.data *= 30


def test_the_size_that_weights_begin_with_is_told():
    sizes = [looked(kind).parameters for kind in (Adapted, Grown)]
    assert [(one.matrices, one.zeroed) for one in sizes] == [(3, 1)] * 2
    assert sizes[0].gain == pytest.approx(0.58, rel=0.1) and sizes[1].gain == pytest.approx(30 * sizes[0].gain)


def looked(kind):
    torch.manual_seed(0)
    return api.gather(kind(), DataLoader(TensorDataset(*batches()[0]), 32), memorize.Config(steps=12), {}).told
