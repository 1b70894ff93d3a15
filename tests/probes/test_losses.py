"""The loss of a step."""

from types import SimpleNamespace

import pytest
import torch

from backburn.probes.losses import logged, of_step, returned

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


def test_the_loss_of_a_step_is_what_training_step_returned():
    module = SimpleNamespace(automatic_optimization=True)
    trainer = SimpleNamespace(accumulate_grad_batches=4, callback_metrics={"val_loss": torch.tensor(9.0)})
    assert of_step(trainer, module, {"loss": torch.tensor(0.5)}, ()) == 2.0  # Lightning has divided it
    assert of_step(trainer, module, None, ()) is None
    module.automatic_optimization = False
    assert of_step(trainer, module, {"loss": torch.tensor(0.5)}, ()) == 0.5
    trainer.callback_metrics["train_loss"] = torch.tensor(3.0)
    assert of_step(trainer, module, None, ["val_loss"]) == 3.0
