"""The digits of scikit-learn: 1,797 grey images of 8 x 8 pixels that come with it, no download."""

import torch
from lightning import LightningDataModule
from sklearn.datasets import load_digits
from torch import Tensor
from torch.utils.data import DataLoader, Subset, TensorDataset

SIDE = 8  # pixels
CLASSES = 10
BRIGHTEST = 16.0  # the grey values are whole numbers from 0 to 16


def read() -> TensorDataset:
    """Return all images, (1797, 1, 8, 8) floats from 0 to 1, and their digits, (1797,).

    >>> images, digits = read().tensors
    >>> tuple(images.shape), images.min().item(), images.max().item()
    ((1797, 1, 8, 8), 0.0, 1.0)
    >>> digits[:5].tolist()
    [0, 1, 2, 3, 4]
    """
    pixels, digits = load_digits(return_X_y=True)
    images = torch.tensor(pixels, dtype=torch.float32).view(-1, 1, SIDE, SIDE) / BRIGHTEST
    return TensorDataset(images, torch.tensor(digits, dtype=torch.long))


def split(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draw who trains, validates and tests: 80, 10 and 10 percent of `count`, disjoint.

    >>> train, val, test = split(10, seed=0)
    >>> len(train), len(val), len(test)
    (8, 1, 1)
    >>> sorted(torch.cat([train, val, test]).tolist()) == list(range(10))
    True
    """
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    held_out = count // 10
    return order[2 * held_out :], order[:held_out], order[held_out : 2 * held_out]


class Digits(LightningDataModule):
    """Batches of the digits. The split depends on its own seed only, never on the training's."""

    def __init__(self, batch_size: int = 64, split_seed: int = 0) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.split_seed = split_seed

    def setup(self, stage: str) -> None:
        """Read and split; 1,797 small images take a few milliseconds."""
        samples = read()
        parts = split(len(samples), self.split_seed)
        self.train, self.val, self.test = (Subset(samples, part.tolist()) for part in parts)

    def train_dataloader(self) -> DataLoader:
        """Shuffled; what is left after the last whole batch waits for the next epoch."""
        return DataLoader(self.train, self.batch_size, shuffle=True, drop_last=True)

    def val_dataloader(self) -> DataLoader:
        """In order."""
        return DataLoader(self.val, self.batch_size)

    def test_dataloader(self) -> DataLoader:
        """In order."""
        return DataLoader(self.test, self.batch_size)
