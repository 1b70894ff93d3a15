"""Images: convolutions with batch norm, augmentation, mixup, segmentation, a backbone that stays frozen."""

import lightning as L
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset

from ..task import Program, Task
from .datasets import TensorData, digit_images, shapes
from .recipe import arguments, hidden, recipe, rows, seeded
from .tabular import EVERY, Classifier, LitClassifier, classifier


class ConvNet(nn.Module):
    def __init__(self, width, dropout):
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(2 * width)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(2 * width * 4, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        return self.fc(self.dropout(x.flatten(1)))


@seeded
def digits_cnn(knobs):
    module = classifier(knobs, ConvNet(hidden(knobs, 16), knobs.dropout), recipe(knobs, 2e-3))
    data = TensorData(*digit_images(), batch_size=rows(knobs, 32))
    return Task(module=module, data=data, trainer=arguments(knobs))


class Block(nn.Module):
    """The basic block of a ResNet."""

    def __init__(self, inputs, outputs, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        kept = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out)) + kept)


def resnet(width):
    """Features (n, 2 * width) of images of one channel."""
    stem = nn.Sequential(nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
    return nn.Sequential(stem, Block(width, 2 * width, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Shifted(Dataset):
    """Each image moved by up to a pixel, with a little noise, another way each time."""

    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        across, down = torch.randint(-1, 2, (2,)).tolist()
        image = self.images[index].roll((across, down), (1, 2))
        return image + 0.05 * torch.randn_like(image), self.labels[index]


class DigitsDataModule(L.LightningDataModule):
    def __init__(self, batch_size):
        super().__init__()
        self.batch_size = batch_size

    def setup(self, stage=None):
        images, labels = digit_images()
        self.train_set = Shifted(images[:1500], labels[:1500])
        self.val_set = torch.utils.data.TensorDataset(images[1500:], labels[1500:])

    def train_dataloader(self):
        return DataLoader(self.train_set, self.batch_size, shuffle=True, drop_last=True)

    def val_dataloader(self):
        return DataLoader(self.val_set, self.batch_size)


class LitResNet(LitClassifier):
    def configure_optimizers(self):
        optimizer = self.recipe.optimizer_of(self.parameters())
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
        return [optimizer], [scheduler]


class ResNetRewritten(Classifier):
    def configure_optimizers(self):
        optimizer = self.recipe.optimizer_of(self.model.parameters())
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "epoch"}}


@seeded
def digits_resnet(knobs):
    """Decays once per epoch."""
    width = hidden(knobs, 8)
    net = nn.Sequential(resnet(width), nn.Dropout(knobs.dropout), nn.Linear(2 * width, 10))
    module = (ResNetRewritten if knobs.refactored else LitResNet)(net, recipe(knobs, 5e-3, optimizer="adamw"))
    return Task(module=module, data=DigitsDataModule(rows(knobs, 32)), trainer=arguments(knobs, max_epochs=20))


class LitMixup(LitClassifier):
    """mixup (Zhang et al. 2018): pairs of images and of their labels, mixed in training only."""

    def training_step(self, batch, batch_idx):
        x, y = batch
        share = torch.distributions.Beta(0.4, 0.4).sample().to(x.device)
        other = torch.randperm(len(x), device=x.device)
        logits = self(share * x + (1 - share) * x[other])
        loss = share * F.cross_entropy(logits, y) + (1 - share) * F.cross_entropy(logits, y[other])
        self.log("train_loss", loss)
        return loss


class LitMixupRewritten(LitMixup):
    """The mixed labels as probabilities."""

    def training_step(self, batch, batch_idx):
        images, targets = self._mixed(*batch)
        return F.cross_entropy(self(images), targets)

    def _mixed(self, x, y):
        share = torch.distributions.Beta(0.4, 0.4).sample().to(x.device)
        other = torch.randperm(len(x), device=x.device)
        soft = F.one_hot(y, 10).float()
        return torch.lerp(x[other], x, share), torch.lerp(soft[other], soft, share)


@seeded
def digits_mixup(knobs):
    module = (LitMixupRewritten if knobs.refactored else LitMixup)(
        ConvNet(hidden(knobs, 16), knobs.dropout), recipe(knobs, 2e-3)
    )
    data = TensorData(*digit_images(), batch_size=rows(knobs, 32), drop_last=True)
    return Task(module=module, data=data, trainer=arguments(knobs))


class LitTransfer(L.LightningModule):
    """A head on a backbone that stays as it is: frozen, and in eval mode."""

    def __init__(self, backbone, width, dropout, recipe):
        super().__init__()
        self.backbone = backbone
        self.backbone.requires_grad_(False)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, 10))
        self.recipe = recipe

    def train(self, mode=True):
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, x):
        with torch.no_grad():
            features = self.backbone(x)
        return self.head(features)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.cross_entropy(self(x), y)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_acc", (self(x).argmax(1) == y).float().mean())

    def configure_optimizers(self):
        return self.recipe.configure(self.head.parameters())


class LitTransferRewritten(LitTransfer):
    def forward(self, images):
        return self.head(self.backbone(images))

    def configure_optimizers(self):
        return self.recipe.configure([p for p in self.parameters() if p.requires_grad])


def pretrained():
    """The weights of a backbone, as they would come from a hub: the same for each seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1234)
        net = resnet(32)
        net[2] = nn.AdaptiveAvgPool2d(2)
        return net


@seeded
def digits_transfer(knobs):
    kind = LitTransferRewritten if knobs.refactored else LitTransfer
    module = kind(pretrained(), 64 * 4, knobs.dropout, recipe(knobs, 1e-2, sgd=0.1))
    data = TensorData(*digit_images(), batch_size=rows(knobs, 32))
    return Task(module=module, data=data, trainer=arguments(knobs), frozen=("backbone.*",))


class UNet(nn.Module):
    """One step down and one up."""

    def __init__(self, width, classes, dropout):
        super().__init__()
        self.enter = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.ReLU())
        self.down = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU())
        self.drop = nn.Dropout2d(dropout)
        self.up = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.leave = nn.Sequential(nn.Conv2d(2 * width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, classes, 1))

    def forward(self, x):
        high = self.enter(x)
        low = self.up(self.drop(self.down(high)))
        return self.leave(torch.cat([high, low], 1))


class LitSegmenter(L.LightningModule):
    """Cross entropy that leaves out the borders, and the Dice of the foreground."""

    def __init__(self, net, recipe):
        super().__init__()
        self.net = net
        self.recipe = recipe

    def forward(self, x):
        return self.net(x)

    def dice(self, logits, masks):
        chosen = masks != 255
        shares = logits.softmax(1)[:, 1:] * chosen.unsqueeze(1)
        truth = F.one_hot(masks.clamp(max=2), 3).permute(0, 3, 1, 2)[:, 1:] * chosen.unsqueeze(1)
        return 1 - (2 * (shares * truth).sum() + 1) / (shares.sum() + truth.sum() + 1)

    def training_step(self, batch, batch_idx):
        images, masks = batch
        logits = self(images)
        loss = F.cross_entropy(logits, masks, ignore_index=255) + self.dice(logits, masks)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        images, masks = batch
        self.log("val_dice", self.dice(self(images), masks))

    def configure_optimizers(self):
        return self.recipe.configure(self.parameters())


class LitSegmenterRewritten(LitSegmenter):
    def __init__(self, net, recipe):
        super().__init__(net, recipe)
        self.cross_entropy = nn.CrossEntropyLoss(ignore_index=255)

    def training_step(self, batch, batch_idx):
        pictures, truth = batch
        scores = self.net(pictures)
        return sum([self.cross_entropy(scores, truth), self.dice(scores, truth)])


@seeded
def segmentation(knobs):
    kind = LitSegmenterRewritten if knobs.refactored else LitSegmenter
    module = kind(UNet(hidden(knobs, 8), 3, knobs.dropout), recipe(knobs, 1e-2, sgd=0.1))
    data = TensorData(*shapes(), batch_size=rows(knobs, 12))
    return Task(module=module, data=data, trainer=arguments(knobs))


PROGRAMS = (
    Program(
        name="digits-cnn",
        family="cnn",
        build=digits_cnn,
        traits=frozenset({"classes", "images", "batchnorm", "relu", "hidden", "datamodule"}),
        knobs=EVERY,
    ),
    Program(
        name="digits-resnet",
        family="cnn",
        build=digits_resnet,
        traits=frozenset({"classes", "images", "batchnorm", "relu", "hidden", "schedule", "datamodule"}),
        knobs=EVERY - {"warmup"},
    ),
    Program(
        name="digits-mixup",
        family="mixup",
        build=digits_mixup,
        traits=frozenset({"classes", "images", "batchnorm", "relu", "hidden", "noise", "datamodule"}),
        knobs=EVERY,
    ),
    Program(
        name="digits-transfer",
        family="frozen-backbone",
        build=digits_transfer,
        traits=frozenset({"classes", "images", "relu", "hidden", "frozen", "datamodule"}),
        knobs=EVERY - {"width"},
    ),
    Program(
        name="segmentation",
        family="segmentation",
        build=segmentation,
        traits=frozenset({"classes", "images", "relu", "hidden", "datamodule"}),
        knobs=EVERY,
    ),
)
