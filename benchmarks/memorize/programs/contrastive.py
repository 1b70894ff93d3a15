"""Representations without labels, or with few: SimCLR, BYOL, triplets; and a moving average of the weights."""

import copy

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningDataModule, LightningModule
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from ..task import Program, Task
from .datasets import TensorData, digits
from .recipe import arguments, hidden, recipe, rows, seeded
from .tabular import EVERY, LitClassifier, mlp


class TwoViews(Dataset):
    """Each digit twice, with other noise and other pixels left out."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def view(self, image):
        return image * (torch.rand_like(image) > 0.15) + 0.05 * torch.randn_like(image)

    def __getitem__(self, index):
        return self.view(self.images[index]), self.view(self.images[index])


class Triplets(Dataset):
    """A digit, another of its class, and one of another class."""

    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        same = (self.labels == self.labels[index]).nonzero().flatten()
        other = (self.labels != self.labels[index]).nonzero().flatten()
        positive, negative = (found[torch.randint(len(found), ())] for found in (same, other))
        return self.images[index], self.images[positive], self.images[negative]


class PairsData(LightningDataModule):
    def __init__(self, dataset, batch_size):
        super().__init__()
        self.dataset, self.batch_size = dataset, batch_size

    def train_dataloader(self):
        return DataLoader(self.dataset, batch_size=self.batch_size, shuffle=True, drop_last=True)


class LitSimCLR(LightningModule):
    def __init__(self, encoder, recipe, temperature=0.2):
        super().__init__()
        self.encoder = encoder
        self.recipe, self.temperature = recipe, temperature

    def forward(self, x):
        return F.normalize(self.encoder(x), dim=1)

    def training_step(self, batch, batch_idx):
        a, b = batch
        z = self(torch.cat([a, b]))
        n = len(a)
        logits = (z @ z.T / self.temperature).masked_fill(torch.eye(2 * n, dtype=torch.bool), -1e4)
        positives = torch.arange(2 * n).roll(n)
        loss = F.cross_entropy(logits, positives)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


class LitSimCLRRewritten(LitSimCLR):
    def training_step(self, batch, batch_idx):
        first, second = (self(view) for view in batch)
        return self.nt_xent(torch.cat((first, second)).float())

    def nt_xent(self, z):
        similar = z.mm(z.t()).div(self.temperature)
        similar = similar - 1e4 * torch.eye(len(z))
        positive = torch.cat([similar.diagonal(len(z) // 2), similar.diagonal(-(len(z) // 2))])
        return (similar.logsumexp(1) - positive).mean()


@seeded
def simclr(knobs):
    encoder = mlp(64, hidden(knobs, 64), 32, knobs.dropout)
    module = (LitSimCLRRewritten if knobs.refactored else LitSimCLR)(encoder, recipe(knobs, 3e-3, sgd=0.1))
    data = PairsData(TwoViews(digits()[0]), rows(knobs, 24))
    return Task(module=module, data=data, trainer=arguments(knobs))


class LitTriplets(LightningModule):
    def __init__(self, encoder, recipe):
        super().__init__()
        self.encoder = encoder
        self.recipe = recipe

    def forward(self, x):
        return self.encoder(x)

    def training_step(self, batch, batch_idx):
        anchor, positive, negative = batch
        loss = F.triplet_margin_loss(self(anchor), self(positive), self(negative), margin=1.0)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


class LitTripletsRewritten(LitTriplets):
    def __init__(self, encoder, recipe):
        super().__init__(encoder, recipe)
        self.criterion = nn.TripletMarginLoss(margin=1.0)

    def training_step(self, batch, batch_idx):
        embedded = self.encoder(torch.cat(batch)).chunk(3)
        return self.criterion(*embedded)


@seeded
def triplets(knobs):
    encoder = mlp(64, hidden(knobs, 64), 16, knobs.dropout)
    module = (LitTripletsRewritten if knobs.refactored else LitTriplets)(encoder, recipe(knobs, 1e-3, sgd=0.05))
    data = PairsData(Triplets(*digits()), rows(knobs, 32))
    return Task(module=module, data=data, trainer=arguments(knobs))


class LitBYOL(LightningModule):
    """Predicts what a slow twin makes of the other view (Grill et al. 2020)."""

    def __init__(self, width, dropout, recipe, decay=0.99):
        super().__init__()
        self.online = mlp(64, width, 32, dropout)
        self.target = copy.deepcopy(self.online).requires_grad_(False)
        self.predictor = nn.Sequential(nn.Linear(32, width), nn.ReLU(), nn.Linear(width, 32))
        self.recipe, self.decay = recipe, decay

    def forward(self, x):
        return self.online(x)

    def distance(self, view, other):
        with torch.no_grad():
            wanted = self.target(other)
        return 2 - 2 * F.cosine_similarity(self.predictor(self.online(view)), wanted).mean()

    def training_step(self, batch, batch_idx):
        a, b = batch
        loss = self.distance(a, b) + self.distance(b, a)
        self.log("train_loss", loss)
        return loss

    @torch.no_grad()
    def on_train_batch_end(self, outputs, batch, batch_idx):
        for slow, fast in zip(self.target.parameters(), self.online.parameters(), strict=True):
            slow.lerp_(fast, 1 - self.decay)

    def configure_optimizers(self):
        return self.recipe.configure([*self.online.parameters(), *self.predictor.parameters()])


class LitBYOLRewritten(LitBYOL):
    def distance(self, view, other):
        predicted = F.normalize(self.predictor(self.online(view)), dim=-1)
        return F.mse_loss(predicted, F.normalize(self.target(other), dim=-1).detach(), reduction="sum") / len(view)


@seeded
def byol(knobs):
    kind = LitBYOLRewritten if knobs.refactored else LitBYOL
    module = kind(hidden(knobs, 64), knobs.dropout, recipe(knobs, 3e-3, sgd=0.1))
    data = PairsData(TwoViews(digits()[0]), rows(knobs, 32))
    return Task(module=module, data=data, trainer=arguments(knobs))


class LitAveraged(LitClassifier):
    """What is validated and shipped is a moving average of the weights."""

    def __init__(self, net, recipe):
        super().__init__(net, recipe)
        self.ema = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.95))

    def on_train_batch_end(self, outputs, batch, batch_idx):
        self.ema.update_parameters(self.net)

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_acc", (self.ema(x).argmax(1) == y).float().mean())

    def configure_optimizers(self):
        return self.recipe.configure(self.net.parameters())


class LitAveragedRewritten(LitAveraged):
    def __init__(self, net, recipe):
        super().__init__(net, recipe)
        self.ema.requires_grad_(False)

    def training_step(self, batch, batch_idx):
        return self._loss(*batch)

    def _loss(self, inputs, labels):
        return -F.log_softmax(self.net(inputs), 1).gather(1, labels[:, None]).mean()


@seeded
def averaged(knobs):
    net = mlp(64, hidden(knobs, 64), 10, knobs.dropout)
    module = (LitAveragedRewritten if knobs.refactored else LitAveraged)(net, recipe(knobs, 3e-3))
    return Task(module=module, data=TensorData(*digits(), batch_size=rows(knobs, 32)), trainer=arguments(knobs))


DENSE = frozenset({"tabular", "relu", "hidden", "datamodule"})
PROGRAMS = (
    Program(name="simclr", family="simclr", build=simclr, traits=DENSE | {"contrastive"}, knobs=EVERY),
    Program(name="triplets", family="triplet", build=triplets, traits=DENSE | {"contrastive"}, knobs=EVERY),
    Program(name="byol", family="byol", build=byol, traits=DENSE | {"contrastive", "frozen"}, knobs=EVERY),
    Program(name="averaged", family="ema", build=averaged, traits=DENSE | {"classes"}, knobs=EVERY),
)
