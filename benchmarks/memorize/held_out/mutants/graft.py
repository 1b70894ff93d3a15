"""How a defect gets into what a program built: methods over those of one object, or another way to its batches."""

from functools import wraps

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

LABELS = ("labels", "label", "y", "target", "targets")


def graft(thing, **methods):
    """Puts methods over those of one object, as if its class had been written so; they take the old one first."""
    parent = type(thing)
    thing.__class__ = type(parent.__name__, (parent,), {name: bound(parent, name, m) for name, m in methods.items()})


def bound(parent, name, method):
    old = getattr(parent, name)

    @wraps(old)  # the Trainer looks at the names of the arguments
    def call(self, *args, **kwargs):
        return method(lambda *a, **k: old(self, *a, **k), self, *args, **kwargs)

    return call


def written(thing, **methods):
    """Puts methods in the place of those of one object; they have no use for the old ones."""
    parent = type(thing)
    thing.__class__ = type(parent.__name__, (parent,), methods)


def layers(module):
    """The trainable linear and convolutional layers in order, but for those that a transformer layer reads itself."""
    found = []
    for child in module.children():
        if isinstance(child, (nn.Linear, nn.Conv2d)):
            found += [child] if child.weight.requires_grad else []
        elif not isinstance(child, (nn.MultiheadAttention, nn.TransformerEncoderLayer)):
            found += layers(child)
    return found


def exchanged(module, old, new):
    """Puts one submodule in the place of another."""
    for parent in module.modules():
        for name, child in parent.named_children():
            if child is old:
                setattr(parent, name, new)


def each_activation(module, make):
    """Puts what `make()` builds in the place of each ReLU."""
    for activation in [m for m in module.modules() if isinstance(m, nn.ReLU)]:
        exchanged(module, activation, make())


def reloaded(task, change):
    """Puts `change(loader)` between the training's own loader and whoever asks for it."""
    if hasattr(task.data, "train_dataloader"):
        graft(task.data, train_dataloader=lambda old, self: change(old()))
    else:
        task.data = change(task.data)


def remade(loader, dataset, **how):
    """A loader like another one, of another dataset or with another sampler."""
    if loader.batch_size is None:
        return DataLoader(dataset, batch_sampler=loader.batch_sampler, collate_fn=loader.collate_fn)
    how = how or {"shuffle": isinstance(loader.sampler, RandomSampler)}
    return DataLoader(dataset, loader.batch_size, collate_fn=loader.collate_fn, drop_last=loader.drop_last, **how)


def collated(task, defect):
    """Puts a defect behind the collate function; a plain list of batches has it in each."""

    def change(loader):
        if not isinstance(loader, DataLoader):
            return [defect(batch) for batch in loader]
        collate = loader.collate_fn
        loader.collate_fn = lambda samples: defect(collate(samples))
        return loader

    reloaded(task, change)


class Wrapped(Dataset):
    """A dataset around another one."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        return self.dataset[index]


def sampled(task, kind):
    """Puts a `Wrapped` dataset around that of the loader."""
    reloaded(task, lambda loader: remade(loader, kind(loader.dataset)))


def rebuilt(whole, values):
    """A batch or a sample of the same kind with other values."""
    if isinstance(whole, dict):
        return dict(zip(whole, values, strict=True))
    return type(whole)(*values) if hasattr(whole, "_fields") else type(whole)(values)


def is_input(value):
    return (isinstance(value, torch.Tensor) and value.is_floating_point() and value.ndim > 0) or (
        isinstance(value, (tuple, list)) and len(value) and is_input(value[0])
    )


def with_inputs(whole, change):
    """The batch or the sample with its first tensor of numbers changed (each of them, where it is a list)."""
    values = list(whole.values() if isinstance(whole, dict) else whole)
    place = next(i for i, value in enumerate(values) if is_input(value))
    found = values[place]
    values[place] = change(found) if isinstance(found, torch.Tensor) else type(found)(change(v) for v in found)
    return rebuilt(whole, values)


def label_place(whole):
    """The key of the labels, or the last place."""
    if isinstance(whole, dict):
        return next(i for i, name in enumerate(whole) if name in LABELS)
    return len(whole) - 1


def label_of(whole):
    return list(whole.values() if isinstance(whole, dict) else whole)[label_place(whole)]


def with_labels(whole, change):
    """The batch or the sample with its labels changed."""
    values = list(whole.values() if isinstance(whole, dict) else whole)
    values[label_place(whole)] = change(values[label_place(whole)])
    return rebuilt(whole, values)


def has(*traits, but=(), names=()):
    """Whether a program has all of these traits, none of those, and none of the names."""

    def applies(program):
        return set(traits) <= program.traits and not set(but) & program.traits and program.name not in names

    return applies


def only(*names):
    """Whether a program is one of these."""
    return lambda program: program.name in names
