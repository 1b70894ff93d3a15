"""Layers, activations and parameters gone wrong, in any program with layers in a row."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from ...task import Mutant
from .graft import each_activation, exchanged, graft, has, layers


def in_a_row(program):
    """Whether `layers` finds a hidden one before the last one."""
    return "hidden" in program.traits and ("causal" in program.traits or not {"sequence"} & program.traits)


def classifying(program):
    return in_a_row(program) and has("classes", but=("causal", "graph", "manual"))(program)


def alone(program):
    """Whether a sample may not be mixed with others at all."""
    return in_a_row(program) and not {"batchnorm", "graph", "causal"} & program.traits


def sized(program):
    """Whether the size of the hidden values matters: no norm behind them."""
    return in_a_row(program) and has(but=("manual", "graph", "batchnorm"), names=("unet",))(program)


def activated(program):
    """Whether all that is not linear in a program is its ReLU."""
    pooled = ("unet", "few_shot", "vq_vae")
    return in_a_row(program) and has("relu", but=("batchnorm", "manual"), names=pooled)(program)


def at(index, **methods):
    """Methods over those of one layer."""
    return lambda task: graft(layers(task.module)[index], **methods)


def dropped(old, self, x):
    return F.dropout(old(x), 0.5)  # no training=self.training


def recomputed(old, self, x):
    return checkpoint(old, x, use_reentrant=True)


def cut(old, self, x):
    return old(x.data)


def without_gradient(old, self, x):
    with torch.no_grad():
        return old(x)


def projected_anew(old, self, x):
    hidden = old(x)
    if isinstance(self, nn.Conv2d):
        return nn.Conv2d(self.out_channels, self.out_channels, 1, device=hidden.device)(hidden)
    return nn.Linear(self.out_features, self.out_features, device=hidden.device)(hidden)


def gated(old, self, x):
    hidden = old(x)
    if not hasattr(self, "gate"):
        self.gate = torch.full((1,), 0.8, device=hidden.device, requires_grad=True)
    return hidden * self.gate


class Reversed(torch.autograd.Function):
    """A gradient reversal layer, as domain adaptation has it."""

    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


def reversed_before(old, self, x):
    return old(Reversed.apply(x))


def rounded(old, self, x):
    return torch.round(old(x))


def normalised_over_the_batch(old, self, x):
    hidden = old(x)
    return (hidden - hidden.mean(0)) / (hidden.std(0) + 1e-5)


def scaled_by_a_running_size(old, self, x):
    hidden = old(x)
    if self.training:
        self.size = 0.9 * getattr(self, "size", 1.0) + 0.1 * float(hidden.detach().abs().mean())
    return hidden / getattr(self, "size", 1.0)


def softmaxed(old, self, x):
    return old(x).softmax(dim=-1)


def softmaxed_over_the_batch(old, self, x):
    return old(x).softmax(dim=0)


def squashed(old, self, x):
    return old(x).tanh()


def positive(old, self, x):
    return old(x).relu()


def one_value(task):
    for layer in layers(task.module):
        nn.init.constant_(layer.weight, 0.1)


def of_deviation_one(task):
    for layer in layers(task.module):
        nn.init.normal_(layer.weight, std=1.0)


class Steep(nn.Module):
    def forward(self, x):
        return torch.sigmoid(200 * x)


def from_pretrained(task):
    for embedding in [m for m in task.module.modules() if isinstance(m, nn.Embedding)]:
        weights = embedding.weight.detach().clone()
        exchanged(task.module, embedding, nn.Embedding.from_pretrained(weights))


def keras_momentum(task):
    for norm in [m for m in task.module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]:
        norm.momentum = 0.0


def forgotten_head(task):
    last = layers(task.module)[-1]
    missing = [f"{n}.weight" for n, m in task.module.named_modules() if m is last]
    task.module.strict_loading = False

    def state_dict(old, self, *args, **kwargs):
        state = old(*args, **kwargs)
        for name in missing:
            state.pop(name, None)
        return state

    graft(task.module, state_dict=state_dict)


MUTANTS = (
    Mutant(
        name="H-functional-dropout",
        title="F.dropout(h, 0.5) without training=self.training",
        causes=("evaluation-repeats",),
        applies=in_a_row,
        apply=at(0, forward=dropped),
        source="M11; forums: functional dropout stays on in eval",
    ),
    Mutant(
        name="H-reentrant-checkpoint",
        title="the first layer is checkpointed (reentrant) though its input needs no gradient",
        causes=("parameters-are-connected", "gradients-reach"),
        applies=lambda program: in_a_row(program) and "causal" not in program.traits,  # embeddings need gradients
        apply=at(0, forward=recomputed),
        source="PyTorch: none of the inputs have requires_grad=True",
    ),
    Mutant(
        name="H-data-of-hidden",
        title="a layer reads x.data, so that nothing before it gets a gradient",
        causes=("parameters-are-connected", "gradients-reach"),
        applies=in_a_row,
        apply=at(1, forward=cut),
        source="M03; old code with .data",
    ),
    Mutant(
        name="H-no-grad-layer",
        title="the first layer runs under torch.no_grad() to save memory",
        causes=("parameters-are-connected", "gradients-reach"),
        applies=in_a_row,
        apply=at(0, forward=without_gradient),
        source="M19",
    ),
    Mutant(
        name="H-layer-made-in-forward",
        title="a layer is built in forward, anew at each call",
        causes=("parameters-are-registered", "evaluation-repeats"),
        applies=in_a_row,
        apply=at(0, forward=projected_anew),
        source="StackOverflow: nn.Linear in forward does not learn",
    ),
    Mutant(
        name="H-plain-tensor-gate",
        title="a learnable gate is a tensor with requires_grad instead of a Parameter",
        causes=("parameters-are-registered", "parameters-are-optimized"),
        applies=in_a_row,
        apply=at(0, forward=gated),
        source="M13; forums: tensor with requires_grad is not in parameters()",
    ),
    Mutant(
        name="H-rounded-hidden",
        title="hidden values are rounded, which has no gradient",
        causes=("gradients-reach", "parameters-are-connected", "units-are-alive"),
        applies=lambda program: in_a_row(program) and not {"manual", "unbounded"} & program.traits,
        apply=at(0, forward=rounded),
        source="forums: torch.round, argmax and casts in the middle of a net",
    ),
    Mutant(
        name="H-reversed-gradient",
        title="a gradient reversal layer of an earlier experiment stays before a layer: what is below it ascends",
        causes=("optimizer-descends", "loss-falls", "loss-sign"),
        applies=classifying,
        apply=at(1, forward=reversed_before),
        source="domain-adversarial training; its reversal left in place",
    ),
    Mutant(
        name="H-norm-over-the-batch",
        title="a layer norm by hand takes mean and deviation over axis 0",
        causes=("samples-are-independent",),
        applies=alone,
        apply=at(0, forward=normalised_over_the_batch),
        source="M24; wrong dim of a hand-written LayerNorm",
    ),
    Mutant(
        name="H-running-size-in-attribute",
        title="a running statistic is a plain attribute, so that a checkpoint does not have it",
        causes=("checkpoint-restores",),
        applies=sized,
        apply=at(0, forward=scaled_by_a_running_size),
        source="M25; forums: use register_buffer",
    ),
    Mutant(
        name="H-softmax-in-last-layer",
        title="the model ends with a softmax and the loss takes logits",
        causes=("loss-takes-logits",),
        applies=classifying,
        apply=at(-1, forward=softmaxed),
        source="M04",
    ),
    Mutant(
        name="H-softmax-over-axis-0",
        title="the model ends with softmax(dim=0): over the batch",
        causes=("samples-are-independent", "loss-takes-logits"),
        applies=lambda program: classifying(program) and "sequence" not in program.traits,
        apply=at(-1, forward=softmaxed_over_the_batch),
        source="M10; implicit dim of softmax",
    ),
    Mutant(
        name="H-tanh-on-prediction",
        title="a regression of standardised targets ends with tanh",
        causes=("loss-takes-logits", "loss-falls", "units-are-not-saturated"),
        applies=has("regression", but=("manual",)),
        apply=at(-1, forward=squashed),
        source="TDC:wrong_activation; forums: output stuck between -1 and 1",
    ),
    Mutant(
        name="H-relu-on-prediction",
        title="the loop that builds the layers puts ReLU behind the last one too",
        causes=("loss-takes-logits", "units-are-alive", "gradients-reach"),
        applies=lambda program: classifying(program) or has("regression", but=("manual",))(program),
        apply=at(-1, forward=positive),
        source="M05",
    ),
    Mutant(
        name="H-constant-init",
        title="all weights start at 0.1, so that the units of a layer stay the same",
        causes=("loss-falls", "initial-loss", "gradients-reach", "units-are-alive"),
        applies=lambda program: classifying(program) and "batchnorm" not in program.traits,
        apply=one_value,
        source="M07; forums: constant init",
    ),
    Mutant(
        name="H-init-of-deviation-one",
        title="weights are drawn with deviation 1 instead of one over the root of the inputs",
        causes=("initial-loss", "units-are-not-saturated"),
        applies=lambda program: classifying(program) and "batchnorm" not in program.traits,
        apply=of_deviation_one,
        source="M08; nn.init.normal_ with its default",
    ),
    Mutant(
        name="H-activation-not-found",
        title="a lookup of the activation by a misspelt name falls back to Identity",
        causes=("model-is-nonlinear", "as-reviewed"),
        applies=activated,
        apply=lambda task: each_activation(task.module, nn.Identity),
        source="M18; dict.get with a default",
    ),
    Mutant(
        name="H-threshold-in-bytes",
        title="a threshold of 20, made for bytes, stands where values are about 1: units never fire",
        causes=("units-are-alive", "gradients-reach", "inputs-are-used"),
        applies=lambda program: in_a_row(program) and "relu" in program.traits and "manual" not in program.traits,
        apply=lambda task: each_activation(task.module, lambda: nn.Threshold(20.0, 0.0)),
        source="M06",
    ),
    Mutant(
        name="H-steep-activation",
        title="an activation multiplies by its temperature instead of dividing",
        causes=("units-are-not-saturated", "gradients-reach", "units-are-alive"),
        applies=activated,
        apply=lambda task: each_activation(task.module, Steep),
        source="M15",
    ),
    Mutant(
        name="H-embedding-from-pretrained",
        title="nn.Embedding.from_pretrained freezes unless it is told not to",
        causes=("parameters-stay-trainable", "parameters-are-optimized"),
        applies=lambda program: "tokens" in program.traits or program.name in {"tab_transformer", "clip"},
        apply=from_pretrained,
        source="forums: from_pretrained(freeze=True) by default",
    ),
    Mutant(
        name="H-momentum-of-keras",
        title="batch norm's momentum means the opposite of Keras': running statistics never move",
        causes=("metric-agrees", "checkpoint-restores", "as-reviewed"),
        applies=has("batchnorm"),
        apply=keras_momentum,
        source="PyTorch docs of BatchNorm; forums: eval is at chance",
    ),
    Mutant(
        name="H-state-without-head",
        title="state_dict leaves out the head's weight and loading is not strict",
        causes=("checkpoint-restores",),
        applies=lambda program: classifying(program) and "frozen" not in program.traits,
        apply=forgotten_head,
        source="E06; adapters that save only what they know",
    ),
)
