"""Whether every trainable parameter gets a gradient and moves, seen without holding a copy of the model.

Of each parameter only the element with the largest gradient is kept: if the optimizer has the parameter, that
element is the one that changes most.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

# A gradient this much smaller than the model's largest is rounding noise: float32 resolves 1.2e-7. The bias before
# a normalisation layer is the usual one: its true gradient is 0.
_NOISE = 1e-6
_PATIENCE = 64  # steps; what has not moved by then is not waited for


class Movement:
    """The parameters of a module that were trainable when its fit started, until each has moved.

    `without` have no gradient so far, or (`zero`) one that is 0 in each element.
    """

    def __init__(self, module: Any) -> None:
        named = [(name, one) for name, one in module.named_parameters() if one.requires_grad]
        self.count = len(named)
        self.parameters = dict(named)
        self.elements = sum(one.numel() for one in self.parameters.values())
        self.without = set(self.parameters)
        self.zero: set[str] = set()
        self.unmoved = set(self.parameters)
        self.largest: dict[str, float] = {}
        self.steps = 0
        self._kept: dict[str, tuple[Any, Any]] = {}

    @property
    def pending(self) -> bool:
        """Whether anything is left to wait for."""
        return self.steps < _PATIENCE and bool(self.unmoved - self.noisy)

    @property
    def noisy(self) -> set[str]:
        """Unmoved parameters whose largest gradient is noise beside the model's largest."""
        most = max(self.largest.values(), default=0.0)
        return {name for name in self.unmoved - self.without if self.largest[name] <= _NOISE * most}

    def before_step(self, others: Collection[Any] = ()) -> None:
        """Look at the gradients of what has not moved yet; of several optimizers' looks in a step the first counts.

        What one of the `others` holds has its own step: a GAN's generator leaves gradients in the discriminator.
        """
        theirs = {id(one) for other in others for group in other.param_groups for one in group["params"]}
        for name in sorted(self.unmoved - set(self._kept)):
            if id(self.parameters[name]) in theirs:
                continue
            gradient = self.parameters[name].grad
            if gradient is not None:
                self._look(name, gradient.detach())

    def _look(self, name: str, gradient: Any) -> None:
        flat = (gradient.to_dense() if gradient.layout != _strided() else gradient).abs().reshape(-1)
        if not flat.numel():
            return self._forget(name)
        size, index = flat.max(dim=0)
        if size == 0:  # NaN is not 0: whoever has it got a gradient
            self.zero.add(name)
            return
        self.zero.discard(name)
        self.without.discard(name)
        self.largest[name] = max(self.largest.get(name, 0.0), float(size))
        self._kept[name] = index, self.parameters[name].detach().reshape(-1)[index].clone()

    def after_step(self) -> None:
        """Compare what was kept with what is there now."""
        self.steps += 1
        for name, (index, before) in self._kept.items():
            if bool(self.parameters[name].detach().reshape(-1)[index] != before):
                self.unmoved.discard(name)
        self._kept.clear()

    def _forget(self, name: str) -> None:
        """An empty parameter (a layer of width 0) has nothing to move."""
        self.without.discard(name)
        self.unmoved.discard(name)

    def record(self) -> dict[str, Any]:
        """Plain data: how many were trainable, and the names of those that fell short, in the module's order."""
        noisy = self.noisy
        return {
            "trainable": self.count,
            "without_gradient": [name for name in self.parameters if name in self.without - self.zero],
            "zero_gradient": [name for name in self.parameters if name in self.zero],
            "zero_share": sum(self.parameters[name].numel() for name in self.zero) / max(self.elements, 1),
            "unmoved": [name for name in self.parameters if name in self.unmoved - self.without - noisy],
            "noisy": [name for name in self.parameters if name in noisy],
        }


def _strided() -> Any:
    import torch

    return torch.strided
