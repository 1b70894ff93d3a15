"""Defects of the optimizer, of its schedule, and of what happens between backward and step.

Left out: O16 (a clip of the wrong parameters shows in no single step, and there is no scaler on the CPU).
"""

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, StepLR

from .surgery import anywhere, defect, look, on, override

automatic = on(
    "classes", "binary", "multilabel", "regression", "autoencoder", "causal", "contrastive", "graph", "noise",
    "images", "tabular", "tokens", "sequence", "unbounded", without=("manual",),
)  # fmt: skip


def found(configured, kind):
    """All optimizers (or schedulers) in what configure_optimizers returned."""
    if isinstance(configured, kind):
        return [configured]
    parts = configured.values() if isinstance(configured, dict) else configured
    return [one for part in parts for one in found(part, kind)] if isinstance(configured, (dict, list, tuple)) else []


def configured(module, change):
    """`configure_optimizers` returns its optimizers after `change(module, optimizers)`, or what that returns."""

    def around(self, inherited):
        result = inherited()
        return change(self, result) or result

    override(module, "configure_optimizers", around)


def groups(task, change):
    """Each parameter group of each optimizer is changed in place."""

    def changed(module, result):
        for optimizer in found(result, Optimizer):
            for group in optimizer.param_groups:
                change(group)

    configured(task.module, changed)


def scaled(task, factor):
    """All learning rates are times the factor, those of a schedule as well."""

    def changed(module, result):
        for optimizer in found(result, Optimizer):
            for group in optimizer.param_groups:
                for name in group.keys() & {"lr", "initial_lr", "max_lr", "min_lr"}:
                    group[name] = group[name] * factor
        for scheduler in found(result, LRScheduler):
            if hasattr(scheduler, "base_lrs"):
                scheduler.base_lrs = [rate * factor for rate in scheduler.base_lrs]

    configured(task.module, changed)


@defect("O01-rate-too-low", ("updates-are-sized", "parameters-move"), anywhere, "TDC:low_lr, DC:change_learning_rate")
def rate_too_low(task):
    """The learning rate is 10,000 times too low."""
    scaled(task, 1e-4)


@defect("O02-rate-too-high", ("updates-are-sized", "loss-is-finite", "loss-falls"), anywhere, "TDC:high_lr")
def rate_too_high(task):
    """The learning rate is 1,000 times too high."""
    scaled(task, 1e3)


def _only(task, wanted):
    """The optimizers keep those of the parameters that `wanted(module)` gives."""

    def changed(module, result):
        kept = {id(one) for one in wanted(module)}
        for optimizer in found(result, Optimizer):
            for group in optimizer.param_groups:
                group["params"] = [one for one in group["params"] if id(one) in kept]

    configured(task.module, changed)


@defect("O03-head-only", ("parameters-are-optimized",), on("hidden", without=("manual",)), "TC:pytorch-forum-84911")
def head_only(task):
    """The optimizer was given the parameters of the last layer alone."""
    head = look(task).head
    if head:
        _only(task, lambda module: module.get_submodule(head).parameters())


@defect("O03-layer-left-out", ("parameters-are-optimized",), on("hidden"), "TC:pytorch-forum-84911")
def layer_left_out(task):
    """The optimizer was given all parameters but those of the first layer."""
    layers = look(task).layers
    if len(layers) > 1:
        left = layers[0].name

        def others(module):
            out = {id(one) for one in module.get_submodule(left).parameters()}
            return [one for one in module.parameters() if id(one) not in out]

        _only(task, others)


@defect("O04-stale-copy", ("parameters-are-optimized", "parameters-move"), anywhere, "TC:AC-2665")
def stale_copy(task):
    """The optimizer holds a copy of the parameters from before they were moved."""

    def copied(group):
        group["params"] = [torch.nn.Parameter(one.detach().clone()) for one in group["params"]]

    groups(task, copied)


def _not_zeroed(task):
    if task.module.automatic_optimization:
        return override(task.module, "optimizer_zero_grad", lambda self, inherited, *args: None)

    def changed(module, result):
        for optimizer in found(result, Optimizer):
            override(optimizer, "zero_grad", lambda self, inherited, *args, **kwargs: None)

    configured(task.module, changed)


@defect("O05-not-zeroed", ("gradients-are-fresh",), anywhere, "TC:stackoverflow-60335387")
def not_zeroed(task):
    """Gradients are never set to zero, with an optimizer that scales them (Adam)."""
    if not any(issubclass(one, torch.optim.SGD) for one in look(task).optimizers):
        _not_zeroed(task)


@defect("O06-wiped-before-step", ("gradients-are-kept", "parameters-move"), anywhere, "HT")
def wiped_before_step(task):
    """Gradients are set to zero between backward and step."""
    override(
        task.module,
        "on_before_optimizer_step",
        lambda self, inherited, optimizer: optimizer.zero_grad(set_to_none=False),
    )


@defect("O07-decay-100", ("decay-is-small", "loss-is-finite", "updates-are-sized"), anywhere, "DC: regularisation")
def decay_100(task):
    """The weight decay is 100."""
    groups(task, lambda group: group.update(weight_decay=100.0))


def _scheduled(task, schedule):
    """The one optimizer has this schedule, stepped at every step."""

    def changed(module, result):
        optimizers = found(result, Optimizer)
        if len(optimizers) == 1:
            scheduler = {"scheduler": schedule(optimizers[0]), "interval": "step"}
            return {"optimizer": optimizers[0], "lr_scheduler": scheduler}

    configured(task.module, changed)


@defect("O08-epochs-for-steps", ("learning-rate-holds", "loss-falls"), automatic)
def epochs_for_steps(task):
    """A schedule made for epochs (half of the rate after each) is stepped at every step."""
    _scheduled(task, lambda optimizer: StepLR(optimizer, step_size=1, gamma=0.5))


@defect("O09-clipped-away", ("gradients-are-kept", "updates-are-sized"), automatic, "DC:change_gradient_clip")
def clipped_away(task):
    """The norm of the gradient is clipped to a millionth."""
    task.trainer["gradient_clip_val"] = 1e-6
    task.trainer.pop("gradient_clip_algorithm", None)


@defect("O10-maximized", ("optimizer-descends", "loss-sign"), anywhere, "TDC:flipped_sign")
def maximized(task):
    """The optimizer maximizes."""
    groups(task, lambda group: group.update(maximize=True))


@defect("O11-never-stepped", ("parameters-move",), anywhere, "HT")
def never_stepped(task):
    """The backward runs, the optimizer is never stepped."""

    def step(self, inherited, epoch, batch_idx, optimizer, closure=None):
        closure()

    if task.module.automatic_optimization:
        return override(task.module, "optimizer_step", step)

    def changed(module, result):
        for optimizer in found(result, Optimizer):
            override(optimizer, "step", lambda self, inherited, closure=None: closure() if closure else None)

    configured(task.module, changed)


@defect("O12-rebuilt-every-step", ("optimizer-keeps-state",), automatic)
def rebuilt_every_step(task):
    """The optimizer is made anew for every step, so that it forgets its moments."""

    def start(self, inherited, *args):
        self.trainer.strategy.setup_optimizers(self.trainer)
        return inherited(*args)

    override(task.module, "on_train_batch_start", start)


@defect("O13-warmup-stuck", ("learning-rate-holds", "parameters-move", "updates-are-sized"), automatic)
def warmup_stuck(task):
    """The warm-up takes a billion steps: the rate stays at nothing."""
    _scheduled(task, lambda optimizer: LambdaLR(optimizer, lambda step: min(1.0, step / 1e9)))


@defect("O14-not-zeroed-momentum", ("gradients-are-fresh",), anywhere, "TC:stackoverflow-60335387")
def not_zeroed_momentum(task):
    """Gradients are never set to zero, with SGD."""
    if any(issubclass(one, torch.optim.SGD) for one in look(task).optimizers):
        _not_zeroed(task)


@defect("O15-epsilon-1", ("updates-are-sized",), anywhere, "TDC:low_adam_epsilon")
def epsilon_1(task):
    """Adam's epsilon is 1, so that the gradient's size is no longer divided out."""

    def changed(group):
        if "eps" in group:
            group["eps"] = 1.0

    groups(task, changed)


@defect("O17-strangers-optimized", ("parameters-are-optimized",), on("manual"))
def strangers_optimized(task):
    """The first of two optimizers has the parameters of the second as well."""

    def changed(module, result):
        optimizers = found(result, Optimizer)
        if len(optimizers) > 1:
            own = {id(one) for group in optimizers[0].param_groups for one in group["params"]}
            others = [one for group in optimizers[1].param_groups for one in group["params"] if id(one) not in own]
            optimizers[0].param_groups[0]["params"] += others

    configured(task.module, changed)


MUTANTS = (
    rate_too_low,
    rate_too_high,
    head_only,
    layer_left_out,
    stale_copy,
    not_zeroed,
    wiped_before_step,
    decay_100,
    epochs_for_steps,
    clipped_away,
    maximized,
    never_stepped,
    rebuilt_every_step,
    warmup_stuck,
    not_zeroed_momentum,
    epsilon_1,
    strangers_optimized,
)
