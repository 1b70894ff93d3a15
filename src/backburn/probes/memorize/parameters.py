"""The three-way leaf sets: leaves of the loss's graph, the module's parameters, the optimizers' parameters."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from . import frames
from .session import Session, Untold

_GROUPS = 6  # parts of the model that are shaken one by one, a pass each


def look(session: Session) -> dict[str, Any]:
    """Names and shapes, as `backburn.memorization.parameters.Parameters` says."""
    module, losses = session.module, session.first.losses
    if not losses:
        raise Untold("training_step returned no loss that depends on a parameter")
    graph = {id(one): one for one in leaves_of(losses)}
    named = dict(module.named_parameters())
    own = {id(one) for one in module.parameters()} | {id(one) for one in module.buffers()}
    held = [_held(optimizer) for optimizer in session.optimizers]
    optimized = {key: one for each in held for key, one in each.items()}
    batch = {id(one) for one in session.tensors().values()}
    trainable = {name: one for name, one in named.items() if one.requires_grad}
    resting, twins = _resting(module), list(_twins(named, graph))
    cut = [name for name, one in trainable.items() if id(one) not in graph and name not in twins]
    sets = {
        "disconnected": cut,
        "detached": list(_detached(session, {name: trainable[name] for name in cut}, optimized)),
        "missing": [name for name, one in trainable.items() if id(one) in graph and id(one) not in optimized],
    }
    total = sum(one.numel() for one in trainable.values()) or 1
    return {
        "trainable": len(trainable),
        "trained": [name for name, one in trainable.items() if id(one) in graph and id(one) in optimized],
        "frozen": [name for name, one in named.items() if not one.requires_grad],
        "frozen_parts": list(_frozen_parts(module)),
        **sets,
        "resting": [name for name in sets["missing"] if name in resting],
        "shared": [name for name, one in trainable.items() if sum(id(one) in each for each in held) > 1],
        "unregistered": [
            shape(one) for key, one in graph.items() if key not in own | batch | set(optimized) and _lasts(one, module)
        ],
        "foreign": [shape(one) for key, one in optimized.items() if key not in own],
        "shares": {key: sum(trainable[name].numel() for name in names) / total for key, names in sets.items()},
        "still": 1 - total / max(1, sum(one.numel() for one in named.values())),
        "twins": twins,
        "flat": list(_flat(module, losses)),
        **_sizes(module),
        "step": frames.of(type(module).training_step),
        "optimizer": frames.of(type(module).configure_optimizers),
    }


def leaves_of(losses: Iterable[Any]) -> Iterator[Any]:
    """The trainable tensors that losses depend on, read from autograd's graph."""
    return _leaves_behind([one.grad_fn for one in losses])


def unreached(session: Session, node: Any) -> int:
    """Parameters that the loss gives a gradient, and this node of its graph does not: another of its terms does.
    Experts are not counted: each batch is routed to others.
    """
    own = {id(one) for one in _leaves_behind([node])}
    named = {id(one) for name, one in session.module.named_parameters() if "expert" not in name.lower()}
    return sum(id(one) in named and id(one) not in own for one in leaves_of(session.first.losses))


def _leaves_behind(nodes: Sequence[Any]) -> Iterator[Any]:
    ways, known = list(nodes), set()
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


def _lasts(leaf: Any, module: Any) -> bool:
    """Whether a leaf is of the model: a gradient penalty makes leaves too, anew in each step."""
    import torch

    kept = [one for part in module.modules() for one in vars(part).values()]
    kept += [one for many in kept if isinstance(many, dict) for one in many.values()]
    kept += [one for many in kept if isinstance(many, (list, tuple)) for one in many]
    return isinstance(leaf, torch.nn.Parameter) or any(leaf is one for one in kept)


def _held(optimizer: Any) -> dict[int, Any]:
    return {id(one): one for group in optimizer.param_groups for one in group["params"]}


def _resting(module: Any) -> set[str]:
    """Parameters of parts that are in eval mode as a whole: used on purpose as they are."""
    parts = [(name, one) for name, one in module.named_modules() if name and not any(m.training for m in one.modules())]
    return {f"{name}.{own}" for name, part in parts for own, _ in part.named_parameters()}


def _flat(module: Any, losses: list[Any]) -> Iterator[str]:
    """Trainable matrices, where each of the model's (several) is one number throughout, and its units are one unit:
    they get the same gradient, or none. Tables of embeddings and normalisations begin so at times, and a single head.
    """
    import torch

    named = _matrices(module)
    if len(named) < 2 or not all(one.numel() > 1 and bool((one == one.reshape(-1)[0]).all()) for one in named.values()):
        return
    with contextlib.suppress(RuntimeError):  # a graph that is freed
        total = sum(one.float().mean() for one in losses)
        gradients = torch.autograd.grad(total, list(named.values()), retain_graph=True, allow_unused=True)
        if any(grad is not None and len(grad) > 1 and bool((grad == grad[:1]).all()) for grad in gradients):
            yield from named


def _matrices(module: Any) -> dict[str, Any]:
    """Trainable matrices of layers by name; tables of embeddings and normalisations are none."""
    found = {name: one for name, one in module.named_parameters() if one.requires_grad and one.dim() > 1}
    kinds = {
        f"{at}.{own}": type(one).__name__
        for at, one in module.named_modules()
        for own, _ in one.named_parameters(recurse=False)
    }
    return {name: one for name, one in found.items() if not re.search("Norm|Embedding", kinds.get(name, ""))}


def _sizes(module: Any) -> dict[str, Any]:
    """What a layer makes of inputs of size 1, as the geometric mean over matrices (0.6 as torch draws them, 1 to 1.4 by
    Glorot and He, whatever the width), and how many matrices are 0 throughout.
    """
    with contextlib.suppress(RuntimeError):  # parameters that are not made yet (lazy ones)
        ones = [one.detach().float() for one in _matrices(module).values() if one.numel()]
        gains = [float(one.square().mean()) * (one.numel() / len(one)) for one in ones]
        there = [gain for gain in gains if 0 < gain < math.inf]
        mean = math.exp(sum(map(math.log, there)) / len(there) / 2) if there else 0.0
        return {"gain": mean, "matrices": len(gains), "zeroed": sum(gain == 0 for gain in gains)}
    return {}


def _frozen_parts(module: Any) -> Iterator[str]:
    """The largest parts of the model that are frozen as a whole."""
    found: list[str] = []
    for name, part in module.named_modules():
        parameters = list(part.parameters())
        if name and parameters and not any(one.requires_grad for one in parameters):
            if not any(name.startswith(f"{above}.") for above in found):
                found.append(name)
                yield name


def _detached(session: Session, cut: dict[str, Any], optimized: dict[int, Any]) -> Iterator[str]:
    """Of the parameters that no gradient can reach, those whose values reach the loss all the same: cut off on the way.

    Seen by shaking them, each part of the model by itself. An optimizer has to hold them: what is neither reached nor
    optimized was left alone on purpose.
    """
    parts: dict[str, dict[str, Any]] = {}
    for name, one in cut.items():
        if id(one) in optimized:
            parts.setdefault(name.rpartition(".")[0], {})[name] = one
    groups = list(parts.values())
    if len(groups) > _GROUPS:
        groups = [{name: one for part in groups[at::_GROUPS] for name, one in part.items()} for at in range(_GROUPS)]
    for group in groups:
        if _matters(session, group):
            yield from group


def _matters(session: Session, parameters: dict[str, Any]) -> bool:
    """Whether the loss is another one when these have other values."""
    import torch

    before = [one.detach().clone() for one in parameters.values()]
    numbers = torch.Generator().manual_seed(0)
    try:
        for one in parameters.values():
            noise = torch.randn(one.shape, generator=numbers).to(one.device, one.dtype)
            one.data.copy_(one.detach() * 1.5 + noise * (float(one.detach().float().abs().mean()) + 0.01))
        with contextlib.suppress(Exception):
            now = [float(one.detach().float().mean()) for one in session.run().losses]
            then = [float(one.detach().float().mean()) for one in session.first.losses]
            return any(math.isfinite(b) and not math.isclose(a, b, rel_tol=1e-6) for a, b in zip(now, then))
        return False
    finally:
        for one, values in zip(parameters.values(), before):
            one.data.copy_(values)


def _twins(named: dict[str, Any], graph: Iterable[int]) -> Iterator[str]:
    """Parameters that no loss reaches, with the values of one that it does, and of its name but for one part of it, or
    behind another prefix (`target.0.weight` of `online.0.weight`, `ema.module.0.weight`): a teacher, an average.
    """
    reached = set(graph)
    trained = {name: one for name, one in named.items() if one.requires_grad and id(one) in reached}
    found: dict[tuple[str, str], list[str]] = {}
    varied: set[tuple[str, str]] = set()
    for name, one in named.items():
        if not one.requires_grad or id(one) not in reached:
            for other, two in trained.items():
                parts = _apart(name, other) if two.shape == one.shape else None
                if parts and bool((one.detach() == two.detach().to(one.device)).all()):
                    found.setdefault(parts, []).append(name)
                    varied |= {parts} if bool((one != one.reshape(-1)[:1]).any()) else set()
    # The weights of any two normalisations are 1 when they begin: what says nothing else is no copy.
    copies = {name for parts, names in found.items() if parts in varied for name in names}
    yield from (name for name in named if name in copies)


def _apart(name: str, other: str) -> tuple[str, str] | None:
    """The parts of the model that two parameters of one name are of (`target`, `online`); None of other names."""
    one, two = name.split("."), other.split(".")
    differing = [at for at, (a, b) in enumerate(zip(one, two)) if a != b]
    if len(one) == len(two):
        alike = len(differing) == 1 and not one[differing[0]].isdigit()
        return (".".join(one[: differing[0] + 1]), ".".join(two[: differing[0] + 1])) if alike else None
    behind = len(two) > 1 and one[-len(two) + 1 :] == two[1:]
    return (".".join(one[: -len(two) + 1]), two[0]) if behind else None
