"""Defects of the model: in its layers, in how they are wired, in how they begin."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._pytree import tree_flatten, tree_map_only

from .surgery import OPAQUE, STEPS, anywhere, at, defect, each, layer_of, look, on, output, override, replace_functions

logits = on("classes", "binary", "multilabel", "causal", without=("contrastive",))
deep = on("hidden")
ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.ELU, nn.SELU, nn.ReLU6, nn.Softplus)
NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


def middle(task, change, across=False):
    """The layer in the middle returns `change(output)`; `across` needs one with a row (or block) per sample."""
    seen = look(task)
    name = seen.middle
    if name and (seen.hidden or not across):
        output(layer_of(task.module, name), change)


@defect("M01-first-layer-frozen", ("parameters-stay-trainable",), deep, "TC:pytorch-forum-84911, TC:mmpretrain-702")
def first_layer_frozen(task):
    """The first layer does not require gradients."""
    for call in look(task).layers[:1]:
        layer_of(task.module, call.name).requires_grad_(False)


@defect("M02-all-but-head-frozen", ("parameters-stay-trainable",), deep, "TC:pytorch-forum-84911")
def all_but_head_frozen(task):
    """Nothing but the last layer requires gradients."""
    head = look(task).head
    if head:
        kept = {id(one) for one in layer_of(task.module, head).parameters()}
        for one in task.module.parameters():
            one.requires_grad_(one.requires_grad and id(one) in kept)


@defect("M03-detached", ("parameters-are-connected", "gradients-reach"), deep, "HT")
def hidden_detached(task):
    """The output of a hidden layer is detached."""
    middle(task, torch.Tensor.detach)


def before_loss(task, several, single):
    """Logits go through another function on their way to the loss: for classes, and for each one by itself."""

    def classes(func, logits, *args, **kwargs):
        return func(several(logits), *args, **kwargs)

    def binary(func, logits, *args, **kwargs):
        return func(single(logits), *args, **kwargs)

    replace_functions(
        task.module, {F.cross_entropy: classes, F.nll_loss: classes, F.binary_cross_entropy_with_logits: binary}
    )


@defect("M04-softmax-twice", ("loss-takes-logits",), logits, "TDC:redundant_softmax, UM, SO 50485506")
def softmax_twice(task):
    """The network ends in a softmax (or sigmoid), and the loss applies its own."""
    before_loss(task, lambda x: x.softmax(1 if x.dim() > 1 else 0), torch.sigmoid)


@defect("M05-relu-on-logits", ("loss-takes-logits",), logits, "TDC:wrong_activation, DC:add_activation")
def relu_on_logits(task):
    """The network ends in a ReLU."""
    before_loss(task, F.relu, F.relu)


@defect("M06-dead-units", ("units-are-alive", "gradients-reach"), on("relu"), "AutoTrainer: dying ReLU")
def dead_units(task):
    """The biases before each ReLU are -10."""
    for name in set(look(task).before_relu):
        nn.init.constant_(task.module.get_submodule(name).bias, -10.0)


def matrices(task):
    """The trainable weights of two and more dimensions."""
    return [one for one in task.module.parameters() if one.dim() > 1 and one.requires_grad]


@defect("M07-zero-init", ("gradients-reach", "parameters-move"), deep, "TDC:wrong_init, SO 48027263")
def zero_init(task):
    """All weights begin at 0."""
    for one in matrices(task):
        nn.init.zeros_(one)


@defect(
    "M08-weights-x30",
    ("initial-loss", "units-are-not-saturated", "updates-are-sized"),
    on("hidden", without=("contrastive",)),
    "KR, TDC:wrong_init",
)
def weights_x30(task):
    """All weights begin 30 times too large."""
    with torch.no_grad():
        for one in matrices(task):
            one.mul_(30)


rows_apart = on("hidden", without=("graph",))


@defect("M09-batch-mixed", ("samples-are-independent",), rows_apart, "KR, bolts")
def batch_mixed(task):
    """A hidden layer's output has the next sample's added to it."""
    middle(task, lambda h: h + h.roll(1, 0), across=True)


@defect("M10-softmax-over-batch", ("samples-are-independent",), rows_apart, "HT, TDC:wrong_softmax_impl")
def softmax_over_batch(task):
    """A softmax in the network runs over the batch."""
    middle(task, lambda h: h.softmax(0), across=True)


@defect("M11-dropout-always", ("evaluation-repeats",), deep, "TC:transformers-33844, DC:change_dropout_rate")
def dropout_always(task):
    """A functional dropout of 95 % is on in evaluation too."""
    middle(task, lambda h: F.dropout(h, 0.95))


@defect("M12-input-ignored", ("inputs-are-used", "gradients-reach"), deep, "KR, TDC:data_dep")
def input_ignored(task):
    """What the last layer is given is multiplied by 0."""
    head = look(task).head

    def forward(self, inherited, *args, **kwargs):
        zeroed = tree_map_only(torch.Tensor, lambda t: t * 0 if t.is_floating_point() else t, args)
        return inherited(*zeroed, **kwargs)

    if head:
        override(layer_of(task.module, head), "forward", forward)


class Held(nn.Module):
    """Keeps its layers in a plain list, where nobody finds their parameters."""

    def __init__(self, layer):
        super().__init__()
        self.layers = [layer]

    def forward(self, *args, **kwargs):
        """One after the other."""
        for layer in self.layers:
            args = (layer(*args, **kwargs),)
        return args[0]


@defect("M13-unregistered", ("parameters-are-registered", "parameters-are-optimized"), deep, "PL#2282")
def unregistered(task):
    """A layer is kept in a plain list."""
    name = look(task).middle
    if name:
        task.module.set_submodule(name, Held(layer_of(task.module, name)))


@defect("M14-never-called", ("parameters-are-connected", "as-reviewed"), deep, "HT, chemprop#853")
def never_called(task):
    """A layer is built and never called: a hidden one is left out where its neighbours fit, else one is new."""
    for call in look(task).layers[:-1]:
        fits = isinstance(call.made, torch.Tensor) and call.taken and call.made.shape == call.taken[0].shape
        if fits and not isinstance(call.module, (*NORMS, nn.Embedding)):
            skipped = layer_of(task.module, call.name)
            return override(skipped, "forward", lambda self, inherited, x, *args, **kwargs: x)
    task.module.projection = nn.Linear(16, 16)


@defect("M15-saturated", ("units-are-not-saturated", "gradients-reach"), deep, "TDC: saturation")
def saturated(task):
    """A hidden layer ends in the tanh of a thousand times its output."""
    middle(task, lambda h: (1000 * h).tanh())


@defect("M16-reset-in-forward", ("forward-leaves-parameters",), anywhere, "TC:transformers-17877")
def reset_in_forward(task):
    """A layer is initialised again in each forward."""
    seen = look(task)
    name = seen.middle or seen.head

    def forward(self, inherited, *args, **kwargs):
        self.reset_parameters()
        return inherited(*args, **kwargs)

    if name and hasattr(layer_of(task.module, name), "reset_parameters"):
        override(layer_of(task.module, name), "forward", forward)


EVERYWHERE = (*STEPS, "forward")


def slowly(task):
    """Layers of attention call their parts in evaluation too."""
    for part in task.module.modules():
        if isinstance(part, nn.TransformerEncoderLayer):
            part.activation_relu_or_gelu = 0


def _unmasked(func, x, mask, value):
    return x if float(value) < -1e3 else func(x, mask, value)


@defect("M17-mask-missing", ("future-is-hidden",), on("causal"), "KR")
def mask_missing(task):
    """The causal mask is missing."""
    slowly(task)

    def attention(func, *args, **kwargs):
        return func(*args, **kwargs | {"attn_mask": None, "is_causal": False})

    def all_ones(func, x, *args, **kwargs):
        return torch.ones_like(x)

    def all_zeros(func, x, *args, **kwargs):
        return torch.zeros_like(x)

    others = {
        F.scaled_dot_product_attention: attention,
        F.multi_head_attention_forward: attention,
        torch.Tensor.masked_fill: _unmasked,
        torch.tril: all_ones,
        torch.Tensor.tril: all_ones,
        torch.triu: all_zeros,
        torch.Tensor.triu: all_zeros,
    }
    replace_functions(task.module, others, EVERYWHERE)
    for buffer in task.module.buffers():
        if buffer.dim() > 1 and buffer.shape[-1] == buffer.shape[-2] > 1:
            _opened(buffer)


def _opened(mask):
    """A mask of a buffer lets all through: ones below the diagonal become ones, -inf or True above it nothing."""
    square = mask.reshape(-1, *mask.shape[-2:])[0]
    if not square.triu(1).any():
        mask.fill_(1)
    elif not square.tril().any():
        mask.zero_()


@defect("M18-activations-removed", ("model-is-nonlinear", "as-reviewed"), deep, "DC:remove_activation_function, UM")
def activations_removed(task):
    """The activations between the layers are missing."""
    slowly(task)
    for name, part in list(task.module.named_modules()):
        if isinstance(part, ACTIVATIONS):
            task.module.set_submodule(name, nn.Identity())
    functions = (
        F.relu,
        F.gelu,
        F.silu,
        F.elu,
        F.leaky_relu,
        torch.relu,
        torch.tanh,
        torch.Tensor.relu,
        torch.Tensor.tanh,
    )
    replace_functions(task.module, dict.fromkeys(functions, lambda func, x, *args, **kwargs: x), EVERYWHERE)


@defect("M19-encoder-without-gradient", ("parameters-are-connected",), deep, "HT")
def encoder_without_gradient(task):
    """The first layer runs under no_grad."""

    def forward(self, inherited, *args, **kwargs):
        with torch.no_grad():
            return inherited(*args, **kwargs)

    for call in look(task).layers[:1]:
        override(layer_of(task.module, call.name), "forward", forward)


@defect("M20-padding-seen", ("padding-is-ignored",), on("padding"), "HT")
def padding_seen(task):
    """What marks the padding is ignored: all lengths are full, all masks open."""
    slowly(task)
    seen = look(task)
    leaves = tree_flatten(seen.batch)[0]
    beside = [
        place for place in range(len(leaves)) if isinstance(leaves[place], torch.Tensor) and place not in seen.targets()
    ]

    def full(leaf):
        if leaf.dtype == torch.bool and leaf.dim() == 2:
            return torch.full_like(leaf, bool(leaf[:, 0].all()))  # its first place is never padding
        if leaf.dim() == 1 and not leaf.is_floating_point() and leaf.min() > 0:
            return torch.full_like(leaf, int(leaf.max()))
        return leaf

    opened = at(beside, each(full))

    def step(self, inherited, batch, *args, **kwargs):
        return inherited(opened(batch), *args, **kwargs)

    def compared(answer):
        def other(func, x, value):
            same_for_all = isinstance(value, int) and x.dim() > 1 and not x.is_floating_point()
            return torch.full_like(x, answer, dtype=torch.bool) if same_for_all else func(x, value)

        return other

    def attention(func, *args, **kwargs):
        return func(*args, **kwargs | {"key_padding_mask": None})

    def scaled(func, *args, **kwargs):
        return func(*args[:3], **kwargs | {"attn_mask": None})

    override(task.module, "training_step", step)
    others = {
        torch.Tensor.ne: compared(True),
        torch.Tensor.eq: compared(False),
        F.multi_head_attention_forward: attention,
        F.scaled_dot_product_attention: scaled,
    }
    replace_functions(task.module, others, EVERYWHERE)


class Absent(nn.Module):
    """What is there instead of an embedding of positions: nothing."""

    def __init__(self, size):
        super().__init__()
        self.size = size

    def forward(self, places):
        """Zeros."""
        return torch.zeros(*places.shape, self.size)


@defect("M21-positions-absent", ("order-matters",), on("tokens", "sequence", "images"))
def positions_absent(task):
    """Positions are not encoded."""
    module = task.module
    for call in look(task).calls:
        if isinstance(call.module, nn.Embedding) and _counts(call.taken[0]):
            module.set_submodule(call.name, Absent(call.module.embedding_dim))
    for name, one in [*module.named_parameters(), *module.named_buffers()]:
        holder, _, own = name.rpartition(".")
        if "pos" in own or own == "pe":
            owner = module.get_submodule(holder)
            delattr(owner, own)
            owner.register_buffer(own, torch.zeros_like(one.detach()))


def _counts(places):
    return places.shape[-1] > 1 and bool((places.diff(dim=-1) == 1).all())


@defect("M22-tying-lost", ("as-reviewed",), anywhere)
def tying_lost(task):
    """Two layers that shared their weight have one each."""
    seen = set()
    for name, one in list(task.module.named_parameters(remove_duplicate=False)):
        if id(one) in seen:
            holder, _, own = name.rpartition(".")
            setattr(task.module.get_submodule(holder), own, nn.Parameter(one.detach().clone()))
        seen.add(id(one))


@defect("M23-branch-x0", ("gradients-reach", "parameters-are-connected"), deep)
def branch_x0(task):
    """A residual branch is multiplied by 0."""
    for name in look(task).residual[:1]:
        output(layer_of(task.module, name), lambda h: h * 0)


@defect("M24-norms-missing", ("as-reviewed",), deep, "TDC:missing_batchnorm")
def norms_missing(task):
    """The normalisation layers are missing."""
    module = task.module
    inside = {id(inner) for one in module.modules() if isinstance(one, OPAQUE) for inner in one.modules()}
    for name, part in list(module.named_modules()):
        if isinstance(part, NORMS) and id(part) not in inside:
            module.set_submodule(name, nn.Identity())


@defect("M25-statistics-not-saved", ("checkpoint-restores",), on("batchnorm"))
def statistics_not_saved(task):
    """The running statistics of the batch normalisation are not in the checkpoint."""
    for part in task.module.modules():
        if isinstance(part, NORMS[0]):
            part._non_persistent_buffers_set |= {"running_mean", "running_var"}


MUTANTS = (
    first_layer_frozen,
    all_but_head_frozen,
    hidden_detached,
    softmax_twice,
    relu_on_logits,
    dead_units,
    zero_init,
    weights_x30,
    batch_mixed,
    softmax_over_batch,
    dropout_always,
    input_ignored,
    unregistered,
    never_called,
    saturated,
    reset_in_forward,
    mask_missing,
    activations_removed,
    encoder_without_gradient,
    padding_seen,
    positions_absent,
    tying_lost,
    branch_x0,
    norms_missing,
    statistics_not_saved,
)
