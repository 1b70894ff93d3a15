"""The loss of a step."""

from types import SimpleNamespace

import pytest
import torch

from backburn.probes.losses import logged, returned

LOSS = torch.tensor(0.5, requires_grad=True)


@pytest.mark.parametrize(
    ("outputs", "found"),
    [(LOSS, 0.5), ({"loss": LOSS, "more": 1}, 0.5), (torch.tensor([0.25, 0.75]), 0.5), (torch.tensor([0.5]), 0.5)],
)
def test_the_loss_is_one_number_without_its_graph(outputs, found):
    loss = returned(outputs)
    assert float(loss) == found and not loss.requires_grad


@pytest.mark.parametrize("outputs", [None, {}, {"loss": None}, 0.5, "loss"])
def test_there_may_be_none(outputs):
    assert returned(outputs) is None


def test_logged_losses_add_up():
    metrics = {
        "g_loss": torch.tensor(1.0),
        "d_loss": torch.tensor(2.0),
        "d_loss_epoch": torch.tensor(9.0),
        "accuracy": 1,
    }
    assert logged(SimpleNamespace(callback_metrics=metrics)) == ("d_loss + g_loss", 3.0)
    assert logged(SimpleNamespace(callback_metrics={})) == ("", None)
