"""Defects of the loss: what it is given, and what is done to what it returns.

Left out: L15 (the mean over the tokens of each part of an accumulated batch): Lightning's own accumulation does so.
"""

import torch
import torch.nn.functional as F

from .surgery import ON_CLASSES, anywhere, defect, look, on, override, replace_functions, returned

with_targets = on("classes", "binary", "multilabel", "regression", "autoencoder", "causal", without=("contrastive",))
rowwise = on("classes", "binary", "multilabel", "regression", without=("causal", "graph", "contrastive"))
classified = on("classes", "causal", without=("contrastive",))
KEPT = ("weight", "ignore_index", "reduction")  # of cross_entropy, that nll_loss takes as well


def plain(function, given):
    """Its arguments without those that nll_loss does not know."""
    return {name: value for name, value in given.items() if name in KEPT and function in ON_CLASSES}


def called(task, change):
    """Each call of a loss function is `change(function, output, target, **kwargs)`."""
    functions = {function for function, *_ in look(task).losses}
    replace_functions(task.module, dict.fromkeys(functions, change))
    return functions


def on_classes(task, change):
    """The same for cross entropy alone."""
    replace_functions(task.module, {F.cross_entropy: change})


@defect("L01-sign", ("loss-sign",), anywhere, "TDC:flipped_sign")
def sign(task):
    """The loss is returned with the wrong sign."""
    returned(task.module, lambda module, loss: -loss)


@defect("L02-scaled-down", ("loss-scale",), anywhere, "TDC:over_scaled_outputs")
def scaled_down(task):
    """The loss is a millionth of what it should be."""
    returned(task.module, lambda module, loss: loss * 1e-6)


@defect("L03-summed", ("loss-scale", "as-reviewed", "initial-loss"), anywhere, "SO 43611745")
def summed(task):
    """The loss is a sum over the batch."""

    def total(func, *args, **kwargs):
        return func(*args, **kwargs | {"reduction": "sum"} if kwargs.get("reduction", "mean") == "mean" else kwargs)

    called(task, total)


@defect("L04-targets-zeroed", ("loss-fits-targets", "labels-vary"), with_targets, "HT")
def targets_zeroed(task):
    """The loss is held against targets of 0."""
    called(task, lambda func, x, y, *args, **kwargs: func(x, torch.zeros_like(y), *args, **kwargs))


def penalty(module):
    """The sum of all squared weights."""
    return sum(one.square().sum() for one in module.parameters() if one.requires_grad)


@defect("L05-output-detached", ("parameters-are-connected", "decay-is-small", "loss-falls"), with_targets, "HT")
def output_detached(task):
    """The loss is of detached outputs; what trains is an L2 term."""
    if called(task, lambda func, x, *args, **kwargs: func(x.detach(), *args, **kwargs)):
        returned(task.module, lambda module, loss: loss + 1e-3 * penalty(module))


@defect("L06-broadcast", ("loss-shapes-agree",), on("regression"), "pytorch#16045")
def broadcast(task):
    """A column of outputs is held against a row of targets, so that each is held against all."""

    def crossed(func, x, y, *args, **kwargs):
        return (
            func(x.reshape(-1, 1), y.reshape(-1), *args, **kwargs)
            if x.numel() == len(x)
            else func(x, y, *args, **kwargs)
        )

    functions = (F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss)
    replace_functions(task.module, dict.fromkeys(functions, crossed))


@defect("L07-one-logit", ("loss-has-classes",), on("classes", "binary", without=("causal", "contrastive")), "TC README")
def one_logit(task):
    """Cross entropy of a single logit, which is always 0."""

    def single(func, x, y, *args, **kwargs):
        return F.cross_entropy(x.reshape(len(x), -1)[:, :1], y.reshape(len(y), -1)[:, :1].float())

    replace_functions(task.module, {F.cross_entropy: single, F.binary_cross_entropy_with_logits: single})


@defect(
    "L08-nll-of-softmax", ("loss-takes-log-probabilities", "loss-above-bound"), classified, "TDC:wrong_loss_function"
)
def nll_of_softmax(task):
    """`nll_loss` is given probabilities, not their logarithms."""
    on_classes(task, lambda func, x, y, **kwargs: F.nll_loss(x.softmax(1), y, **plain(func, kwargs)))


@defect("L09-clamped", ("gradients-reach", "loss-scale"), anywhere)
def clamped(task):
    """The loss is clamped to a thousandth."""
    returned(task.module, lambda module, loss: loss.clamp(max=1e-3))


@defect("L10-nearly-all-ignored", ("loss-counts-targets",), classified)
def nearly_all_ignored(task):
    """All targets but one are replaced by the index that the loss ignores."""

    def ignored(func, x, y, *args, **kwargs):
        if y.is_floating_point():
            return func(x, y, *args, **kwargs)
        index = kwargs.get("ignore_index", -100)
        kept = (y != index).flatten().nonzero()[0]
        other = torch.full_like(y, index).flatten()
        other[kept] = y.flatten()[kept]
        return func(x, other.view_as(y), *args, **kwargs)

    on_classes(task, ignored)


@defect("L11-not-shifted", ("targets-are-shifted",), on("causal"))
def not_shifted(task):
    """The targets are the inputs themselves."""
    first = []

    def embedded(func, places, *args, **kwargs):
        first.append(places) if not first and places.dim() > 1 else None
        return func(places, *args, **kwargs)

    def unshifted(func, x, y, *args, **kwargs):
        inputs = first.pop() if first else y
        return func(x, inputs.reshape(y.shape) if inputs.numel() == y.numel() else y, *args, **kwargs)

    replace_functions(task.module, {F.embedding: embedded, F.cross_entropy: unshifted})


@defect("L12-transposed", ("loss-pairs-outputs", "samples-are-independent"), on("causal"), "KR")
def transposed(task):
    """Outputs are flattened time first, targets batch first."""
    size = look(task).size

    def mixed(func, x, y, *args, **kwargs):
        if x.dim() == 2 and len(x) > size and len(x) % size == 0:
            x = x.view(size, -1, x.shape[1]).transpose(0, 1).reshape(x.shape)
        elif x.dim() == 3:
            x = x.permute(2, 0, 1).reshape(len(x), -1, x.shape[1]).transpose(1, 2)
        return func(x, y, *args, **kwargs)

    on_classes(task, mixed)


@defect("L13-over-regularised", ("decay-is-small", "initial-loss", "loss-falls"), anywhere, "TDC:over_regularization")
def over_regularised(task):
    """The loss has the sum of all squared weights added to it."""
    returned(task.module, lambda module, loss: loss + penalty(module))


@defect("L14-logarithm-of-zero", ("loss-is-finite",), on("classes", "binary", "multilabel", "causal"), "SO 40192728")
def logarithm_of_zero(task):
    """The loss is the logarithm of a probability that underflows."""

    def classes(func, x, y, **kwargs):
        return F.nll_loss((60 * x).softmax(1).log(), y, **plain(func, kwargs))

    def binary(func, x, y, *args, **kwargs):
        p = (60 * x).sigmoid()
        return -(y * p.log() + (1 - y) * (1 - p).log()).mean()

    replace_functions(task.module, {F.cross_entropy: classes, F.binary_cross_entropy_with_logits: binary})


@defect("L16-term-dropped", ("as-reviewed", "gradients-reach", "parameters-are-connected"), anywhere)
def term_dropped(task):
    """The last term of the loss has the weight 0."""
    count = len(look(task).losses)
    done = []

    def weighted(func, *args, **kwargs):
        done.append(func)
        return func(*args, **kwargs) * (len(done) != count)

    def step(self, inherited, *args, **kwargs):
        done.clear()
        return inherited(*args, **kwargs)

    if count > 1:
        called(task, weighted)
        override(task.module, "training_step", step)


@defect(
    "L17-squares-of-classes",
    ("loss-fits-targets", "loss-shapes-agree"),
    on("classes", without=("causal",)),
    "SO 57326611",
)
def squares_of_classes(task):
    """The squared distance between one output and the number of the class."""

    def squared(func, x, y, *args, **kwargs):
        return F.mse_loss(x[:, 0], y.float()) if x.dim() > 1 and not y.is_floating_point() else func(x, y, **kwargs)

    on_classes(task, squared)


@defect("L18-rows-out-of-order", ("loss-pairs-outputs", "labels-match-inputs"), rowwise)
def rows_out_of_order(task):
    """Outputs come back in another order (sorted, never unsorted) than their targets."""
    called(task, lambda func, x, y, *args, **kwargs: func(x.flip(0) if len(x) == len(y) else x, y, *args, **kwargs))


MUTANTS = (
    sign,
    scaled_down,
    summed,
    targets_zeroed,
    output_detached,
    broadcast,
    one_logit,
    nll_of_softmax,
    clamped,
    nearly_all_ignored,
    not_shifted,
    transposed,
    over_regularised,
    logarithm_of_zero,
    term_dropped,
    squares_of_classes,
    rows_out_of_order,
)
