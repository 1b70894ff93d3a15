"""A small training, to plant one defect into, and what the probe tells of it in this process."""

import lightning.pytorch as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from backburn import api
from backburn.stages import memorize

CLASSES = 4


def samples(count=128, width=8):
    """Points of four classes that a linear map tells apart, the same each time."""
    drawn = torch.Generator().manual_seed(7)
    x = torch.randn(count, width, generator=drawn)
    return x, (x @ torch.randn(width, CLASSES, generator=drawn)).argmax(1)


def loader(dataset=None, **given):
    """Batches of 16, shuffled."""
    dataset = TensorDataset(*samples()) if dataset is None else dataset
    return DataLoader(dataset, **({"batch_size": 16, "shuffle": True} | given))


class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(8, 32), nn.ReLU())
        self.head = nn.Linear(32, CLASSES)

    def forward(self, x):
        return self.head(self.encoder(x))

    def training_step(self, batch, batch_idx):
        x, y = batch
        return nn.functional.cross_entropy(self(x), y)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def told(module=None, data=None, steps=300, **trainer):
    """What the probe tells of a fit; what the fit raised is raised."""
    torch.manual_seed(0)
    config = memorize.Config(steps=steps, running=min(3, steps - 1), seed=0)
    seen = api.gather(Net() if module is None else module, loader() if data is None else data, config, trainer)
    assert not seen.ended.message, seen.ended.tail
    return seen.told
