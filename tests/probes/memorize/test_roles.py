"""Which parts of a batch are inputs, and which are targets."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

from backburn.probes.memorize import looks, roles

from .. import trainings as t

IN, OUT = {roles.INPUT}, {roles.TARGET}
X, Y = t.samples(16)


class Pairs(t.Net):
    pass


class Table(t.Net):
    def training_step(self, batch, batch_idx):
        return self.loss(batch["image"], batch["label"])


class Converted(t.Net):
    """Scales its inputs, and makes other targets of the labels."""

    def training_step(self, batch, batch_idx):
        return F.mse_loss(self(batch[0] / 2), F.one_hot(batch[1], t.CLASSES).float())


class Both(t.Net):
    """Its inputs are its targets: an autoencoder."""

    def training_step(self, batch, batch_idx):
        return F.mse_loss(self.encoder(batch[0])[:, :8], batch[0])


class HandWritten(t.Net):
    """No loss function that is known is called; one part of the batch is left."""

    def training_step(self, batch, batch_idx):
        return -self(batch[0]).log_softmax(1).gather(1, batch[1][:, None]).mean()


class Focal(torch.nn.Module):
    """A loss of the project's own."""

    def forward(self, logits, target):
        likely = logits.log_softmax(1).gather(1, target[:, None])
        return -((1 - likely.exp()) ** 2 * likely).mean()


class OwnLoss(t.Net):
    def __init__(self):
        super().__init__()
        self.criterion = Focal()

    def training_step(self, batch, batch_idx):
        return self.criterion(self(batch[0]), batch[1])


class Computing(torch.nn.Module):
    """As Hugging Face's models: labels are handed to it, and it computes the loss."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x, labels):
        logits = self.net(x)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


class Handed(t.Net):
    def __init__(self):
        super().__init__()
        self.model = Computing(torch.nn.Linear(8, t.CLASSES))

    def training_step(self, batch, batch_idx):
        return self.model(batch[0], labels=batch[1])["loss"]


class Lacking(t.Net):
    """A label is missing, and masked."""

    def training_step(self, batch, batch_idx):
        x, y = batch
        return F.mse_loss(self(x)[:, 0] * ~y.isnan(), y.nan_to_num())


MISSING = Y.float().where(torch.arange(16) != 3, float("nan"))


@pytest.mark.parametrize(
    ("module", "batch", "expected"),
    [
        (Pairs, (X, Y), [IN, OUT]),
        (Table, {"image": X, "label": Y, "name": ["a"] * 16}, [IN, OUT]),
        (Converted, (X, Y), [IN, OUT]),
        (Both, (X, Y), [IN | OUT, set()]),
        (HandWritten, (X, Y), [IN, OUT]),
        (OwnLoss, (X, Y), [IN, OUT]),
        (Handed, (X, Y), [IN, OUT]),
        (Lacking, (X, MISSING), [IN, OUT]),
    ],
)
def test_roles_by_what_models_and_losses_are_given(module, batch, expected, tmp_path, monkeypatch):
    found = []

    class Look:
        @staticmethod
        def look(session):
            found.append(roles.roles(session))

    for name in ("FIRST", "MOVED", "LAST"):
        monkeypatch.setattr(looks, name, {"batch": Look} if name == "FIRST" else {})
    torch.manual_seed(0)
    t.told(module(), DataLoader([batch], batch_size=None), path=tmp_path, steps=4)
    assert list(found[0].values()) == expected
