"""Rows of a table: classes, one or several labels, numbers; linear models, a head that starts at zero, many losses."""

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from ..task import Program, Task
from .datasets import TensorData, clusters, digits, table, tagged, uneven
from .recipe import arguments, hidden, recipe, rows, seeded

EVERY = frozenset({"seed", "width", "lr", "optimizer", "batch", "precision", "clip", "warmup", "dropout", "refactored"})
LINEAR = EVERY - {"width", "dropout"}


def mlp(inputs, width, outputs, dropout):
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(width, outputs),
    )


class LitClassifier(LightningModule):
    def __init__(self, net, recipe):
        super().__init__()
        self.net = net
        self.recipe = recipe

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.cross_entropy(self(x), y)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        logits = self(x)
        self.log("val_loss", F.cross_entropy(logits, y))
        self.log("val_acc", (logits.argmax(1) == y).float().mean())

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


class Classifier(LightningModule):
    """LitClassifier, written otherwise."""

    def __init__(self, model, recipe):
        super().__init__()
        self.model = model
        self.criterion = nn.CrossEntropyLoss()
        self.recipe = recipe

    def forward(self, inputs):
        return self.model(inputs)

    def _shared_step(self, batch, stage):
        inputs, labels = batch
        predictions = self(inputs)
        loss = self.criterion(predictions, labels)
        accuracy = (predictions.argmax(dim=-1) == labels).float().mean()
        self.log_dict({f"{stage}/loss": loss, f"{stage}/accuracy": accuracy})
        return loss

    def training_step(self, batch, batch_idx):
        return self._shared_step(batch, "train")

    def validation_step(self, batch, batch_idx):
        self._shared_step(batch, "val")

    def configure_optimizers(self):
        return self.recipe.configure(self.model.parameters())


def classifier(knobs, net, chosen):
    return (Classifier if knobs.refactored else LitClassifier)(net, chosen)


@seeded
def digits_mlp(knobs):
    net = mlp(64, hidden(knobs, 64), 10, knobs.dropout)
    module = classifier(knobs, net, recipe(knobs, 3e-3))
    return Task(module=module, data=TensorData(*digits(), batch_size=rows(knobs, 32)), trainer=arguments(knobs))


@seeded
def wine_logistic(knobs):
    module = classifier(knobs, nn.Linear(13, 3), recipe(knobs, 0.1, optimizer="sgd", sgd=0.1))
    return Task(module=module, data=TensorData(*table("wine"), batch_size=rows(knobs, 16)), trainer=arguments(knobs))


class LitTumour(LightningModule):
    def __init__(self, width, dropout, recipe):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(30, width), nn.GELU(), nn.Dropout(dropout))
        self.head = nn.Linear(width, 1)
        self.recipe = recipe

    def forward(self, x):
        return self.head(self.body(x)).squeeze(1)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.binary_cross_entropy_with_logits(self(x), y)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_acc", ((self(x) > 0) == (y > 0.5)).float().mean())

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


class LitTumourRewritten(LitTumour):
    def __init__(self, *args):
        super().__init__(*args)
        self.bce = nn.BCEWithLogitsLoss()

    def compute_loss(self, batch):
        features, malignant = batch
        logits = self.head(self.body(features))
        return self.bce(logits, malignant.unsqueeze(-1))

    def training_step(self, batch, batch_idx):
        loss = self.compute_loss(batch)
        self.log("loss", loss)
        return loss


@seeded
def cancer_binary(knobs):
    kind = LitTumourRewritten if knobs.refactored else LitTumour
    module = kind(hidden(knobs, 32), knobs.dropout, recipe(knobs, 5e-3))
    x, y = table("breast_cancer")
    return Task(module=module, data=TensorData(x, y.float(), batch_size=rows(knobs, 32)), trainer=arguments(knobs))


class LitCancerLinear(LightningModule):
    """A logistic model of two features and an intercept each, with weight decay; its loader is a plain one."""

    def __init__(self, recipe):
        super().__init__()
        self.weight = nn.Parameter(0.01 * torch.randn(30))
        self.bias = nn.Parameter(torch.zeros(()))
        self.recipe = recipe

    def forward(self, x):
        return x @ self.weight + self.bias

    def training_step(self, batch, batch_idx):
        x, y = batch
        return F.binary_cross_entropy_with_logits(self(x), y)

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


class LitCancerLinearRewritten(LitCancerLinear):
    def training_step(self, batch, batch_idx):
        features, sick = batch
        return self._loss(self(features), sick)

    def _loss(self, logits, sick):
        return (F.softplus(logits) - sick * logits).mean()


@seeded
def cancer_linear(knobs):
    kind = LitCancerLinearRewritten if knobs.refactored else LitCancerLinear
    module = kind(recipe(knobs, 0.03, sgd=0.1, weight_decay=1e-4))
    x, y = table("breast_cancer")
    loader = DataLoader(TensorDataset(x, y.float()), batch_size=rows(knobs, 16), shuffle=True)
    return Task(module=module, data=loader, trainer=arguments(knobs))


class LitRegressor(LightningModule):
    def __init__(self, net, recipe):
        super().__init__()
        self.net = net
        self.recipe = recipe

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.mse_loss(self(x), y)
        self.log("train_mse", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_mae", F.l1_loss(self(x), y))

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


class LitRegressorRewritten(LitRegressor):
    def __init__(self, net, recipe):
        super().__init__(net, recipe)
        self.mse = nn.MSELoss()

    def _predict_and_score(self, batch):
        features, target = batch
        return self.mse(self.net(features).flatten(), target.flatten())

    def training_step(self, batch, batch_idx):
        return self._predict_and_score(batch)


@seeded
def diabetes_mlp(knobs):
    x, y = table("diabetes")
    y = ((y - y.mean()) / y.std()).float().unsqueeze(1)
    net = mlp(10, hidden(knobs, 64), 1, knobs.dropout)
    module = (LitRegressorRewritten if knobs.refactored else LitRegressor)(net, recipe(knobs, 5e-3, sgd=0.02))
    return Task(module=module, data=TensorData(x, y, batch_size=rows(knobs, 32)), trainer=arguments(knobs))


class LitQuantiles(LitRegressor):
    """Three quantiles at once, by the pinball loss."""

    quantiles = (0.1, 0.5, 0.9)

    def pinball(self, batch):
        x, y = batch
        error = y - self(x)
        q = torch.tensor(self.quantiles, device=self.device)
        return torch.maximum(q * error, (q - 1) * error).mean()

    def training_step(self, batch, batch_idx):
        loss = self.pinball(batch)
        self.log("train_pinball", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_pinball", self.pinball(batch))


@seeded
def quantiles(knobs):
    net = mlp(4, hidden(knobs, 64), 3, knobs.dropout)
    module = LitQuantiles(net, recipe(knobs, 5e-3, sgd=0.05))
    return Task(module=module, data=TensorData(*uneven(), batch_size=rows(knobs, 32)), trainer=arguments(knobs))


class LitUneven(LightningModule):
    """Predicts a mean and a variance."""

    def __init__(self, width, dropout, recipe):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(4, width), nn.SiLU(), nn.Dropout(dropout), nn.Linear(width, width), nn.SiLU()
        )
        self.mean = nn.Linear(width, 1)
        self.scale = nn.Linear(width, 1)
        self.recipe = recipe

    def forward(self, x):
        h = self.body(x)
        return self.mean(h), F.softplus(self.scale(h)) + 1e-3

    def training_step(self, batch, batch_idx):
        x, y = batch
        mean, variance = self(x)
        loss = F.gaussian_nll_loss(mean, y, variance)
        self.log("train_nll", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_mse", F.mse_loss(self(x)[0], y))

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


class LitUnevenRewritten(LitUneven):
    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        mean, variance = self(inputs)
        return self._likelihood(targets - mean, variance)

    def _likelihood(self, error, variance):
        return 0.5 * (variance.log() + error.square() / variance).mean()


@seeded
def uneven_noise(knobs):
    kind = LitUnevenRewritten if knobs.refactored else LitUneven
    module = kind(hidden(knobs, 48), knobs.dropout, recipe(knobs, 5e-3, sgd=0.004))
    return Task(module=module, data=TensorData(*uneven(), batch_size=rows(knobs, 32)), trainer=arguments(knobs))


class LitTags(LightningModule):
    def __init__(self, net, recipe):
        super().__init__()
        self.net = net
        self.recipe = recipe

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        x, tags = batch
        loss = F.binary_cross_entropy_with_logits(self(x), tags)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        x, tags = batch
        self.log("val_exact", ((self(x) > 0) == (tags > 0.5)).all(1).float().mean())

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


class LitTagsRewritten(LitTags):
    def __init__(self, net, recipe):
        super().__init__(net, recipe)
        self.loss = nn.BCEWithLogitsLoss()

    def training_step(self, batch, batch_idx):
        features, wanted = batch
        return {"loss": self.loss(self.net(features), wanted)}


@seeded
def tags(knobs):
    net = mlp(16, hidden(knobs, 64), 8, knobs.dropout)
    module = (LitTagsRewritten if knobs.refactored else LitTags)(net, recipe(knobs, 3e-3, sgd=0.2))
    return Task(module=module, data=TensorData(*tagged(), batch_size=rows(knobs, 32)), trainer=arguments(knobs))


class ZeroHead(nn.Module):
    """A residual network whose branches and head start at zero, as in Fixup."""

    def __init__(self, inputs, width, outputs, dropout):
        super().__init__()
        self.stem = nn.Linear(inputs, width)
        self.branch = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, width))
        self.head = nn.Linear(width, outputs)
        for last in (self.branch[-1], self.head):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x):
        h = torch.relu(self.stem(x))
        return self.head(h + self.branch(h))


@seeded
def zero_head(knobs):
    net = ZeroHead(64, hidden(knobs, 64), 10, knobs.dropout)
    module = classifier(knobs, net, recipe(knobs, 3e-3, optimizer="adamw"))
    return Task(module=module, data=TensorData(*digits(), batch_size=rows(knobs, 32)), trainer=arguments(knobs))


class LitLongTail(LitClassifier):
    """Rare classes weigh more."""

    def __init__(self, net, recipe, frequency):
        super().__init__(net, recipe)
        self.register_buffer("weight", frequency.rsqrt() / frequency.rsqrt().mean())

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.cross_entropy(self(x), y, weight=self.weight)
        self.log("train_loss", loss)
        return loss


class LitLongTailRewritten(LitLongTail):
    def __init__(self, net, recipe, frequency):
        super().__init__(net, recipe, frequency)
        self.criterion = nn.CrossEntropyLoss(weight=self.weight)

    def training_step(self, batch, batch_idx):
        return self.criterion(self.net(batch[0]), batch[1])


@seeded
def long_tail(knobs):
    x, y = clusters()
    net = mlp(12, hidden(knobs, 48), 6, knobs.dropout)
    kind = LitLongTailRewritten if knobs.refactored else LitLongTail
    module = kind(net, recipe(knobs, 3e-3), torch.bincount(y) / len(y))
    return Task(module=module, data=TensorData(x, y, batch_size=rows(knobs, 32)), trainer=arguments(knobs))


class LitTwoTasks(LightningModule):
    """The class of a wine and its proline at once, weighed by learned uncertainties (Kendall et al. 2018)."""

    def __init__(self, width, dropout, recipe):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(12, width), nn.ReLU(), nn.Dropout(dropout))
        self.kind = nn.Linear(width, 3)
        self.proline = nn.Linear(width, 1)
        self.log_variance = nn.Parameter(torch.zeros(2))
        self.recipe = recipe

    def losses(self, batch):
        x, proline, kind = batch
        h = self.trunk(x)
        return torch.stack([F.cross_entropy(self.kind(h), kind), F.mse_loss(self.proline(h).squeeze(1), proline)])

    def training_step(self, batch, batch_idx):
        losses = self.losses(batch)
        loss = (torch.exp(-self.log_variance) * losses + self.log_variance).sum()
        self.log_dict({"train_loss": loss, "train_kind": losses[0], "train_proline": losses[1]})
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.losses(batch).sum())

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


class LitTwoTasksRewritten(LitTwoTasks):
    def training_step(self, batch, batch_idx):
        kind, proline = self.losses(batch)
        loss = self._weighed(kind, 0) + self._weighed(proline, 1)
        self.log("loss", loss)
        return loss

    def _weighed(self, loss, which):
        return loss * (-self.log_variance[which]).exp() + self.log_variance[which]


@seeded
def two_tasks(knobs):
    x, y = table("wine")
    kind = LitTwoTasksRewritten if knobs.refactored else LitTwoTasks
    module = kind(hidden(knobs, 48), knobs.dropout, recipe(knobs, 1e-2, sgd=0.002))
    data = TensorData(x[:, :12], x[:, 12], y, batch_size=rows(knobs, 32))
    return Task(module=module, data=data, trainer=arguments(knobs))


@seeded
def careful(knobs):
    """Gradients accumulated over two batches, clipped, with a warm-up."""
    net = mlp(64, hidden(knobs, 64), 10, knobs.dropout or 0.1)
    module = classifier(knobs, net, recipe(knobs, 5e-3, optimizer="adamw", warmup=20))
    own = {"accumulate_grad_batches": 2, "gradient_clip_val": 1.0}
    data = TensorData(*digits(), batch_size=rows(knobs, 32))
    return Task(module=module, data=data, trainer=own | arguments(knobs))


@seeded
def listed(knobs):
    """A plain list of batches, made beforehand."""
    x, y = clusters()
    net = mlp(12, hidden(knobs, 48), 6, knobs.dropout)
    size = rows(knobs, 16)
    batches = list(zip(x.split(size), y.split(size), strict=True))[:20]
    return Task(module=classifier(knobs, net, recipe(knobs, 5e-3)), data=batches, trainer=arguments(knobs))


MLP = frozenset({"tabular", "relu", "hidden"})
PROGRAMS = (
    Program(name="digits-mlp", family="mlp", build=digits_mlp, traits=MLP | {"classes", "datamodule"}, knobs=EVERY),
    Program(
        name="wine-logistic",
        family="linear",
        build=wine_logistic,
        traits=frozenset({"classes", "tabular", "datamodule"}),
        knobs=LINEAR,
    ),
    Program(
        name="cancer-binary",
        family="binary",
        build=cancer_binary,
        traits=frozenset({"binary", "tabular", "hidden", "datamodule"}),
        knobs=EVERY,
    ),
    Program(
        name="cancer-linear",
        family="linear",
        build=cancer_linear,
        traits=frozenset({"binary", "tabular"}),
        knobs=LINEAR,
    ),
    Program(
        name="diabetes-mlp",
        family="regression",
        build=diabetes_mlp,
        traits=MLP | {"regression", "datamodule"},
        knobs=EVERY,
    ),
    Program(
        name="quantiles",
        family="regression",
        build=quantiles,
        traits=MLP | {"regression", "datamodule"},
        knobs=EVERY - {"refactored"},
    ),
    Program(
        name="uneven-noise",
        family="hetero-nll",
        build=uneven_noise,
        traits=frozenset({"regression", "tabular", "hidden", "unbounded", "datamodule"}),
        knobs=EVERY,
    ),
    Program(name="tags", family="multi-label", build=tags, traits=MLP | {"multilabel", "datamodule"}, knobs=EVERY),
    Program(name="zero-head", family="zero-init", build=zero_head, traits=MLP | {"classes", "datamodule"}, knobs=EVERY),
    Program(name="long-tail", family="long-tail", build=long_tail, traits=MLP | {"classes", "datamodule"}, knobs=EVERY),
    Program(
        name="two-tasks",
        family="multi-loss",
        build=two_tasks,
        traits=MLP | {"classes", "regression", "unbounded", "datamodule"},
        knobs=EVERY,
    ),
    Program(
        name="careful",
        family="accumulation",
        build=careful,
        traits=MLP | {"classes", "dropout", "schedule", "datamodule"},
        knobs=EVERY,
    ),
    Program(name="listed", family="mlp", build=listed, traits=MLP | {"classes"}, knobs=EVERY),
)
