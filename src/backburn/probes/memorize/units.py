"""Units: what comes out of every activation, of a module or a function: units that are never on, units at their end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from . import frames, lossgraph
from .session import Session, Untold

# An input below this gives an output without a gradient: exactly, or less than 1e-3 (gelu(-4) has 5e-4, elu(-8) 3e-4).
_OFF = {"relu": 0.0, "relu_": 0.0, "relu6": 0.0, "threshold": 0.0, "gelu": -4.0}
_OFF |= {"silu": -9.0, "mish": -9.0, "elu": -8.0, "selu": -8.0, "celu": -8.0}
# An output beyond this share of its range is at its end: tanh and sigmoid have 0.2 % of their gradient left.
_ENDS = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0), "hardtanh": (-1.0, 1.0), "hardsigmoid": (0.0, 1.0)}
_SATURATED = 0.0005  # of the range from each end: |tanh| > 0.999
_FEWEST = 8  # units: of fewer, all may be off by chance (2^-7 of the seeds)
_NUMBERS = 64  # of an output, else it is a gate or a coefficient, not a layer


class Unit:
    """One activation's call: what it is called, where, how many units it has, and which share is off, or at its end."""

    def __init__(self, name: str, kind: str, where: tuple[str, int]) -> None:
        self.name, self.kind, self.where = name, kind, where
        self.units, self.dead, self.saturated = 0, 0.0, 0.0


def look(session: Session) -> dict[str, Any]:
    """The activations that training_step calls, as `backburn.memorization.units.Units` says."""
    with watching(session.module) as units:
        session.run()
    if not units:
        raise Untold("no activation function was seen")
    names = ("name", "kind", "units", "dead", "saturated", "where")
    return {"seen": [{name: getattr(one, name) for name in names} for one in units]}


@contextlib.contextmanager
def watching(module: Any) -> Iterator[list[Unit]]:
    """Every activation that is called meanwhile with a gradient, in order."""
    import torch
    from torch.overrides import TorchFunctionMode

    found: list[Unit] = []
    inside = [""]
    known = _functions()
    layers = {name for name, one in module.named_modules() if name and _is_layer(one)}

    class Watch(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func not in known:
                return func(*args, **(kwargs or {}))
            given = args[0] if args else (kwargs or {}).get("input")
            margin = lossgraph.source(given) == "Rsub" if hasattr(given, "grad_fn") else False
            with torch.no_grad():
                off = _off(given, _OFF[known[func]]) if known[func] in _OFF else None
            value = func(*args, **(kwargs or {}))
            if value.requires_grad and value.dim() > 1 and value.numel() >= _NUMBERS:
                with torch.no_grad():
                    one = Unit(inside[-1], known[func], frames.here())
                    found.append(_told(one, off, value.detach(), layers, margin))
            return value

    def enter(name: str) -> Any:
        return lambda layer, args: inside.append(name)

    def leave(layer: Any, args: Any, output: Any) -> None:
        inside.pop()

    hooks = [one.register_forward_pre_hook(enter(name)) for name, one in module.named_modules() if name]
    hooks += [one.register_forward_hook(leave) for name, one in module.named_modules() if name]
    try:
        with Watch():
            yield found
    finally:
        for hook in hooks:
            hook.remove()


def _is_layer(module: Any) -> bool:
    return type(module).__module__.startswith("torch.nn.") or any(True for _ in module.parameters())


def _functions() -> dict[Any, str]:
    import torch

    homes = (torch, torch.nn.functional, torch.Tensor)
    return {
        getattr(home, name): name.rstrip("_")
        for own in (*_OFF, *_ENDS)
        for name in (own, f"{own}_")
        for home in homes
        if hasattr(home, name)
    }


def _off(given: Any, below: float) -> tuple[int, float]:
    """How many units there are, and which share is off for all of the batch: channels of what has the shape of a
    batch of images, else the last axis or the second one, whichever has more of them off.
    """
    axes = {1} if given.dim() > 3 else {1, given.dim() - 1}
    shares = []
    for axis in axes if given.dim() > 1 else ():
        on = (given > below).transpose(0, axis).reshape(given.shape[axis], -1).any(dim=1)
        shares.append((1.0 - float(on.float().mean()), on.numel()))
    dead, units = max(shares, default=(0.0, 0))
    return units, dead


def _told(unit: Unit, off: tuple[int, float] | None, value: Any, layers: set[str], margin: bool) -> Unit:
    if off is not None:
        # Of each sample to each, or a margin less them, in a loss.
        distances = (value.shape[0] == value.shape[1] or margin) and unit.name not in layers
        unit.units, unit.dead = (0, 0.0) if distances or off[0] < _FEWEST else off
    else:
        low, high = _ENDS[unit.kind]
        edge = _SATURATED * (high - low)
        unit.units = value.shape[-1]
        unit.saturated = float(((value < low + edge) | (value > high - edge)).float().mean())
    return unit
