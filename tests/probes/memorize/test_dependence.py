"""Which outputs are seen to follow which inputs, in real fits."""

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from . import fits as t


class Net(t.Net):
    """`inside` is what the forward does with its hidden layer."""

    def __init__(self, inside=None):
        super().__init__()
        self.inside = inside

    def forward(self, x):
        hidden = self.encoder(x)
        return self.head(self.inside(hidden) if self.inside else hidden)


def dependence_of(module, data=None):
    told = t.told(module, data, steps=9)
    assert told.dependence is not None, told.untold
    return told.dependence


@pytest.mark.parametrize(
    "inside",
    [
        lambda x: x + x.roll(1, 0),
        lambda x: x * x.softmax(0),
        lambda x: x - x.mean(0),
        lambda x: x.reshape(x.shape[1], x.shape[0]).t(),
    ],
)
def test_samples_that_are_mixed_are_seen(inside):
    told = dependence_of(Net(inside)).leak
    assert told.far > 1e-3 and told.supervised and told.output == "cross_entropy"
    assert told.where[0].endswith("fits.py")


@pytest.mark.parametrize("inside", [None, lambda x: x + x.roll(1, 1), lambda x: x * x.softmax(1)])
def test_samples_that_are_apart_are_sound(inside):
    assert dependence_of(Net(inside)).leak.far == 0


def test_batch_normalisation_and_dropout_are_sound():
    net = t.Net()
    net.encoder = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2))
    assert dependence_of(net).leak.far == 0


class Recurrent(t.Net):
    """Sequences, with batches first; the layer is told of it or not."""

    def __init__(self, first):
        super().__init__()
        self.lstm = nn.LSTM(4, 32, batch_first=first)

    def forward(self, x):
        return self.head(self.lstm(x.reshape(-1, 2, 4))[0][:, -1])


def test_an_lstm_that_takes_samples_for_steps_is_seen():
    assert dependence_of(Recurrent(False)).leak.far > 1e-3
    assert dependence_of(Recurrent(True)).leak.far == 0


class Mixup(Net):
    def training_step(self, batch, batch_idx):
        x, y = batch
        order, share = torch.randperm(len(x)), 0.3
        logits = self(share * x + (1 - share) * x[order])
        loss = nn.functional.cross_entropy
        return share * loss(logits, y) + (1 - share) * loss(logits, y[order])


class Mixed(Mixup):
    """`view` where `permute` was meant, before the mixup."""

    def training_step(self, batch, batch_idx):
        x, y = batch
        return super().training_step((x.t().reshape(x.shape), y), batch_idx)


def test_a_mixup_is_sound_and_what_its_model_mixes_is_seen():
    told = dependence_of(Mixup()).leak
    assert told.far == 0 and told.mixes and told.share == pytest.approx(1 / 15)
    told = dependence_of(Mixed()).leak
    assert told.far == 0 and told.mixes and told.share > 0.5
    told = dependence_of(Mixup(lambda x: x + x.roll(1, 0))).leak
    assert told.far > 1e-3 and not told.supervised


class Mixing(nn.Module):
    """A mixup that is a module, as that of torchvision is."""

    def forward(self, x, y):
        order = torch.randperm(len(x))
        return 0.3 * x + 0.7 * x[order], y if self.of_inputs_alone else 0.3 * y + 0.7 * y[order]


class ByModule(t.Net):
    def __init__(self, of_inputs_alone):
        super().__init__()
        self.mix = Mixing()
        self.mix.of_inputs_alone = of_inputs_alone

    def training_step(self, batch, batch_idx):
        x, y = self.mix(batch[0], nn.functional.one_hot(batch[1], t.CLASSES).float())
        teacher = torch.tanh(x[:, : t.CLASSES]).softmax(1)  # no part of the batch
        kd = nn.functional.cross_entropy(self(x) / 2, teacher)
        return kd + nn.functional.cross_entropy(self(x), y)


@pytest.mark.parametrize(("of_inputs_alone", "both"), [(False, True), (True, False)])
def test_a_mixup_of_inputs_alone_is_told_from_one_of_labels_too(of_inputs_alone, both):
    told = dependence_of(ByModule(of_inputs_alone)).leak
    assert (told.mixes, told.both) == (True, both)


class Patches(t.Net):
    """A module gets more rows than there are samples, with as many numbers as there are samples."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(16, 8), nn.ReLU())

    def forward(self, x):
        return self.head(self.encoder(torch.cat([x, x], 1).repeat(1, 4).reshape(-1, 16)).reshape(len(x), -1))


def test_more_rows_than_samples_are_sound():
    assert dependence_of(Patches()).leak.far == 0


class Contrastive(t.Net):
    """Two views of each sample, held against all others."""

    def training_step(self, batch, batch_idx):
        x, _ = batch
        one, other = (self(x + 0.1 * torch.randn_like(x)) for _ in range(2))
        return nn.functional.cross_entropy(one @ other.T, torch.arange(len(x)))


def test_similarities_of_all_samples_are_sound():
    assert dependence_of(Contrastive()).leak.far == 0


def test_an_input_that_is_ignored_is_seen():
    told = dependence_of(Net(lambda x: x * 0)).use
    assert told.all and told.supervised
    told = dependence_of(Net()).use
    assert not told.all and told.used == ("batch[0]",)


class TwoInputs(t.Net):
    def __init__(self, weight):
        super().__init__()
        self.weight, self.side = weight, nn.Linear(3, 32)

    def training_step(self, batch, batch_idx):
        x, z, y = batch
        return nn.functional.cross_entropy(self.head(self.encoder(x) + self.weight * self.side(z)), y)


@pytest.mark.parametrize("weight, ignored", [(1, ()), (0, ("batch[1]",))])
def test_one_of_two_inputs_that_is_ignored_is_seen(weight, ignored):
    x, y = t.samples()
    data = t.loader(TensorDataset(x, torch.randn(len(x), 3), y))
    assert dependence_of(TwoInputs(weight), data).use.ignored == ignored


class Views(TwoInputs):
    """The other input is what the output is held against, as another view or a next state is."""

    def training_step(self, batch, batch_idx):
        x, z, _ = batch
        with torch.no_grad():
            held = self.side(z)
        return nn.functional.mse_loss(self.encoder(x), held)


def test_what_an_output_is_held_against_is_not_ignored():
    x, y = t.samples()
    assert dependence_of(Views(0), t.loader(TensorDataset(x, torch.randn(len(x), 3), y))).use.ignored == ()


def test_a_model_without_its_activations_is_seen():
    net = t.Net()
    assert dependence_of(net).linear.bend > 1e-3
    net.encoder = nn.Sequential(nn.Linear(8, 32), nn.Linear(32, 32))
    assert dependence_of(net).linear.bend < 1e-4


def test_one_matrix_is_a_linear_model_on_purpose():
    class Linear(t.Net):
        def forward(self, x):
            return self.only(x)

    net = Linear()
    net.only = nn.Linear(8, t.CLASSES)
    assert "two matrices" in dependence_of(net).untold["linear"]
