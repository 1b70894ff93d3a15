"""Bugs to be put into a training, each with what it does first: at which step, to which part of it, in which module.

The truths were written down before any of them was run, from what each change does. Where the step depends on numbers
that only a training can tell (is the gradient ever longer than the limit? when is a wrong sample served?), it is read
from the sound training's trace by a witness that knows nothing of the probe.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from . import data
from .recipe import PROGRAMS, Recipe

EPOCH = {"vision": 30, "text": 22, "tabular": 22}  # steps
V, T, B = PROGRAMS  # vision, text, tabular


@dataclass(frozen=True)
class Trace:
    """The sound training, as its witness saw it: per step the norm of the gradient and its largest part."""

    norms: Sequence[float]
    largest: Sequence[float]
    recipe: Recipe

    def longer(self, limit: float) -> int:
        """The first step whose gradient is longer."""
        return next(step for step, norm in enumerate(self.norms, 1) if norm > limit)

    def served(self, samples: Sequence[int]) -> int:
        """The first step that one of these is served in."""
        batches = data.served(self.recipe, self.recipe.seed, len(self.norms))
        return next(step for step, batch in enumerate(batches, 1) if {*batch} & {*samples})


@dataclass(frozen=True)
class Truth:
    """`kinds` are those that are right; of a bug that is all over the place more than one. `places` begin the names
    (modules, parameters, settings) that are right; none where there is nothing to name.
    """

    step: int | Callable[[Trace], int]
    kinds: tuple[str, ...]
    places: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bug:
    """One change, and its truth in each program that it fits."""

    name: str
    change: Callable[[Recipe], None]
    truths: dict[str, Truth] = field(default_factory=dict)


def turned(**knobs: Any) -> Callable[[Recipe], None]:
    """A change that sets knobs; what is callable is asked with the knob as it was."""

    def change(recipe: Recipe) -> None:
        for name, value in knobs.items():
            setattr(recipe, name, value(getattr(recipe, name)) if callable(value) else value)

    return change


def built(edit: Callable[[Any], None]) -> Callable[[Recipe], None]:
    """A change of the module, once it is made."""
    return lambda recipe: recipe.built.append(edit)


def everywhere(step: Any, kind: str | tuple[str, ...], *places: str) -> dict[str, Truth]:
    """The same truth in all three."""
    return dict.fromkeys(PROGRAMS, _truth(step, kind, *places))


def _truth(step: Any, kind: str | tuple[str, ...], *places: str) -> Truth:
    return Truth(step, (kind,) if isinstance(kind, str) else kind, places)


def by(step: Any, kind: str | tuple[str, ...], **places: str | tuple[str, ...]) -> dict[str, Truth]:
    """A truth whose place has another name in each program; `step` may be one per program."""
    found = {}
    for program, names in places.items():
        at = step[program] if isinstance(step, dict) else step
        found[program] = _truth(at, kind, *((names,) if isinstance(names, str) else names))
    return found


def epochs(many: int, more: int = 0) -> dict[str, int]:
    """So many epochs' steps, by program, and some more."""
    return {program: many * steps + more for program, steps in EPOCH.items()}


def at(steps: dict[str, int], kind: str | tuple[str, ...], *places: str) -> dict[str, Truth]:
    """The same at a step of each program's own."""
    return {program: _truth(step, kind, *places) for program, step in steps.items()}


# Settings of the optimizer

COSINE = {program: one.warmup + 2 for program, one in PROGRAMS.items()}  # the first step where its length matters
OPTIMIZER = [
    Bug("the learning rate, 1 % up", turned(lr=lambda lr: 1.01 * lr), everywhere(1, "optimizer", "lr")),
    Bug("the last layer's own rate is lost", turned(head=1.0), everywhere(1, "optimizer", "lr")),
    Bug("momentum 0.9 to 0.85", turned(momentum=0.85), by(1, "optimizer", vision="momentum")),
    Bug("nesterov lost", turned(nesterov=False), by(1, "optimizer", vision="nesterov")),
    Bug("beta 2 0.999 to 0.99", turned(betas=(0.9, 0.99)), by(1, "optimizer", text="betas", tabular="betas")),
    Bug("beta 1 0.9 to 0.8", turned(betas=(0.8, 0.999)), by(1, "optimizer", text="betas", tabular="betas")),
    Bug("eps 1e-8 to 1e-6", turned(eps=1e-6), by(1, "optimizer", text="eps", tabular="eps")),
    Bug("amsgrad", turned(amsgrad=True), by(1, "optimizer", text="amsgrad", tabular="amsgrad")),
    Bug("weight decay lost", turned(decay=0.0), everywhere(1, "optimizer", "weight_decay")),
    Bug("norms and biases decay too", turned(decay_all=True), everywhere(1, "optimizer", "weight_decay")),
    Bug("Adam for AdamW", turned(optimizer="Adam"), {one: _truth(1, "optimizer") for one in (T, B)}),
    Bug("AdamW for SGD", turned(optimizer="AdamW", lr=3e-3), {V: _truth(1, "optimizer")}),
    Bug("warmup lost", turned(warmup=0), everywhere(1, "optimizer", "lr")),
    Bug("the schedule, 5 % longer", turned(horizon=lambda all: round(1.05 * all)), at(COSINE, "optimizer", "lr")),
    Bug("the schedule ends at a tenth", turned(floor=0.1), at(COSINE, "optimizer", "lr")),
    Bug("the schedule by epoch", turned(per_epoch=True), everywhere(2, "optimizer", "lr")),
    Bug("the schedule, one step on", turned(shifted=1), everywhere(1, "optimizer", "lr")),
    Bug(
        "the rate is halved after 3 epochs",
        lambda recipe: setattr(recipe, "halved", 3 * EPOCH[recipe.program]),
        at(epochs(3, 1), "optimizer", "lr"),
    ),
    Bug("gradients of two batches", turned(accumulated=2), everywhere(1, ("optimizer", "backward"))),
    Bug("each tenth step is not taken", turned(skipped=10), everywhere(10, ("optimizer", "backward"))),
]

# Gradients

LIMIT = {program: one.clip for program, one in PROGRAMS.items()}


def _clipped(trace: Trace) -> int:
    return trace.longer(LIMIT[trace.recipe.program])


def _clipped_by_value(trace: Trace) -> int:
    limit = LIMIT[trace.recipe.program]
    large = [step for step, one in enumerate(trace.largest, 1) if one > limit]
    return min([_clipped(trace), *large])


HIDDEN = {V: "net.block.conv.weight", T: "net.blocks.0.fc1.weight", B: "net.block.fc.weight"}
LOWEST = {V: "net.conv.weight", T: "net.position.weight", B: "net.fc.weight"}


def hooked(pick: Callable[[str], bool], hook: Callable[[Any], Any]) -> Callable[[Recipe], None]:
    """A change of the gradients of some parameters, as they come."""

    def edit(module: Any) -> None:
        for name, one in module.named_parameters():
            if pick(name):
                one.register_hook(hook)

    return built(edit)


def _rounded(gradient: Any) -> Any:
    return gradient.bfloat16().float()


def _frozen(module: Any) -> None:
    module.get_parameter(LOWEST[module.recipe.program]).requires_grad_(False)


def later(many: int, edit: Callable[[Any], None]) -> Callable[[Recipe], None]:
    """A change of the module as an epoch begins (counted from 0)."""

    def when(module: Any) -> None:
        module.on_train_epoch_start = lambda: edit(module) if module.current_epoch == many else None

    return built(when)


CUT = {V: "block", T: "blocks", B: "head"}
ABOVE = {V: ("net.conv", "net.norm"), T: ("net.position", "net.embed", "net.head"), B: ("net.",)}


def _cut(module: Any) -> None:
    one = module.net.get_submodule(CUT[module.recipe.program])
    one.register_forward_pre_hook(lambda _, given: tuple(x.detach() for x in given))


def _by_frequency(module: Any) -> None:
    for one in module.modules():
        if isinstance(one, nn.Embedding):
            one.scale_grad_by_freq = True


BACKWARD = [
    Bug("clipping lost", turned(clip=None), everywhere(_clipped, "clip")),
    Bug("clipping at twice as much", turned(clip=lambda limit: 2 * limit), everywhere(_clipped, "clip")),
    Bug("clipping by value", turned(clip_by="value"), everywhere(_clipped_by_value, "clip")),
    Bug("gradients in bfloat16", hooked(lambda name: True, _rounded), everywhere(1, "backward")),
    Bug(
        "a layer's gradient, 1 % up",
        hooked(lambda name: name in HIDDEN.values(), lambda gradient: 1.01 * gradient),
        by(1, "backward", **HIDDEN),
    ),
    Bug("gradients are not set to zero", turned(zeroed=False), everywhere(2, "backward")),
    Bug("the lowest layer is frozen", built(_frozen), by(1, "backward", **LOWEST)),
    Bug("the lowest layer is frozen after an epoch", later(1, _frozen), by(epochs(1, 1), "backward", **LOWEST)),
    Bug("cut off by detach", built(_cut), by(1, "backward", **ABOVE)),
    Bug(
        "rare categories weigh more",
        built(_by_frequency),
        by(1, "backward", text=("net.embed", "net.position", "net.head"), tabular="net.category"),
    ),
]

# Data

WRONG = (3, 57, 111, 160, 204, 251, 299, 330)  # samples


def _mislabelled(samples: Any) -> None:
    for sample in WRONG:
        target = samples.targets[sample]
        if target.ndim:
            target[0] = (target[0] + 1) % 90
        else:
            samples.targets[sample] = (target + 1) % 10 if not target.is_floating_point() else target + 0.5


def _twice(samples: Any) -> None:
    samples.inputs[5], samples.targets[5] = samples.inputs[0], samples.targets[0]


def _reordered(samples: Any) -> None:
    order = [*range(len(samples))]
    order[200:208] = reversed(order[200:208])
    samples.inputs, samples.targets = samples.inputs[order], samples.targets[order]


def _short(samples: Any) -> None:
    samples.inputs = samples.inputs.half().float()


def edited(edit: Callable[[Any], None]) -> Callable[[Recipe], None]:
    """A change of the training samples."""
    return lambda recipe: recipe.edits.append(edit)


def _first(*samples: int) -> Callable[[Trace], int]:
    return lambda trace: trace.served(samples)


DATA = [
    Bug("the order is not shuffled", turned(shuffled=False), everywhere(1, "data")),
    Bug("another order", turned(order_seed=1), everywhere(1, "data")),
    Bug("each epoch in the same order", turned(reshuffled=False), at(epochs(1, 1), "data")),
    Bug("the last batch is dropped", turned(drop_last=True), at(epochs(1), "data")),
    Bug("a batch of one more", turned(batch=lambda many: many + 1), everywhere(1, "data")),
    Bug("another mean is taken off", turned(normalised=(0.01, 1.0)), {one: _truth(1, "data") for one in (V, B)}),
    Bug("another deviation divides", turned(normalised=(0.0, 1.02)), {one: _truth(1, "data") for one in (V, B)}),
    Bug("augmentation lost", turned(augmented=0.0), everywhere(1, "data")),
    Bug("augmentation, twice as strong", turned(augmented=2.0), everywhere(1, "data")),
    Bug("augmentation in the first epoch only", turned(augmented_until=1), at(epochs(1, 1), "data")),
    Bug("a few wrong labels", edited(_mislabelled), everywhere(_first(*WRONG), "data")),
    Bug("a sample in place of another", edited(_twice), everywhere(_first(5), "data")),
    Bug(
        "ties are sorted otherwise",
        edited(_reordered),
        everywhere(_first(*range(200, 208)), "data"),
    ),
    Bug("stored in half precision", edited(_short), {one: _truth(1, "data") for one in (V, B)}),
    Bug("another split", turned(split_seed=8), everywhere(1, "data")),
    Bug("another seed", turned(seed=43), everywhere(1, ("data", "rng", "init"))),
]

# Random numbers and what the weights begin with


def _draws_each_step(module: Any) -> None:
    module.on_train_batch_end = lambda *_: torch.rand(1)


def _draws_in_validation(module: Any) -> None:
    before = module.on_validation_epoch_end

    def after() -> None:
        before()
        torch.rand(1)

    module.on_validation_epoch_end = after


def _scaled(module: Any) -> None:
    with torch.no_grad():
        module.get_parameter(HIDDEN[module.recipe.program]).mul_(1.01)


def _zeroed(module: Any) -> None:
    with torch.no_grad():
        module.net.head.bias.zero_()


EMBEDDING = ("net.embed", "net.head", "average_embed", "average_head")
BEGINNING = [
    Bug("a random number more, before", built(lambda module: torch.rand(1)), everywhere(1, "rng")),
    Bug("a random number more, each step", built(_draws_each_step), everywhere(2, "rng")),
    Bug("a random number more, each validation", built(_draws_in_validation), at(epochs(1, 1), "rng")),
    Bug("a layer begins 1 % larger", built(_scaled), by(1, "init", **HIDDEN)),
    Bug("the last bias begins at zero", built(_zeroed), everywhere(1, "init", "net.head.bias")),
    Bug("the last bias is lost", turned(biased=False), everywhere(1, "init", "net.head.bias", "average_head_bias")),
    # Of the table no row has the category 0: there this changes a weight that nothing ever uses.
    Bug("the padding is no longer zero", turned(padding=False), by(1, "init", text=EMBEDDING)),
    Bug("tied weights are untied", turned(tied=False), by(1, "init", text=("net.head", "average_head"))),
    Bug("classes have weights", turned(weights=True), by(1, ("init", "forward"), vision="criterion")),
]

# The network and its loss

NORM = {V: "net.norm", T: "net.blocks.0.norm1", B: "net.norm"}
ACT = {V: "net.act", T: "net.blocks.0.act", B: "net.act"}
BLOCK = {V: "net.block", T: "net.blocks.0", B: "net.block"}
LOSS = {V: ("criterion", "loss"), T: "loss", B: "loss"}
PRODUCT = {V: "net.conv", T: "net.blocks.0.attention.qkv", B: "net.fc"}
STANDS_STILL = {V: "net.norm", T: "net.drop", B: "net.norm"}
ATTENTION = "net.blocks.0.attention"


def _pooled(module: Any) -> None:
    module.net.pool = nn.AvgPool2d(2)


def _cast(module: Any) -> None:
    forward = module.net.forward

    def narrow(*given: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return forward(*given).float()

    module.net.forward = narrow


def _undropped(module: Any) -> None:
    module.net.drop.p = 0.0


def _stands_still(module: Any) -> None:
    module.on_train_epoch_start = lambda: module.net.eval() if module.current_epoch else None


FORWARD = [
    Bug("dropout 0.1 to 0.2", turned(dropout=0.2), everywhere(1, "forward", "net.drop")),
    Bug("dropout lost", turned(dropout=0.0), everywhere(1, "forward", "net.drop")),
    Bug("dropout lost after 2 epochs", later(2, _undropped), at(epochs(2, 1), "forward", "net.drop")),
    Bug("a norm's eps 1e-5 to 1e-3", turned(norm_eps=1e-3), by(1, "forward", **NORM)),
    Bug("gelu by tanh", turned(activation="tanh"), by(1, "forward", **ACT)),
    Bug("silu for gelu", turned(activation="silu"), by(1, "forward", **ACT)),
    Bug("residual connection lost", turned(residual=0.0), by(1, "forward", **BLOCK)),
    Bug("residual connection halved", turned(residual=0.5), by(1, "forward", **BLOCK)),
    Bug("positions, one on", turned(offset=1), by(1, "forward", text="net.position")),
    Bug("the causal mask is lost", turned(causal=False), by(1, "forward", text=ATTENTION)),
    Bug("attention is not scaled", turned(scaled=False), by(1, "forward", text=ATTENTION)),
    Bug("mean for max pooling", built(_pooled), by(1, "forward", vision="net.pool")),
    Bug("autocast to bfloat16", built(_cast), by(1, "forward", **PRODUCT)),
    Bug("stays in evaluation mode", built(_stands_still), by(epochs(1, 1), "forward", **STANDS_STILL)),
    Bug("smoothing 0.05 to 0.06", turned(smoothing=0.06), by(1, "forward", **LOSS)),
    Bug("a sum for the mean", turned(reduction="sum"), by(1, "forward", **LOSS)),
    Bug("the loss in bfloat16", turned(loss_dtype="bfloat16"), by(1, "forward", **LOSS)),
    Bug("weight decay in the loss", turned(penalty=1e-4), everywhere(1, "forward", "loss")),
]

# Buffers and the evaluation


def validated(edit: Callable[[Any, Any], Any]) -> Callable[[Recipe], None]:
    """A change of the set that is validated on; `edit` is given that of the training too."""
    return lambda recipe: recipe.validated.append(edit)


def _training_samples(held: Any, training: Any) -> Any:
    return data.Samples(training.inputs[: len(held)], training.targets[: len(held)])


def _fewer(held: Any, training: Any) -> Any:
    return data.Samples(held.inputs[:-9], held.targets[:-9])


def _shifted(held: Any, training: Any) -> Any:
    return data.Samples(torch.cat([held.inputs[:, :9] + 0.01, held.inputs[:, 9:]], 1), held.targets)


EVALUATION = [
    Bug(
        "a norm's momentum 0.1 to 0.05",
        turned(norm_momentum=0.05),
        by(1, "buffer", vision=("net.norm", "net.block.norm"), tabular=("net.norm", "net.block.norm")),
    ),
    Bug("the average decays by 0.9", turned(averaged=0.9), everywhere(1, "buffer", "average_")),
    Bug("dropout in evaluation", turned(validation="training mode"), at(epochs(1), "evaluation")),
    Bug("the score of other samples' targets", turned(validation="misaligned"), at(epochs(1), "evaluation")),
    Bug("evaluated on training samples", validated(_training_samples), at(epochs(1), "evaluation")),
    Bug("the last samples are not evaluated", validated(_fewer), at(epochs(1), "evaluation")),
    Bug(
        "evaluated on shifted samples",
        validated(_shifted),
        {one: _truth(EPOCH[one], "evaluation") for one in (V, B)},
    ),
    Bug("evaluated without the average", turned(average_used=False), at(epochs(1), "evaluation")),
    Bug(
        "evaluated twice an epoch",
        lambda recipe: recipe.trainer.update(val_check_interval=0.5),
        {program: _truth(steps // 2, "evaluation") for program, steps in EPOCH.items()},
    ),
]

BUGS = (*OPTIMIZER, *BACKWARD, *DATA, *BEGINNING, *FORWARD, *EVALUATION)


# Commits that are sound


class Reads(Callback):
    """Looks at the weights after each step, and changes nothing."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        """As many a logger does."""
        self.norm = sum(one.detach().square().sum() for one in pl_module.parameters())


def _logs(module: Any) -> None:
    before = module.on_validation_epoch_end

    def after() -> None:
        before()
        module.log("learning_rate", module.trainer.optimizers[0].param_groups[0]["lr"])

    module.on_validation_epoch_end = after


def _gelu(module: Any) -> None:
    for one in module.modules():
        if isinstance(one, nn.GELU):
            one.forward = lambda x: 0.5 * x * (1 + torch.erf(x / 2**0.5))


def _reads_gradients(module: Any) -> None:
    for one in module.parameters():
        one.register_hook(lambda gradient: None)


# Nothing in these changes a bit of the training.
KEPT = (
    ("documentation", lambda recipe: None),
    ("a callback that reads", lambda recipe: recipe.trainer.update(callbacks=[Reads()])),
    ("one more metric", built(_logs)),
    ("a hyperparameter is saved", built(lambda module: module.save_hyperparameters({"note": "why"}))),
    ("the last layer has another name", turned(last="readout")),
    ("a constant is a buffer", built(lambda module: module.register_buffer("constant", torch.ones(3)))),
    ("batches by a function of its own", turned(collated=True)),
    ("gradients are read", built(_reads_gradients)),
)
# These are the same but for rounding.
ROUNDED = (
    ("layers written out", turned(by_hand=True)),
    ("a sum, divided", turned(reduction="sum", summed=True)),
    ("gelu written out", built(_gelu)),
    ("the average written out", turned(average_by_hand=True)),
    ("evaluated in smaller batches", turned(validated_at_once=40)),
)
