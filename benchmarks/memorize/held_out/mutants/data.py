"""Datasets, samplers, collate functions and augmentation gone wrong, in any program."""

import torch
from torch.utils.data import Subset, WeightedRandomSampler

from ...task import Mutant
from .graft import Wrapped, collated, graft, has, label_of, reloaded, remade, sampled, with_inputs, with_labels

NOT_ROWS = ("tokens", "graph", "iterable", "contrastive", "manual")
NOT_SAMPLED = ("graph", "iterable", "contrastive", "manual")
numbers = has("images", but=("graph", "iterable"), names=("clip",))
columns = has("tabular", but=("graph", "iterable"))
series = has("regression", but=("graph", "iterable", "tokens"))


def numeric(program):
    return numbers(program) or columns(program) or series(program)


def labelled(program):
    return any(has(trait, but=NOT_ROWS)(program) for trait in ("classes", "binary"))


class Misaligned(Wrapped):
    """The files of the inputs and those of the labels are sorted differently."""

    def __getitem__(self, index):
        other = (index + len(self) // 3) % len(self)
        return with_labels(self.dataset[index], lambda _: label_of(self.dataset[other]))


class TwoLoaders:
    """One loader for the inputs and one for the labels, each of which shuffles."""

    def __init__(self, loader):
        self.loader = loader

    def __len__(self):
        return len(self.loader)

    def __iter__(self):
        for inputs, labels in zip(self.loader, self.loader, strict=True):
            yield with_labels(inputs, lambda _, labels=labels: label_of(labels))


def label_number(sample):
    return int(torch.as_tensor(label_of(sample)).flatten()[0])


def class_after_class(loader):
    order = sorted(range(len(loader.dataset)), key=lambda i: label_number(loader.dataset[i]))
    return remade(loader, Subset(loader.dataset, order), shuffle=False)


def weights_of_classes(loader):
    labels = torch.tensor([label_number(loader.dataset[i]) for i in range(len(loader.dataset))])
    weights = 1 / labels.bincount().clamp(min=1)
    sampler = WeightedRandomSampler(weights.tolist(), num_samples=len(labels))  # of the classes, not of the samples
    return remade(loader, loader.dataset, sampler=sampler)


class LateBinding(Wrapped):
    """Functions that load one sample each, made in a loop, all see its last index."""

    def __init__(self, dataset):
        super().__init__(dataset)
        self.loaders = []
        for index in range(len(dataset)):
            self.loaders.append(lambda: dataset[index])  # noqa: B023 the defect

    def __getitem__(self, index):
        return self.loaders[index]()


class SameBuffer(Wrapped):
    """A buffer is allocated once, filled for each sample and returned."""

    buffer = None

    def __getitem__(self, index):
        return with_inputs(self.dataset[index], self.fill)

    def fill(self, value):
        self.buffer = torch.empty_like(value) if self.buffer is None else self.buffer
        return self.buffer.copy_(value)


class DividesAtEachAccess(Wrapped):
    """`self.images = self.images / 16` stands in __getitem__: each access divides all of them once more."""

    def __init__(self, dataset):
        super().__init__(dataset)
        self.factor = 1.0

    def __getitem__(self, index):
        self.factor /= 16
        return with_inputs(self.dataset[index], lambda value: 16 * self.factor * value)


class Noisy(Wrapped):
    """Noise for values of 0 to 255, on values of about 1."""

    def __getitem__(self, index):
        return with_inputs(self.dataset[index], lambda value: value + 25 * torch.randn_like(value))


def target_among_features(batch):
    target = label_of(batch) if hasattr(batch, "_fields") else list(batch)[1]
    return with_inputs(batch, lambda x: torch.cat([target.reshape(-1, 1).to(x.dtype), x[:, 1:]], dim=1))


def salary(x):
    """One column in units of its own."""
    return torch.cat([x[:, :1] * 3e4 + 5e4, x[:, 1:]], dim=1)


def first_rows(batch):
    """A slice from a debugging session."""
    values = batch.values() if isinstance(batch, dict) else batch
    cut = [value[:2] for value in values]
    if isinstance(batch, dict):
        return dict(zip(batch, cut, strict=True))
    return type(batch)(*cut) if hasattr(batch, "_fields") else type(batch)(cut)


def flipped_batch(old, self, batch, dataloader_idx):
    return with_inputs(old(batch, dataloader_idx), lambda x: torch.flip(x, dims=[0]))


def noise_in_place(old, self, batch, *args):
    return old(with_inputs(batch, lambda x: x.add_(0.3 * torch.randn_like(x))), *args)


def stacked_last(x):
    """Samples are stacked along a new last axis and then viewed as if it were the first."""
    return torch.stack(list(x), dim=-1).reshape(x.shape)


def clipped_to_bytes(x):
    """Values around 1 are cut to whole ones, as if they were 0 to 255."""
    return (x * 0.999).clamp(0, 1).to(torch.uint8).to(x.dtype)


MUTANTS = (
    Mutant(
        name="H-labels-of-other-files",
        title="the files of inputs and labels are sorted differently",
        causes=("labels-match-inputs", "labels-stay-paired"),
        applies=labelled,
        apply=lambda task: sampled(task, Misaligned),
        source="D01; glob order differs between folders",
    ),
    Mutant(
        name="H-two-shuffles",
        title="inputs and labels come from two loaders that each shuffle",
        causes=("labels-stay-paired", "labels-match-inputs"),
        applies=labelled,
        apply=lambda task: reloaded(task, TwoLoaders),
        source="D02; StackOverflow: shuffle two loaders the same way",
    ),
    Mutant(
        name="H-sorted-unshuffled",
        title="samples are stored class after class and shuffle is off",
        causes=("labels-vary",),
        applies=labelled,
        apply=lambda task: reloaded(task, class_after_class),
        source="forums: ImageFolder without shuffle",
    ),
    Mutant(
        name="H-sampler-of-class-weights",
        title="WeightedRandomSampler gets one weight per class instead of one per sample",
        causes=("samples-differ", "labels-vary", "inputs-vary"),
        applies=labelled,
        apply=lambda task: reloaded(task, weights_of_classes),
        source="forums: WeightedRandomSampler draws only the first indices",
    ),
    Mutant(
        name="H-late-binding",
        title="closures made in a loop all load the last sample",
        causes=("samples-differ", "inputs-vary", "labels-vary"),
        applies=lambda program: labelled(program) or columns(program),
        apply=lambda task: sampled(task, LateBinding),
        source="D07; Python FAQ: lambdas in a loop",
    ),
    Mutant(
        name="H-same-buffer",
        title="each sample is written into, and returned as, one preallocated buffer",
        causes=("inputs-vary", "samples-differ"),
        applies=lambda program: numeric(program) and has(but=NOT_SAMPLED)(program),
        apply=lambda task: sampled(task, SameBuffer),
        source="forums: all images of a batch are the same",
    ),
    Mutant(
        name="H-log-of-negatives",
        title="features are put through a logarithm, also those below zero",
        causes=("batch-is-finite", "loss-is-finite"),
        applies=numeric,
        apply=lambda task: collated(task, lambda batch: with_inputs(batch, torch.log)),
        source="StackOverflow: NaN after log transform",
    ),
    Mutant(
        name="H-divides-at-each-access",
        title="the whole array is divided in __getitem__: by 16 at each access",
        causes=("inputs-vary", "inputs-are-scaled", "augmentation-keeps-inputs", "samples-differ"),
        applies=lambda program: numeric(program) and has(but=("contrastive",))(program),
        apply=lambda task: sampled(task, DividesAtEachAccess),
        source="forums: loss gets worse from epoch to epoch, self.x = self.x / 255",
    ),
    Mutant(
        name="H-divided-again",
        title="values of 0 to 1 are divided by 255 as if they were bytes",
        causes=("inputs-are-scaled", "initial-loss"),
        applies=numeric,
        apply=lambda task: collated(task, lambda batch: with_inputs(batch, lambda x: x / 255)),
        source="D04; forums: ToTensor scales already",
    ),
    Mutant(
        name="H-column-of-its-own-units",
        title="one column is not standardised with the others: 50,000 among values of 1",
        causes=("inputs-are-scaled", "initial-loss", "units-are-not-saturated", "loss-scale"),
        applies=columns,
        apply=lambda task: collated(task, lambda batch: with_inputs(batch, salary)),
        source="D05; forums: one feature dominates",
    ),
    Mutant(
        name="H-debugging-slice",
        title="batch[:2] from a debugging session stays in the collate function",
        causes=("batch-is-whole",),
        applies=lambda program: (labelled(program) or series(program)),
        apply=lambda task: collated(task, first_rows),
        source="D19",
    ),
    Mutant(
        name="H-target-among-features",
        title="the target's column is left among the features",
        causes=("labels-not-in-inputs",),
        applies=columns,
        apply=lambda task: collated(task, target_among_features),
        source="D09",
    ),
    Mutant(
        name="H-stacked-last",
        title="samples are stacked along the last axis and viewed along the first",
        causes=("labels-match-inputs", "samples-are-independent", "as-reviewed"),
        applies=lambda program: labelled(program) and numeric(program),
        apply=lambda task: collated(task, lambda batch: with_inputs(batch, stacked_last)),
        source="D15; forums: view is not permute",
    ),
    Mutant(
        name="H-cut-to-bytes",
        title="values of 0 to 1 are cast to bytes on their way",
        causes=("inputs-vary", "samples-differ", "inputs-are-scaled"),
        applies=lambda program: labelled(program) and numeric(program),
        apply=lambda task: collated(task, lambda batch: with_inputs(batch, clipped_to_bytes)),
        source="forums: ToPILImage of floats is black",
    ),
    Mutant(
        name="H-encoder-per-sample",
        title="a label encoder is fitted on each sample, so that each label is 0",
        causes=("labels-vary", "loss-fits-targets"),
        applies=has("classes", but=NOT_ROWS),
        apply=lambda task: collated(task, lambda batch: with_labels(batch, torch.zeros_like)),
        source="D12; LabelEncoder().fit_transform([label])",
    ),
    Mutant(
        name="H-whole-targets",
        title="targets of a regression go through .long()",
        causes=("loss-fits-targets", "labels-vary", "as-reviewed", "labels-match-inputs"),
        applies=series,
        apply=lambda task: collated(task, lambda batch: with_labels(batch, lambda y: y.long().float())),
        source="forums: LongTensor expected, so the target was cast",
    ),
    Mutant(
        name="H-noise-of-bytes",
        title="noise of deviation 25, made for bytes, is added to values of 1",
        causes=("augmentation-keeps-inputs", "inputs-are-scaled", "labels-match-inputs"),
        applies=lambda program: numeric(program) and has(but=("contrastive",))(program),
        apply=lambda task: sampled(task, Noisy),
        source="D10",
    ),
    Mutant(
        name="H-noise-added-in-place",
        title="training_step adds its noise with add_, in the batch itself",
        causes=("batch-is-fixed", "augmentation-keeps-inputs"),
        applies=numeric,
        apply=lambda task: graft(task.module, training_step=noise_in_place),
        source="in-place augmentation of a batch that is kept",
    ),
    Mutant(
        name="H-flips-the-batch",
        title="an augmentation on the device flips axis 0, the batch, instead of the width",
        causes=("labels-match-inputs", "labels-stay-paired", "loss-pairs-outputs"),
        applies=lambda program: labelled(program) and numbers(program),
        apply=lambda task: graft(task.module, on_after_batch_transfer=flipped_batch),
        source="forums: torch.flip(images, [0])",
    ),
)
