"""Sound habits that look wrong to a naive test: a teacher, closures, codebooks, experts, margins, pixels as bytes."""

import lightning as L
import torch
import torch.nn.functional as F
import torchmetrics
from lightning.pytorch.callbacks import EarlyStopping
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.checkpoint import checkpoint

from ..task import Program, Task
from .datasets import TensorData, counts, digits, lines, table
from .language import LinesData, LineTransformer, LitLines, LitLinesRewritten
from .recipe import arguments, hidden, recipe, rows, seeded
from .tabular import EVERY, LitClassifier, classifier, mlp


class LitStudent(LitClassifier):
    """Learns from labels and from a teacher that stays as it is (Hinton et al. 2015)."""

    def __init__(self, net, teacher, recipe, temperature=2.0):
        super().__init__(net, recipe)
        self.teacher = teacher.eval().requires_grad_(False)
        self.temperature = temperature

    def on_train_epoch_start(self):
        self.teacher.eval()

    def training_step(self, batch, batch_idx):
        x, y = batch
        logits = self(x)
        with torch.no_grad():
            soft = F.softmax(self.teacher(x) / self.temperature, 1)
        distilled = F.kl_div(F.log_softmax(logits / self.temperature, 1), soft, reduction="batchmean")
        loss = F.cross_entropy(logits, y) + 0.5 * self.temperature**2 * distilled
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return self.recipe.configure(self.net.parameters())


class LitStudentRewritten(LitStudent):
    def __init__(self, *args):
        super().__init__(*args)
        self.hard, self.soft = nn.CrossEntropyLoss(), nn.KLDivLoss(reduction="batchmean", log_target=True)

    def training_step(self, batch, batch_idx):
        images, labels = batch
        student, teacher = self.net(images), self.teacher(images).detach()
        distilled = self.soft(*[(scores / self.temperature).log_softmax(-1) for scores in (student, teacher)])
        return self.hard(student, labels) + 0.5 * self.temperature**2 * distilled


def nearest_mean():
    """A teacher that knows the mean of each digit: the same for each seed."""
    x, y = digits()
    means = torch.stack([x[y == digit].mean(0) for digit in range(10)])
    teacher = nn.Sequential(nn.Linear(64, 10))
    with torch.no_grad():
        teacher[0].weight.copy_(means)
        teacher[0].bias.copy_(-means.square().sum(1) / 2)
    return teacher


@seeded
def distillation(knobs):
    net = mlp(64, hidden(knobs, 48), 10, knobs.dropout)
    kind = LitStudentRewritten if knobs.refactored else LitStudent
    module = kind(net, nearest_mean(), recipe(knobs, 3e-3))
    data = TensorData(*digits(), batch_size=rows(knobs, 32))
    return Task(module=module, data=data, trainer=arguments(knobs), frozen=("teacher.*",))


class LitNewton(LitClassifier):
    """A quasi-Newton method, which asks for the loss several times a step."""

    def configure_optimizers(self):
        return torch.optim.LBFGS(self.parameters(), lr=self.recipe.lr, max_iter=4, history_size=5)


@seeded
def newton(knobs):
    module = LitNewton(mlp(13, hidden(knobs, 16), 3, knobs.dropout), recipe(knobs, 0.2))
    return Task(module=module, data=TensorData(*table("wine"), batch_size=rows(knobs, 32)), trainer=arguments(knobs))


class LitGroups(LitClassifier):
    """Weight decay on matrices alone, one cycle of the rate, a metric object, a callback of its own."""

    def __init__(self, net, recipe):
        super().__init__(net, recipe)
        self.accuracy = torchmetrics.Accuracy(task="multiclass", num_classes=10)

    def validation_step(self, batch, batch_idx):
        x, y = batch
        logits = self(x)
        self.accuracy(logits, y)
        self.log("val_loss", F.cross_entropy(logits, y))
        self.log("val_acc", self.accuracy, on_epoch=True)

    def configure_callbacks(self):
        return [EarlyStopping("train_loss", patience=3)]

    def configure_optimizers(self):
        decayed = [p for p in self.parameters() if p.ndim > 1]
        others = [p for p in self.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=self.recipe.lr)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.recipe.lr, total_steps=self.trainer.estimated_stepping_batches
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


@seeded
def one_cycle(knobs):
    net = mlp(64, hidden(knobs, 64), 10, knobs.dropout)
    module = LitGroups(net, recipe(knobs, 1e-2))
    data = TensorData(*digits(), batch_size=rows(knobs, 32))
    return Task(module=module, data=data, trainer=arguments(knobs, max_epochs=10))


class Codebook(nn.Module):
    """Vectors that follow the inputs they stand for, in training's forward (van den Oord et al. 2017, appendix A)."""

    def __init__(self, size, width, decay=0.9):
        super().__init__()
        self.decay = decay
        self.register_buffer("vectors", torch.randn(size, width))
        self.register_buffer("count", torch.ones(size))
        self.register_buffer("total", self.vectors.clone())

    def forward(self, z):
        chosen = torch.cdist(z, self.vectors).argmin(1)
        if self.training:
            self.follow(z.detach(), F.one_hot(chosen, len(self.vectors)).to(z.dtype))
        found = self.vectors[chosen]
        return z + (found - z).detach(), found

    @torch.no_grad()
    def follow(self, z, chosen):
        self.count.lerp_(chosen.sum(0), 1 - self.decay)
        self.total.lerp_(chosen.T @ z, 1 - self.decay)
        self.vectors.copy_(self.total / self.count.clamp(min=1e-3).unsqueeze(1))


class LitVQ(L.LightningModule):
    """An autoencoder through a codebook."""

    def __init__(self, width, recipe):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(16, width), nn.ReLU(), nn.Linear(width, 8))
        self.codebook = Codebook(24, 8)
        self.decoder = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 16))
        self.recipe = recipe

    def forward(self, x):
        patches = x.view(-1, 2, 4, 2, 4).transpose(2, 3).reshape(-1, 16)
        z = self.encoder(patches)
        straight, found = self.codebook(z)
        image = self.decoder(straight).view(-1, 2, 2, 4, 4).transpose(2, 3).reshape(-1, 64)
        return image, F.mse_loss(z, found)

    def training_step(self, batch, batch_idx):
        (x,) = batch
        image, commitment = self(x)
        loss = F.mse_loss(image, x) + 0.05 * commitment
        self.log_dict({"train_loss": loss, "train_commitment": commitment})
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", F.mse_loss(self(batch[0])[0], batch[0]))

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


@seeded
def vq(knobs):
    module = LitVQ(hidden(knobs, 64), recipe(knobs, 3e-3, sgd=0.2))
    return Task(module=module, data=TensorData(digits()[0], batch_size=rows(knobs, 16)), trainer=arguments(knobs))


class BytesNet(nn.Module):
    """Takes pixels as bytes, the channel last."""

    def __init__(self, width, dropout):
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3, padding=1)
        self.norm = nn.GroupNorm(4, width)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(width * 16, 10))

    def forward(self, pixels):
        # No permute: torch 2.13 dies in the backward of a GroupNorm of channels_last whose input needs no gradient.
        x = pixels.squeeze(3).unsqueeze(1).float() / 127.5 - 1
        return self.head(F.max_pool2d(F.silu(self.norm(self.conv(x))), 2).flatten(1))


class LitFocal(LitClassifier):
    """The focal loss (Lin et al. 2017), summed."""

    def training_step(self, batch, batch_idx):
        pixels, y = batch
        log_p = F.log_softmax(self(pixels), dim=1).gather(1, y[:, None]).squeeze(1)
        loss = -((1 - log_p.exp()) ** 2 * log_p).sum()
        self.log("train_loss", loss / len(y))
        return loss


class LitFocalRewritten(LitFocal):
    def training_step(self, batch, batch_idx):
        entropy = F.cross_entropy(self(batch[0]), batch[1], reduction="none")
        return self._focused(entropy).sum()

    def _focused(self, entropy):
        return (1 - torch.exp(-entropy)).square() * entropy


@seeded
def pixel_bytes(knobs):
    images, labels = digits()
    pixels = (images.reshape(-1, 8, 8, 1) * 255).to(torch.uint8)
    net = BytesNet(hidden(knobs, 16), knobs.dropout)
    module = (LitFocalRewritten if knobs.refactored else LitFocal)(net, recipe(knobs, 3e-3, sgd=1e-3))
    data = TensorData(pixels, labels, batch_size=rows(knobs, 32))
    return Task(module=module, data=data, trainer=arguments(knobs))


class Experts(nn.Module):
    """Each row goes to one expert of four; how even the shares are is part of the loss (Fedus et al. 2021)."""

    def __init__(self, width, dropout):
        super().__init__()
        self.stem = nn.Linear(64, width)
        self.router = nn.Linear(width, 4)
        self.experts = nn.ModuleList([mlp(width, width, width, dropout) for _ in range(4)])
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        h = F.relu(self.stem(x))
        shares = self.router(h).softmax(1)
        best, chosen = shares.max(1)
        out = h.clone()
        for index, expert in enumerate(self.experts):
            here = chosen == index
            if here.any():
                out[here] = h[here] + best[here, None] * expert(h[here]).to(h.dtype)
        self.uneven = 4 * (F.one_hot(chosen, 4).float().mean(0) * shares.mean(0)).sum()
        return self.head(out)


class LitExperts(LitClassifier):
    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.cross_entropy(self(x), y) + 0.01 * self.net.uneven
        self.log("train_loss", loss)
        return loss


@seeded
def experts(knobs):
    module = LitExperts(Experts(hidden(knobs, 32), knobs.dropout), recipe(knobs, 3e-3, sgd=0.1))
    return Task(module=module, data=TensorData(*digits(), batch_size=rows(knobs, 32)), trainer=arguments(knobs))


class LitFaces(L.LightningModule):
    """A class is a direction, and the right one has a margin to keep (Deng et al. 2019)."""

    def __init__(self, width, dropout, recipe, scale=16.0, margin=0.2):
        super().__init__()
        self.net = mlp(64, width, 16, dropout)
        self.directions = nn.Parameter(torch.randn(10, 16))
        self.recipe, self.scale, self.margin = recipe, scale, margin

    def forward(self, x):
        return F.normalize(self.net(x).float(), dim=1) @ F.normalize(self.directions, dim=1).T

    def training_step(self, batch, batch_idx):
        x, y = batch
        cosine = self(x).clamp(-1 + 1e-6, 1 - 1e-6)
        harder = torch.cos(torch.acos(cosine) + self.margin)
        loss = F.cross_entropy(self.scale * torch.where(F.one_hot(y, 10) == 1, harder, cosine), y)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_acc", (self(x).argmax(1) == y).float().mean())

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


@seeded
def margins(knobs):
    module = LitFaces(hidden(knobs, 64), knobs.dropout, recipe(knobs, 3e-3, sgd=0.02))
    return Task(module=module, data=TensorData(*digits(), batch_size=rows(knobs, 32)), trainer=arguments(knobs))


class Deep(nn.Module):
    """Residual blocks that are left out at random in training, and computed twice to save memory."""

    def __init__(self, width, dropout):
        super().__init__()
        self.stem = nn.Linear(64, width)
        self.blocks = nn.ModuleList(
            [nn.Sequential(nn.LayerNorm(width), mlp(width, width, width, dropout)) for _ in "12"]
        )
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        h = self.stem(x)
        for block in self.blocks:
            added = checkpoint(block, h, use_reentrant=False) if self.training else block(h)
            if self.training:
                added = added * (torch.rand(len(h), 1, device=h.device) > 0.1) / 0.9
            h = h + added
        return self.head(h)


@seeded
def stochastic_depth(knobs):
    module = classifier(knobs, Deep(hidden(knobs, 48), knobs.dropout), recipe(knobs, 3e-3, optimizer="adamw"))
    return Task(module=module, data=TensorData(*digits(), batch_size=rows(knobs, 32)), trainer=arguments(knobs))


class LitHinge(L.LightningModule):
    """A hinge loss on spectrally normalised layers, which keep a vector up to date in training's forward."""

    def __init__(self, width, dropout, recipe):
        super().__init__()
        self.net = nn.Sequential(
            spectral_norm(nn.Linear(30, width)), nn.ReLU(), nn.Dropout(dropout), spectral_norm(nn.Linear(width, 1))
        )
        self.scale = nn.Parameter(torch.tensor(5.0))
        self.recipe = recipe

    def forward(self, x):
        return self.scale * self.net(x).squeeze(1)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.relu(1 - (2 * y - 1) * self(x)).mean()
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_acc", ((self(x) > 0) == (y > 0.5)).float().mean())

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


@seeded
def hinge(knobs):
    x, y = table("breast_cancer")
    module = LitHinge(hidden(knobs, 32), knobs.dropout, recipe(knobs, 5e-3, sgd=0.02))
    data = TensorData(x, y.float(), batch_size=rows(knobs, 32))
    return Task(module=module, data=data, trainer=arguments(knobs))


class LitCounts(L.LightningModule):
    """Counts, as a Poisson process has them; a batch without any is passed over."""

    def __init__(self, width, dropout, recipe):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(5, width), nn.Tanh(), nn.Dropout(dropout), nn.Linear(width, 1))
        self.recipe = recipe

    def forward(self, x):
        return self.net(x).squeeze(1)

    def training_step(self, batch, batch_idx):
        x, y = batch
        if not y.any():
            return None
        loss = F.poisson_nll_loss(self(x), y)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_mae", (self(x).exp() - y).abs().mean())

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


@seeded
def poisson(knobs):
    module = LitCounts(hidden(knobs, 32), knobs.dropout, recipe(knobs, 1e-2, sgd=0.02))
    return Task(module=module, data=TensorData(*counts(), batch_size=rows(knobs, 32)), trainer=arguments(knobs))


@seeded
def lines_bf16(knobs):
    """Lines again, in half precision by default, with gradients of two batches."""
    net = LineTransformer(lines()[1], hidden(knobs, 16), knobs.dropout or 0.1)
    module = (LitLinesRewritten if knobs.refactored else LitLines)(net, recipe(knobs, 5e-3, warmup=10, sgd=0.02))
    own = {"precision": "bf16-mixed", "accumulate_grad_batches": 2}
    return Task(module=module, data=LinesData(rows(knobs, 12)), trainer=arguments(knobs, **own))


DENSE = frozenset({"tabular", "hidden", "datamodule"})
PROGRAMS = (
    Program(
        name="distillation",
        family="distillation",
        build=distillation,
        traits=DENSE | {"classes", "relu", "frozen"},
        knobs=EVERY,
    ),
    Program(
        name="newton",
        family="lbfgs",
        build=newton,
        traits=DENSE | {"classes", "relu"},
        knobs=frozenset({"seed", "width", "lr", "batch"}),
    ),
    Program(
        name="one-cycle",
        family="one-cycle",
        build=one_cycle,
        traits=DENSE | {"classes", "relu", "schedule"},
        knobs=EVERY - {"optimizer", "warmup", "refactored"},
    ),
    Program(
        name="vq",
        family="vq-vae",
        build=vq,
        traits=DENSE | {"autoencoder", "relu"},
        knobs=EVERY - {"dropout", "precision", "refactored"},
    ),
    Program(
        name="pixel-bytes",
        family="focal",
        build=pixel_bytes,
        traits=frozenset({"classes", "images", "hidden", "datamodule"}),
        knobs=EVERY,
    ),
    Program(
        name="experts",
        family="experts",
        build=experts,
        traits=DENSE | {"classes", "relu"},
        knobs=EVERY - {"precision", "refactored"},
    ),
    Program(
        name="margins",
        family="arcface",
        build=margins,
        traits=DENSE | {"classes", "relu"},
        knobs=EVERY - {"refactored"},
    ),
    Program(
        name="stochastic-depth",
        family="stochastic-depth",
        build=stochastic_depth,
        traits=DENSE | {"classes", "relu", "noise"},
        knobs=EVERY,
    ),
    Program(name="hinge", family="hinge", build=hinge, traits=DENSE | {"binary", "relu"}, knobs=EVERY - {"refactored"}),
    Program(
        name="poisson",
        family="poisson",
        build=poisson,
        traits=DENSE | {"regression", "unbounded"},
        knobs=EVERY - {"refactored"},
    ),
    Program(
        name="lines-bf16",
        family="bf16",
        build=lines_bf16,
        traits=frozenset({"classes", "tokens", "sequence", "padding", "hidden", "dropout", "schedule", "datamodule"}),
        knobs=EVERY - {"precision"},
    ),
)
