"""What a forward does besides computing, in real fits."""

import torch
from torch import nn
from torch.nn import functional as F

from . import fits as t


class Net(t.Net):
    """`inside` is what the forward does with its hidden layer; `before` what it does first."""

    def __init__(self, inside=None, before=None):
        super().__init__()
        self.inside, self.before = inside, before

    def forward(self, x):
        if self.before:
            self.before(self)
        hidden = self.encoder(x)
        return self.head(self.inside(self, hidden) if self.inside else hidden)


class Part(nn.Module):
    """A sampler or a mask of the model's own."""

    def __init__(self, drawn):
        super().__init__()
        self.drawn = drawn

    def forward(self, x):
        return x + self.drawn(x)


def forward_of(module):
    return t.told(module, steps=9).forward


@torch.no_grad()
def clip(net):
    net.encoder[0].weight.clamp_(-0.1, 0.1)


def test_a_layer_that_is_initialised_anew_is_seen_and_one_that_is_clipped_told_apart():
    told = forward_of(Net(before=lambda net: nn.init.normal_(net.encoder[0].weight)))
    assert told.again == told.changed == ("encoder.0.weight",)
    told = forward_of(Net(before=clip))
    assert (told.changed, told.again) == (("encoder.0.weight",), ())
    told = forward_of(Net())
    assert told.changed == told.again == told.dropped == told.noisy == ()


def test_spectral_and_batch_normalisation_are_sound():
    net = t.Net()
    first = nn.utils.parametrizations.spectral_norm(nn.Linear(8, 32))
    net.encoder = nn.Sequential(first, nn.BatchNorm1d(32), nn.ReLU())
    told = forward_of(net)
    assert told.changed == told.again == told.noisy == ()


def test_a_dropout_that_is_always_on_is_seen():
    (name, p, where), *_ = forward_of(Net(lambda net, x: F.dropout(x, 0.3))).dropped
    assert (name, p) == ("", 0.3) and where[0].endswith("test_purity.py")
    assert [p for _, p, _ in forward_of(Net(lambda net, x: nn.Dropout(0.4)(x))).dropped] == [0.4]
    assert forward_of(Net(lambda net, x: F.dropout(x, 0.3, net.training))).dropped == ()


def test_a_dropout_of_attention_that_is_always_on_is_seen():
    def attend(p):
        return lambda net, x: F.scaled_dot_product_attention(*[x[:, None, None]] * 3, dropout_p=p(net))[:, 0, 0]

    assert forward_of(Net(attend(lambda net: 0.2))).dropped[0][1] == 0.2
    assert forward_of(Net(attend(lambda net: 0.2 if net.training else 0.0))).dropped == ()


def test_a_monte_carlo_dropout_is_on_by_its_own_doing():
    class Always(nn.Dropout):
        def train(self, mode=True):
            return super().train(True)

    net = t.Net()
    net.encoder.append(Always(0.1))
    assert forward_of(net).dropped == ()


def test_masks_are_told_apart_from_samples():
    def noisy(drawn):
        net = t.Net()
        net.encoder.append(Part(drawn))
        told = forward_of(net)
        return told.noisy, told.masked

    assert noisy(torch.randn_like) == (("encoder.2",), ())
    assert noisy(lambda x: (torch.rand_like(x) > 0.5).float()) == (("encoder.2",), ("encoder.2",))


def test_a_library_s_augmentation_is_random_by_its_purpose():
    class Augmented(Net):
        def __init__(self, made):
            super().__init__()
            self.augment = made

        def training_step(self, batch, batch_idx):
            return F.cross_entropy(self(self.augment(batch[0])), batch[1])

    noise = Part(torch.randn_like)
    assert forward_of(Augmented(noise)).noisy == ("augment",)  # the project's own may be meant for training alone
    library = type("GaussianNoise", (Part,), {"__module__": "torchmetrics"})
    assert forward_of(Augmented(library(torch.randn_like))).noisy == ()
