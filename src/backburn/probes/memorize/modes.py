"""Modes: which dropout and batch normalisation layers are in eval mode when training_step calls them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from . import frames
from .session import Session, Untold

_PATHS = ("DropPath", "StochasticDepth")  # timm, torchvision: a dropout of whole branches
_MOSTLY = 0.5  # of a part's weights are trainable: it is trained, not a frozen backbone with a small adapter


def look(session: Session) -> dict[str, Any]:
    """Names of layers, as `backburn.memorization.modes.Modes` says."""
    with called(session.module) as modes, called(session.module, graded=False) as fixed:
        session.run()
    if not modes and not fixed:
        raise Untold("nothing in it behaves differently in eval mode")
    shares = {name: share for name, share in modes.items() if share is not None}
    return {
        "count": len(modes),
        "asleep": [name for name, share in shares.items() if share >= _MOSTLY],
        "partly": [name for name, share in shares.items() if 0 < share < _MOSTLY],
        "fixed": {name: share is not None for name, share in fixed.items() if name not in modes},
        "awake": awake(session),
        "step": frames.of(type(session.module).training_step),
        "validation": frames.of(type(session.module).validation_step),
    }


def awake(session: Session) -> list[str]:
    """What validation_step calls in train mode; nothing where there is none, or it cannot take this batch."""
    if "validation_step" not in {name for one in type(session.module).__mro__[:-1] for name in _own(one)}:
        return []
    with contextlib.suppress(Exception), called(session.module, graded=False) as modes:
        session.evaluate("validation_step")
        return [name for name, share in modes.items() if share is None and name not in _stubborn(session.module)]
    return []


def _stubborn(module: Any) -> set[str]:
    """What does not go into eval mode when it is told to: a Monte Carlo dropout."""
    flags = [(one, one.training) for one in module.modules()]
    try:
        module.eval()
        return {name for name, one in module.named_modules() if one.training}
    finally:
        for one, training in flags:
            one.training = training


def _own(one: type) -> Any:
    return () if one.__module__.startswith(("lightning.", "pytorch_lightning.")) else vars(one)


@contextlib.contextmanager
def called(module: Any, graded: bool = True) -> Iterator[dict[str, float | None]]:
    """Name of each layer that is called meanwhile (with gradients, if `graded`, else without: to validate, what
    learns to learn trains first) -> None if it ever trained there, else
    how much of the part that is in eval mode with it is trainable.
    """
    import torch

    modes: dict[str, float | None] = {}

    def entered(name: str) -> Any:
        def enter(layer: Any, given: Any) -> None:
            if torch.is_grad_enabled() is graded:
                modes[name] = None if layer.training or modes.get(name, 0.0) is None else _share(module, name)

        return enter

    hooks = [one.register_forward_pre_hook(entered(name)) for name, one in module.named_modules() if _differs(one)]
    try:
        yield modes
    finally:
        for hook in hooks:
            hook.remove()


def _differs(layer: Any) -> bool:
    """Whether this layer itself does something else in eval mode."""
    from torch import nn

    if isinstance(layer, nn.modules.batchnorm._BatchNorm):
        return bool(layer.track_running_stats)
    if isinstance(layer, nn.modules.dropout._DropoutNd):
        return bool(layer.p > 0)
    if isinstance(layer, nn.RNNBase):
        return bool(layer.dropout > 0 and layer.num_layers > 1)
    if isinstance(layer, nn.MultiheadAttention):
        return bool(layer.dropout > 0)
    return type(layer).__name__ in _PATHS


def _share(module: Any, name: str) -> float:
    """How much of the part that was put into eval mode with this layer is trainable; 0 where it was put there alone.

    `norm.eval()` for each batch normalisation is how their statistics are frozen on purpose; a whole net in eval mode
    was forgotten there (from_pretrained() returns one, and Lightning leaves it as it is since 2.2).
    """
    part = None
    while name:
        name = name.rpartition(".")[0]
        above = module.get_submodule(name)
        if above.training:
            break
        part = above
    if part is None:
        return 0.0
    sizes = [(one.numel(), one.requires_grad) for one in part.parameters()]
    return float(sum(size for size, trains in sizes if trains)) / (sum(size for size, _ in sizes) or 1)
