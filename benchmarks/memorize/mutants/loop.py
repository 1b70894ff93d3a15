"""Defects of the loop: modes, metrics, checkpoints, precision.

Left out, because a batch of training has no trace of them: E02 (validation in train mode) and E04 (`val_loss` is the
training's); P02, because autocast on or off is a benign change of this benchmark; X01, which takes two processes.
"""

import torch
from torch.optim.swa_utils import AveragedModel

from .optimizer import scaled
from .surgery import anywhere, defect, look, on, override, replace_functions, returned

moody = on("batchnorm", "dropout")


@defect("E01-eval-before-fit", ("trains-in-train-mode",), moody, "PL#20986, PL#20216, PL#20573")
def eval_before_fit(task):
    """The module was put into eval mode before the training, and nothing puts it back."""
    task.module.eval()


@defect("E01-eval-in-step", ("trains-in-train-mode",), moody, "PL#20216")
def eval_in_step(task):
    """`training_step` begins with `self.eval()`, left there from a hunt for another bug."""

    def step(self, inherited, *args, **kwargs):
        self.eval()
        return inherited(*args, **kwargs)

    override(task.module, "training_step", step)


@defect("E03-metric-off-by-one", ("metric-agrees",), on("classes"), "SO 62354952, SO 56841451")
def metric_off_by_one(task):
    """The accuracy drops the first class before it looks for the largest logit."""

    def shifted(func, x, dim=None, keepdim=False):
        if x.dim() < 2 or dim not in (1, -1) or x.shape[dim] < 3:
            return func(x, dim=dim, keepdim=keepdim)
        return func(x.narrow(dim, 1, x.shape[dim] - 1), dim=dim, keepdim=keepdim)

    replace_functions(task.module, {torch.argmax: shifted, torch.Tensor.argmax: shifted})


@defect(
    "E05-nothing-returned", ("parameters-move", "loss-is-finite", "gradients-reach"), on("hidden", without=("manual",))
)
def nothing_returned(task):
    """`training_step` returns nothing, so that Lightning skips every step."""

    def step(self, inherited, *args):
        inherited(*args)

    override(task.module, "training_step", step)


@defect("E06-checkpoint-drops-layer", ("checkpoint-restores",), anywhere, "HT")
def checkpoint_drops_layer(task):
    """The checkpoint leaves out a layer that was trained, and loading does not ask for it."""
    dropped = [call.name for call in look(task).layers[:1]]

    def state(self, inherited, *args, **kwargs):
        kept = inherited(*args, **kwargs)
        for name in [name for name in kept if any(name.startswith(f"{one}.") for one in dropped)]:
            del kept[name]
        return kept

    override(task.module, "state_dict", state)
    task.module.strict_loading = False


@defect("E07-average-never-updated", ("parameters-move", "as-reviewed"), on("hidden"))
def average_never_updated(task):
    """The moving average of the weights is never updated."""
    twin = _twin(task.module)
    if twin is None:
        return
    first = [one.detach().clone() for one in twin.parameters()]

    def restored(self, inherited, *args, **kwargs):
        result = inherited(*args, **kwargs)
        with torch.no_grad():
            for one, value in zip(twin.parameters(), first, strict=True):
                one.copy_(value)
        return result

    for name in ("training_step", "on_train_batch_end"):
        override(task.module, name, restored)


def _twin(module):
    """An average by torch of another part, or a part that learns nothing by itself and is shaped like one that does."""
    averages = [part for part in module.modules() if isinstance(part, AveragedModel)]
    if averages:
        return averages[0]
    shapes = {}
    for part in module.modules():
        key = tuple((name, tuple(one.shape)) for name, one in part.named_parameters())
        shapes.setdefault(key, []).append(part)
    for key, parts in shapes.items():
        learning = [any(one.requires_grad for one in part.parameters()) for part in parts]
        if key and any(learning) and not all(learning):
            return parts[learning.index(False)]
    return None


@defect("P01-bfloat16-updates-lost", ("precision-keeps-updates", "updates-are-sized"), anywhere, "elanapearl: MPS")
def updates_lost(task):
    """The parameters are bfloat16, and the updates too small for its 8 bits."""
    task.trainer["precision"] = "bf16-true"
    scaled(task, 1e-2)


@defect("P03-integer-weight", ("loss-scale", "gradients-reach"), anywhere, "HT")
def integer_weight(task):
    """The weight of the loss is an integer division, and 0."""
    returned(task.module, lambda module, loss: loss * (1 // 2))


MUTANTS = (
    eval_before_fit,
    eval_in_step,
    metric_off_by_one,
    nothing_returned,
    checkpoint_drops_layer,
    average_never_updated,
    updates_lost,
    integer_weight,
)
