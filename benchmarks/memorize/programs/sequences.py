"""Sequences of numbers and of graphs' nodes: forecasts, letters heard in frames, tags, graphs, choices and rewards."""

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningDataModule, LightningModule
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from ..task import Program, Task
from .datasets import TensorData, communities, digits, lines, rings_and_stars, series, spoken
from .recipe import arguments, hidden, recipe, rows, seeded
from .tabular import EVERY, mlp


class LitForecast(LightningModule):
    """The next four values of a series."""

    def __init__(self, width, dropout, recipe):
        super().__init__()
        self.gru = nn.GRU(1, width, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, 4)
        self.recipe = recipe

    def forward(self, past):
        _, h = self.gru(past.unsqueeze(2))
        return past[:, -1:] + self.head(self.dropout(h[-1]))

    def training_step(self, batch, batch_idx):
        past, future = batch
        loss = F.smooth_l1_loss(self(past), future)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        past, future = batch
        self.log("val_mae", F.l1_loss(self(past), future))

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


class LitForecastRewritten(LitForecast):
    def __init__(self, *args):
        super().__init__(*args)
        self.huber = nn.SmoothL1Loss()

    def training_step(self, batch, batch_idx):
        return self._score(*batch)

    def _score(self, window, horizon):
        return self.huber(self(window), horizon)


@seeded
def forecast(knobs):
    kind = LitForecastRewritten if knobs.refactored else LitForecast
    module = kind(hidden(knobs, 32), knobs.dropout, recipe(knobs, 1e-2, sgd=0.1))
    return Task(module=module, data=TensorData(*series(), batch_size=rows(knobs, 24)), trainer=arguments(knobs))


class LitSpoken(LightningModule):
    """Letters from frames, without knowing which frame says which letter (Graves et al. 2006)."""

    def __init__(self, width, recipe):
        super().__init__()
        self.gru = nn.GRU(8, width, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * width, 7)
        self.recipe = recipe

    def forward(self, frames):
        return self.head(self.gru(frames)[0]).log_softmax(2)

    def loss(self, batch):
        frames, letters = batch
        heard = self(frames).transpose(0, 1)
        lengths = torch.full((len(frames),), frames.shape[1])
        return F.ctc_loss(heard, letters, lengths, torch.full((len(frames),), letters.shape[1]))

    def training_step(self, batch, batch_idx):
        loss = self.loss(batch)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.loss(batch))

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


class LitSpokenRewritten(LitSpoken):
    def loss(self, batch):
        frames, letters = batch
        n, t, _ = frames.shape
        heard = F.log_softmax(self.head(self.gru(frames)[0]), dim=-1).permute(1, 0, 2)
        return nn.CTCLoss()(heard, letters, [t] * n, [letters.size(1)] * n)


@seeded
def ctc(knobs):
    kind = LitSpokenRewritten if knobs.refactored else LitSpoken
    module = kind(hidden(knobs, 32), recipe(knobs, 2e-2, sgd=0.1))
    return Task(module=module, data=TensorData(*spoken(), batch_size=rows(knobs, 12)), trainer=arguments(knobs))


class TaggedLines(LightningDataModule):
    """Lines, and a tag of each character that follows from it and the one before; -100 where there is none."""

    def __init__(self, batch_size):
        super().__init__()
        self.batch_size = batch_size

    def setup(self, stage):
        self.samples = [torch.tensor(ids[:24]) for ids, _ in lines()[0]]

    @staticmethod
    def collate(samples):
        before = [F.pad(ids[:-1], (1, 0)) for ids in samples]
        kinds = [(ids % 2) + 2 * (other % 2) for ids, other in zip(samples, before, strict=True)]
        return {
            "ids": pad_sequence(samples, batch_first=True),
            "tags": pad_sequence(kinds, batch_first=True, padding_value=-100),
        }

    def train_dataloader(self):
        return DataLoader(self.samples[80:], self.batch_size, shuffle=True, collate_fn=self.collate)

    def val_dataloader(self):
        return DataLoader(self.samples[:80], self.batch_size, collate_fn=self.collate)


class LitTagger(LightningModule):
    def __init__(self, vocabulary, width, dropout, recipe):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=0)
        self.conv = nn.Conv1d(width, width, 3, padding=1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, 4)
        self.recipe = recipe

    def forward(self, ids):
        h = self.conv(self.embedding(ids).transpose(1, 2)).relu().transpose(1, 2)
        return self.head(self.dropout(h))

    def training_step(self, batch, batch_idx):
        logits = self(batch["ids"])
        loss = F.cross_entropy(logits.transpose(1, 2), batch["tags"], ignore_index=-100)
        self.log("train_loss", loss, batch_size=len(logits))
        return loss

    def validation_step(self, batch, batch_idx):
        there = batch["tags"] >= 0
        right = (self(batch["ids"]).argmax(2) == batch["tags"])[there]
        self.log("val_acc", right.float().mean(), batch_size=len(there))

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


class LitTaggerRewritten(LitTagger):
    def __init__(self, *args):
        super().__init__(*args)
        self.loss = nn.CrossEntropyLoss()

    def training_step(self, batch, batch_idx):
        ids, tags = batch["ids"], batch["tags"]
        return self.loss(self(ids).reshape(-1, 4), tags.reshape(-1))


@seeded
def tagger(knobs):
    kind = LitTaggerRewritten if knobs.refactored else LitTagger
    module = kind(lines()[1], hidden(knobs, 32), knobs.dropout, recipe(knobs, 1e-2, sgd=0.5))
    return Task(module=module, data=TaggedLines(rows(knobs, 16)), trainer=arguments(knobs))


class LitCommunities(LightningModule):
    """Classes of the nodes of one graph, of which some are known (Kipf and Welling 2017)."""

    def __init__(self, width, dropout, recipe):
        super().__init__()
        self.lin1 = nn.Linear(8, width)
        self.lin2 = nn.Linear(width, 4)
        self.dropout = nn.Dropout(dropout)
        self.recipe = recipe

    def forward(self, x, adjacency):
        h = self.dropout(torch.relu(adjacency @ self.lin1(x)))
        return adjacency @ self.lin2(h)

    def training_step(self, batch, batch_idx):
        known = batch["train_mask"]
        logits = self(batch["x"], batch["adjacency"])
        loss = F.cross_entropy(logits[known], batch["y"][known])
        self.log("train_loss", loss, batch_size=1)
        return loss

    def validation_step(self, batch, batch_idx):
        hidden = ~batch["train_mask"]
        right = self(batch["x"], batch["adjacency"]).argmax(1) == batch["y"]
        self.log("val_acc", right[hidden].float().mean(), batch_size=1)

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


class LitCommunitiesRewritten(LitCommunities):
    def training_step(self, batch, batch_idx):
        targets = batch["y"].masked_fill(~batch["train_mask"], -100)
        return F.cross_entropy(self(batch["x"], batch["adjacency"]), targets)


@seeded
def node_classes(knobs):
    kind = LitCommunitiesRewritten if knobs.refactored else LitCommunities
    module = kind(hidden(knobs, 32), knobs.dropout, recipe(knobs, 2e-2, sgd=0.5))
    loader = DataLoader([communities()], batch_size=None)
    return Task(module=module, data=loader, trainer=arguments(knobs))


def joined(graphs):
    """Several graphs as one, in blocks; `graph` says which graph a node is of."""
    return {
        "x": torch.cat([x for x, _, _ in graphs]),
        "adjacency": torch.block_diag(*[adjacency for _, adjacency, _ in graphs]),
        "graph": torch.arange(len(graphs)).repeat_interleave(torch.tensor([len(x) for x, _, _ in graphs])),
        "y": torch.tensor([y for _, _, y in graphs]),
    }


class LitGraphs(LightningModule):
    """Two rounds of messages, then the sum over a graph's nodes (Xu et al. 2019)."""

    def __init__(self, width, dropout, recipe):
        super().__init__()
        self.first = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.second = nn.Sequential(nn.Linear(width, width), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, 3))
        self.recipe = recipe

    def forward(self, batch):
        adjacency = batch["adjacency"]
        h = self.first(batch["x"] + adjacency @ batch["x"])
        h = self.second(h + adjacency @ h)
        pooled = h.new_zeros(len(batch["y"]), h.shape[1]).index_add(0, batch["graph"], h)
        return self.head(pooled)

    def training_step(self, batch, batch_idx):
        loss = F.cross_entropy(self(batch), batch["y"])
        self.log("train_loss", loss, batch_size=len(batch["y"]))
        return loss

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


class LitGraphsRewritten(LitGraphs):
    def __init__(self, *args):
        super().__init__(*args)
        self.criterion = nn.CrossEntropyLoss()

    def training_step(self, batch, batch_idx):
        return self.criterion(self.forward(batch), batch["y"])


@seeded
def graph_classes(knobs):
    kind = LitGraphsRewritten if knobs.refactored else LitGraphs
    module = kind(hidden(knobs, 32), knobs.dropout, recipe(knobs, 5e-3, sgd=0.01))
    loader = DataLoader(rings_and_stars(), batch_size=rows(knobs, 16), shuffle=True, collate_fn=joined)
    return Task(module=module, data=loader, trainer=arguments(knobs))


class LitChoices(LightningModule):
    """REINFORCE (Williams 1992): sees a digit, names one, is rewarded for the right name."""

    def __init__(self, policy, recipe):
        super().__init__()
        self.policy = policy
        self.recipe = recipe

    def forward(self, x):
        return torch.distributions.Categorical(logits=self.policy(x))

    def training_step(self, batch, batch_idx):
        x, y = batch
        choice = self(x)
        action = choice.sample()
        reward = (action == y).float()
        loss = -((reward - reward.mean()) * choice.log_prob(action)).mean() - 0.01 * choice.entropy().mean()
        self.log_dict({"train_loss": loss, "train_reward": reward.mean()})
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_reward", (self.policy(x).argmax(1) == y).float().mean())

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


class LitChoicesRewritten(LitChoices):
    def training_step(self, batch, batch_idx):
        states, wanted = batch
        policy = self(states)
        actions = policy.sample()
        rewards = actions.eq(wanted).float()
        return self._objective(policy, actions, rewards - rewards.mean()).mean()

    def _objective(self, policy, actions, advantages):
        return -policy.log_prob(actions) * advantages - 0.01 * policy.entropy()


@seeded
def reinforce(knobs):
    policy = mlp(64, hidden(knobs, 64), 10, knobs.dropout)
    module = (LitChoicesRewritten if knobs.refactored else LitChoices)(policy, recipe(knobs, 3e-3, sgd=0.1))
    return Task(module=module, data=TensorData(*digits(), batch_size=rows(knobs, 64)), trainer=arguments(knobs))


PROGRAMS = (
    Program(
        name="forecast",
        family="forecasting",
        build=forecast,
        traits=frozenset({"regression", "sequence", "hidden", "datamodule"}),
        knobs=EVERY,
    ),
    Program(
        name="ctc",
        family="ctc",
        build=ctc,
        traits=frozenset({"sequence", "hidden", "datamodule"}),
        knobs=EVERY - {"dropout", "precision"},
    ),
    Program(
        name="tagger",
        family="tagging",
        build=tagger,
        traits=frozenset({"classes", "tokens", "sequence", "padding", "relu", "hidden", "datamodule"}),
        knobs=EVERY,
    ),
    Program(
        name="node-classes",
        family="gnn",
        build=node_classes,
        traits=frozenset({"classes", "graph", "relu", "hidden"}),
        knobs=EVERY - {"batch"},
    ),
    Program(
        name="graph-classes",
        family="gnn",
        build=graph_classes,
        traits=frozenset({"classes", "graph", "relu", "hidden"}),
        knobs=EVERY,
    ),
    Program(
        name="reinforce",
        family="reinforce",
        build=reinforce,
        traits=frozenset({"tabular", "relu", "hidden", "noise", "unbounded", "datamodule"}),
        knobs=EVERY,
    ),
)
