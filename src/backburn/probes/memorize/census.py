"""What the model is made of, counted in autograd's graph: the same for nn.ReLU, F.relu and a refactored forward."""

from __future__ import annotations

import collections
from typing import Any

from .session import Session, Untold

# Kind -> beginnings of names of autograd's nodes.
_KINDS = {
    "activations": (
        "Relu", "Gelu", "Silu", "Tanh", "Sigmoid", "Elu", "LeakyRelu", "Hardtanh", "Hardswish", "Hardsigmoid",
        "Softplus", "Mish", "Prelu", "LogSigmoid", "Celu", "Glu", "Sin", "Cos",
    ),
    "normalisations": (
        "NativeBatchNorm", "CudnnBatchNorm", "NativeLayerNorm", "NativeGroupNorm", "MiopenBatchNorm", "FusedRmsNorm",
        "BatchNorm", "Rsqrt",
    ),
    "convolutions": ("Convolution", "MkldnnConvolution", "CudnnConvolution"),
    "products": ("Addmm", "Mm", "Bmm", "Baddbmm", "Linear", "MkldnnLinear", "UnsafeView"),
    "attentions": ("ScaledDotProduct", "TransformerEncoderLayer", "NativeMultiHeadAttention"),
    "recurrences": ("MkldnnRnn", "CudnnRnn", "ThnnFusedLstm", "ThnnFusedGru", "Lstm", "Gru"),
    "embeddings": ("Embedding",),
    "softmaxes": ("Softmax", "LogSoftmax", "SafeSoftmax"),
}  # fmt: skip


def look(session: Session) -> dict[str, Any]:
    """Kind -> nodes of it behind the loss, of one pass before the first step."""
    losses = session.first.losses
    if not losses:
        raise Untold("training_step returned no loss that depends on a parameter")
    counts: collections.Counter[str] = collections.Counter()
    ways, known = [one.grad_fn for one in losses], set()
    while ways:
        node = ways.pop()
        if node is None or node in known:
            continue
        known.add(node)
        counts[type(node).__name__] += 1
        ways += [one for one, _ in node.next_functions]
    if any(name.startswith("CheckpointFunction") for name in counts):
        raise Untold("checkpoints (use_reentrant=True) hide what they compute")
    kinds = {"ties": _ties(session.module)} | {
        kind: sum(count for name, count in counts.items() if name.startswith(beginnings))
        for kind, beginnings in _KINDS.items()
    }
    return {"kinds": {kind: count for kind, count in kinds.items() if count}}


def _ties(module: Any) -> int:
    """Names beyond the first of parameters that have several."""
    every = [id(one) for _, one in module.named_parameters(remove_duplicate=False)]
    return len(every) - len(set(every))
