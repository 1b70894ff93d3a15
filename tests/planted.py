"""A training for each check of memorize, with the defect that it is there to find: `python planted.py loss-sign`.

tests/test_road.py puts this file into a bake, with a training of each in pyproject.toml.
"""

import math
import sys

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

CLASSES, WIDTH, ROWS = 4, 8, 16


def samples(count=128):
    draw = torch.Generator().manual_seed(7)
    x = torch.randn(count, WIDTH, generator=draw)
    return x, (x @ torch.randn(WIDTH, CLASSES, generator=draw)).argmax(1)


def loader(*columns, **given):
    return DataLoader(TensorDataset(*(columns or samples())), **{"batch_size": ROWS, "shuffle": True} | given)


class Net(pl.LightningModule):
    """Sound: two layers, cross entropy, Adam."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(WIDTH, 32), nn.ReLU())
        self.head = nn.Linear(32, CLASSES)

    def forward(self, x):
        return self.head(self.encoder(x))

    def loss(self, x, y):
        return F.cross_entropy(self(x), y)

    def training_step(self, batch, batch_idx):
        return self.loss(*batch)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def net(loss=None, step=None, optimizer=None, made=None, forward=None):
    """A sound Net in which one thing is another."""

    class Changed(Net):
        def __init__(self):
            super().__init__()
            if made:
                made(self)

    for name, one in (
        ("loss", loss), ("training_step", step), ("configure_optimizers", optimizer), ("forward", forward),
    ):  # fmt: skip
        if one:
            setattr(Changed, name, one)
    return Changed


def changed(**columns):
    """Sound samples, in which inputs or labels are others."""
    x, y = samples()
    return lambda: loader(columns.get("x", lambda x, y: x)(x, y), columns.get("y", lambda x, y: y)(x, y))


def spoilt(x, y):
    return torch.where(torch.arange(WIDTH) == 2, math.nan, x)


def partial(batch):
    x, y = zip(*batch)
    return torch.stack(x)[: ROWS // 2], torch.stack(y)[: ROWS // 2]


class Again(Dataset):
    """Always the same few samples."""

    def __len__(self):
        return 128

    def __getitem__(self, index):
        x, y = samples()
        return x[index % 2], y[index % 2]


class Unpaired(Dataset):
    """Draws a label anew each time."""

    def __len__(self):
        return 128

    def __getitem__(self, index):
        return samples()[0][index], torch.randint(CLASSES, ())


class Destroyed(Dataset):
    """An augmentation of which nothing of the sample is left."""

    def __len__(self):
        return 128

    def __getitem__(self, index):
        return torch.randn(WIDTH), samples()[1][index]


class Drifting(Dataset):
    """Normalises in place what it keeps."""

    def __init__(self):
        self.x, self.y = samples()

    def __len__(self):
        return 128

    def __getitem__(self, index):
        return self.x[index].mul_(0.9), self.y[index]


def dropped(self):
    self.encoder.append(nn.Dropout(0.3))
    self.eval()


def hidden(self):
    self.late = [nn.Linear(32, 32)]


def through_hidden(self, x):
    return self.head(self.late[0](self.encoder(x)))


def unconnected(self, x):
    return self.head(self.encoder(x).detach())


def frozen(self):
    self.encoder.requires_grad_(False)


class Writing(Net):
    def forward(self, x):
        with torch.no_grad():
            self.head.weight.mul_(0.99)
        return super().forward(x)


class Stale(Net):
    def optimizer_zero_grad(self, *args):
        pass


class Wiped(Net):
    def on_before_optimizer_step(self, optimizer):
        for one in self.parameters():
            one.grad.mul_(1e-12)


class Ascending(torch.optim.SGD):
    """Adds what it should subtract."""

    def step(self, closure=None):
        loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                for one in group["params"]:
                    one.add_(group["lr"] * one.grad)
        return loss


class Forgetful(Net):
    def on_train_batch_start(self, batch, batch_idx):
        self.optimizers().optimizer.state.clear()


class Still(torch.optim.SGD):
    """Takes no step."""

    def step(self, closure=None):
        return closure()


class Half(Net):
    def __init__(self):
        super().__init__()
        self.to(torch.bfloat16)

    def loss(self, x, y):
        return F.cross_entropy(self(x.bfloat16()).float(), y)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-3)


class Dead(Net):
    def __init__(self):
        super().__init__()
        nn.init.constant_(self.encoder[0].bias, -100.0)


class Saturated(Net):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(WIDTH, 32), nn.Tanh())
        with torch.no_grad():
            self.encoder[0].weight.mul_(200)


class Linear(Net):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(WIDTH, 32), nn.Linear(32, 32), nn.Linear(32, 32))


def random_forward(self, x):
    return self.head(F.dropout(self.encoder(x), 0.5, training=True))


def mixed(self, x):
    hidden = self.encoder(x)
    return self.head(hidden + hidden.mean(0, keepdim=True))


class Text(pl.LightningModule):
    """A language model of tokens; 0 is padding."""

    TOKENS, LENGTH = 12, 10

    def __init__(self, causal=True, shifted=True, ordered=True):
        super().__init__()
        self.causal, self.shifted = causal, shifted
        self.embed = nn.Embedding(self.TOKENS, 32)
        self.places = nn.Embedding(2 * self.LENGTH, 32) if ordered else None
        self.layer = nn.TransformerEncoderLayer(32, 2, 64, dropout=0.0, batch_first=True)
        self.head = nn.Linear(32, self.TOKENS)

    def forward(self, tokens):
        hidden = self.embed(tokens) + (self.places(torch.arange(tokens.shape[1])) if self.places else 0)
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1]) if self.causal else None
        return self.head(self.layer(hidden, src_mask=mask))

    def training_step(self, batch, batch_idx):
        tokens = batch[0]
        given, wanted = (tokens[:, :-1], tokens[:, 1:]) if self.shifted else (tokens, tokens)
        return F.cross_entropy(self(given).flatten(0, 1), wanted.flatten())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=3e-3)


class Tagged(Text):
    """A class for each text; what pads it counts like the rest."""

    def __init__(self, **given):
        super().__init__(causal=False, **given)
        self.head = nn.Linear(32, CLASSES)

    def forward(self, tokens):
        hidden = self.embed(tokens) + (self.places(torch.arange(tokens.shape[1])) if self.places else 0)
        return self.head(self.layer(hidden).mean(1))

    def training_step(self, batch, batch_idx):
        return F.cross_entropy(self(batch[0]), batch[1])


def text(labels=False, padding=False):
    draw = torch.Generator().manual_seed(3)
    tokens = torch.randint(1, Text.TOKENS, (64, Text.LENGTH), generator=draw)
    if padding:
        for row, length in zip(tokens, torch.randint(3, Text.LENGTH, (64,), generator=draw)):
            row[length:] = 0
    return loader(*((tokens, tokens[:, 0] % CLASSES) if labels else (tokens,)))


class Measured(Net):
    def training_step(self, batch, batch_idx):
        scores = self(batch[0])
        self.log("train_acc", (scores.argmax(0)[:1] == batch[1]).float().mean())
        return F.cross_entropy(scores, batch[1])


class Unsaved(Net):
    """What its head learns is in no state_dict."""

    def state_dict(self, *args, **given):
        return {name: one for name, one in super().state_dict(*args, **given).items() if "head" not in name}

    def load_state_dict(self, state, strict=True, **given):
        return super().load_state_dict(state, strict=False, **given)


class Uneven(Net):
    """A mean over what is counted, of batches of which parts count differently."""

    def loss(self, x, y):
        keep = torch.arange(len(x)) < len(x) // 8 + 1
        return F.cross_entropy(self(x)[keep], y[keep])


def unaligned(self, x, y):
    """Its four frames are the same scores, as they are: no logarithms of probabilities."""
    frames = self(x).expand(4, *self(x).shape)
    whole = torch.full((len(x),), 4)
    return F.ctc_loss(frames, y[:, None].clamp(min=1), whole, whole.clamp(max=1))


def shifted_labels(self, x, y):
    return F.cross_entropy(self(x), y.roll(1))


class Masks(Net):
    """Says of each pixel whether it belongs to the square."""

    def __init__(self):
        super().__init__()
        self.encoder, self.head = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 1, 1)

    def loss(self, x, y):
        return F.binary_cross_entropy_with_logits(self(x), y)


def elsewhere():
    """Squares on noise, mirrored without their masks."""
    draw = torch.Generator().manual_seed(7)
    masks = torch.zeros(128, 1, 16, 16)
    for mask, (top, left) in zip(masks, torch.randint(0, 9, (128, 2), generator=draw).tolist()):
        mask[0, top : top + 6, left : left + 6] = 1
    return loader((masks + 0.1 * torch.rand(masks.shape, generator=draw)).flip(-1), masks)


PLANTED = {
    "batch-is-finite": (Net, changed(x=spoilt)),
    "batch-is-whole": (Net, lambda: loader(collate_fn=partial)),
    "inputs-vary": (Net, changed(x=lambda x, y: torch.ones_like(x))),
    "samples-differ": (Net, lambda: loader_of(Again())),
    "labels-vary": (Net, changed(y=lambda x, y: y * 0)),
    "labels-stay-paired": (Net, lambda: loader_of(Unpaired())),
    "labels-not-in-inputs": (Net, changed(x=lambda x, y: torch.cat([x[:, 1:], y[:, None].float()], 1))),
    "inputs-are-scaled": (Net, changed(x=lambda x, y: x * 1e5)),
    "augmentation-keeps-inputs": (Net, lambda: loader_of(Destroyed())),
    "labels-match-inputs": (Net, changed(y=lambda x, y: y[torch.randperm(len(y))])),
    "targets-are-in-place": (Masks, elsewhere),
    "batch-is-fixed": (Net, lambda: loader_of(Drifting())),
    "trains-in-train-mode": (net(made=dropped), loader),
    "loss-takes-logits": (net(loss=lambda self, x, y: F.cross_entropy(self(x).softmax(1), y)), loader),
    "loss-takes-log-probabilities": (net(loss=lambda self, x, y: F.nll_loss(self(x), y)), loader),
    "loss-shapes-agree": (net(loss=lambda self, x, y: F.mse_loss(self(x)[:, :1], y.float())), loader),
    "loss-has-classes": (net(loss=lambda self, x, y: F.cross_entropy(self(x)[:, :1], y * 0)), loader),
    "loss-counts-targets": (net(loss=lambda self, x, y: F.cross_entropy(self(x), y.where(y == 9, -100))), loader),
    "loss-fits-targets": (net(loss=lambda self, x, y: F.mse_loss(self(x)[:, 0], y.float())), loader),
    "loss-pairs-outputs": (net(loss=shifted_labels), loader),
    "ctc-fits-targets": (net(loss=unaligned), loader),
    "targets-are-shifted": (lambda: Text(shifted=False), text),
    "loss-sign": (net(loss=lambda self, x, y: -F.cross_entropy(self(x), y)), loader),
    "loss-scale": (net(loss=lambda self, x, y: 1e-9 * F.cross_entropy(self(x), y)), loader),
    "initial-loss": (net(made=lambda self: self.head.weight.data.mul_(200)), loader),
    "parameters-are-registered": (net(made=hidden, forward=through_hidden), loader),
    "parameters-are-connected": (net(forward=unconnected), loader),
    "parameters-are-optimized": (
        net(optimizer=lambda self: torch.optim.Adam(self.head.parameters(), lr=1e-2)),
        loader,
    ),
    "parameters-stay-trainable": (net(made=frozen), loader),
    "forward-leaves-parameters": (Writing, loader),
    "loss-is-finite": (net(loss=lambda self, x, y: F.nll_loss(self(x).relu().log(), y)), loader),
    "loss-above-bound": (net(loss=lambda self, x, y: F.nll_loss(self(x).softmax(1), y)), loader),
    "gradients-are-fresh": (Stale, loader),
    "gradients-are-kept": (Wiped, loader),
    "gradients-reach": (net(loss=lambda self, x, y: F.cross_entropy(0 * self(x) + self(x).detach(), y)), loader),
    "optimizer-descends": (net(optimizer=lambda self: Ascending(self.parameters(), lr=0.1)), loader),
    "parameters-move": (net(optimizer=lambda self: Still(self.parameters(), lr=0.1)), loader),
    "updates-are-sized": (net(optimizer=lambda self: torch.optim.SGD(self.parameters(), lr=1e-9)), loader),
    "learning-rate-holds": (net(optimizer=lambda self: torch.optim.Adam(self.parameters(), lr=0.0)), loader),
    "optimizer-keeps-state": (Forgetful, loader),
    "precision-keeps-updates": (Half, loader),
    "decay-is-small": (
        net(optimizer=lambda self: torch.optim.SGD(self.parameters(), lr=0.1, weight_decay=5.0)),
        loader,
    ),
    "units-are-alive": (Dead, loader),
    "units-are-not-saturated": (Saturated, loader),
    "evaluation-repeats": (net(forward=random_forward), loader),
    "samples-are-independent": (net(forward=mixed), loader),
    "inputs-are-used": (net(forward=lambda self, x: self.head(self.encoder(x * 0 + 1))), loader),
    "future-is-hidden": (lambda: Text(causal=False), text),
    "padding-is-ignored": (Tagged, lambda: text(labels=True, padding=True)),
    "order-matters": (lambda: Tagged(ordered=False), lambda: text(labels=True)),
    "model-is-nonlinear": (Linear, loader),
    "loss-falls": (net(optimizer=lambda self: torch.optim.SGD(self.parameters(), lr=1e-5)), loader),
    "metric-agrees": (Measured, loader),
    "checkpoint-restores": (Unsaved, loader),
    "accumulation-agrees": (Uneven, loader, {"accumulate_grad_batches": 4}),
    "as-reviewed": (Net, loader),
    "data-are-as-reviewed": (Net, loader),
    "model-is-as-reviewed": (Net, loader),
    "noise-is-as-reviewed": (Net, loader),
    "state-moves-as-reviewed": (net(made=lambda self: self.register_buffer("queue", torch.zeros(4))), loader),
}
# What each one's reference notes: that no check found anything, and of these what is another now.
REVIEWED = {
    "labels-match-inputs": {"figures": {"alignment": [12.0]}},
    "targets-are-in-place": {"figures": {"place: batch[0] ~ batch[1] as a map": [0.99]}},
    "padding-is-ignored": {"settings": {"padding": "ignored"}},
    "as-reviewed": {"figures": {"loss: first": [0.02]}},
    "data-are-as-reviewed": {"settings": {"data batch[0]": "kind=float shape=3x32x32 mean=0.1 std=1 whole=False"}},
    "model-is-as-reviewed": {"settings": {"layers": "activations=1 normalisations=4"}},
    "noise-is-as-reviewed": {"settings": {"draws": "integers=1 normal=1"}},
    "state-moves-as-reviewed": {"settings": {"moves": "queue=8"}},
}


def loader_of(dataset):
    return DataLoader(dataset, batch_size=ROWS, shuffle=True)


def main(name):
    made, data, *given = PLANTED[name]
    pl.seed_everything(0)
    pl.Trainer(**given[0] if given else {}, max_epochs=100).fit(made(), data())


if __name__ == "__main__":
    main(sys.argv[1])
