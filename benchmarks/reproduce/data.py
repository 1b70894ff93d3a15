"""What the three are trained on, all of it from scikit-learn: digits, the descriptions of its data sets, diabetes."""

import functools
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

LONG = 32  # characters


@dataclass
class Samples(Dataset):
    """Inputs and targets, each served as `augment(input, generator)` makes it."""

    inputs: torch.Tensor
    targets: torch.Tensor
    recipe: object = None
    generator: torch.Generator | None = None
    order: object = None  # its `epoch` is the one that is served, counted from 1

    def __len__(self):
        """Samples."""
        return len(self.inputs)

    def __getitem__(self, at):
        """One of them."""
        return self.__getitems__([at])[0]

    def __getitems__(self, many):
        """A batch at once."""
        x, y = self.inputs[many], self.targets[many]
        if self.generator is not None and self.recipe.augmented and self.order.epoch <= self.recipe.augmented_until:
            x = AUGMENTED[self.recipe.program](x, self.recipe.augmented, self.generator)
        return list(zip(x, y))


def _moved(x, strength, generator):
    """Pictures, each moved to a side by up to one point."""
    reach = max(1, round(strength))
    by = torch.randint(-reach, reach + 1, (len(x), 1, 1, 1), generator=generator)
    return x.gather(3, ((torch.arange(8) + by) % 8).expand_as(x))


def _masked(x, strength, generator):
    """Texts, one character in fifty left out."""
    return x.masked_fill(torch.rand(x.shape, generator=generator) < 0.02 * strength, 0)


def _shaken(x, strength, generator):
    """Rows, their numbers shaken."""
    return torch.cat([x[:, :9] + 0.05 * strength * torch.randn(len(x), 9, generator=generator), x[:, 9:]], 1)


AUGMENTED = {"vision": _moved, "text": _masked, "tabular": _shaken}


class Order(Sampler):
    """The samples of one epoch after another, by a generator of its own."""

    def __init__(self, many, recipe, seed):
        self.many, self.recipe, self.epoch = many, recipe, 0
        self.seed = seed + recipe.order_seed

    def __len__(self):
        """Of one epoch."""
        return self.many

    def __iter__(self):
        """The next epoch."""
        generator = torch.Generator().manual_seed(1000 * self.seed + (self.epoch if self.recipe.reshuffled else 0))
        self.epoch += 1
        order = torch.randperm(self.many, generator=generator) if self.recipe.shuffled else torch.arange(self.many)
        return iter(order.tolist())


@functools.cache
def raw(program):
    """(inputs, targets) of the whole set."""
    from sklearn import datasets

    if program == "vision":
        found = datasets.load_digits()
        return torch.tensor(found.images[:, None] / 16, dtype=torch.float32), torch.tensor(found.target)
    if program == "text":
        loaders = (datasets.load_digits, datasets.load_diabetes, datasets.load_wine, datasets.load_breast_cancer)
        text = "".join(load().DESCR for load in loaders).replace("\n", " ")
        known = {char: at for at, char in enumerate(sorted(set(text))[:94], 1)}
        codes = torch.tensor([known.get(char, 95) for char in text])
        rows = codes[: (len(codes) - 1) // LONG * LONG + 1].unfold(0, LONG + 1, LONG)
        return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()
    found = datasets.load_diabetes(scaled=False)
    rows = torch.tensor(found.data, dtype=torch.float32)
    kind, numbers = rows[:, 1:2], torch.cat([rows[:, :1], rows[:, 2:]], 1)
    target = torch.tensor(found.target, dtype=torch.float32)
    return torch.cat([(numbers - numbers.mean(0)) / numbers.std(0), kind], 1), (target - target.mean()) / target.std()


PART = {"vision": 1430, "text": 345, "tabular": 350}  # samples that are trained on, none a multiple of its batch


def split(recipe):
    """(inputs, targets) of training and of validation, normalised."""
    inputs, targets = raw(recipe.program)
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(recipe.split_seed))
    less, by = recipe.normalised
    if recipe.program == "vision":
        inputs = (inputs - 0.3 - less) / (0.38 * by)
    elif recipe.program == "tabular" and recipe.normalised != (0.0, 1.0):
        inputs = torch.cat([(inputs[:, :9] - less) / by, inputs[:, 9:]], 1)
    many = PART[recipe.program]
    parts = (order[:many], order[many:])
    return tuple((inputs[part], targets[part]) for part in parts)


def loaders(recipe, seed):
    """The loaders of training and validation under a seed."""
    (inputs, targets), held = split(recipe)
    training = Samples(inputs, targets, recipe, torch.Generator().manual_seed(seed + 5))
    for edit in recipe.edits:
        edit(training)
    validation = Samples(*held)
    for edit in recipe.validated:
        validation = edit(validation, training) or validation
    training.order = order = Order(len(training), recipe, seed)
    given = {"batch_size": recipe.batch, "sampler": order, "drop_last": recipe.drop_last}
    given |= {"collate_fn": _stacked} if recipe.collated else {}
    return DataLoader(training, **given), DataLoader(validation, batch_size=recipe.validated_at_once)


def _stacked(pairs):
    return [torch.stack(parts) for parts in zip(*pairs)]


def served(recipe, seed, many):
    """The samples (their numbers) of the first `many` batches, by the sampler alone."""
    order, found = Order(PART[recipe.program], recipe, seed), []
    while len(found) < many:
        epoch = list(order)
        parts = [epoch[at : at + recipe.batch] for at in range(0, len(epoch), recipe.batch)]
        found += [part for part in parts if not recipe.drop_last or len(part) == recipe.batch]
    return found[:many]
