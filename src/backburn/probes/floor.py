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
_EQUAL = 1e-4  # relative: float32 sums of a few terms agree to 1e-6, through bf16 autocast to 1e-3 at worst
_STEADY = 1e-3  # relative: a factor that differs more between two steps is none

Best = tuple[Any, Any]


class Call:
    """One call of a loss function: its name, value, floor and constant (None where it has no lower bound)."""

    def __init__(self, name: str, value: float, floor: float | None, constant: float | None) -> None:
        self.name, self.value, self.floor, self.constant = name, value, floor, constant


class Relation:
    """How the loss that training_step returned follows from the calls: `scale` x their sum, if `scale` is not None."""

    def __init__(self, returned: float, calls: Sequence[Call]) -> None:
        self.calls, self.scale = tuple(calls), _scale(returned, calls)

    @property
    def floor(self) -> float | None:
        """The scaled sum of the floors; None when one is unknown."""
        return self._total([call.floor for call in self.calls])

    @property
    def constant(self) -> float | None:
        """The loss of the best prediction that ignores the sample; None when unknown."""
        return self._total([call.constant for call in self.calls])

    def agrees(self, other: Relation) -> bool:
        """Whether two steps show the same factor; what was added to a single call would change it."""
        if self.scale is None or other.scale is None:
            return False
        return abs(self.scale - other.scale) <= _STEADY * abs(self.scale)

    @property
    def names(self) -> str:
        """`cross_entropy + mse_loss`."""
        return " + ".join(call.name for call in self.calls)

    def _total(self, values: Sequence[float | None]) -> float | None:
        if self.scale is None or self.scale <= 0:
            return None
        known = [value for value in values if value is not None]
        return self.scale * sum(known) if len(known) == len(values) else None


def _scale(returned: float, calls: Sequence[Call]) -> float | None:
    if not calls:
        return None
    total = sum(call.value for call in calls)
    for sign in (1.0, -1.0):
        if abs(returned - sign * total) <= _EQUAL * abs(total):
            return sign
    return returned / total if len(calls) == 1 and total else None


def recorder() -> Any:
    """A context manager: while inside, calls of torch's loss functions go to its list `calls`.

    It sees `nn.CrossEntropyLoss`, `F.cross_entropy` and `from torch.nn.functional import cross_entropy` alike.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    known = {getattr(torch.nn.functional, name): name for name in _BEST}

    class Recorder(TorchFunctionMode):
        def __init__(self) -> None:
            super().__init__()
            self.calls: list[Call] = []

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            value = func(*args, **(kwargs or {}))
            if func in known:
                with torch.no_grad():
                    self.calls.append(_look(known[func], func, args, kwargs or {}, value))
            return value

    return Recorder()


def _look(name: str, func: Callable[..., Any], args: Any, kwargs: Mapping[str, Any], value: Any) -> Call:
    bound = inspect.signature(func).bind(*args, **kwargs)
    bound.apply_defaults()
    given = dict(bound.arguments)
    try:
        best, constant = (_value(func(**{**given, "input": one})) for one in _BEST[name](given))
    except Exception:  # whatever shape surprised us, the user's training goes on; the bound is unknown then
        return Call(name, _value(value), None, None)
    return Call(name, _value(value), best, constant)


def _value(value: Any) -> float:
    return float(value.detach().mean())  # reduction="none": most take the mean next


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
