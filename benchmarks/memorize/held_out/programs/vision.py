"""Images, each as another kind of project writes it: classifiers, segmentation, detection, transfer, distillation."""

from functools import cache

import torch
import torch.nn.functional as F
from lightning import LightningDataModule, LightningModule
from sklearn.datasets import load_digits
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split
from torchmetrics import Accuracy

from ...task import Program, Task
from .settings import ALL, fresh, hyper, many, optimized, trainer, wide


@cache
def scans():
    """Handwritten digits (1797, 1, 8, 8) in 0..1, and which they are."""
    loaded = load_digits()
    return torch.tensor(loaded.images / 16, dtype=torch.float32).unsqueeze(1), torch.tensor(loaded.target)


class Digits(Dataset):
    def __init__(self, transform=None):
        self.images, self.labels = scans()
        self.transform = transform

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        image = self.images[index]
        if self.transform:
            image = self.transform(image)
        return image, int(self.labels[index])


def normalize(image):
    return (image - 0.305) / 0.376


class DigitsDataModule(LightningDataModule):
    def __init__(self, batch_size=32, transform=normalize):
        super().__init__()
        self.save_hyperparameters(ignore=["transform"])
        self.transform = transform

    def setup(self, stage=None):
        full = Digits(self.transform)
        self.train, self.val = random_split(full, [1500, 297], generator=torch.Generator().manual_seed(42))

    def train_dataloader(self):
        return DataLoader(self.train, batch_size=self.hparams.batch_size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.val, batch_size=self.hparams.batch_size)


class LitDigits(LightningModule):
    """As in the first steps of Lightning's documentation: log_softmax in the model, nll_loss, metric objects."""

    def __init__(self, hidden_size=64, dropout=0.0, lr=2e-3, optimizer="adam", warmup=0):
        super().__init__()
        self.save_hyperparameters()
        self.model = nn.Sequential(
            nn.Flatten(),
            nn.Linear(64, hidden_size),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_size, 10),
        )
        self.train_accuracy = Accuracy(task="multiclass", num_classes=10)
        self.val_accuracy = Accuracy(task="multiclass", num_classes=10)

    def forward(self, x):
        return F.log_softmax(self.model(x), dim=1)

    def training_step(self, batch, batch_idx):
        x, y = batch
        logits = self(x)
        loss = F.nll_loss(logits, y)
        self.train_accuracy(logits, y)
        self.log("train_loss", loss)
        self.log("train_acc", self.train_accuracy, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        logits = self(x)
        self.val_accuracy.update(logits, y)
        self.log("val_loss", F.nll_loss(logits, y), prog_bar=True)
        self.log("val_acc", self.val_accuracy, prog_bar=True)

    def configure_optimizers(self):
        return optimized(self.parameters(), self.hparams)


class LitDigitsShared(LitDigits):
    """The same, after a clean-up."""

    def _step(self, batch, metric, stage):
        images, targets = batch
        log_probabilities = self(images)
        metric(log_probabilities, targets)
        loss = nn.NLLLoss()(log_probabilities, targets)
        self.log_dict({f"{stage}_loss": loss, f"{stage}_acc": metric})
        return loss

    def training_step(self, batch, batch_idx):
        return self._step(batch, self.train_accuracy, "train")

    def validation_step(self, batch, batch_idx):
        self._step(batch, self.val_accuracy, "val")


def lit_digits(knobs):
    fresh(knobs)
    kind = LitDigitsShared if knobs.refactored else LitDigits
    module = kind(hidden_size=wide(knobs, 64), dropout=knobs.dropout or 0.1, **hyper(knobs, 2e-3))
    return Task(module=module, data=DigitsDataModule(many(knobs, 32)), trainer=trainer(knobs))


class ConvNormAct(nn.Sequential):
    def __init__(self, inputs, outputs, stride=1):
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
        )


class Residual(nn.Module):
    def __init__(self, channels, outputs):
        super().__init__()
        self.conv1 = ConvNormAct(channels, outputs, stride=2)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = nn.Conv2d(channels, outputs, 1, stride=2, bias=False)
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(self.bn2(self.conv2(self.conv1(x))) + self.downsample(x))


class ResNet(nn.Module):
    def __init__(self, num_classes, base, drop_rate):
        super().__init__()
        self.stem = ConvNormAct(1, base)
        self.layer1 = Residual(base, 2 * base)
        self.layer2 = Residual(2 * base, 4 * base)
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.drop = nn.Dropout(drop_rate)
        self.fc = nn.Linear(4 * base, num_classes)

    def forward_features(self, x):
        return self.layer2(self.layer1(self.stem(x)))

    def forward(self, x):
        return self.fc(self.drop(self.global_pool(self.forward_features(x)).flatten(1)))


class ImageClassifier(LightningModule):
    """In the style of timm: label smoothing, groups without decay, cosine, augmented on the device, own clipping."""

    def __init__(self, base=8, dropout=0.0, lr=4e-3, optimizer="adamw", warmup=0, smoothing=0.1, total_steps=2000):
        super().__init__()
        self.save_hyperparameters()
        self.net = ResNet(10, base, dropout)
        self.criterion = nn.CrossEntropyLoss(label_smoothing=smoothing)

    def forward(self, x):
        return self.net(x)

    def on_after_batch_transfer(self, batch, dataloader_idx):
        if not self.training:
            return batch
        images, labels = batch
        return self.augment(images), labels

    def augment(self, images):
        shift = int(torch.randint(-1, 2, ()))
        gain = 1 + 0.1 * torch.randn(len(images), 1, 1, 1, device=images.device)
        return torch.roll(images, shift, dims=-1) * gain

    def training_step(self, batch, batch_idx):
        images, labels = batch
        loss = self.criterion(self(images), labels)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch, batch_idx):
        images, labels = batch
        logits = self(images)
        self.log("val/loss", F.cross_entropy(logits, labels))
        self.log("val/top1", (logits.argmax(1) == labels).float().mean())

    def configure_gradient_clipping(self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None):
        self.clip_gradients(optimizer, gradient_clip_val=gradient_clip_val or 5.0, gradient_clip_algorithm="norm")

    def configure_optimizers(self):
        decay = [p for p in self.parameters() if p.ndim > 1]
        rest = [p for p in self.parameters() if p.ndim <= 1]
        groups = [{"params": decay, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}]
        if self.hparams.optimizer == "sgd":
            optimizer = torch.optim.SGD(groups, lr=self.hparams.lr, momentum=0.9, nesterov=True)
        else:
            optimizer = torch.optim.AdamW(groups, lr=self.hparams.lr)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.cosine(optimizer), "interval": "step"}}

    def cosine(self, optimizer):
        warmup, total = max(1, self.hparams.warmup), self.hparams.total_steps
        half = torch.pi / 2

        def factor(step):
            if step < warmup:
                return (step + 1) / warmup
            return float(torch.cos(torch.tensor(half * min(1.0, (step - warmup) / total))) ** 2)

        return LambdaLR(optimizer, factor)


def image_classifier(knobs):
    fresh(knobs)
    chosen = hyper(knobs, 4e-3, sgd=0.05, optimizer="adamw")
    module = ImageClassifier(base=wide(knobs, 8), dropout=knobs.dropout, **chosen)
    return Task(module=module, data=DigitsDataModule(many(knobs, 24)), trainer=trainer(knobs))


@cache
def blobs(count=400, side=16):
    """Noisy images of one bright ellipse each (count, 1, side, side) and where it is (the same shape, 0. or 1.)."""
    draw = torch.Generator().manual_seed(3)
    centre = 4 + (side - 8) * torch.rand(count, 2, 1, 1, generator=draw)
    radius = 2 + 3 * torch.rand(count, 2, 1, 1, generator=draw)
    grid = torch.arange(side, dtype=torch.float32)
    rows, columns = grid.view(1, -1, 1), grid.view(1, 1, -1)
    away = ((rows - centre[:, 0]) / radius[:, 0]) ** 2 + ((columns - centre[:, 1]) / radius[:, 1]) ** 2
    masks = (away < 1).float().unsqueeze(1)
    return masks * 1.2 - 0.3 + 0.25 * torch.randn(masks.shape, generator=draw), masks


class Blobs(Dataset):
    def __init__(self):
        self.images, self.masks = blobs()

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return {"image": self.images[index], "mask": self.masks[index]}


class DoubleConv(nn.Sequential):
    def __init__(self, inputs, outputs):
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.GroupNorm(4, outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1),
            nn.GroupNorm(4, outputs),
            nn.ReLU(inplace=True),
        )


class UNet(nn.Module):
    def __init__(self, width, dropout):
        super().__init__()
        self.down1 = DoubleConv(1, width)
        self.down2 = DoubleConv(width, 2 * width)
        self.drop = nn.Dropout2d(dropout)
        self.up = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.up1 = DoubleConv(2 * width, width)
        self.out = nn.Conv2d(width, 1, 1)

    def forward(self, x):
        skip = self.down1(x)
        deep = self.drop(self.down2(F.max_pool2d(skip, 2)))
        return self.out(self.up1(torch.cat([skip, self.up(deep)], dim=1)))


def dice(probabilities, masks):
    """The overlap of each prediction with its mask, 0 to 1."""
    both = (probabilities * masks).sum(dim=(1, 2, 3))
    return (2 * both + 1) / (probabilities.sum(dim=(1, 2, 3)) + masks.sum(dim=(1, 2, 3)) + 1)


class Segmenter(LightningModule):
    def __init__(self, width=8, dropout=0.0, lr=5e-3, optimizer="adam", warmup=0):
        super().__init__()
        self.save_hyperparameters()
        self.unet = UNet(width, dropout)

    def forward(self, image):
        return self.unet(image)

    def loss(self, logits, masks):
        overlap = dice(logits.sigmoid(), masks)
        return F.binary_cross_entropy_with_logits(logits, masks) + (1 - overlap).mean()

    def training_step(self, batch, batch_idx):
        logits = self(batch["image"])
        loss = self.loss(logits, batch["mask"])
        self.log("train_loss", loss, batch_size=len(logits))
        return loss

    def validation_step(self, batch, batch_idx):
        logits = self(batch["image"])
        self.log("val_dice", dice((logits > 0).float(), batch["mask"]).mean(), batch_size=len(logits))

    def configure_optimizers(self):
        return optimized(self.parameters(), self.hparams)


class SegmenterRenamed(Segmenter):
    """The same, with the loss taken apart."""

    def training_step(self, batch, batch_idx):
        images, truth = batch["image"], batch["mask"]
        prediction = self.unet(images)
        cross_entropy = nn.BCEWithLogitsLoss()(prediction, truth)
        overlap = dice(torch.sigmoid(prediction), truth).mean()
        self.log_dict({"train_ce": cross_entropy, "train_dice": overlap}, batch_size=len(images))
        return cross_entropy + 1 - overlap


class BlobsDataModule(LightningDataModule):
    def __init__(self, batch_size):
        super().__init__()
        self.batch_size = batch_size

    def setup(self, stage):
        self.train, self.val = random_split(Blobs(), [320, 80], generator=torch.Generator().manual_seed(1))

    def train_dataloader(self):
        return DataLoader(self.train, self.batch_size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.val, self.batch_size)


def unet(knobs):
    fresh(knobs)
    kind = SegmenterRenamed if knobs.refactored else Segmenter
    module = kind(width=wide(knobs, 8), dropout=knobs.dropout, **hyper(knobs, 5e-3, sgd=0.1))
    return Task(module=module, data=BlobsDataModule(many(knobs, 8)), trainer=trainer(knobs))


@cache
def scenes(count=300, side=16):
    """Images with one object (count, 1, side, side), its box as centre and size in 0..1 (count, 4), and its kind."""
    draw = torch.Generator().manual_seed(5)
    images = 0.1 * torch.randn(count, 1, side, side, generator=draw)
    size = torch.randint(4, 9, (count, 2), generator=draw)
    corner = (torch.rand(count, 2, generator=draw) * (side - size)).long()
    kinds = torch.randint(0, 3, (count,), generator=draw)
    for image, (h, w), (top, left), kind in zip(images, size.tolist(), corner.tolist(), kinds.tolist(), strict=True):
        patch = image[0, top : top + h, left : left + w]
        patch += 1
        if kind == 1:
            patch[1:-1, 1:-1] -= 1
        elif kind == 2:
            patch[::2] -= 1
    return images, torch.cat([corner + size / 2, size], dim=1).float() / side, kinds


class Scenes(Dataset):
    def __init__(self):
        self.images, self.boxes, self.kinds = scenes()

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index], {"box": self.boxes[index], "label": self.kinds[index]}


def collate_scenes(samples):
    return tuple(zip(*samples, strict=True))


class Detector(LightningModule):
    """As torchvision's references have it: a list of images, a list of targets, a dict of losses."""

    def __init__(self, width=12, dropout=0.0, lr=3e-3, optimizer="adam", warmup=0):
        super().__init__()
        self.save_hyperparameters()
        self.backbone = nn.Sequential(
            nn.Conv2d(1, width, 3, stride=2, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.LeakyReLU(0.1),
            nn.Flatten(),
            nn.Linear(32 * width, 4 * width),
            nn.LeakyReLU(0.1),
            nn.Dropout(dropout),
        )
        self.class_head = nn.Linear(4 * width, 3)
        self.box_head = nn.Linear(4 * width, 4)

    def forward(self, images):
        features = self.backbone(torch.stack(images))
        return self.class_head(features), self.box_head(features).sigmoid()

    def losses(self, images, targets):
        scores, boxes = self(images)
        labels = torch.stack([target["label"] for target in targets])
        truth = torch.stack([target["box"] for target in targets])
        return {
            "loss_classifier": F.cross_entropy(scores, labels),
            "loss_box_reg": 10 * F.smooth_l1_loss(boxes, truth, beta=0.1),
        }

    def training_step(self, batch, batch_idx):
        images, targets = batch
        losses = self.losses(images, targets)
        self.log_dict(losses, batch_size=len(images))
        return sum(losses.values())

    def validation_step(self, batch, batch_idx):
        images, targets = batch
        scores, _ = self(images)
        labels = torch.stack([target["label"] for target in targets])
        self.log("val_acc", (scores.argmax(1) == labels).float().mean(), batch_size=len(images))

    def configure_optimizers(self):
        return optimized(self.parameters(), self.hparams)


class DetectorInline(Detector):
    """The same, in one method."""

    def training_step(self, batch, batch_idx):
        images, targets = batch
        features = self.backbone(torch.stack(images))
        category = nn.CrossEntropyLoss()(self.class_head(features), torch.stack([t["label"] for t in targets]))
        predicted = torch.sigmoid(self.box_head(features))
        place = nn.SmoothL1Loss(beta=0.1)(predicted, torch.stack([t["box"] for t in targets]))
        return category + 10 * place


def detector(knobs):
    fresh(knobs)
    kind = DetectorInline if knobs.refactored else Detector
    module = kind(width=wide(knobs, 12), dropout=knobs.dropout, **hyper(knobs, 3e-3))
    loader = DataLoader(Scenes(), batch_size=many(knobs, 16), shuffle=True, collate_fn=collate_scenes)
    return Task(module=module, data=loader, trainer=trainer(knobs))


def pretrained():
    """A backbone whose weights are always the same, as if they had been downloaded."""
    with torch.random.fork_rng():
        torch.manual_seed(2024)
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()
        )


class ImagenetTransferLearning(LightningModule):
    """As in Lightning's documentation of transfer learning: a frozen feature extractor in eval mode, a new head."""

    def __init__(self, hidden=32, dropout=0.0, lr=5e-3, optimizer="adam", warmup=0):
        super().__init__()
        self.save_hyperparameters()
        self.feature_extractor = pretrained().requires_grad_(False)
        self.classifier = nn.Sequential(nn.Linear(256, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 10))

    def forward(self, x):
        self.feature_extractor.eval()
        with torch.no_grad():
            representations = self.feature_extractor(x)
        return self.classifier(representations)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.cross_entropy(self(x), y)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_acc", (self(x).argmax(1) == y).float().mean())

    def configure_optimizers(self):
        return optimized(self.classifier.parameters(), self.hparams)


class TransferLearningCriterion(ImagenetTransferLearning):
    """The same, with a loss module and another way to its parameters."""

    def training_step(self, batch, batch_idx):
        images, labels = batch
        criterion = nn.CrossEntropyLoss()
        return criterion(self.forward(images), labels)

    def configure_optimizers(self):
        return optimized([p for p in self.parameters() if p.requires_grad], self.hparams)


def transfer(knobs):
    fresh(knobs)
    kind = TransferLearningCriterion if knobs.refactored else ImagenetTransferLearning
    module = kind(hidden=wide(knobs, 32), dropout=knobs.dropout, **hyper(knobs, 5e-3, sgd=0.05))
    data = DigitsDataModule(many(knobs, 32))
    return Task(module=module, data=data, trainer=trainer(knobs), frozen=("feature_extractor.*",))


@cache
def teacher_weights():
    """A teacher of the digits, trained for a moment."""
    images, labels = scans()
    with torch.random.fork_rng():
        torch.manual_seed(11)
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
        for _ in range(40):
            optimizer.zero_grad()
            F.cross_entropy(net(images), labels).backward()
            optimizer.step()
    return net.state_dict()


class Distillation(LightningModule):
    def __init__(self, hidden=24, dropout=0.0, lr=5e-3, optimizer="adam", warmup=0, temperature=2.0, alpha=0.5):
        super().__init__()
        self.save_hyperparameters()
        self.teacher = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        self.teacher.load_state_dict(teacher_weights())
        self.teacher.requires_grad_(False).eval()
        self.student = nn.Sequential(
            nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 10)
        )

    def forward(self, x):
        return self.student(x)

    def soft_loss(self, student_logits, teacher_logits):
        t = self.hparams.temperature
        soft_targets = F.softmax(teacher_logits / t, dim=-1)
        return F.kl_div(F.log_softmax(student_logits / t, dim=-1), soft_targets, reduction="batchmean") * t**2

    def training_step(self, batch, batch_idx):
        x, y = batch
        with torch.no_grad():
            teacher_logits = self.teacher(x)
        student_logits = self(x)
        hard = F.cross_entropy(student_logits, y)
        soft = self.soft_loss(student_logits, teacher_logits)
        self.log_dict({"hard": hard, "soft": soft})
        return self.hparams.alpha * soft + (1 - self.hparams.alpha) * hard

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_acc", (self(x).argmax(1) == y).float().mean())

    def configure_optimizers(self):
        return optimized(self.student.parameters(), self.hparams)


def distillation(knobs):
    fresh(knobs)
    module = Distillation(hidden=wide(knobs, 24), dropout=knobs.dropout, **hyper(knobs, 5e-3))
    loader = DataLoader(TensorDataset(*scans()), batch_size=many(knobs, 32), shuffle=True)
    return Task(module=module, data=loader, trainer=trainer(knobs), frozen=("teacher.*",))


PROGRAMS = (
    Program(
        name="lit_digits",
        family="mlp",
        build=lit_digits,
        traits=frozenset({"classes", "images", "relu", "hidden", "dropout", "datamodule"}),
        knobs=ALL,
    ),
    Program(
        name="image_classifier",
        family="cnn",
        build=image_classifier,
        traits=frozenset({"classes", "images", "relu", "hidden", "batchnorm", "schedule", "noise", "datamodule"}),
        knobs=ALL - {"refactored"},
    ),
    Program(
        name="unet",
        family="segmentation",
        build=unet,
        traits=frozenset({"images", "relu", "hidden", "datamodule"}),
        knobs=ALL,
    ),
    Program(
        name="detector",
        family="detection",
        build=detector,
        traits=frozenset({"images", "hidden"}),
        knobs=ALL,
    ),
    Program(
        name="transfer",
        family="frozen backbone",
        build=transfer,
        traits=frozenset({"classes", "images", "relu", "hidden", "frozen", "datamodule"}),
        knobs=ALL,
    ),
    Program(
        name="teacher_student",
        family="distillation",
        build=distillation,
        traits=frozenset({"classes", "images", "relu", "hidden", "frozen"}),
        knobs=ALL - {"refactored"},
    ),
)
