"""Functions, equations and tastes, with `pytorch_lightning`: Fourier features, a PINN, a stream, a recommender."""

import math

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from ..task import Program, Task
from .datasets import picture, ratings
from .recipe import arguments, hidden, recipe, rows, seeded
from .tabular import EVERY, mlp


class LitPicture(pl.LightningModule):
    """A picture as a function of the place (Tancik et al. 2020)."""

    def __init__(self, width, dropout, recipe):
        super().__init__()
        self.save_hyperparameters("width", "dropout")
        self.register_buffer("frequencies", 3 * torch.randn(2, 32))
        self.net = mlp(64, width, 1, dropout)
        self.recipe = recipe

    def forward(self, places):
        angles = 2 * math.pi * places @ self.frequencies
        return self.net(torch.cat([angles.sin(), angles.cos()], dim=-1))

    def training_step(self, batch, batch_idx):
        places, bright = batch
        loss = F.mse_loss(self(places), bright)
        self.log("train_psnr", -10 * loss.log10())
        return loss

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


class LitPictureRewritten(LitPicture):
    def training_step(self, batch, batch_idx):
        return self.squared_error(*batch).mean()

    def squared_error(self, places, bright):
        return (bright - self.forward(places)) ** 2


@seeded
def fourier(knobs):
    kind = LitPictureRewritten if knobs.refactored else LitPicture
    module = kind(hidden(knobs, 64), knobs.dropout, recipe(knobs, 3e-3, sgd=0.05))
    loader = DataLoader(TensorDataset(*picture()), batch_size=rows(knobs, 64), shuffle=True)
    return Task(module=module, data=loader, trainer=arguments(knobs))


class LitOscillator(pl.LightningModule):
    """Solves u'' = -u with u(0) = 0, u'(0) = 1 by its residual at random times (Raissi et al. 2019)."""

    def __init__(self, width, recipe):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )
        self.recipe = recipe

    def forward(self, t):
        return self.net(t)

    def slope(self, u, t):
        return torch.autograd.grad(u.sum(), t, create_graph=True)[0]

    def training_step(self, batch, batch_idx):
        t = batch.requires_grad_()
        u = self(t)
        residual = self.slope(self.slope(u, t), t) + u
        start = torch.zeros(1, 1, device=self.device, requires_grad=True)
        u0 = self(start)
        loss = residual.square().mean() + u0.square().mean() + (self.slope(u0, start) - 1).square().mean()
        self.log("train_residual", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_error", (self(batch) - batch.sin()).abs().max())

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


class Times(Dataset):
    """Times in 0..3, drawn anew each time."""

    def __len__(self):
        return 1000

    def __getitem__(self, index):
        return 3 * torch.rand(1)


@seeded
def pinn(knobs):
    module = LitOscillator(hidden(knobs, 24), recipe(knobs, 5e-3, sgd=0.02))
    loader = DataLoader(Times(), batch_size=rows(knobs, 32))
    return Task(module=module, data=loader, trainer=arguments(knobs))


class Stream(IterableDataset):
    """Points and a function of them, as long as one asks."""

    def __iter__(self):
        while True:
            x = 2 * torch.rand(6) - 1
            yield x, (x[0] * x[1] + torch.sin(3 * x[2]) - x[3].abs()).unsqueeze(0)


class StreamData(pl.LightningDataModule):
    def __init__(self, batch_size):
        super().__init__()
        self.batch_size = batch_size

    def train_dataloader(self):
        return DataLoader(Stream(), batch_size=self.batch_size)

    def val_dataloader(self):
        return DataLoader(Stream(), batch_size=self.batch_size)


class LitStream(pl.LightningModule):
    def __init__(self, net, recipe):
        super().__init__()
        self.net = net
        self.recipe = recipe

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = nn.functional.huber_loss(self(x), y)
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_mae", (self(x) - y).abs().mean())

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


class LitStreamRewritten(LitStream):
    def __init__(self, net, recipe):
        super().__init__(net, recipe)
        self.huber = nn.HuberLoss()

    def training_step(self, batch, batch_idx):
        points, values = batch
        return self.huber(self.net(points), values)


@seeded
def stream(knobs):
    net = mlp(6, hidden(knobs, 64), 1, knobs.dropout)
    module = (LitStreamRewritten if knobs.refactored else LitStream)(net, recipe(knobs, 5e-3, sgd=0.05))
    own = {"limit_train_batches": 50, "limit_val_batches": 5, "max_epochs": 10}
    return Task(module=module, data=StreamData(rows(knobs, 32)), trainer=own | arguments(knobs))


class RatingsData(pl.LightningDataModule):
    def __init__(self, batch_size):
        super().__init__()
        self.batch_size = batch_size

    def setup(self, stage):
        keys = ("user", "film", "rating")
        samples = [dict(zip(keys, row, strict=True)) for row in zip(*ratings(), strict=True)]
        self.train, self.val = samples[:1600], samples[1600:]

    def train_dataloader(self):
        return DataLoader(self.train, batch_size=self.batch_size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.val, batch_size=self.batch_size)


class LitRatings(pl.LightningModule):
    """A product of tastes and kinds, and who is generous and what is liked (Koren et al. 2009)."""

    def __init__(self, width, dropout, recipe):
        super().__init__()
        self.user, self.film = nn.Embedding(60, width), nn.Embedding(40, width)
        self.generous, self.liked = nn.Embedding(60, 1), nn.Embedding(40, 1)
        for embedding in (self.user, self.film, self.generous, self.liked):
            nn.init.normal_(embedding.weight, std=0.1)
        self.dropout = nn.Dropout(dropout)
        self.mean = nn.Parameter(torch.tensor(3.0))
        self.recipe = recipe

    def forward(self, user, film):
        taste = (self.dropout(self.user(user)) * self.film(film)).sum(1)
        return self.mean + taste + self.generous(user).squeeze(1) + self.liked(film).squeeze(1)

    def training_step(self, batch, batch_idx):
        loss = F.mse_loss(self(batch["user"], batch["film"]), batch["rating"])
        self.log("train_mse", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_rmse", F.mse_loss(self(batch["user"], batch["film"]), batch["rating"]).sqrt())

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


class LitRatingsRewritten(LitRatings):
    def predict(self, batch):
        return self(batch["user"], batch["film"])

    def training_step(self, batch, batch_idx):
        return nn.MSELoss()(self.predict(batch), batch["rating"])


@seeded
def recommender(knobs):
    kind = LitRatingsRewritten if knobs.refactored else LitRatings
    module = kind(hidden(knobs, 16), knobs.dropout, recipe(knobs, 3e-2, sgd=0.5))
    return Task(module=module, data=RatingsData(rows(knobs, 32)), trainer=arguments(knobs))


PROGRAMS = (
    Program(
        name="fourier",
        family="fourier",
        build=fourier,
        traits=frozenset({"regression", "tabular", "relu", "hidden"}),
        knobs=EVERY,
    ),
    Program(
        name="pinn",
        family="pinn",
        build=pinn,
        traits=frozenset({"tabular", "hidden"}),
        knobs=EVERY - {"dropout", "precision", "refactored"},
    ),
    Program(
        name="stream",
        family="iterable",
        build=stream,
        traits=frozenset({"regression", "tabular", "relu", "hidden", "datamodule", "iterable"}),
        knobs=EVERY,
    ),
    Program(
        name="recommender",
        family="recommender",
        build=recommender,
        traits=frozenset({"regression", "hidden", "datamodule"}),
        knobs=EVERY,
    ),
)
