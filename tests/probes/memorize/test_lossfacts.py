import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

from backburn.errors import Skip
from backburn.memorization import lossoutputs, losstargets, lossterms
from backburn.memorization.seen import Evidence
from backburn.probes.memorize import lossfacts, looks
from backburn.report import name_of
from backburn.training import Ended

from .fits import CLASSES, Net, loader, told


class Lossy(Net):
    """A net whose loss is given: what training_step makes of outputs and labels."""

    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def training_step(self, batch, batch_idx):
        x, y = batch
        return self.loss(self(x), y)


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """The other looks cost more than this one."""
    monkeypatch.setattr(looks, "FIRST", {"loss_calls": lossfacts})
    monkeypatch.setattr(looks, "MOVED", {})
    monkeypatch.setattr(looks, "LAST", {})


def found(loss):
    """The checks that find something in a fit of two steps, with their first finding."""
    seen = Evidence(ended=Ended(command=("x",), code=0, seconds=1.0), told=told(Lossy(loss), steps=2))
    assert "loss_calls" not in seen.probe.untold, seen.probe.untold
    names = {}
    for check in (*lossoutputs.CHECKS, *losstargets.CHECKS, *lossterms.CHECKS):
        try:
            names.update((name_of(check), one) for one in check(seen, None))
        except Skip:
            continue
    return names


def hot(y):
    return F.one_hot(y, CLASSES).float()


SOUND = {
    "cross_entropy": lambda z, y: F.cross_entropy(z, y),
    "nll_loss": lambda z, y: F.nll_loss(z.log_softmax(1), y),
    "log_softmax twice is once": lambda z, y: F.cross_entropy(z.log_softmax(1), y),
    "by hand": lambda z, y: -z.log_softmax(1).gather(1, y[:, None]).mean(),
    "one-hot": lambda z, y: F.cross_entropy(z, hot(y), label_smoothing=0.1),
    "binary": lambda z, y: F.binary_cross_entropy_with_logits(z, hot(y)),
    "shares": lambda z, y: F.binary_cross_entropy(z.sigmoid(), hot(y)),
    "Brier": lambda z, y: F.mse_loss(z.softmax(1), hot(y)),
    "a sum": lambda z, y: F.cross_entropy(z, y, reduction="sum"),
    "a distillation": lambda z, y: F.kl_div(z.log_softmax(1), (3 * hot(y)).softmax(1), reduction="batchmean"),
    "two, and a regulariser": lambda z, y: F.cross_entropy(z, y) + 0.1 * F.mse_loss(z, hot(y)) + 1e-3 * z.pow(2).mean(),
    "rewards": lambda z, y: (F.cross_entropy(z, y, reduction="none") * torch.linspace(-1, 1, len(y))).mean(),
    "a mixture": lambda z, y: 0.7 * F.cross_entropy(z, y) + 0.3 * F.cross_entropy(z, y.flip(0)),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_loss_is_silent(name):
    assert found(SOUND[name]) == {}


BROKEN = {
    "softmax": (lambda z, y: F.cross_entropy(z.softmax(1), y), "loss-takes-logits"),
    "softmax by hand": (lambda z, y: -z.softmax(1).log_softmax(1).gather(1, y[:, None]).mean(), "loss-takes-logits"),
    "sigmoid": (lambda z, y: F.binary_cross_entropy_with_logits(z.sigmoid(), hot(y)), "loss-takes-logits"),
    "relu": (lambda z, y: F.cross_entropy(z.relu(), y), "loss-takes-logits"),
    "nll of probabilities": (lambda z, y: F.nll_loss(z.softmax(1), y), "loss-takes-log-probabilities"),
    "nll of logits": (lambda z, y: F.nll_loss(z, y), "loss-takes-log-probabilities"),
    "broadcast": (lambda z, y: F.mse_loss(z[:, :1], y.float() + 0.1), "loss-shapes-agree"),
    "broadcast by hand": (lambda z, y: ((z[:, :1] - y.float() - 0.1) ** 2).mean(), "loss-shapes-agree"),
    "one class": (lambda z, y: F.cross_entropy(z[:, :1], 0 * y), "loss-has-classes"),
    "ignored": (lambda z, y: F.cross_entropy(z, y.where(torch.arange(len(y)) < 1, -100)), "loss-counts-targets"),
    "labels of -1": (lambda z, y: F.binary_cross_entropy_with_logits(z, 2 * hot(y) - 1), "loss-fits-targets"),
    "class ids": (lambda z, y: F.mse_loss(z[:, 0], y.float()), "loss-fits-targets"),
    "zeroed": (lambda z, y: F.cross_entropy(z, 0 * y), "loss-fits-targets"),
    "out of reach": (lambda z, y: F.mse_loss(z.sigmoid(), 4 * hot(y) - 2), "loss-fits-targets"),
    "the sign": (lambda z, y: -F.cross_entropy(z, y), "loss-sign"),
    "the sign by hand": (lambda z, y: z.log_softmax(1).gather(1, y[:, None]).mean(), "loss-sign"),
    "a factor": (lambda z, y: 1e-6 * F.cross_entropy(z, y), "loss-scale"),
    "a clamp": (lambda z, y: F.cross_entropy(z, y).clamp(max=0.1), "loss-scale"),
    "weights x 200": (lambda z, y: F.cross_entropy(200 * z, y), "initial-loss"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_one_is_found_in_a_fit(name):
    loss, check = BROKEN[name]
    assert check in found(loss)


def test_the_place_in_the_user_s_code_is_told():
    finding = found(BROKEN["softmax"][0])["loss-takes-logits"]
    assert finding.file.endswith("test_lossfacts.py") and finding.line > 0


def test_a_loss_on_detached_outputs_that_only_shrinks_weights():
    class Detached(Net):
        def training_step(self, batch, batch_idx):
            x, y = batch
            penalty = sum(one.pow(2).sum() for one in self.parameters())
            return F.cross_entropy(self(x).detach(), y) + 0.1 * penalty

    seen = Evidence(ended=Ended(command=("x",), code=0, seconds=1.0), told=told(Detached(), steps=2))
    assert "gets outputs without a gradient" in [one.message for one in lossterms.detached(seen)][0]


class Tokens(Net):
    """A language model without a look back, so causal: `made` makes of logits and tokens what is held against each."""

    def __init__(self, made):
        super().__init__()
        self.embedding = nn.Embedding(12, 16)
        self.encoder, self.head, self.made = nn.Linear(16, 16), nn.Linear(16, 12), made

    def training_step(self, batch, batch_idx):
        (tokens,) = batch
        logits, wanted = self.made(self.head(self.encoder(self.embedding(tokens)).relu()), tokens)
        return F.cross_entropy(logits.reshape(-1, 12), wanted.reshape(-1))


def of_tokens(made):
    tokens = torch.randint(0, 12, (64, 9), generator=torch.Generator().manual_seed(3))
    record = told(Tokens(made), loader(TensorDataset(tokens)), steps=2)
    seen = Evidence(ended=Ended(command=("x",), code=0, seconds=1.0), told=record)
    return list(losstargets.targets_are_shifted(seen, None))


def test_targets_of_a_language_model():
    assert of_tokens(lambda z, t: (z[:, :-1], t[:, 1:])) == []
    assert "the very tokens" in of_tokens(lambda z, t: (z, t))[0].message
    assert "after next" in of_tokens(lambda z, t: (z[:, :-1], torch.cat([t[:, 2:], t[:, :1]], 1)))[0].message


class Shifting(Tokens):
    """A model that is given labels, and makes of them what its decoder sees."""

    def training_step(self, batch, batch_idx):
        source, labels = batch
        logits = self.head(self.decoded(source, labels=labels))
        return F.cross_entropy(logits.reshape(-1, 12), labels.reshape(-1))

    def __init__(self):
        super().__init__(None)
        self.decoded = Decoded(self.embedding)


class Decoded(nn.Module):
    def __init__(self, embedding):
        super().__init__()
        self.embedding = embedding

    def forward(self, source, labels):
        return self.embedding(torch.cat([source[:, :1], labels[:, :-1]], 1)) + self.embedding(source).mean(1)[:, None]


def test_labels_that_a_model_shifts_itself_are_none_of_its_tokens():
    drawn = torch.Generator().manual_seed(3)
    tokens = [torch.randint(0, 12, (64, 9), generator=drawn) for _ in range(2)]
    calls = told(Shifting(), loader(TensorDataset(*tokens)), steps=2).loss_calls.calls
    assert [one.shift for one in calls] == [None]


def test_what_counts():
    keep = torch.arange(16) < 4
    for loss, share in (
        (lambda z, y: F.cross_entropy(z, y), 1.0),
        (lambda z, y: F.cross_entropy(z[keep], y[keep]), 0.25),
        (lambda z, y: (F.cross_entropy(z, y, reduction="none") * keep).sum(), 0.25),
        (lambda z, y: F.cross_entropy(z, y.where(keep, -100)), 0.25),
        (lambda z, y: -z.log_softmax(1).gather(1, y[:, None])[keep].mean(), 0.25),
        (lambda z, y: ((z - hot(y)).pow(2) * keep[:, None]).mean(), 0.25),
    ):
        assert told(Lossy(loss), steps=2).loss_calls.share == pytest.approx(share)


def test_tokens_that_are_never_counted():
    tokens = torch.randint(0, 12, (64, 9), generator=torch.Generator().manual_seed(3))
    same = told(Tokens(lambda z, t: (z, ((t + 5) % 12).where(t != 3, -100))), loader(TensorDataset(tokens)), steps=2)
    assert [(one.never, 3 in one.always, len(one.always)) for one in same.loss_calls.calls] == [((3,), False, 11)]
    ahead = Tokens(lambda z, t: (z[:, :-1], t[:, 1:].where(t[:, 1:] != 3, -100)))
    call = told(ahead, loader(TensorDataset(tokens)), steps=2).loss_calls.calls[0]
    assert (call.shift, call.never, call.ignored) == (1, (3,), (-100,))


def test_a_gan_s_calls_and_whether_they_follow_the_batch():
    def loss(z, y):
        ones = torch.ones(16, 4)
        return F.mse_loss(z, ones) + F.mse_loss(0 * z.detach() + z.new_ones(1, requires_grad=True), 0 * ones)

    assert told(Lossy(loss), steps=2).loss_calls.constants == ["1b", "0"]
