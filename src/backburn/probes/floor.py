"""What a loss can come down to at best, from the calls of torch's loss functions that a training_step really made.

The floor of a call is that same function's value (same targets, weights, smoothing, reduction) at the input that
minimises it; `constant` is its value at the best prediction that ignores the sample. For cross entropy with class
weights w and target distribution q the minimum over p of -sum(w q log p) is at p ~ w q; for binary cross entropy with
weight v of the positive class at p = v t / (v t + 1 - t); for distances at the target itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_SMALLEST = 1e-30  # stands for 0 under a logarithm; float32 reaches down to 1e-38
_EQUAL = 1e-4  # relative: float32 sums of a few terms agree to 1e-6; in bf16, to 4e-3, a sum counts as unknown
_STEADY = 1e-3  # relative: a factor that differs more between two steps, or from sample to sample, is none

Best = tuple[Any, Any]


class Call:
    """One call of a loss function: what it returned, the same at its floor and its constant (tensors of one shape, or
    None where it has no lower bound), and where it stands in autograd's graph (None outside of it). `given` are its
    arguments by name (empty where they could not be bound), `where` the file and line of the user's that called it.
    """

    def __init__(self, name: str, value: Any, floor: Any, constant: Any, edge: Any) -> None:
        self.name, self.value, self.floor, self.constant, self.edge = name, value, floor, constant, edge
        self.given: Mapping[str, Any] = {}
        self.where: tuple[str, int] = ("", 0)


class Relation:
    """How the loss that training_step returned follows from the calls, read from autograd's graph.

    It is known where the loss is a sum of calls, each element times its own derivative (so nothing was added, and no
    root or product taken), and where no parameter reaches it but through the calls. `sign` is 1 then, -1 where each
    call has one negative factor, and 0 where it is not known. A call that was only logged is in no sum.
    """

    def __init__(self, returned: Any, calls: Sequence[Call]) -> None:
        try:
            terms = _terms(returned, [call for call in calls if call.edge is not None])
        except Exception:  # a graph that is freed, compiled or checkpointed: the training goes on, the bound is unknown
            terms = []
        self.factors = [float(weight.sum()) for _, weight in terms]
        self.sign = _sign(returned, terms) if terms else 0
        spelled = map(_spelled, (call.name for call, _ in terms), self.factors if self.sign else [1.0] * len(terms))
        self.names = " + ".join(spelled)  # `cross_entropy + 0.100 × mse_loss`
        groups = _groups(terms)
        bests = [(weight, best) for group in groups for weight, best in _together(group)]
        if _are_rivals(groups):
            bests = [(weight, (None, None)) for weight, _ in bests]
        self.floor = self._total([(floor, weight) for weight, (floor, _) in bests])
        self.constant = self._total([(constant, weight) for weight, (_, constant) in bests])

    def agrees(self, other: Relation) -> bool:
        """Whether two steps show one sum with one floor: no factor follows a schedule, no target a model."""
        if not self.sign or self.sign != other.sign or len(self.factors) != len(other.factors):
            return False
        if self.floor is not None and other.floor is not None:
            if abs(self.floor - other.floor) > _STEADY * (abs(self.floor) + abs(self.constant or 0.0)):
                return False
        return all(abs(one - two) <= _STEADY * abs(one) for one, two in zip(self.factors, other.factors))

    def _total(self, terms: Sequence[tuple[Any, Any]]) -> float | None:
        """The sum's value where the calls have these; None when one is unknown."""
        if self.sign <= 0 or any(value is None for value, _ in terms):
            return None
        return sum(_dot(weight, value) for value, weight in terms)


def _terms(returned: Any, calls: Sequence[Call]) -> list[tuple[Call, Any]]:
    """The calls that the loss depends on, each with the loss's derivative by what the call returned."""
    import torch

    if not calls or not returned.requires_grad:
        return []
    loss = returned if returned.numel() == 1 else returned.float().mean()
    edges = [call.edge for call in calls]
    found = torch.autograd.grad(loss.sum(), edges, retain_graph=True, allow_unused=True)
    return [(call, weight) for call, weight in zip(calls, found) if weight is not None]


def _groups(terms: Sequence[tuple[Call, Any]]) -> list[list[tuple[Call, Any]]]:
    """The terms by the very tensor that they are given."""
    groups: dict[int, list[tuple[Call, Any]]] = {}
    for call, weight in terms:
        groups.setdefault(id(call.given.get("input", call)), []).append((call, weight))
    return list(groups.values())


def _are_rivals(groups: Sequence[Sequence[tuple[Call, Any]]]) -> bool:
    """Whether two calls are given what was made of one tensor (`scores`, and their log_softmax at a temperature): what
    each can come down to alone, the sum need not, as a teacher's word and the label may differ.
    """
    nodes = [getattr(group[0][0].given.get("input"), "grad_fn", None) for group in groups]
    made = [_origin(node) for node in nodes if node is not None]
    return len(made) > len(set(made))


def _origin(node: Any) -> Any:
    """Where a chain of operations on one tensor begins."""
    while True:
        behind = [one for one, _ in node.next_functions if one is not None]
        if len(behind) != 1 or hasattr(behind[0], "variable"):
            return node
        node = behind[0]


def _together(group: Sequence[tuple[Call, Any]]) -> list[tuple[Any, Best]]:
    """Each call's floor and constant, at what is best for all of the group: two labels of a mixup are not both met."""
    import torch

    first, alone = group[0][0], [(weight, (call.floor, call.constant)) for call, weight in group]
    if len(group) == 1 or first.name not in _LINEAR or len({_way(call) for call, _ in group}) > 1:
        return alone
    try:
        with torch.no_grad():
            given = {**first.given, "target": _mixed(group)}
            func, (floor, constant) = getattr(torch.nn.functional, first.name), _BEST[first.name](given)
            return [
                (weight, (func(**{**call.given, "input": floor}), func(**{**call.given, "input": constant})))
                for call, weight in group
            ]
    except Exception:  # weights, other shapes: what each can come down to alone is a bound as well, if a loose one
        return alone


def _way(call: Call) -> tuple[Any, ...]:
    """What has to be the same of two calls whose targets are mixed."""
    return call.name, call.value.shape, call.given.get("reduction"), call.given.get("label_smoothing")


def _mixed(group: Sequence[tuple[Call, Any]]) -> Any:
    """The mean of the group's targets, by weight; of classes as distributions."""
    wanted, shares = [], []
    for call, weight in group:
        given, scores = call.given, call.given["input"]
        target = given["target"]
        if given.get("weight") is not None or given.get("pos_weight") is not None:
            raise ValueError("weights of classes or elements")
        if not target.is_floating_point():
            target = _distribution(given)
        if target.shape != scores.shape:
            raise ValueError("a target that is broadcast")
        while weight.dim() and weight.dim() < target.dim():
            weight = weight.unsqueeze(1)
        wanted.append(target.to(scores.dtype) * weight)
        shares.append(weight)
    return sum(wanted) / sum(shares)


def _distribution(given: Mapping[str, Any]) -> Any:
    import torch

    target, scores = given["target"], given["input"]
    if bool((target == given["ignore_index"]).any()):
        raise ValueError("ignored targets")
    axis = 1 if scores.dim() > 1 else 0
    return torch.nn.functional.one_hot(target, scores.shape[axis]).movedim(-1, axis)


def _sign(returned: Any, terms: Sequence[tuple[Call, Any]]) -> int:
    parts = [_dot(weight, call.value) for call, weight in terms]
    value = float(returned.detach().float().mean())
    if not abs(value - sum(parts)) <= _EQUAL * sum(map(abs, parts)) or _reaches_more(returned, terms):
        return 0
    ranges = [(float(weight.min()), float(weight.max())) for _, weight in terms]
    if all(low >= 0 for low, _ in ranges):
        return int(any(high > 0 for _, high in ranges))
    # One factor for all samples: a reward of each sample's own, in reinforcement learning, may well be negative.
    return -1 if all(high < 0 and high - low <= -_STEADY * low for low, high in ranges) else 0


def _reaches_more(returned: Any, terms: Sequence[tuple[Call, Any]]) -> bool:
    """Whether a parameter reaches the loss on a way that leads through none of the calls."""
    known, ways = {call.edge.node for call, _ in terms}, [returned.grad_fn]
    while ways:
        node = ways.pop()
        if node is None or node in known:
            continue
        if hasattr(node, "variable"):  # AccumulateGrad, where a parameter enters
            return True
        known.add(node)
        ways += [one for one, _ in node.next_functions]
    return False


def _dot(weight: Any, value: Any) -> float:
    return float((weight.float() * value.float()).sum())


def _spelled(name: str, factor: float) -> str:
    return name if abs(factor - 1) <= _STEADY else f"{factor:#.3g} × {name}"


def recorder(where: Callable[[], tuple[str, int]] = lambda: ("", 0)) -> Any:
    """A context manager: while inside, calls of torch's loss functions go to its list `calls`.

    It sees `nn.CrossEntropyLoss`, `F.cross_entropy` and `from torch.nn.functional import cross_entropy` alike. `where`
    is asked at each call for the place in the user's code.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    known = {getattr(torch.nn.functional, name): name for name in (*_BEST, *_UNBOUNDED)}

    class Recorder(TorchFunctionMode):
        def __init__(self) -> None:
            super().__init__()
            self.calls: list[Call] = []

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            value = func(*args, **(kwargs or {}))
            if func in known:
                with torch.no_grad():
                    self.calls.append(_look(known[func], func, args, kwargs or {}, value))
                self.calls[-1].where = where()
            return value

    return Recorder()


def _look(name: str, func: Callable[..., Any], args: Any, kwargs: Mapping[str, Any], value: Any) -> Call:
    # As it is now: the step may well go on with `loss += ...`.
    call = Call(name, value.detach().clone(), None, None, _edge(value))
    try:
        bound = inspect.signature(func).bind(*args, **kwargs)
        bound.apply_defaults()
        call.given = _sides(name, dict(bound.arguments))
        if name in _BEST:
            best, constant = _BEST[name](call.given)
            call.floor, call.constant = (func(**{**call.given, "input": one}).detach() for one in (best, constant))
    except Exception:  # whatever shape surprised us, the user's training goes on; the bound is unknown then
        call.floor = call.constant = None
    return call


def _sides(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """The arguments, with the outputs as the input of a distance: `mse_loss(y, outputs)` is the same loss."""
    put, wanted = given.get("input"), given.get("target")
    if name not in _SYMMETRIC or getattr(put, "requires_grad", True) or not getattr(wanted, "requires_grad", False):
        return given
    return {**given, "input": wanted, "target": put}


def _edge(value: Any) -> Any:
    import torch

    return torch.autograd.graph.GradientEdge(value.grad_fn, value.output_nr) if value.grad_fn is not None else None


def _cross_entropy(given: Mapping[str, Any]) -> Best:
    import torch

    scores, target = given["input"], given["target"]
    axis = 1 if scores.dim() > 1 else 0
    classes = scores.shape[axis]
    seen = torch.ones_like(target, dtype=torch.bool) if target.is_floating_point() else target != given["ignore_index"]
    if target.is_floating_point():
        wanted = target.movedim(axis, -1)
        seen = seen.movedim(axis, -1)[..., 0]
    else:
        wanted = torch.nn.functional.one_hot(target.clamp(0, classes - 1), classes).to(scores.dtype)
    smoothing = given.get("label_smoothing", 0.0)
    wanted = (1 - smoothing) * wanted.float() + smoothing / classes
    weighted = wanted if given["weight"] is None else wanted * given["weight"].float()
    overall = weighted[seen].reshape(-1, classes).mean(dim=0).expand_as(weighted)
    best, constant = (_log_of(one).movedim(-1, axis).to(scores.dtype) for one in (weighted, overall))
    return best, constant


def _log_of(weights: Any) -> Any:
    """Logarithms of what is proportional to `weights` and sums to 1 over the last axis."""
    return (weights / weights.sum(dim=-1, keepdim=True)).clamp_min(_SMALLEST).log()


def _binary_with_logits(given: Mapping[str, Any]) -> Best:
    _expect_share(given["target"])
    positive = 1.0 if given["pos_weight"] is None else given["pos_weight"]

    def logit(target: Any) -> Any:
        return (positive * target).clamp_min(_SMALLEST).log() - (1 - target).clamp_min(_SMALLEST).log()

    return logit(given["target"]), logit(_mean(given["target"]))


def _binary(given: Mapping[str, Any]) -> Best:
    _expect_share(given["target"])
    return given["target"], _mean(given["target"])


def _distance(given: Mapping[str, Any]) -> Best:
    return given["target"], _mean(given["target"])


def _divergence(given: Mapping[str, Any]) -> Best:
    """Below 0 unless the targets are distributions."""
    target = given["target"].exp() if given["log_target"] else given["target"]
    _expect_share(target)
    if not any(bool(((target.sum(dim=axis) - 1).abs() < 1e-3).all()) for axis in {-1, min(1, target.dim() - 1)}):
        raise ValueError("the targets are no distributions")
    return target.clamp_min(_SMALLEST).log(), _mean(target).clamp_min(_SMALLEST).log()


def _mean(target: Any) -> Any:
    return target.mean(dim=0, keepdim=True).expand_as(target).contiguous()


def _expect_share(target: Any) -> None:
    if not bool(((target >= 0) & (target <= 1)).all()):
        raise ValueError("targets outside [0, 1]: the loss has no lower bound")


# Loss function of torch.nn.functional -> the inputs that minimise it: at each sample, and over all of them.
_BEST: Mapping[str, Callable[[Mapping[str, Any]], Best]] = {
    "cross_entropy": _cross_entropy,
    "nll_loss": _cross_entropy,
    "binary_cross_entropy_with_logits": _binary_with_logits,
    "binary_cross_entropy": _binary,
    "mse_loss": _distance,
    "l1_loss": _distance,
    "smooth_l1_loss": _distance,
    "huber_loss": _distance,
    "kl_div": _divergence,
}
_SYMMETRIC = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")  # in input and target
# Those whose sum over several targets is least at the targets' mean.
_LINEAR = ("cross_entropy", "binary_cross_entropy_with_logits", "binary_cross_entropy", "mse_loss")
# Seen, and with no lower bound that follows from the targets alone.
_UNBOUNDED = (
    "cosine_embedding_loss",
    "ctc_loss",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "poisson_nll_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
)
