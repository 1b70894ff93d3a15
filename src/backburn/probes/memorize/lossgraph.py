"""How a loss is made, read from autograd's graph: its terms, by which factor each enters, and what the outputs went
through last. So a loss that is written by hand is seen as well as one of torch's.

A term is the first node behind the loss, on each way back, that is not linear: `MseLoss`, `Pow` with an even exponent,
`LogSoftmax`. On the way are sums, means, factors, changes of shape.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

_SHAPE = frozenset(
    "View UnsafeView ReshapeAlias T Transpose Permute Squeeze Unsqueeze Expand Slice Select Clone Alias ToCopy Split"
    " SplitWithSizes Unbind AsStrided Movedim Narrow Flatten Unflatten Contiguous Chunk Swapaxes".split()
)
_PICKED = frozenset("Index IndexSelect Gather MaskedSelect Cat Stack Take".split())
_LINEAR = _SHAPE | _PICKED | frozenset("Mean Sum Neg Add Sub Rsub MaskedFill Where Clamp ClampMax Nansum".split())
_BEFORE_LOG = _SHAPE | _PICKED | frozenset("Add Sub Rsub Clamp ClampMin Maximum".split())
# Kind of a term, and the sign that the loss's derivative by it has: a loss falls as a log-probability rises.
_KINDS = {
    "NllLoss": ("classes", 1),
    "NllLoss2D": ("classes", 1),
    "LogSoftmax": ("classes", -1),
    "BinaryCrossEntropy": ("binary", 1),
    "BinaryCrossEntropyWithLogits": ("binary", 1),
    "LogSigmoid": ("binary", -1),
    "MseLoss": ("squares", 1),
    "Abs": ("distances", 1),
    "SmoothL1Loss": ("distances", 1),
    "HuberLoss": ("distances", 1),
    "Relu": ("hinges", 1),
    "ClampMin": ("hinges", 1),
    "CtcLoss": ("alignments", 1),
    "CudnnCtcLoss": ("alignments", 1),
}
_SIZES = frozenset("Pow Abs Mul LinalgVectorNorm Norm".split())  # of a parameter: a regulariser
# A model's own layers, where the way back from the loss to the outputs ends; a product of two tensors is one as well.
_LAYERS = (
    "Addmm Mm Bmm Baddbmm Linear MkldnnLinear Convolution MkldnnConvolution CudnnConvolution Embedding EmbeddingBag"
    " NativeBatchNorm CudnnBatchNorm NativeLayerNorm NativeGroupNorm FusedRmsNorm MkldnnRnnLayer CudnnRnn Mul"
)
_LAYER = frozenset(_LAYERS.split())
_THROUGH = _LINEAR | frozenset(
    "NativeDropout ClampMin Maximum Minimum ScatterAdd IndexAdd ScatterReduce IndexPut".split()
)
_SQUASHES = frozenset("Relu Sigmoid Softmax Tanh Exp LogSoftmax".split())
_SAME = {("Softmax", "Log"), ("Sigmoid", "Log"), ("Sigmoid", "BinaryCrossEntropy")}  # as a loss of logits has it
_SAME |= {("LogSoftmax", after) for after in ("", "NllLoss", "NllLoss2D", "KlDiv", "CtcLoss", "CudnnCtcLoss")}
_FEW = 24  # nodes that a learned factor is made of, at most
_LIMIT = 2000  # nodes on the way; a loss that adds up more of them is not looked through
_STEADY = 1e-3  # relative: factors that differ more are not one factor

Edge = tuple[Any, int]


def kind(node: Any) -> str:
    """`Softmax` of `SoftmaxBackward0`; a function of the user's own keeps its name."""
    return re.sub(r"Backward\d*$", "", str(node.name()))


def source(tensor: Any) -> str:
    """What made a tensor, changes of shape left out: `Softmax`, `Addmm`; "" where that is not one thing."""
    return _source(tensor.grad_fn, _SHAPE | {"Cat", "Stack"}) if tensor.grad_fn is not None else ""


def _source(node: Any, through: frozenset[str]) -> str:
    for _ in range(_LIMIT):
        if node is None or hasattr(node, "variable"):
            return ""
        if kind(node) not in through:
            return kind(node)
        found = {
            _source(one, through) if len(node.next_functions) > 1 else one for one, _ in node.next_functions if one
        }
        if len(found) != 1:
            return ""
        node = found.pop()
        if isinstance(node, str):
            return node
    return ""


def picked(tensor: Any) -> float:
    """The share of a tensor's elements that an index or a mask took right before: `logits[mask]`; 1 where none did."""
    node, index = tensor.grad_fn, tensor.output_nr
    while node is not None and not hasattr(node, "variable") and node.next_functions:
        if kind(node) in ("Index", "IndexSelect", "MaskedSelect"):
            after, before = list(_shape(node, index)), list(_shape(*node.next_functions[0]))
            return min(1.0, int(math.prod(after)) / max(int(math.prod(before)), 1))
        if kind(node) not in _SHAPE:
            return 1.0
        node, index = node.next_functions[0]
    return 1.0


def ends(losses: Sequence[Any]) -> list[str]:
    """The activations that are all that follows one of the model's last layers, on the way to a loss: `Sigmoid` of a
    critic that ends in one; `LogSoftmax*` where a loss of logits has it as well, however it is written.
    """
    after: dict[Any, set[str]] = {}
    products: list[Any] = []
    ways: list[tuple[Any, str, str]] = [(one.grad_fn, "", "") for one in losses]
    known: set[tuple[Any, str, str]] = set()
    while ways and len(known) < _LIMIT:
        node, first, second = ways.pop()
        if node is None or hasattr(node, "variable") or (node, first, second) in known:
            continue
        known.add((node, first, second))
        edges = [one for one in node.next_functions if one[0] is not None]
        name, behind = kind(node), [one for one, _ in _weighed(node, edges) or edges]
        if name in _LAYER and not (name == "Mul" and len(set(behind)) == 1):
            after.setdefault(node, set()).add(first + "*" * ((first, second) in _SAME))
            products += behind if name == "Mul" else []
        elif name in _THROUGH or (name in ("Mul", "Div") and len(behind) == 1):
            ways += [(one, first, second) for one in behind]
        else:
            ways += [(one, name, first) for one in behind]
    for layer in _layers_behind(products) & after.keys():
        after[layer].add("Mul")  # a focal loss: the product is no layer of the model's, and this one goes into it, too
    squashes = _SQUASHES if len(after) == 1 else _SQUASHES - {"Exp"}  # a deviation's logarithm is one output of two
    return sorted(
        {name for (name, *others) in map(sorted, after.values()) if not others and name.strip("*") in squashes}
    )


def _layers_behind(nodes: list[Any]) -> set[Any]:
    """The first layers on the ways back from these nodes, products left out."""
    ways, known, found = list(nodes), set(nodes), set()
    while ways and len(known) < _LIMIT:
        node = ways.pop()
        if kind(node) in _LAYER - {"Mul"}:
            found.add(node)
            continue
        behind = {one for one, _ in node.next_functions if one is not None} - known
        known |= behind
        ways += behind
    return found


def terms(loss: Any) -> list[dict[str, Any]]:
    """The terms of a loss: their `kind` ("" if it is none that is known), `factor` (the sum of |d loss / d term|, so 1
    for a mean), `size` (elements), `share` (of its rows that the loss follows at all), `way` (the sign
    of those derivatives, times the one expected; 0 where they differ),
    and `sign`: 1 where it enters as it should, -1 where it has one factor of the wrong sign for all of its elements,
    else 0.
    """
    import torch

    edges = list(_frontier(loss))
    if not edges:
        return []
    named = [torch.autograd.graph.GradientEdge(node, index) for node, index in edges]
    total = loss if loss.numel() == 1 else loss.float().mean()
    found = torch.autograd.grad(total.sum(), named, retain_graph=True, allow_unused=True)
    return [_term(node, weight) for (node, _), weight in zip(edges, found)]


def reached(loss: Any) -> Iterator[tuple[str, list[Any]]]:
    """The kind of each term of a loss, and the parameters that it depends on."""
    for node, _ in _frontier(loss):
        yield _meaning(node)[0], list(_leaves(node))


def _leaves(node: Any) -> Iterator[Any]:
    ways, known = [node], set()
    while ways:
        node = ways.pop()
        if node is None or node in known:
            continue
        known.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        ways += [one for one, _ in node.next_functions]


def _frontier(loss: Any) -> Iterator[Edge]:
    ways: list[Edge] = [(loss.grad_fn, loss.output_nr)]
    known: set[Any] = set()
    while ways and len(known) < _LIMIT:
        node, index = ways.pop()
        if node is None or (node, index) in known:
            continue
        known.add((node, index))
        behind = [one for one in node.next_functions if one[0] is not None]
        weighed = _weighed(node, behind)
        if weighed:
            ways += weighed
        elif hasattr(node, "variable") or not behind or not _is_linear(node, behind):
            yield node, index
        else:
            ways += behind


def _weighed(node: Any, behind: Sequence[Edge]) -> list[Edge]:
    """What is multiplied with a number that is learned, or divided by it: `exp(-s) * loss`, as of several tasks."""
    if kind(node) not in ("Mul", "Div") or len(behind) != 2:
        return []
    learned = [_is_number(one) for one, _ in behind]
    if sum(learned) != 1 or (kind(node) == "Div" and learned[0]):
        return []
    return [one for one, number in zip(behind, learned) if not number]


def _is_number(node: Any) -> bool:
    """Whether it is one number that is made of parameters alone."""
    if math.prod(_shape(node, 0) or (1,)) != 1:
        return False
    ways, seen = [node], 0
    while ways and seen < _FEW:
        one, seen = ways.pop(), seen + 1
        if kind(one) in _LAYER - {"Mul"} or kind(one) in _KINDS:
            return False
        ways += [other for other, _ in one.next_functions if other is not None]
    return not ways


def _is_linear(node: Any, behind: list[Edge]) -> bool:
    name = kind(node)
    if name in ("Mul", "Div"):
        return len(behind) == 1 and (name == "Mul" or node.next_functions[0][0] is not None)
    return name in _LINEAR


def _term(node: Any, weight: Any) -> dict[str, Any]:
    name, expected = _meaning(node)
    if weight is None:
        return {"kind": name, "factor": 0.0, "size": 0, "way": 0, "sign": 0}
    share = _share(node, weight)
    weight = weight.detach().float().reshape(-1)
    used, way, sign = weight[weight != 0], 0, 0
    if used.numel():
        low, high = float(used.min()), float(used.max())
        way = (1 if low > 0 else -1 if high < 0 else 0) * (expected or 1)
        steady = high - low <= _STEADY * max(abs(low), abs(high))
        sign = way if expected and (way > 0 or steady) else 0
    factor = float(weight.abs().sum())
    return {"kind": name, "factor": factor, "size": weight.numel(), "way": way, "sign": sign, "share": share}


def _share(node: Any, weight: Any) -> float:
    """Of rows, where the term is one of classes; of elements, else."""
    seen = weight != 0
    if kind(node) == "LogSoftmax" and seen.dim() > 1:
        seen = seen.any(dim=(node._saved_dim + 2**63) % 2**64 - 2**63)  # -1 is saved as 2^64 - 1
    return float(seen.float().mean()) if seen.numel() else 1.0


def _meaning(node: Any) -> tuple[str, int]:
    """Kind and sign of a term; `weights` where it is a parameter's own (a regulariser)."""
    name, behind = kind(node), [one for one, _ in getattr(node, "next_functions", ()) if one is not None]
    if name in _SIZES and behind and all(hasattr(one, "variable") for one in behind):
        return "weights", 0
    is_square = name == "Pow" and getattr(node, "_saved_exponent", 1) in (2, 4)
    if is_square or (name == "Mul" and len(behind) == 2 and behind[0] is behind[1]):
        return "squares", 1
    if name == "Log" and behind:
        made = _source(behind[0], _BEFORE_LOG)
        return {"Softmax": ("classes", -1), "Sigmoid": ("binary", -1)}.get(made, ("", 0))
    return _KINDS.get(name, ("", 0))


def squeezed(loss: Any) -> str:
    """`Softmax`, `Sigmoid` … where a term's log_softmax has that right before it: written by hand, or by torch."""
    for node, _ in _frontier(loss):
        while node is not None and kind(node).startswith("NllLoss"):
            node = node.next_functions[0][0]
        if node is not None and kind(node) == "LogSoftmax":
            made = _source(node.next_functions[0][0], _SHAPE)
            if made in ("Softmax", "Sigmoid", "Tanh", "Relu"):
                return made
    return ""


def underflows(loss: Any) -> str:
    """`Softmax` or `Sigmoid` where a term is the logarithm of what that returned, with no eps or clamp between."""
    for node, _ in _frontier(loss):
        while node is not None and kind(node).startswith("NllLoss"):
            node = node.next_functions[0][0]
        if node is not None and kind(node) == "Log":
            made = _source(node.next_functions[0][0], _SHAPE | _PICKED | {"Rsub", "Sub"})
            if made in ("Softmax", "Sigmoid"):
                return made
    return ""


def differences(loss: Any) -> Iterator[tuple[Any, int, Any]]:
    """Squared differences with one side that has no gradient: their value, the other side's sign, and what made it."""
    for node, _ in _frontier(loss):
        if _meaning(node)[0] == "squares" and kind(node) in ("Pow", "Mul"):
            behind = node.next_functions[0][0]
            sides = [(one, 1 - 2 * place) for place, (one, _) in enumerate(behind.next_functions) if one is not None]
            if kind(behind) == "Sub" and len(sides) == 1:
                (made, sign), value = sides[0], node._saved_self
                if value is not None:
                    yield value.detach(), sign, made


def spread(loss: Any) -> str:
    """`(32,) against others gave (32, 32)`, where a hand-written difference broadcast one column against a row."""
    for node, _ in _frontier(loss):
        if _meaning(node)[0] not in ("squares", "distances"):
            continue
        while behind := [one for one, _ in node.next_functions if one is not None]:
            node = behind[0]
            if kind(node) in ("Index", "MaskedSelect", "Mul") and len(behind) == 1:  # a mask
                continue
            if kind(node) not in ("Sub", "Rsub", "Add"):
                break
            if found := _outer(node):
                return found
    return ""


def _outer(node: Any) -> str:
    """Of a difference with one side that has no gradient (targets), whether it made n x n of n."""
    sides = [one for one in node.next_functions if one[0] is not None]
    if len(sides) != 1:
        return ""
    after, before = _shape(node, 0), _shape(*sides[0])
    if not before or len(after) < 2 or len(before) > len(after):
        return ""
    grew = [old != new for old, new in zip((1,) * (len(after) - len(before)) + before, after)]
    # The rows once more, beside themselves: n outputs against n targets, of one number or of many.
    if after[0] == after[1] > 1 and sorted(grew[:2]) == [False, True] and not any(grew[2:]):
        return f"{before} against the targets gave {after}"
    return ""


def _shape(node: Any, index: int) -> tuple[int, ...]:
    known = getattr(node, "_input_metadata", None)
    if not known or len(known) <= index:
        return ()
    return tuple(int(one) for one in known[index].shape)
