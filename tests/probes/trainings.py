"""Small trainings, sound and with one planted defect each, and the road from a fit in this process to outcomes."""

import math

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, TensorDataset

from backburn import evidence, pipeline, training
from backburn.probes import channel, memorize as probe
from backburn.stages import memorize

CLASSES = 4
SETTINGS = {"steps": 300, "threshold": 0.25, "running": 3, "floor": None, "seed": 42}
SETTINGS |= {"require_gpu": False, "rehearsal": False}


class Net(pl.LightningModule):
    """Sound: an encoder and a head on 8 numbers, 4 classes, cross entropy, Adam."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(8, 32), nn.ReLU())
        self.head = nn.Linear(32, CLASSES)

    def forward(self, x):
        return self.head(self.encoder(x))

    def loss(self, x, y):
        return F.cross_entropy(self(x), y)

    def training_step(self, batch, batch_idx):
        return self.loss(*batch)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.03)


def samples(count=64):
    draw = torch.Generator().manual_seed(0)
    return torch.randn(count, 8, generator=draw), torch.randint(CLASSES, (count,), generator=draw)


def loader(dataset=None, **given):
    return DataLoader(
        TensorDataset(*samples()) if dataset is None else dataset, **({"batch_size": 16, "shuffle": True} | given)
    )


def told(module, data=None, *, trainer=None, callbacks=(), ckpt_path=None, path, **settings):
    """Fit in this process with the probe given by hand; what it wrote, read as the stage reads it."""
    asked = channel.Asked("memorize", SETTINGS | {"scratch": str(path)} | settings, str(path / "probe.json"))
    given = {"accelerator": "cpu", "max_epochs": 5, "enable_progress_bar": False, "default_root_dir": path}
    own = callbacks(path / "checkpoints") if callable(callbacks) else callbacks
    made = pl.Trainer(**given | (trainer or {}), callbacks=[*own, probe.callback(asked, "lightning.pytorch")])
    made.fit(module, loader() if data is None else data, ckpt_path=ckpt_path)
    return evidence.load(path / "probe.json", memorize.Told)


def judged(told, ended=None, **config):
    """Outcomes by check, in order, of what a probe told."""
    ended = ended or training.Ended(command=("python",), code=0, seconds=1.0)
    seen = memorize.Evidence(ended=ended, told=told)
    outcomes = pipeline.judge(memorize, "memorize", seen, memorize.Config(**config))
    return {outcome.check.partition("/")[2]: outcome for outcome in outcomes}


# Sound trainings


class Smoothed(Net):
    def loss(self, x, y):
        return cross_entropy(self(x), y, label_smoothing=0.1)


class Soft(Net):
    def loss(self, x, y):
        return F.cross_entropy(self(x), 0.3 / CLASSES + 0.7 * F.one_hot(y, CLASSES).float())


class Regression(Net):
    def loss(self, x, y):
        return F.mse_loss(self(x)[:, 0], y.float())


class MultiLabel(Net):
    def loss(self, x, y):
        return nn.BCEWithLogitsLoss(pos_weight=torch.full((CLASSES,), 3.0))(self(x), F.one_hot(y, CLASSES).float())


class Scaled(Net):
    def loss(self, x, y):
        return 7 * super().loss(x, y)


class Noisy(Net):
    """A new target each step, unless the random numbers of a step stay the same."""

    def loss(self, x, y):
        return F.mse_loss(self(x), torch.randn(len(x), CLASSES))


class Partial(Net):
    """Its batch is nested and holds a NaN that the loss leaves out."""

    def training_step(self, batch, batch_idx):
        return self.loss(batch["x"].nan_to_num(), batch["more"][0])


def with_nan():
    x, y = samples()
    x[0, 0] = math.nan
    return loader([{"x": one, "more": [label, "text"]} for one, label in zip(x, y)])


class Backbone(Net):
    def __init__(self):
        super().__init__()
        self.encoder.requires_grad_(False)


class Checkpointed(Net):
    def forward(self, x):
        return self.head(checkpoint(self.encoder, x, use_reentrant=False))


class Decayed(Net):
    """A schedule that waits for a validation, which is not run here."""

    def configure_optimizers(self):
        adam = super().configure_optimizers()
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(adam)
        return {"optimizer": adam, "lr_scheduler": {"scheduler": plateau, "monitor": "val_loss"}}


class Stepped(Net):
    def configure_optimizers(self):
        adam = super().configure_optimizers()
        return [adam], [torch.optim.lr_scheduler.StepLR(adam, 2, 0.1)]


class Validated(Net):
    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.loss(*batch))


def watchers(path):
    """What would end a fit at its first epoch, and write into `path`."""
    return [EarlyStopping("val_loss", patience=0), ModelCheckpoint(path, monitor="val_loss", every_n_train_steps=1)]


class OneCycle(Net):
    def configure_optimizers(self):
        adam = super().configure_optimizers()
        total = self.trainer.estimated_stepping_batches
        cycle = torch.optim.lr_scheduler.OneCycleLR(adam, 0.03, total_steps=int(total))
        return [adam], [{"scheduler": cycle, "interval": "step"}]


class Normalised(Net):
    """The bias before BatchNorm has no effect: its gradient is rounding noise."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.5)


class Manual(Net):
    """Steps itself, and only logs its loss."""

    automatic_optimization = False

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        loss = self.loss(*batch)
        self.manual_backward(loss)
        optimizer.step()
        self.show(loss)

    def show(self, loss):
        self.log("train_loss", loss)


class Unlogged(Manual):
    def show(self, loss):
        pass


class Adversarial(pl.LightningModule):
    """A GAN: two optimizers, each loss may rise."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.maker, self.judge = nn.Linear(4, 8), nn.Linear(8, 1)

    def training_step(self, batch, batch_idx):
        x, one = batch[0], torch.ones(len(batch[0]), 1)
        makes, judges = self.optimizers()
        fake = self.maker(torch.randn(len(x), 4))
        loss = F.binary_cross_entropy_with_logits(self.judge(fake), one)
        self.log("g_loss", loss)
        for optimizer, value in ((makes, loss), (judges, self.doubt(x, fake.detach(), one))):
            optimizer.zero_grad()
            self.manual_backward(value)
            optimizer.step()

    def doubt(self, x, fake, one):
        loss = F.binary_cross_entropy_with_logits(self.judge(x), one)
        loss = loss + F.binary_cross_entropy_with_logits(self.judge(fake), one * 0)
        self.log("d_loss", loss)
        return loss

    def configure_optimizers(self):
        return [torch.optim.Adam(one.parameters(), lr=0.01) for one in (self.maker, self.judge)]


def trained():
    """A start at the floor, as in fine-tuning: what a fit has learned already, with a small learning rate."""
    torch.manual_seed(0)
    net, (x, y) = Net(), samples()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.03)
    for _ in range(300):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    net.configure_optimizers = lambda: torch.optim.Adam(net.parameters(), lr=1e-5)
    return net


# One planted defect each


class Detached(Net):
    def forward(self, x):
        return self.head(self.encoder(x).detach())


class NoGrad(Net):
    def forward(self, x):
        with torch.no_grad():
            hidden = self.encoder(x)
        return self.head(hidden)


class DetachedLoss(Net):
    def loss(self, x, y):
        return F.cross_entropy(self(x).detach(), y)


class Flipped(Net):
    def loss(self, x, y):
        return -super().loss(x, y)


class FlippedTail(Net):
    """The sign is right at first, so that only the bound tells."""

    def loss(self, x, y):
        return F.nll_loss(F.softmax(self(x), dim=1), y)


class Vanishing(Net):
    def loss(self, x, y):
        return super().loss(x, y) * (math.nan if self.global_step >= 2 else 1)


class Infinite(Net):
    def loss(self, x, y):
        return super().loss(x, y) + torch.log(torch.zeros(()))


class Frozen(Net):
    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.0)


class Forgotten(Net):
    def configure_optimizers(self):
        return torch.optim.Adam(self.head.parameters(), lr=0.03)


class Slow(Net):
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-4)


class Nothing(Net):
    def training_step(self, batch, batch_idx):
        return None


class Conflicting(Net):
    """Blind to its input: the same answer for each sample."""

    def forward(self, x):
        return super().forward(x * 0 + 1)


class OneLogit(Net):
    """Cross entropy on a single logit is 0, always."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(32, 1)

    def loss(self, x, y):
        return F.cross_entropy(self(x), y * 0)


class Leaving(Callback):
    def on_train_batch_end(self, trainer, *args):
        trainer.should_stop = trainer.global_step >= 7


class Wandering(Sampler):
    """Its own batches, in an order of its own each time."""

    def __init__(self, count=64):
        self.count = count

    def __iter__(self):
        yield from torch.randperm(self.count).split(16)

    def __len__(self):
        return self.count // 16


class Stream(IterableDataset):
    def __iter__(self):
        while True:
            yield torch.randn(8), torch.randint(CLASSES, ()).item()


class FixedStream(IterableDataset):
    def __iter__(self):
        yield from zip(*samples())


class Augmented(Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, index):
        x, y = samples()
        return x[index] + 0.1 * torch.randn(8), y[index]
