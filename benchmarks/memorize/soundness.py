"""Is a mutant a defect in this program at all, or does it change nothing? A no-op is no pair.

Neither is a mutant with which the program stops at an exception: that is not silent, and nobody needs to look for it.
"""

from dataclasses import dataclass, field

import lightning.pytorch
import torch
from torch.utils._pytree import tree_flatten, tree_map_only

from .mutants.surgery import kept_random, loadable, override, quietly, trainer
from .task import Knobs

STEPS = 5
SEED = 0


@dataclass
class Run:
    """What five real steps of a training did; lists of tensors and numbers."""

    batches: list = field(default_factory=list)
    losses: list = field(default_factory=list)
    gradients: list = field(default_factory=list)
    metrics: dict = field(default_factory=dict)
    evaluated: list = field(default_factory=list)
    trainable: list = field(default_factory=list)
    state: dict = field(default_factory=dict)
    parameters: list = field(default_factory=list)


def changes(program, mutant):
    """Whether the mutant, put into the program, does anything in five steps, and they run to their end."""
    return bool(differences(program, mutant))


def differences(program, mutant):
    """In what the mutated training differs from the healthy one: names of the fields of `Run`; none where it stops."""
    healthy = run(program.build(Knobs()))
    task = program.build(Knobs())
    task = mutant.apply(task) or task
    try:
        mutated = run(task)
    except Exception:  # whatever it is, it is loud
        return ()
    return tuple(name for name, seen in vars(healthy).items() if not same(seen, getattr(mutated, name)))


def run(task):
    """Train for five steps with one seed, validate on one batch, and evaluate on the first batch."""
    module, seen = task.module, Run()

    def step(self, inherited, batch, *args, **kwargs):
        seen.batches.append(copied(batch))
        return inherited(batch, *args, **kwargs)

    def before(self, inherited, optimizer):
        result = inherited(optimizer)
        seen.gradients.append([copied(one.grad) for group in optimizer.param_groups for one in group["params"]])
        return result

    def end(self, inherited, outputs, *args):
        seen.losses.append(copied(outputs))
        return inherited(outputs, *args)

    with quietly(), kept_random():
        override(module, "training_step", step)
        override(module, "on_before_optimizer_step", before)
        override(module, "on_train_batch_end", end)
        lightning.pytorch.seed_everything(SEED, verbose=False)
        fit = trainer(module, task.trainer, limit_train_batches=STEPS, limit_val_batches=1)
        fit.fit(module, loadable(task.data))
        _after(module, fit, seen)
    return seen


def _after(module, fit, seen):
    seen.metrics = {name: value.clone() for name, value in fit.callback_metrics.items()}
    seen.trainable = [one.requires_grad for one in module.parameters()]
    seen.parameters = [one.detach() for one in module.parameters()]
    seen.state = copied(module.state_dict())
    if module.automatic_optimization and len(seen.batches) > 0:
        module.eval()
        module.log = module.log_dict = lambda *args, **kwargs: None  # only a loop of Lightning's takes them
        torch.manual_seed(SEED)
        seen.evaluated = [copied(module.training_step(seen.batches[0], 0))]  # with gradients: some losses take them


def copied(value):
    """The same, with all tensors as they are now."""
    return tree_map_only(torch.Tensor, lambda one: one.detach().clone(), value)


def same(one, other):
    """Whether two such collections are equal; NaN is equal to itself."""
    ones, others = tree_flatten(one), tree_flatten(other)
    return ones[1] == others[1] and all(map(_equal, ones[0], others[0]))


def _equal(one, other):
    if not isinstance(one, torch.Tensor) or not isinstance(other, torch.Tensor):
        return type(one) is type(other) and bool(one == other)
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one, other) or torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)
