"""The three-way leaf sets: leaves of the loss's graph, the module's parameters, the optimizers' parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from . import frames
from .session import Session, Untold


def look(session: Session) -> dict[str, Any]:
    """Names and shapes, as `backburn.memorization.parameters.Parameters` says."""
    module, losses = session.module, session.first.losses
    if not losses:
        raise Untold("training_step returned no loss that depends on a parameter")
    graph = {id(one): one for one in leaves_of(losses)}
    named = dict(module.named_parameters())
    own = {id(one) for one in module.parameters()} | {id(one) for one in module.buffers()}
    optimized = {
        id(one): one for opt in session.trainer.optimizers for group in opt.param_groups for one in group["params"]
    }
    batch = {id(one) for one in session.tensors().values()}
    trainable = {name: one for name, one in named.items() if one.requires_grad}
    sets = {
        "disconnected": [name for name, one in trainable.items() if id(one) not in graph],
        "missing": [name for name, one in trainable.items() if id(one) in graph and id(one) not in optimized],
    }
    total = sum(one.numel() for one in trainable.values()) or 1
    return {
        "trainable": len(trainable),
        "frozen": [name for name, one in named.items() if not one.requires_grad],
        **sets,
        "unregistered": [shape(one) for key, one in graph.items() if key not in own | batch | set(optimized)],
        "foreign": [shape(one) for key, one in optimized.items() if key not in own],
        "shares": {key: sum(trainable[name].numel() for name in names) / total for key, names in sets.items()},
        "twins": list(_twins(named)),
        "step": frames.of(type(module).training_step),
        "optimizer": frames.of(type(module).configure_optimizers),
    }


def leaves_of(losses: Iterable[Any]) -> Iterator[Any]:
    """The trainable tensors that losses depend on, read from autograd's graph."""
    ways, known = [one.grad_fn for one in losses], set()
    while ways:
        node = ways.pop()
        if node is None or node in known:
            continue
        known.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        ways += [one for one, _ in node.next_functions]


def shape(tensor: Any) -> str:
    """`64 x 10`; `1` of a scalar."""
    return " x ".join(map(str, tensor.shape)) or "1"


def _twins(named: dict[str, Any]) -> Iterator[str]:
    """Frozen parameters with a trainable one of the same last name parts and shape: a teacher, an average."""
    trained: dict[tuple[str, str], set[str]] = {}
    for name, one in named.items():
        if one.requires_grad:
            trained.setdefault((name.partition(".")[2], shape(one)), set()).add(name.partition(".")[0])
    for name, one in named.items():
        top, _, rest = name.partition(".")
        if not one.requires_grad and trained.get((rest, shape(one)), set()) - {top}:
            yield name
