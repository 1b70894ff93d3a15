"""Rows of tables and series: a transformer over columns, survival, a recommender, a forecast, nodes of a graph."""

from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningDataModule, LightningModule
from sklearn.datasets import load_breast_cancer, load_diabetes
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split

from ...task import Program, Task
from .settings import ALL, fresh, hyper, many, optimized, trainer, wide


class Row(NamedTuple):
    categorical: torch.Tensor
    continuous: torch.Tensor
    target: torch.Tensor


@cache
def tumours():
    """Eight measures as one of four bins, 22 standardised ones, and whether the tumour is benign (0. or 1.)."""
    x, y = load_breast_cancer(return_X_y=True)
    x = torch.tensor(x, dtype=torch.float32)
    x = (x - x.mean(0)) / x.std(0)
    bins = torch.stack(
        [torch.bucketize(column, column.quantile(torch.tensor([0.25, 0.5, 0.75]))) for column in x[:, :8].T]
    )
    return bins.T.contiguous(), x[:, 8:], torch.tensor(y, dtype=torch.float32)


class Tumours(Dataset):
    def __init__(self):
        self.rows = tumours()

    def __len__(self):
        return len(self.rows[0])

    def __getitem__(self, index):
        return Row(*(column[index] for column in self.rows))


class TumourDataModule(LightningDataModule):
    def __init__(self, batch_size):
        super().__init__()
        self.batch_size = batch_size

    def setup(self, stage=None):
        self.train, self.val = random_split(Tumours(), [0.8, 0.2], generator=torch.Generator().manual_seed(0))

    def train_dataloader(self):
        return DataLoader(self.train, batch_size=self.batch_size, shuffle=True, drop_last=True)

    def val_dataloader(self):
        return DataLoader(self.val, batch_size=self.batch_size)


class FTTransformer(nn.Module):
    def __init__(self, dim, dropout):
        super().__init__()
        self.categories = nn.ModuleList(nn.Embedding(4, dim) for _ in range(8))
        self.numbers = nn.Linear(22, dim)
        self.cls = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.columns = nn.Parameter(torch.randn(1, 10, dim) * 0.02)
        layer = nn.TransformerEncoderLayer(
            dim, 2, 2 * dim, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 1))

    def tokens(self, categorical, continuous):
        embedded = [table(column) for table, column in zip(self.categories, categorical.T, strict=True)]
        return torch.stack([*embedded, self.numbers(continuous)], dim=1)

    def forward(self, categorical, continuous):
        tokens = self.tokens(categorical, continuous)
        tokens = torch.cat([self.cls.expand(len(tokens), -1, -1), tokens], dim=1) + self.columns
        return self.head(self.encoder(tokens)[:, 0]).squeeze(-1)


class TabularModel(LightningModule):
    def __init__(self, dim=16, dropout=0.0, lr=3e-3, optimizer="adamw", warmup=0, pos_weight=0.6):
        super().__init__()
        self.save_hyperparameters()
        self.backbone = FTTransformer(dim, dropout)
        self.loss_fn = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(pos_weight))

    def forward(self, row):
        return self.backbone(row.categorical, row.continuous)

    def training_step(self, batch, batch_idx):
        loss = self.loss_fn(self(batch), batch.target)
        self.log("train_loss", loss, batch_size=len(batch.target))
        return loss

    def validation_step(self, batch, batch_idx):
        right = (self(batch) > 0) == (batch.target > 0.5)
        self.log("val_acc", right.float().mean(), batch_size=len(batch.target))

    def configure_optimizers(self):
        return optimized(self.parameters(), self.hparams)


class TabularModelUnpacked(TabularModel):
    """The same, with names for the columns and the loss as a function."""

    def training_step(self, batch, batch_idx):
        categorical, continuous, labels = batch
        scores = self.backbone(categorical, continuous)
        weight = torch.tensor(self.hparams.pos_weight, device=scores.device)
        return F.binary_cross_entropy_with_logits(scores, labels, pos_weight=weight)


def tab_transformer(knobs):
    fresh(knobs)
    kind = TabularModelUnpacked if knobs.refactored else TabularModel
    module = kind(dim=wide(knobs, 16), dropout=knobs.dropout, **hyper(knobs, 3e-3, sgd=0.05, optimizer="adamw"))
    return Task(module=module, data=TumourDataModule(many(knobs, 32)), trainer=trainer(knobs))


@cache
def patients():
    """Standardised measures of diabetes patients, a time that falls with the progression, and whether it was seen."""
    x, y = load_diabetes(return_X_y=True)
    x = torch.tensor(x, dtype=torch.float32)
    draw = torch.Generator().manual_seed(4)
    time = 1 / torch.tensor(y, dtype=torch.float32)
    return (x - x.mean(0)) / x.std(0), 100 * time, (torch.rand(len(time), generator=draw) < 0.7).float()


class CoxNet(LightningModule):
    """Survival: the negative partial likelihood, in which each patient is held against those still at risk."""

    def __init__(self, hidden=32, dropout=0.0, lr=5e-3, optimizer="adam", warmup=0):
        super().__init__()
        self.save_hyperparameters()
        self.risk = nn.Sequential(
            nn.Linear(10, hidden),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
            nn.Linear(hidden, 1),
        )

    def forward(self, x):
        return self.risk(x).squeeze(-1)

    def partial_likelihood(self, risk, time, event):
        order = time.argsort(descending=True)
        risk, event = risk[order], event[order]
        at_risk = risk.logcumsumexp(0)
        return -((risk - at_risk) * event).sum() / event.sum().clamp(min=1)

    def training_step(self, batch, batch_idx):
        x, time, event = batch
        loss = self.partial_likelihood(self(x).float(), time, event)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return optimized(self.parameters(), self.hparams)


def survival(knobs):
    fresh(knobs)
    module = CoxNet(hidden=wide(knobs, 32), dropout=knobs.dropout, **hyper(knobs, 5e-3, sgd=0.05))
    loader = DataLoader(TensorDataset(*patients()), batch_size=many(knobs, 32), shuffle=True)
    return Task(module=module, data=loader, trainer=trainer(knobs))


@cache
def purchases(users=60, items=80, count=1500):
    """Pairs of a user and an item that this user likes: both are near each other in a plane."""
    draw = torch.Generator().manual_seed(12)
    taste = torch.randn(users, 4, generator=draw) @ torch.randn(items, 4, generator=draw).T
    chosen = taste.topk(12, dim=1).indices
    user = torch.randint(0, users, (count,), generator=draw)
    return user, chosen[user, torch.randint(0, 12, (count,), generator=draw)], users, items


class BPR(LightningModule):
    """Bayesian personalised ranking over embeddings; items that were not bought are drawn in the training step."""

    def __init__(self, n_users, n_items, dim=16, lr=2e-2, optimizer="adam", warmup=0):
        super().__init__()
        self.save_hyperparameters()
        self.user_embedding = nn.Embedding(n_users, dim)
        self.item_embedding = nn.Embedding(n_items, dim)
        self.item_bias = nn.Embedding(n_items, 1)
        nn.init.normal_(self.user_embedding.weight, std=0.1)
        nn.init.normal_(self.item_embedding.weight, std=0.1)
        nn.init.zeros_(self.item_bias.weight)

    def forward(self, user, item):
        return (self.user_embedding(user) * self.item_embedding(item)).sum(-1) + self.item_bias(item).squeeze(-1)

    def negatives(self, item):
        return (item + torch.randint_like(item, 1, self.hparams.n_items)) % self.hparams.n_items

    def loss(self, liked, other):
        return -F.logsigmoid(liked - other).mean()

    def training_step(self, batch, batch_idx):
        user, item = batch["user"], batch["item"]
        loss = self.loss(self(user, item), self(user, self.negatives(item)))
        self.log("bpr", loss, batch_size=len(user))
        return loss

    def configure_optimizers(self):
        return optimized(self.parameters(), self.hparams)


class BPRSoftplus(BPR):
    """The same, for the loss written as softplus."""

    def training_step(self, batch, batch_idx):
        bought = self(batch["user"], batch["item"])
        drawn = self(batch["user"], self.negatives(batch["item"]))
        return F.softplus(drawn - bought).mean()


def collate_purchases(pairs):
    users, items = torch.tensor(pairs).T
    return {"user": users, "item": items}


def recommender(knobs):
    fresh(knobs)
    user, item, users, items = purchases()
    kind = BPRSoftplus if knobs.refactored else BPR
    module = kind(users, items, dim=wide(knobs, 16), **hyper(knobs, 2e-2, sgd=1.0))
    pairs = list(zip(user.tolist(), item.tolist(), strict=True))
    loader = DataLoader(pairs, batch_size=many(knobs, 32), shuffle=True, collate_fn=collate_purchases)
    return Task(module=module, data=loader, trainer=trainer(knobs))


@cache
def demand(length=900):
    """A standardised series: a day, a week, a drift and noise."""
    draw = torch.Generator().manual_seed(10)
    t = torch.arange(length)
    day, week = torch.sin(2 * torch.pi * t / 24), torch.cos(2 * torch.pi * t / 168)
    drift = 0.05 * torch.randn(length, generator=draw).cumsum(0)
    series = day * (1 + 0.5 * week) + drift + 0.1 * torch.randn(length, generator=draw)
    return (series - series.mean()) / series.std()


class Windows(Dataset):
    def __init__(self, history=24, horizon=6):
        self.series = demand()
        self.history, self.horizon = history, horizon

    def __len__(self):
        return len(self.series) - self.history - self.horizon + 1

    def __getitem__(self, start):
        cut = start + self.history
        return self.series[start:cut].unsqueeze(-1), self.series[cut : cut + self.horizon]


class LSTMForecaster(LightningModule):
    def __init__(self, hidden=32, dropout=0.0, lr=1e-2, optimizer="adam", horizon=6):
        super().__init__()
        self.save_hyperparameters()
        self.lstm = nn.LSTM(1, hidden, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(hidden, horizon)
        self.loss_fn = nn.MSELoss()

    def forward(self, x):
        output, _ = self.lstm(x)
        return self.linear(self.dropout(output[:, -1]))

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = self.loss_fn(self(x), y)
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_mae", F.l1_loss(self(x), y))

    def configure_optimizers(self):
        kind = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}.get(self.hparams.optimizer, torch.optim.Adam)
        more = {"momentum": 0.9} if kind is torch.optim.SGD else {}
        optimizer = kind(self.parameters(), lr=self.hparams.lr, **more)
        plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=50)
        return {"optimizer": optimizer, "lr_scheduler": plateau, "monitor": "train_loss"}


class LSTMForecasterState(LSTMForecaster):
    """The same, from the last state instead of the last output."""

    def forward(self, x):
        _, (state, _) = self.lstm(x)
        return self.linear(self.dropout(state[-1]))


class DemandDataModule(LightningDataModule):
    def __init__(self, batch_size):
        super().__init__()
        self.batch_size = batch_size

    def setup(self, stage=None):
        windows = Windows()
        cut = int(0.8 * len(windows))
        self.train = torch.utils.data.Subset(windows, range(cut))
        self.val = torch.utils.data.Subset(windows, range(cut, len(windows)))

    def train_dataloader(self):
        return DataLoader(self.train, batch_size=self.batch_size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.val, batch_size=self.batch_size)


def forecaster(knobs):
    fresh(knobs)
    chosen = hyper(knobs, 1e-2, sgd=0.1)
    chosen.pop("warmup")
    kind = LSTMForecasterState if knobs.refactored else LSTMForecaster
    module = kind(hidden=wide(knobs, 32), dropout=knobs.dropout, **chosen)
    return Task(module=module, data=DemandDataModule(many(knobs, 16)), trainer=trainer(knobs))


@cache
def citations(nodes=120, classes=4, features=24):
    """A graph whose nodes mostly cite their own kind: features, class, normalised adjacency, mask of the training."""
    draw = torch.Generator().manual_seed(13)
    y = torch.randint(0, classes, (nodes,), generator=draw)
    same = (y[:, None] == y[None, :]).float()
    links = (torch.rand(nodes, nodes, generator=draw) < 0.02 + 0.13 * same).float().triu(1)
    adjacency = links + links.T + torch.eye(nodes)
    scale = adjacency.sum(1).rsqrt()
    words = torch.randn(classes, features, generator=draw)
    x = words[y] + 1.5 * torch.randn(nodes, features, generator=draw)
    return {
        "x": x,
        "y": y,
        "adjacency": scale[:, None] * adjacency * scale[None, :],
        "train_mask": torch.rand(nodes, generator=draw) < 0.4,
    }


class GCNConv(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.lin = nn.Linear(inputs, outputs)

    def forward(self, x, adjacency):
        return adjacency @ self.lin(x)


class NodeClassifier(LightningModule):
    def __init__(self, hidden=32, dropout=0.0, lr=1e-2, optimizer="adam", warmup=0):
        super().__init__()
        self.save_hyperparameters()
        self.conv1 = GCNConv(24, hidden)
        self.conv2 = GCNConv(hidden, 4)
        self.act = nn.ReLU()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, adjacency):
        h = self.dropout(self.act(self.conv1(x, adjacency)))
        return self.conv2(h, adjacency)

    def training_step(self, data, batch_idx):
        out = self(data["x"], data["adjacency"])
        mask = data["train_mask"]
        loss = F.cross_entropy(out[mask], data["y"][mask])
        self.log("train_loss", loss, batch_size=1)
        return loss

    def configure_optimizers(self):
        return optimized(self.parameters(), self.hparams, weight_decay=5e-4)


class NodeClassifierNLL(NodeClassifier):
    """The same, by log_softmax and nll_loss."""

    def training_step(self, data, batch_idx):
        log_probabilities = F.log_softmax(self(data["x"], data["adjacency"]), dim=1)
        loss = F.nll_loss(log_probabilities[data["train_mask"]], data["y"][data["train_mask"]])
        self.log("loss", loss, batch_size=1)
        return loss


def whole(graphs):
    return graphs[0]


def node_classifier(knobs):
    fresh(knobs)
    kind = NodeClassifierNLL if knobs.refactored else NodeClassifier
    module = kind(hidden=wide(knobs, 32), dropout=knobs.dropout, **hyper(knobs, 1e-2, sgd=0.5))
    return Task(
        module=module, data=DataLoader([citations()] * 20, batch_size=1, collate_fn=whole), trainer=trainer(knobs)
    )


PROGRAMS = (
    Program(
        name="tab_transformer",
        family="tabular transformer",
        build=tab_transformer,
        traits=frozenset({"binary", "tabular", "hidden", "datamodule"}),
        knobs=ALL,
    ),
    Program(
        name="survival",
        family="survival",
        build=survival,
        traits=frozenset({"tabular", "hidden"}),
        knobs=ALL - {"refactored"},
    ),
    Program(
        name="implicit_ratings",
        family="recommender",
        build=recommender,
        traits=frozenset({"noise"}),
        knobs=ALL - {"dropout", "precision"},  # products of embeddings: nothing that autocast changes
    ),
    Program(
        name="forecaster",
        family="forecast",
        build=forecaster,
        traits=frozenset({"regression", "sequence", "schedule", "hidden", "datamodule"}),
        knobs=ALL - {"warmup"},
    ),
    Program(
        name="node_classifier",
        family="gnn",
        build=node_classifier,
        traits=frozenset({"classes", "graph", "relu", "hidden"}),
        knobs=ALL - {"batch"},
    ),
)
