"""Which activations are seen, of modules and of functions, in real fits."""

import pytest
import torch
from torch import nn

from . import fits as t


class Net(t.Net):
    def __init__(self, activation):
        super().__init__()
        self.encoder, self.activation = nn.Linear(8, 32), activation

    def forward(self, x):
        return self.head(self.activation(self.encoder(x)))


def seen(activation, bias=0.0):
    net = Net(activation)
    nn.init.constant_(net.encoder.bias, bias)
    told = t.told(net, steps=9)
    return told.units.seen, told.units_moved.seen


def full(x):
    return torch.tanh(1000 * x)


@pytest.mark.parametrize(
    "activation, name, kind",
    [
        (nn.ReLU(), "activation", "relu"),
        (nn.ReLU(inplace=True), "activation", "relu"),
        (nn.functional.relu, "", "relu"),
        (torch.relu, "", "relu"),
        (torch.Tensor.relu, "", "relu"),
        (nn.GELU(), "activation", "gelu"),
        (nn.functional.silu, "", "silu"),
        (nn.ELU(), "activation", "elu"),
    ],
)
def test_units_that_are_off_are_seen_before_and_after_the_first_steps(activation, name, kind):
    for (alive,), (dead,) in zip(seen(activation), seen(activation, bias=-20.0)):
        assert (alive.name, alive.kind, alive.units) == (name, kind, 32)
        assert alive.dead < 0.5 and dead.dead == 1.0


@pytest.mark.parametrize("activation", [nn.Tanh(), torch.sigmoid, nn.functional.hardtanh])
def test_bounded_activations_are_seen(activation):
    for (one,) in seen(activation):
        assert one.saturated < 0.5


def test_saturated_ones_are_seen_with_their_line():
    for (one,) in seen(full):
        assert one.saturated > 0.97 and one.where[0].endswith("test_units.py")


def test_channels_of_images_and_positions_of_sequences():
    class Images(Net):
        def forward(self, x):
            images = torch.relu(self.encoder(x).reshape(len(x), 2, 4, 4) - self.off)
            return self.head(images.flatten(1))

    class Sequences(Net):
        def forward(self, x):
            sequences = torch.relu(self.encoder(x[:, None].expand(-1, 4, -1)) - self.off)
            return self.head(sequences.mean(1))

    for module, off in ((Images, 0), (Sequences, 0), (Sequences, 100)):
        net = module(None)
        net.off = off
        (one,) = t.told(net, steps=9).units.seen
        assert one.dead == (1.0 if off else pytest.approx(0, abs=0.4))


def test_no_activation_is_a_reason():
    net = t.Net()
    net.encoder = nn.Linear(8, 32)
    assert "no activation" in t.told(net, steps=9).untold["units"]
