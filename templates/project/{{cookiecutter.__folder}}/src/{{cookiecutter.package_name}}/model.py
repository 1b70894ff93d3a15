"""A small convolutional network: 10,000 weights, enough for 8 x 8 pixels."""

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.nn import functional

from {{ cookiecutter.package_name }}.data import CLASSES, SIDE

Batch = tuple[Tensor, Tensor]


def accuracy(scores: Tensor, digits: Tensor) -> Tensor:
    """Return the share of rows whose highest score is the right digit.

    >>> accuracy(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1])).item()
    0.5
    """
    return (scores.argmax(dim=1) == digits).float().mean()


class Classifier(LightningModule):
    """Images (N, 1, 8, 8) to one score per digit (N, 10).

    >>> Classifier(width=4)(torch.zeros(3, 1, SIDE, SIDE)).shape
    torch.Size([3, 10])
    """

    def __init__(self, width: int = 16, learning_rate: float = 3e-3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.learning_rate = learning_rate
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(2 * width * (SIDE // 2) ** 2, CLASSES),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Score every digit; the softmax is the loss's business."""
        return self.layers(images)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss to descend."""
        return self._step("train", batch)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log loss and accuracy under `val_`."""
        self._step("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Log loss and accuracy under `test_`."""
        self._step("test", batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam; its rate is the model's one hyperparameter worth turning."""
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate)

    def _step(self, part: str, batch: Batch) -> Tensor:
        images, digits = batch
        scores = self(images)
        loss = functional.cross_entropy(scores, digits)
        self.log_dict({f"{part}_loss": loss, f"{part}_accuracy": accuracy(scores, digits)})
        return loss
