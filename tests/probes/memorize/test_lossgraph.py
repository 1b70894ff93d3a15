import pytest
import torch
import torch.nn.functional as F
from torch import nn

from backburn.probes.memorize import lossgraph

DRAWN = torch.Generator().manual_seed(0)
NET = nn.Linear(8, 5)
S = nn.Parameter(torch.zeros(()))
X = torch.randn(16, 8, generator=DRAWN)
Y = torch.arange(16) % 5
ONE_HOT = F.one_hot(Y, 5).float()


def picked(log):
    return log.gather(1, Y[:, None])


def squared(x):
    return x * x


def focal(loss):
    return ((1 - (-loss).exp()) * loss).mean()


LOSSES = {
    "cross_entropy": (lambda z: F.cross_entropy(z, Y), [("classes", 1, 1)]),
    "cross_entropy, soft": (lambda z: F.cross_entropy(z, ONE_HOT), [("classes", 1, 1)]),
    "smoothing": (lambda z: F.cross_entropy(z, Y, label_smoothing=0.1), [("classes", 1, 1)] * 2),
    "a sum": (lambda z: F.cross_entropy(z, Y, reduction="sum"), [("classes", 1, 1)]),
    "by hand": (lambda z: -picked(z.log_softmax(1)).mean(), [("classes", 1, 1)]),
    "by hand, a sum of logs": (lambda z: -(ONE_HOT * (z.softmax(1) + 1e-8).log()).sum(1).mean(), [("classes", 1, 1)]),
    "the sign": (lambda z: picked(z.log_softmax(1)).mean(), [("classes", 1, -1)]),
    "squares": (lambda z: (z - ONE_HOT).pow(2).mean(), [("squares", 1, 1)]),
    "squares as a product": (lambda z: squared(z - ONE_HOT).mean(), [("squares", 1, 1)]),
    "squares, the sign": (lambda z: -((z - ONE_HOT) ** 2).mean(), [("squares", 1, -1)]),
    "a factor": (lambda z: F.mse_loss(z, ONE_HOT) * 1e-6, [("squares", 1e-6, 1)]),
    "a clamp": (lambda z: F.mse_loss(z, ONE_HOT).clamp(max=1e-3), [("squares", 0, 0)]),
    "two": (lambda z: F.mse_loss(z, ONE_HOT) + 0.5 * F.l1_loss(z, ONE_HOT), [("distances", 0.5, 1), ("squares", 1, 1)]),
    "a regulariser": (lambda z: NET.weight.pow(2).mean(), [("weights", 1, 0)]),
    "rewards": (lambda z: -(picked(z.log_softmax(1)) * X[:, :1]).mean(), [("classes", None, 0)]),
    "a learned weight": (lambda z: (-S).exp() * F.mse_loss(z, ONE_HOT) + S, [("", None, 0), ("squares", 1, 1)]),
    "a learned deviation": (lambda z: F.cross_entropy(z, Y) / (2 * S.exp() ** 2), [("classes", 0.5, 1)]),
    "something else": (lambda z: z.logsumexp(1).mean(), [("", 1, 0)]),
}


@pytest.mark.parametrize("name", LOSSES)
def test_the_terms_of_a_loss(name):
    make, expected = LOSSES[name]
    found = sorted(lossgraph.terms(make(NET(X))), key=lambda one: one["kind"])
    assert [(one["kind"], one["sign"]) for one in found] == [(kind, sign) for kind, _, sign in expected]
    for one, (_, factor, _) in zip(found, expected):
        if factor is not None and name not in ("smoothing", "by hand, a sum of logs"):
            assert one["factor"] == pytest.approx(factor, rel=1e-4)


@pytest.mark.parametrize(
    ("make", "made"),
    [
        (lambda z: z, "Addmm"),
        (lambda z: z.softmax(1).reshape(4, 4, 5).transpose(0, 1), "Softmax"),
        (lambda z: torch.cat([z.sigmoid(), z.sigmoid()]), "Sigmoid"),
        (lambda z: torch.cat([z.sigmoid(), z]), ""),
        (lambda z: z.relu()[:, 1:].float(), "Relu"),
        (lambda z: 3 * z.tanh(), "Mul"),
        (lambda z: z.detach(), ""),
    ],
)
def test_what_outputs_went_through_last(make, made):
    assert lossgraph.source(make(NET(X))) == made


def test_a_log_softmax_of_probabilities():
    assert lossgraph.squeezed(-picked(NET(X).softmax(1).log_softmax(1)).mean()) == "Softmax"
    assert lossgraph.squeezed(F.cross_entropy(NET(X).sigmoid(), Y)) == "Sigmoid"
    assert lossgraph.squeezed(-picked(NET(X).log_softmax(1)).mean()) == ""


def test_a_difference_that_broadcasts():
    z, wanted = NET(X)[:, :1], X[:, 0]
    assert "(16, 1) against the targets gave (16, 16)" in lossgraph.spread(((z - wanted) ** 2).mean())
    assert "(16, 16)" in lossgraph.spread((wanted - z).abs().mean())
    assert lossgraph.spread(((z[:, 0] - wanted) ** 2).mean()) == ""
    maps, mask = NET(X).reshape(16, 1, 5), torch.rand(16, 5, generator=DRAWN) > 0.2
    assert "gave (16, 16, 5)" in lossgraph.spread((((maps - ONE_HOT) ** 2) * mask).mean())
    assert "gave (16, 16, 5)" in lossgraph.spread((maps - ONE_HOT)[mask.expand(16, 16, 5)].square().mean())
    assert lossgraph.spread((maps - ONE_HOT[:, None]).abs().mean()) == ""
    assert lossgraph.spread((maps - torch.rand(16, 3, 5, generator=DRAWN)).abs().mean()) == ""  # of three annotators
    assert lossgraph.spread((z - z.T).abs().mean()) == ""  # a ranking compares all pairs


UNDERFLOWS = {
    "nll_loss of a log": (lambda z: F.nll_loss(z.softmax(1).log(), Y), "Softmax"),
    "both classes by hand": (lambda z: -(z.sigmoid().log() + (1 - z.sigmoid()).log()).mean(), "Sigmoid"),
    "with an eps": (lambda z: -picked((z.softmax(1) + 1e-8).log()).mean(), ""),
    "log_softmax": (lambda z: F.nll_loss(z.log_softmax(1), Y), ""),
}


@pytest.mark.parametrize("name", UNDERFLOWS)
def test_a_logarithm_of_what_may_round_to_zero_is_seen(name):
    loss, made = UNDERFLOWS[name]
    assert lossgraph.underflows(loss(NET(X))) == made


ENDS = {
    "logits": (lambda z: F.cross_entropy(z, Y), ["LogSoftmax*"]),
    "logits by hand": (lambda z: -picked(z.softmax(1).log()).mean(), ["Softmax*"]),
    "a sigmoid and its loss": (lambda z: F.binary_cross_entropy(z.sigmoid(), ONE_HOT), ["Sigmoid*"]),
    "numbers": (lambda z: F.mse_loss(z, ONE_HOT), []),
    "relu": (lambda z: F.cross_entropy(z.relu(), Y), ["Relu"]),
    "a critic's sigmoid": (lambda z: -z.sigmoid().mean(), ["Sigmoid"]),
    "exp": (lambda z: (z.reshape(-1).exp() * 2).logsumexp(0), ["Exp"]),
    "focal": (
        lambda z: ((1 - z.sigmoid()) * F.binary_cross_entropy_with_logits(z, ONE_HOT, reduction="none")).mean(),
        [],
    ),
    "a learned weight": (lambda z: (-S).exp() * F.binary_cross_entropy(z.softmax(1), ONE_HOT) + S, ["Softmax"]),
    "focal, and a softmax beside it": (
        lambda z: focal(F.binary_cross_entropy_with_logits(z, ONE_HOT, reduction="none")) + z.softmax(1).square().sum(),
        [],
    ),
}


@pytest.mark.parametrize("name", ENDS)
def test_what_outputs_end_in(name):
    loss, expected = ENDS[name]
    assert lossgraph.ends([loss(NET(X))]) == expected
