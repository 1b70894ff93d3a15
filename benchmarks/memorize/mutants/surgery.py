"""How a defect gets into what a program built: as code, by a subclass on the fly.

What a mutant has to find (the targets in a batch, the hidden layers, the loss functions) it reads off the first step
of a copy of the task, so that it can be put into a program that its author never saw.
"""

import copy
import functools
import logging
import random
import re
import warnings
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field

import lightning.pytorch
import numpy
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import keystr, tree_flatten, tree_flatten_with_path, tree_map_only, tree_unflatten
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, RandomSampler, SequentialSampler

from ..task import Mutant

# Their parts are not called one by one in evaluation (the fast path of attention), so that each is one layer.
OPAQUE = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, nn.MultiheadAttention, nn.RNNBase)
LOSSES = {
    getattr(F, name)
    for name in (
        "cross_entropy nll_loss mse_loss l1_loss smooth_l1_loss huber_loss kl_div binary_cross_entropy ctc_loss "
        "binary_cross_entropy_with_logits gaussian_nll_loss poisson_nll_loss"
    ).split()
}
ON_CLASSES = {F.cross_entropy, F.nll_loss}
NAMED = re.compile(r"\b(y|labels?|targets?|tags?)\b")  # what people call targets
STEPS = ("training_step", "validation_step")
WRITING = ("LearningRateMonitor", "ModelCheckpoint", "EarlyStopping")  # need a logger, a folder, a validation
QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}


def defect(name, causes, applies, source=""):
    """The decorated function is the `apply` of a mutant; the first line of its docstring says what was done wrong."""

    def made(apply):
        title = apply.__doc__.splitlines()[0]
        return Mutant(name=name, title=title, causes=causes, applies=applies, apply=apply, source=source)

    return made


def on(*traits, without=()):
    """Programs with one of these traits, and none of those."""
    return lambda program: bool(program.traits & {*traits}) and not program.traits & {*without}


def anywhere(program):
    """Every program: where a mutant finds nothing to change it leaves the task as it was, which is no pair."""
    return True


def override(thing, name, around):
    """A subclass of its class takes its place, whose `name` is `around(self, inherited, *args)`."""
    cls = type(thing)
    inherited = getattr(cls, name)

    def method(self, *args, **kwargs):
        return around(self, functools.partial(inherited, self), *args, **kwargs)

    if name.endswith("_step"):  # Lightning looks at what it takes
        functools.update_wrapper(method, inherited)
    thing.__class__ = type(cls.__name__, (cls,), {name: method, "__module__": cls.__module__})


def has(module, name):
    """Whether the user's class has a method of this name: Lightning's own do nothing."""
    return callable(getattr(module, name, None)) and "lightning" not in getattr(module, name).__module__.split(".")[0]


class Replaced(TorchFunctionMode):
    """While it lasts, functions of torch are others: `{function: other(function, *args, **kwargs)}`."""

    def __init__(self, others):
        super().__init__()
        self.others = others

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Call the other one, where there is one."""
        other = self.others.get(func)
        return other(func, *args, **kwargs or {}) if other else func(*args, **kwargs or {})


def replace_functions(module, others, within=STEPS):
    """In these methods of the module, and in what they call, functions of torch are others."""
    depth = []

    def around(self, inherited, *args, **kwargs):
        with nullcontext() if depth else Replaced(others):  # `forward` inside `training_step`: once
            depth.append(1)
            try:
                return inherited(*args, **kwargs)
            finally:
                depth.pop()

    for name in within:
        if has(module, name):
            override(module, name, around)


def returned(module, change):
    """`training_step` returns a changed loss; where it optimizes itself, it is changed on the way to the backward."""

    def step(self, inherited, *args, **kwargs):
        result = inherited(*args, **kwargs)
        if isinstance(result, dict):
            return result | {"loss": change(self, result["loss"])}
        return result if result is None else change(self, result)

    def backward(self, inherited, loss, *args, **kwargs):
        return inherited(change(self, loss), *args, **kwargs)

    if module.automatic_optimization:
        override(module, "training_step", step)
    else:
        override(module, "manual_backward", backward)


def output(layer, change):
    """The layer returns `change(output)`, for each floating tensor of it."""

    def forward(self, inherited, *args, **kwargs):
        return tree_map_only(
            torch.Tensor, lambda t: change(t) if t.is_floating_point() else t, inherited(*args, **kwargs)
        )

    override(layer, "forward", forward)


def layer_of(module, name):
    """The submodule of this name, and what holds it, which must not go around it in evaluation."""
    layer = module.get_submodule(name)
    for part in module.modules():
        if isinstance(part, nn.TransformerEncoderLayer) and any(layer is inner for inner in part.modules()):
            part.activation_relu_or_gelu = 0  # its fast path reads weights and calls no module
    return layer


# --- the first step of a copy


@dataclass
class Call:
    """One module that was called, with what went in and came out."""

    name: str
    module: nn.Module
    taken: tuple
    made: object
    inside: bool = False  # a part of an opaque one
    age: int = 0  # tensors seen before it was called


@dataclass
class Seen:
    """What the first training step did, in order."""

    batch: object = None
    calls: list[Call] = field(default_factory=list)
    losses: list[tuple] = field(default_factory=list)  # (function, args, kwargs)
    before_relu: list[str] = field(default_factory=list)
    residual: list[str] = field(default_factory=list)  # modules whose output was added to what was there before
    optimizers: list = field(default_factory=list)
    ages: dict[int, int] = field(default_factory=dict)  # id of a tensor: its place
    kept: list = field(default_factory=list)  # so that no id is used twice

    def see(self, value):
        """Give each tensor in it a place, in the order of first sight."""
        for tensor in tensors(value):
            self.kept.append(tensor)
            self.ages.setdefault(id(tensor), len(self.ages))

    @property
    def size(self):
        """How many samples are in the batch."""
        found = [leaf for leaf in tensors(self.batch) if leaf.dim()]
        return len(found[0]) if found else 0

    @property
    def layers(self):
        """The layers with trainable parameters of their own, in the order in which they were first called."""
        found = {}
        for call in self.calls:
            if call.name and not call.inside and learns(call.module) and not any(map(learns, below(call.module))):
                found.setdefault(call.name, call)
        return list(found.values())

    @property
    def hidden(self):
        """The layers between input and head that make one floating row (or block) per sample."""
        return [
            call
            for call in self.layers[:-1]
            if isinstance(call.made, torch.Tensor)
            and call.made.is_floating_point()
            and call.made.dim() > 1
            and len(call.made) in (self.size, self.size * len(self.inputs()))  # views go through one after the other
        ]

    @property
    def middle(self):
        """The name of the layer in the middle of those (of all before the head, where there is none), or None."""
        layers = self.hidden or self.layers[:-1]
        return layers[(len(layers) - 1) // 2].name if layers else None

    @property
    def head(self):
        """The name of the layer that was called last, or None."""
        return self.layers[-1].name if self.layers else None

    def targets(self):
        """Which leaves of the batch the loss is held against; by name, or the last, where no loss function told."""
        paths, leaves = zip(*tree_flatten_with_path(self.batch)[0], strict=True)
        held = [held_against(args, kwargs) for _, args, kwargs in self.losses]
        found = [
            place
            for place, leaf in enumerate(leaves)
            if isinstance(leaf, torch.Tensor) and any(same(leaf, target) for target in held if target is not None)
        ]
        rows = [place for place, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor) and leaf.dim()]
        called = [place for place in rows if NAMED.search(keystr(paths[place]))]
        alike = rows and (leaves[rows[-1]].shape, leaves[rows[-1]].dtype) == (leaves[0].shape, leaves[0].dtype)
        return found or called or ([] if alike else rows[1:][-1:])  # what is like the input is another view of it

    def inputs(self):
        """Which leaves of the batch are its inputs: the largest that are no targets."""
        leaves, targets = tree_flatten(self.batch)[0], self.targets()
        sizes = {
            place: leaf.numel()
            for place, leaf in enumerate(leaves)
            if isinstance(leaf, torch.Tensor) and leaf.dim() and leaf.dtype != torch.bool
        }
        sizes = {place: size for place, size in sizes.items() if place not in targets} or sizes
        kinds = {place for place in sizes if leaves[place].is_floating_point() and not square(leaves[place])}
        sizes = {place: size for place, size in sizes.items() if place in kinds or not kinds}
        return [place for place, size in sizes.items() if size == max(sizes.values())]


def learns(module):
    """Whether it has trainable parameters; those of its parts count where it is opaque."""
    return any(one.requires_grad for one in module.parameters(recurse=isinstance(module, OPAQUE)))


def below(module):
    """The parts of a module that is not opaque."""
    return () if isinstance(module, OPAQUE) else list(module.modules())[1:]


def square(leaf):
    """An adjacency is no row of features per node."""
    return leaf.dim() == 2 and leaf.shape[0] == leaf.shape[1]


def tensors(value):
    """All tensors in it."""
    return [leaf for leaf in tree_flatten(value)[0] if isinstance(leaf, torch.Tensor)]


def held_against(args, kwargs):
    """The target of a call of a loss function."""
    return kwargs.get("target", args[1] if len(args) > 1 else None)


def same(leaf, target):
    """Whether one is the other, reshaped or converted."""
    if leaf.numel() != target.numel():
        return False
    return leaf.data_ptr() == target.data_ptr() or torch.equal(leaf.flatten().double(), target.flatten().double())


class Watching(TorchFunctionMode):
    """Notes losses, what comes before a ReLU, and sums of old and new."""

    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Call it, and note it."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in ("relu", "relu_"):
            self._relu()
        elif name in ("add", "add_") and len(args) == 2:
            self._sum(*args)
        if func in LOSSES:
            self.seen.losses.append((func, *tree_map_only(torch.Tensor, torch.Tensor.detach, (args, kwargs))))
        result = func(*args, **kwargs)
        if isinstance(result, torch.Tensor):
            self.seen.see(result)
        return result

    def _relu(self):
        biased = [call.name for call in self.seen.calls if getattr(call.module, "bias", None) is not None]
        self.seen.before_relu += biased[-1:]

    def _sum(self, old, new):
        ages = self.seen.ages
        if not isinstance(new, torch.Tensor) or id(old) not in ages:
            return
        for call in self.seen.calls:
            if call.made is new and ages[id(old)] < call.age and not isinstance(call.module, nn.Embedding):
                self.seen.residual.append(call.name)


def look(task):
    """What the first training step of a copy of the task does; nothing of the task is touched."""
    module, data = copy.deepcopy((task.module, task.data))
    seen = Seen()

    def step(self, inherited, batch, *args, **kwargs):
        seen.optimizers = [type(one) for one in self.trainer.optimizers]
        if seen.batch is not None:
            return inherited(batch, *args, **kwargs)
        seen.batch = tree_map_only(torch.Tensor, torch.clone, batch)
        seen.see(batch)
        with ExitStack() as stack:
            _watch(stack, self, seen)
            stack.enter_context(Watching(seen))
            return inherited(batch, *args, **kwargs)

    override(module, "training_step", step)
    with quietly(), kept_random():
        trainer(module, task.trainer, limit_train_batches=1, limit_val_batches=0).fit(module, loadable(data))
    return seen


def _watch(stack, module, seen):
    """Hooks on all modules; a call is noted when it ends, so that inner ones come first."""
    inside = {
        id(part) for one in module.modules() if isinstance(one, OPAQUE) for part in one.modules() if part is not one
    }

    def begin(called, args):
        called._age = len(seen.ages)

    def end(name, called, args, made):
        seen.see(made)
        seen.calls.append(Call(name, called, args, made, id(called) in inside, called._age))

    for name, part in module.named_modules():
        stack.callback(part.register_forward_pre_hook(begin).remove)
        stack.callback(part.register_forward_hook(functools.partial(end, name)).remove)


def trainer(module, given, **ours):
    """A Trainer of the Lightning that the module is of, which writes nothing."""
    callbacks = [one for one in given.get("callbacks", ()) if type(one).__name__ not in WRITING]
    ours = {"max_epochs": 1, "callbacks": copy.deepcopy(callbacks)} | ours
    return lightning_of(module).Trainer(**{**given, **QUIET, **ours})


def loadable(data):
    """What a Trainer takes: it takes a list for one loader per item."""
    return Mapped(data, lambda batch: batch) if isinstance(data, (list, tuple)) else data


def lightning_of(module):
    """`lightning.pytorch`, or `pytorch_lightning` where the module comes from it."""
    if any(cls.__module__.startswith("pytorch_lightning") for cls in type(module).__mro__):
        import pytorch_lightning

        return pytorch_lightning
    return lightning.pytorch


@contextmanager
def quietly():
    """No word of Lightning's, and no warning."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "pytorch_lightning")]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)


@contextmanager
def kept_random():
    """The random numbers go on afterwards as if nothing had been drawn."""
    python, numbers = random.getstate(), numpy.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(python)
        numpy.random.set_state(numbers)


# --- the data


def loader(task, change):
    """What the training draws its batches from is `change(loader)`."""
    if hasattr(task.data, "train_dataloader"):
        override(task.data, "train_dataloader", lambda self, inherited: change(inherited()))
    else:
        task.data = change(task.data)


def batches(task, change):
    """Each batch is `change(batch)`, from the collate function on; `change` gives back another one."""
    loader(task, lambda given: batched(given, change))


def batched(given, change):
    """A loader, or another iterable, of changed batches."""
    if isinstance(given, DataLoader):
        collate = given.collate_fn
        return rebuilt(given, collate_fn=lambda samples: change(collate(samples)))
    return [change(batch) for batch in given] if isinstance(given, (list, tuple)) else Mapped(given, change)


class Mapped:
    """An iterable of batches, each of them changed."""

    def __init__(self, batches, change):
        self.batches = batches
        self.change = change

    def __iter__(self):
        """From the start."""
        return map(self.change, iter(self.batches))


def rebuilt(given, **changes):
    """A loader like the given one, with other arguments."""
    kwargs = {
        name: getattr(given, name)
        for name in ("dataset", "collate_fn", "num_workers", "generator", "persistent_workers", "worker_init_fn")
    }
    if given.batch_sampler is not None and type(given.batch_sampler) is not BatchSampler:
        kwargs["batch_sampler"] = given.batch_sampler
    else:
        kwargs |= {"batch_size": given.batch_size, "drop_last": given.drop_last} | _order(given)
    return DataLoader(**kwargs | changes)


def _order(given):
    if isinstance(given.dataset, IterableDataset) or type(given.sampler) is SequentialSampler:
        return {}
    if type(given.sampler) is RandomSampler and not given.sampler.replacement:
        return {"shuffle": True}
    return {"sampler": given.sampler}


def at(places, change):
    """A change of a batch: the leaves at these places are changed, together: `change(leaves) -> leaves`."""

    def changed(batch):
        leaves, shape = tree_flatten(batch)
        for place, leaf in zip(places, change([leaves[place] for place in places]), strict=True):
            leaves[place] = leaf
        return tree_unflatten(leaves, shape)

    return changed


def each(change):
    """A change of leaves, one by one."""
    return lambda leaves: [change(leaf) for leaf in leaves]


class Mixed(Dataset):
    """Sample i, with the leaves at these places taken from sample `other(count)[i]`."""

    def __init__(self, dataset, places, other):
        self.dataset = dataset
        self.places = places
        self.other = other

    def __len__(self):
        """As before."""
        return len(self.dataset)

    def __getitem__(self, index):
        """The sample, with leaves of the other one."""
        leaves, shape = tree_flatten(self.dataset[index])
        others = tree_flatten(self.dataset[int(self.other(len(self))[index])])[0]
        for place in self.places:
            leaves[place] = others[place]
        return tree_unflatten(leaves, shape)


def mix(task, seen, places, other):
    """Leaves come from other samples of the dataset; from other rows of the batch where samples are built otherwise."""
    count = len(tree_flatten(seen.batch)[0])

    def row_by_row(batch):
        rows = other(len(tensors(batch)[0]))
        return at(places, each(lambda leaf: leaf[rows] if leaf.dim() and len(leaf) == len(rows) else leaf))(batch)

    def changed(given):
        if isinstance(given, DataLoader) and (own := _of_samples(given.dataset, places, count)):
            return rebuilt(given, dataset=Mixed(given.dataset, own, other))
        return batched(given, row_by_row)

    loader(task, changed)


def _of_samples(dataset, places, count):
    """The places in a sample that are these in a batch; none where samples are built otherwise."""
    if isinstance(dataset, IterableDataset) or len(dataset) < 2:
        return []
    with kept_random():
        leaves = len(tree_flatten(dataset[0])[0])
    if leaves == count:
        return list(places)
    return [leaves - 1] if list(places) == [count - 1] and leaves > 1 else []  # labels come last, before and after
