import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.functional import cross_entropy

from backburn.probes.floor import Relation, recorder

SCORES = torch.randn(32, 5, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(32) % 5
SHARES = torch.rand(32, 5, generator=torch.Generator().manual_seed(1))
SOFT = SHARES / SHARES.sum(dim=1, keepdim=True)
WEIGHT = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])


def minimised(loss, start, free=lambda x: x):
    """What L-BFGS brings the loss down to; `free` maps the unknown to the loss function's input."""
    unknown = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([unknown], max_iter=300, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        value = loss(free(unknown))
        value.backward()
        return value

    optimizer.step(closure)
    return float(loss(free(unknown)))


def seen(loss, x):
    with recorder() as mode:
        value = loss(x.detach().requires_grad_())
    return Relation(value, mode.calls)


UNBALANCED = torch.tensor([0] * 20 + [1] * 8 + [2] * 4)
CASES = {
    "hard targets": lambda x: F.cross_entropy(x, UNBALANCED),
    "label smoothing": lambda x: F.cross_entropy(x, UNBALANCED, label_smoothing=0.1),
    "soft targets": lambda x: F.cross_entropy(x, SOFT),
    "class weights": lambda x: F.cross_entropy(x, SOFT, weight=WEIGHT),
    "class weights and smoothing": lambda x: nn.CrossEntropyLoss(weight=WEIGHT, label_smoothing=0.2)(x, UNBALANCED),
    "ignored labels": lambda x: F.cross_entropy(x, UNBALANCED.where(UNBALANCED != 1, -100), label_smoothing=0.1),
    "a sum": lambda x: F.cross_entropy(x, SOFT, reduction="sum"),
    "binary": lambda x: F.binary_cross_entropy_with_logits(x, SHARES),
    "binary, weighted": lambda x: F.binary_cross_entropy_with_logits(x, SHARES, pos_weight=WEIGHT),
    "squares": lambda x: F.mse_loss(x, SHARES),
}


@pytest.mark.parametrize("name", CASES)
def test_the_floor_is_what_an_optimizer_finds(name):
    loss = CASES[name]
    relation = seen(loss, SCORES)
    found = minimised(loss, SCORES)
    assert relation.floor == pytest.approx(found, rel=1e-3, abs=1e-3)
    assert relation.floor <= found + 1e-5


@pytest.mark.parametrize("name", CASES)
def test_the_constant_is_what_an_optimizer_finds_that_cannot_see_the_sample(name):
    loss = CASES[name]
    found = minimised(loss, SCORES[:1], lambda x: x.expand(32, 5))
    assert seen(loss, SCORES).constant == pytest.approx(found, rel=1e-3)


def test_the_floors_of_the_literature():
    """Label smoothing 0.1: 0.500 nats for 10 classes, 1.015 for 1,000 (research/memorization.md)."""
    for classes, floor in ((10, 0.500), (1000, 1.015)):
        scores = torch.zeros(4, classes)
        relation = seen(lambda x: cross_entropy(x, torch.arange(4), label_smoothing=0.1), scores)
        assert relation.floor == pytest.approx(floor, abs=1e-3)
        assert relation.constant <= math.log(classes) + 1e-6


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: F.nll_loss(F.log_softmax(x, dim=1), LABELS),
        lambda x: F.binary_cross_entropy(x.sigmoid(), F.one_hot(LABELS, 5).float()),
        lambda x: F.l1_loss(x, SHARES),
        lambda x: F.smooth_l1_loss(x, SHARES),
        lambda x: F.huber_loss(x, SHARES),
        lambda x: F.kl_div(F.log_softmax(x, dim=1), SOFT, reduction="batchmean"),
        lambda x: F.cross_entropy(x.reshape(8, 5, 2, 2), LABELS.reshape(8, 2, 2)),
        lambda x: F.cross_entropy(x[0], LABELS[0]),
        lambda x: F.cross_entropy(x.bfloat16(), LABELS),
    ],
)
def test_a_floor_of_zero(loss):
    relation = seen(loss, SCORES)
    assert relation.sign == 1
    assert relation.floor == pytest.approx(0, abs=1e-5)
    assert relation.constant >= relation.floor


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: F.binary_cross_entropy_with_logits(x, 3 * SHARES),
        lambda x: F.kl_div(F.log_softmax(x, dim=1), SHARES, reduction="sum"),
        lambda x: x.pow(2).mean(),
        lambda x: F.cross_entropy(x, LABELS) - 0.1 * F.mse_loss(x, SHARES),
        lambda x: F.cross_entropy(x, LABELS) + 0.1,
        lambda x: F.cross_entropy(x, LABELS) + 0 * x.sum(),
        lambda x: F.mse_loss(x, SHARES).sqrt(),
        lambda x: F.mse_loss(x, SHARES) * F.l1_loss(x, SHARES),
        lambda x: (F.cross_entropy(x, LABELS, reduction="none") * -SHARES[:, 0]).mean(),
        lambda x: F.cross_entropy(x, LABELS).detach(),
        lambda x: F.cross_entropy(x.detach(), LABELS) + F.mse_loss(x, SHARES),
    ],
)
def test_a_floor_that_is_not_known(loss):
    relation = seen(loss, SCORES)
    assert (relation.floor, relation.constant) == (None, None)
    assert relation.sign == 0 or relation.names in ("binary_cross_entropy_with_logits", "kl_div")


def collapsed(x):
    """The loss of SimSiam with a little mse beside it."""
    return 0.01 * F.mse_loss(x, SHARES) - F.cosine_similarity(x, SHARES).mean()


def likely(x):
    """A Gaussian's likelihood, and an mse that is only looked at."""
    float(F.mse_loss(x, SHARES))
    return -torch.distributions.Normal(x, 0.1).log_prob(SHARES).mean()


def uncertain(x):
    """0.01 x mse less something that is trained, too."""
    return 0.01 * F.mse_loss(x, SHARES) - 0.5 * x.exp().mean()


@pytest.mark.parametrize("loss", [collapsed, likely, uncertain])
def test_a_ratio_that_stays_while_nothing_moves_is_no_factor(loss):
    """With a learning rate of 0, as a warm-up begins, any two steps agree on the ratio."""
    first, second = seen(loss, SCORES), seen(loss, SCORES)
    assert (first.sign, first.floor, first.agrees(second)) == (0, None, False)


def test_a_call_that_is_only_logged_is_in_no_sum():
    def logs(x):
        float(F.mse_loss(x, SHARES))
        return F.cross_entropy(x, LABELS, label_smoothing=0.1)

    relation = seen(logs, SCORES)
    assert (relation.sign, relation.names) == (1, "cross_entropy")
    assert relation.floor == seen(lambda x: F.cross_entropy(x, LABELS, label_smoothing=0.1), SCORES).floor
    assert seen(likely, SCORES).names == ""


def test_what_goes_on_in_place_is_another_loss():
    def goes_on(x):
        loss = F.cross_entropy(x, LABELS)
        loss += x.pow(2).mean()
        return loss

    assert seen(goes_on, SCORES).sign == 0


def test_a_mean_over_some_elements():
    mask = (LABELS < 2).float()

    def masked(x):
        return (F.cross_entropy(x, LABELS, reduction="none", label_smoothing=0.1) * mask).sum() / mask.sum()

    relation = seen(masked, SCORES)
    assert relation.floor == pytest.approx(minimised(masked, SCORES), abs=1e-3)
    assert relation.names == "cross_entropy"


def test_the_sum_of_two_and_a_factor_of_one():
    both = seen(lambda x: F.cross_entropy(x, LABELS, label_smoothing=0.1) + F.mse_loss(x, SHARES), SCORES)
    alone = seen(lambda x: F.cross_entropy(x, LABELS, label_smoothing=0.1), SCORES)
    thrice = seen(lambda x: 3 * F.cross_entropy(x, LABELS, label_smoothing=0.1), SCORES)
    mixed = seen(lambda x: F.cross_entropy(x, LABELS, label_smoothing=0.1) + 0.1 * F.mse_loss(x, SHARES), SCORES)
    assert (both.sign, both.names) == (1, "cross_entropy + mse_loss")
    assert (mixed.sign, mixed.names) == (1, "cross_entropy + 0.100 × mse_loss")
    assert both.floor == pytest.approx(alone.floor) == mixed.floor
    assert thrice.floor == pytest.approx(3 * alone.floor)


def test_a_flipped_sign_has_no_floor():
    relation = seen(lambda x: -F.cross_entropy(x, LABELS), SCORES)
    assert (relation.sign, relation.floor, relation.names) == (-1, None, "-1.00 × cross_entropy")
    assert relation.agrees(seen(lambda x: -F.cross_entropy(x, LABELS), 2 * SCORES))


def test_a_factor_that_changes_from_step_to_step_is_none():
    first = seen(lambda x: 2 * F.cross_entropy(x, LABELS), SCORES)
    assert first.agrees(seen(lambda x: 2 * F.cross_entropy(x, LABELS), 2 * SCORES))
    assert not first.agrees(seen(lambda x: 2.1 * F.cross_entropy(x, LABELS), SCORES))


MIXED = {
    "classes": lambda x: 0.7 * cross_entropy(x, LABELS) + 0.3 * cross_entropy(x, LABELS.flip(0)),
    "of each sample its own share": lambda x: (
        SHARES[:, 0] * cross_entropy(x, LABELS, reduction="none")
        + (1 - SHARES[:, 0]) * cross_entropy(x, LABELS.flip(0), reduction="none")
    ).mean(),
    "a teacher": lambda x: cross_entropy(x, LABELS) + cross_entropy(x, SOFT),
    "smoothed": lambda x: sum(cross_entropy(x, one, label_smoothing=0.1) for one in (LABELS, LABELS.flip(0))),
    "shares": lambda x: sum(F.binary_cross_entropy_with_logits(x, one) for one in (SHARES, SHARES.flip(0))),
    "numbers": lambda x: F.mse_loss(x, SHARES) + 2 * F.mse_loss(x, SOFT),
}


@pytest.mark.parametrize("name", MIXED)
def test_two_targets_of_one_output_are_not_both_met(name):
    loss = MIXED[name]
    assert seen(loss, SCORES).floor == pytest.approx(minimised(loss, SCORES), rel=1e-3)


def test_targets_that_cannot_be_mixed_have_the_floors_of_each():
    weighted = seen(lambda x: cross_entropy(x, LABELS, WEIGHT) + cross_entropy(x, LABELS.flip(0)), SCORES)
    assert weighted.floor == pytest.approx(0, abs=1e-6)
    several = seen(lambda x: cross_entropy(x, LABELS) + cross_entropy(x, LABELS.flip(0), reduction="sum"), SCORES)
    assert several.floor == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"])
def test_the_sides_of_a_distance_may_be_exchanged(name):
    scores = SCORES.clone().requires_grad_()
    with recorder() as seen:
        loss = getattr(F, name)(SHARES, scores)
    (call,) = seen.calls
    assert call.given["input"] is scores and call.given["target"] is SHARES
    assert Relation(loss, seen.calls).floor == 0


def distilled(head):
    """A label, and a teacher's word at a temperature, for what two heads say."""
    weights = torch.randn(5, 5, generator=torch.Generator().manual_seed(2), requires_grad=True)

    def loss(x):
        said = x @ weights
        return F.cross_entropy(said, LABELS) + F.kl_div(F.log_softmax(head(said, x) / 3, dim=1), SOFT)

    return loss


def test_a_teacher_and_a_label_need_not_both_be_met():
    assert seen(distilled(lambda said, x: said), SCORES).floor is None
    assert seen(distilled(lambda said, x: x @ SOFT[:5]), SCORES).floor == pytest.approx(0, abs=1e-5)
