"""The data of the programs: what ships with scikit-learn, the text of a licence, synthetic data that can be learned.

Synthetic data are the same for each seed of a training, like files on a disk.
"""

from functools import cache
from pathlib import Path

import torch
from lightning.pytorch import LightningDataModule
from sklearn import datasets
from torch.utils.data import DataLoader, TensorDataset, random_split

LICENCE = Path(__file__).parents[3] / "LICENSE"


class TensorData(LightningDataModule):
    """Tensors of one row per sample, a fifth of them for validation."""

    def __init__(self, *tensors, batch_size=32, drop_last=False):
        super().__init__()
        self.dataset = TensorDataset(*tensors)
        self.batch_size = batch_size
        self.drop_last = drop_last

    def setup(self, stage):
        split = torch.Generator().manual_seed(42)
        self.train, self.val = random_split(self.dataset, [0.8, 0.2], generator=split)

    def train_dataloader(self):
        return DataLoader(self.train, batch_size=self.batch_size, shuffle=True, drop_last=self.drop_last)

    def val_dataloader(self):
        return DataLoader(self.val, batch_size=self.batch_size)


def standardised(x):
    """Columns of mean 0 and deviation 1."""
    return (x - x.mean(0)) / x.std(0)


@cache
def digits():
    """Grey values in 0..1 (1797, 64) and the digit (1797,)."""
    x, y = datasets.load_digits(return_X_y=True)
    return torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y)


def digit_images():
    """The digits as standardised images (1797, 1, 8, 8)."""
    x, y = digits()
    return ((x - x.mean()) / x.std()).reshape(-1, 1, 8, 8), y


@cache
def table(name):
    """Standardised features and the target of one of scikit-learn's tables: wine, breast_cancer, diabetes."""
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return standardised(torch.tensor(x, dtype=torch.float32)), torch.tensor(y)


@cache
def clusters(classes=6, features=12, count=1200):
    """Gaussian clusters of which each is half as frequent as the one before: features and class."""
    draw = torch.Generator().manual_seed(7)
    centres = 2 * torch.randn(classes, features, generator=draw)
    y = torch.multinomial(0.5 ** torch.arange(classes), count, replacement=True, generator=draw)
    return centres[y] + torch.randn(count, features, generator=draw), y


@cache
def tagged(features=16, tags=8, count=1000):
    """Features and which of the tags hold (0. or 1.): each is on one side of a plane of its own."""
    draw = torch.Generator().manual_seed(8)
    x = torch.randn(count, features, generator=draw)
    return x, (x @ torch.randn(features, tags, generator=draw) > 0).float()


@cache
def uneven(count=1000):
    """Four features and a target whose noise grows with the first one (count, 1)."""
    draw = torch.Generator().manual_seed(9)
    x = torch.randn(count, 4, generator=draw)
    noise = 0.1 * (1 + x[:, :1].abs()) * torch.randn(count, 1, generator=draw)
    return x, torch.sin(2 * x[:, :1]) + x[:, 1:2] * x[:, 2:3] + noise


@cache
def text():
    """The licence as ids of its characters, and how many there are."""
    letters = LICENCE.read_text()
    alphabet = {letter: index for index, letter in enumerate(sorted(set(letters)))}
    return torch.tensor([alphabet[letter] for letter in letters]), len(alphabet)


@cache
def lines():
    """Lines of the descriptions of four data sets as (ids, from 1 on: 0 is padding; which set they are of)."""
    found = []
    for label, name in enumerate(["digits", "wine", "breast_cancer", "diabetes"]):
        description = getattr(datasets, f"load_{name}")().DESCR
        found += [(line.strip().lower(), label) for line in description.splitlines() if len(line.strip()) > 12]
    alphabet = {letter: index for index, letter in enumerate(sorted({c for line, _ in found for c in line}), start=1)}
    return [([alphabet[letter] for letter in line], label) for line, label in found], len(alphabet) + 1


@cache
def moons(count=1000):
    """Points of two half moons (count, 2), standardised."""
    x, _ = datasets.make_moons(count, noise=0.08, random_state=0)
    return standardised(torch.tensor(x, dtype=torch.float32))


@cache
def shapes(count=400, size=12):
    """Noisy images (count, 1, size, size) of a disk and a square, and masks: 0 ground, 1 disk, 2 square, 255 border."""
    draw = torch.Generator().manual_seed(10)
    down, across = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    row, column = torch.randint(2, size - 2, (2, count, 2, 1, 1), generator=draw)
    disk = (down - row[:, 0]) ** 2 + (across - column[:, 0]) ** 2
    square = torch.maximum((down - row[:, 1]).abs(), (across - column[:, 1]).abs())
    masks = torch.zeros(count, size, size, dtype=torch.long)
    masks[disk <= 9] = 1
    masks[square <= 2] = 2
    images = masks.float() + 0.1 * torch.randn(count, size, size, generator=draw)
    masks[square == 3] = 255
    return (images - 0.3).unsqueeze(1), masks


@cache
def reversals(count=800, length=5):
    """Ids 2..11 (count, length), and 0 followed by the same ids backwards."""
    draw = torch.Generator().manual_seed(11)
    source = torch.randint(2, 12, (count, length), generator=draw)
    return source, torch.cat([torch.zeros(count, 1, dtype=torch.long), source.flip(1)], 1)


@cache
def series(past=16, future=4, count=1200):
    """Windows of two waves with noise: what was (count, past) and what came (count, future)."""
    draw = torch.Generator().manual_seed(12)
    t = torch.arange(count + past + future) * 0.3
    wave = torch.sin(t) + 0.5 * torch.sin(2.7 * t + 1) + 0.05 * torch.randn(len(t), generator=draw)
    windows = wave.unfold(0, past + future, 1)[:count]
    return windows[:, :past], windows[:, past:]


@cache
def spoken(letters=3, kinds=6, count=600):
    """Frames (count, 3 * letters, 8), three per letter, and the letters (count, letters) from 1 on, all different."""
    draw = torch.Generator().manual_seed(13)
    sounds = torch.randn(kinds, 8, generator=draw)
    said = torch.stack([torch.randperm(kinds, generator=draw)[:letters] for _ in range(count)])
    frames = sounds[said].repeat_interleave(3, dim=1)
    return frames + 0.2 * torch.randn(frames.shape, generator=draw), said + 1


def normalised(links):
    """The adjacency of Kipf and Welling (2017): with itself, divided by the roots of both degrees."""
    whole = links + torch.eye(len(links))
    root = whole.sum(1).rsqrt()
    return root[:, None] * whole * root


@cache
def communities(count=96, classes=4):
    """A graph whose nodes link within their class twelve times as often; features tell the class with much noise."""
    draw = torch.Generator().manual_seed(14)
    y = torch.arange(count) % classes
    likely = torch.where(y[:, None] == y, 0.24, 0.02)
    links = (torch.rand(count, count, generator=draw) < likely).float().triu(1)
    x = torch.randn(classes, 8, generator=draw)[y] + torch.randn(count, 8, generator=draw)
    known = torch.rand(count, generator=draw) < 0.5
    return {"x": x, "adjacency": normalised(links + links.T), "y": y, "train_mask": known}


@cache
def rings_and_stars(count=300):
    """Graphs of 5 to 8 nodes with noise on them: rings (0), stars (1) and paths (2); (features, adjacency, class)."""
    draw = torch.Generator().manual_seed(15)
    found = []
    for index in range(count):
        size, kind = int(torch.randint(5, 9, (), generator=draw)), index % 3
        links = torch.zeros(size, size)
        nodes = torch.arange(1, size)
        links[torch.zeros_like(nodes) if kind == 1 else nodes - 1, nodes] = 1
        links[0, -1] = 1.0 if kind == 0 else links[0, -1]
        x = torch.cat([torch.ones(size, 1), torch.randn(size, 3, generator=draw)], 1)
        found.append((x, links + links.T, kind))
    return found


@cache
def ratings(users=60, films=40, count=2000):
    """Who rated what, and how (1 to 5, with noise), from tastes of three dimensions."""
    draw = torch.Generator().manual_seed(16)
    tastes, kinds = torch.randn(users, 3, generator=draw), torch.randn(films, 3, generator=draw)
    chosen = torch.randperm(users * films, generator=draw)[:count]
    user, film = chosen // films, chosen % films
    liked = 3 + (tastes[user] * kinds[film]).sum(1) + 0.3 * torch.randn(count, generator=draw)
    return user, film, liked.round().clamp(1, 5)


@cache
def picture():
    """Places in 0..1 (4096, 2) and how bright (4096, 1) a fine pattern is there."""
    side = torch.linspace(0, 1, 64)
    places = torch.cartesian_prod(side, side)
    down, across = places.T * 6.28
    return places, (torch.sin(3 * down) * torch.cos(5 * across) + 0.3 * torch.sin(8 * (down + across)))[:, None]


@cache
def counts(count=1000):
    """Features (count, 5) and how often something happened (count,), at a rate that follows from them."""
    draw = torch.Generator().manual_seed(17)
    x = torch.randn(count, 5, generator=draw)
    return x, torch.poisson(torch.exp(0.6 * x[:, 0] - 0.5 * x[:, 1] * x[:, 2] + 1), generator=draw)
