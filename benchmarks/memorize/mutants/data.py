"""Defects of the data: in the dataset, in what collates its samples, and in what the first lines of a step do to them.

The rows are those of the research; left out, because one batch of one process has no trace of them: D16 (validation on
the training data), D17 (workers that draw the same numbers) and D20 (some noise in the labels).
"""

import copy

import torch
import torch.nn.functional as F
from torch.utils._pytree import tree_flatten
from torch.utils.data import DataLoader, Dataset, IterableDataset

from .surgery import (
    ON_CLASSES,
    anywhere,
    at,
    batches,
    defect,
    each,
    kept_random,
    loader,
    look,
    mix,
    on,
    override,
    rebuilt,
    tensors,
)

labelled = on("classes", "binary", "multilabel", "regression", without=("causal", "autoencoder", "contrastive"))
rowwise = on("tabular", "images", "tokens", "sequence", "autoencoder", "contrastive", without=("graph",))


def floats(change):
    """A change of floating leaves, one by one; what counts or names (tokens, lengths) stays."""
    return each(lambda leaf: change(leaf) if leaf.is_floating_point() else leaf)


@defect("D01-labels-permuted", ("labels-match-inputs",), labelled, "TDC:wrong_labels, DC:change_label, SO 40467990")
def labels_permuted(task):
    """The targets were shuffled once, the inputs were not."""
    seen = look(task)
    mix(task, seen, seen.targets(), lambda count: torch.randperm(count, generator=torch.Generator().manual_seed(1)))


@defect("D02-labels-random", ("labels-stay-paired", "labels-match-inputs"), labelled, "SO 47866803, SO 46136553")
def labels_random(task):
    """A sample comes with the target of another one, each time anew."""
    seen = look(task)
    mix(task, seen, seen.targets(), lambda count: torch.randint(count, (count,)))


@defect("D03-inputs-constant", ("inputs-vary", "samples-differ"), rowwise, "KR, TDC:features_constant")
def inputs_constant(task):
    """The inputs were multiplied by 0 on their way."""
    batches(task, at(look(task).inputs(), each(lambda x: x * 0)))


@defect("D04-normalized-twice", ("inputs-are-scaled", "inputs-vary"), rowwise, "TDC:double_normalization")
def normalized_twice(task):
    """Inputs that were standardised are taken for bytes and normalized once more: all are about -1."""
    batches(task, at(look(task).inputs(), floats(lambda x: (x / 255 - 0.5) / 0.5)))


@defect("D05-not-normalized", ("inputs-are-scaled", "initial-loss"), rowwise, "TDC:missing_normalization, SO 53471761")
def not_normalized(task):
    """The inputs are 0 to 255, as if nothing had normalized them."""
    batches(task, at(look(task).inputs(), floats(lambda x: x * 255)))


class Written(Dataset):
    """Normalizes each sample in place, each time it is fetched."""

    def __init__(self, dataset, places):
        self.dataset = dataset
        self.places = places

    def __len__(self):
        """As before."""
        return len(self.dataset)

    def __getitem__(self, index):
        """The sample, as it is now."""
        return at(self.places, floats(lambda x: x.sub_(0.5).div_(0.5)))(self.dataset[index])


@defect("D06-samples-written", ("batch-is-fixed", "augmentation-keeps-inputs", "inputs-are-scaled"), rowwise)
def samples_written(task):
    """`__getitem__` normalizes in place: the data drift from epoch to epoch."""
    seen = look(task)
    owned = []  # the data of other programs stay as they are

    def changed(given):
        if not isinstance(given, DataLoader) or isinstance(given.dataset, IterableDataset):
            return given
        if not owned and _drifts(Written(copy.deepcopy(given.dataset), seen.inputs()), seen):
            owned.append(Written(copy.deepcopy(given.dataset), seen.inputs()))
        return rebuilt(given, dataset=owned[0]) if owned else given

    loader(task, changed)


def _drifts(dataset, seen):
    """Whether what is written stays there (a sample made anew is not hurt)."""
    with kept_random():
        if len(tree_flatten(dataset.dataset[0])[0]) != len(tree_flatten(seen.batch)[0]):
            return False
        first, again = ([one.clone() for one in tensors(dataset[0])] for _ in range(2))
    return not all(torch.equal(one, other) for one, other in zip(first, again, strict=True))


@defect("D06-batch-written", ("batch-is-fixed", "inputs-are-scaled"), anywhere, "PL#2600")
def batch_written(task):
    """`training_step` scales its inputs in place; the batches are kept in a list."""
    if isinstance(task.data, list):
        task.data = copy.deepcopy(task.data)
        inside_step(task, floats(lambda x: x.mul_(1.5)))


def inside_step(task, change):
    """The step changes its inputs before it does anything else."""
    changed = at(look(task).inputs(), change)

    def step(self, inherited, batch, *args):
        return inherited(changed(batch), *args)

    override(task.module, "training_step", step)


@defect("D07-one-sample", ("samples-differ", "inputs-vary", "labels-vary"), rowwise, "DC: data repetition")
def one_sample(task):
    """`__getitem__` returns sample 0 whatever it is asked for."""
    seen = look(task)
    count = len(tree_flatten(seen.batch)[0])
    mix(task, seen, range(count), lambda count: torch.zeros(count, dtype=torch.long))


@defect("D08-one-input", ("inputs-vary", "samples-differ"), labelled, "HT")
def one_input(task):
    """`__getitem__` returns the inputs of sample 0 with the targets of the one that it is asked for."""
    seen = look(task)
    count = len(tree_flatten(seen.batch)[0])
    others = [place for place in range(count) if place not in seen.targets()]
    mix(task, seen, others, lambda count: torch.zeros(count, dtype=torch.long))


@defect("D09-label-leaked", ("labels-not-in-inputs",), on("tabular", without=("autoencoder",)), "HT")
def label_leaked(task):
    """The target is one of the columns of the inputs."""
    seen = look(task)
    places = seen.inputs()[:1] + seen.targets()[:1]

    def leaked(leaves):
        x, y = leaves
        if x.dim() != 2 or not x.is_floating_point() or y.numel() != len(x):
            return leaves
        return [torch.cat([y.reshape(-1, 1).to(x), x[:, 1:]], 1), y]

    if len(set(places)) == 2 and labelled_leaves(seen):
        batches(task, at(places, leaked))


def labelled_leaves(seen):
    """Whether there are targets beside the inputs."""
    return bool(seen.targets()) and not set(seen.targets()) & set(seen.inputs())


@defect("D10-augmented-away", ("augmentation-keeps-inputs", "inputs-are-scaled"), rowwise, "TDC:wrong_augmentation")
def augmented_away(task):
    """The augmentation adds noise of ten times the inputs' own deviation."""
    batches(task, at(look(task).inputs(), floats(lambda x: x + 10 * x.std() * torch.randn_like(x))))


@defect("D11-nan-row", ("batch-is-finite", "loss-is-finite"), anywhere, "SO 53640858")
def nan_row(task):
    """One sample of the batch is NaN."""

    def spoilt(x):
        x = x.clone()
        x[len(x) // 3] = torch.nan
        return x

    batches(task, at(look(task).inputs(), floats(spoilt)))


@defect("D12-labels-collapsed", ("labels-vary", "loss-fits-targets"), labelled, "TDC:unbalanced_data")
def labels_collapsed(task):
    """All targets are 0."""
    batches(task, at(look(task).targets(), each(torch.zeros_like)))


@defect("D13-labels-off-by-one", ("as-reviewed",), on("classes", without=("causal", "contrastive")), "HT")
def labels_off_by_one(task):
    """Each class is called by the next one's number."""
    seen = look(task)
    classes = [args[0].shape[1] for function, args, _ in seen.losses if function in ON_CLASSES and args[0].dim() > 1]
    if classes:
        shift = each(lambda y: torch.where(y >= 0, (y + 1) % classes[0], y) if not y.is_floating_point() else y)
        batches(task, at(seen.targets(), shift))


@defect("D14-inputs-truncated", ("as-reviewed", "inputs-vary", "inputs-are-scaled"), rowwise, "HT: wrong tensor type")
def inputs_truncated(task):
    """The inputs went through integers: what is behind the point is lost."""
    batches(task, at(look(task).inputs(), floats(torch.trunc)))


@defect("D15-view-for-permute", ("samples-are-independent", "labels-match-inputs"), rowwise, "KR, UM:InputWrongShape")
def view_for_permute(task):
    """`view` where `permute` was meant: each row holds pieces of all samples."""
    inside_step(task, each(lambda x: x.flatten(1).t().reshape(x.shape) if x.dim() > 1 else x))


@defect("D18-inputs-resized", ("as-reviewed",), on("images"), "TC:pytorch-forum-84911")
def inputs_resized(task):
    """The images are twice as large as what the network was made for."""
    enlarged = each(lambda x: F.interpolate(x, scale_factor=2.0) if x.dim() == 4 and x.is_floating_point() else x)
    batches(task, at(look(task).inputs(), enlarged))


@defect("D19-rows-dropped", ("batch-is-whole", "as-reviewed"), rowwise, "TC:transformers-34204")
def rows_dropped(task):
    """The collate function loses half of the samples."""
    places = [place for place, leaf in enumerate(tree_flatten(look(task).batch)[0]) if isinstance(leaf, torch.Tensor)]

    def dropped(leaves):
        count = len(leaves[0])
        return [leaf[: count // 2] if leaf.dim() and len(leaf) == count else leaf for leaf in leaves]

    batches(task, at(places, dropped))


MUTANTS = (
    labels_permuted,
    labels_random,
    inputs_constant,
    normalized_twice,
    not_normalized,
    samples_written,
    batch_written,
    one_sample,
    one_input,
    label_leaked,
    augmented_away,
    nan_row,
    labels_collapsed,
    labels_off_by_one,
    inputs_truncated,
    view_for_permute,
    inputs_resized,
    rows_dropped,
)
