"""Where the loss pulls what modules return, and which parts of the model each of its terms reaches.

A critic's outputs have no target that says which way is right, nor has a policy's, or a risk's: against what was
reviewed it shows all the same, as the sign of the loss's derivative by them, alone or by another part of the batch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from . import lossgraph
from .parameters import leaves_of
from .passes import Pass
from .session import Session, Untold

_SAMPLES = 16  # at least: of fewer, numbers agree by chance
_AGREES = 0.7  # of |r|: of 16 samples, chance does so 1 time in 400
_STEADY = 1e-3  # relative: derivatives that differ more follow a target of their own
_PARTS = 12  # of a model, or of a batch
_TERMS = 12


def look(session: Session) -> dict[str, Any]:
    """As `backburn.memorization.pulls.Pulls` says."""
    if not session.first.losses:
        raise Untold("training_step returned no loss")
    told: dict[str, Any] = {"ways": {}, "reach": {}}
    with contextlib.suppress(RuntimeError):  # a graph that is freed, compiled or checkpointed
        told["ways"] = _one_way(_ways(session, session.first))
    with contextlib.suppress(RuntimeError):
        told["reach"] = _reach(session.module, session.first)
    return told


# Ways


def _one_way(found: Iterator[tuple[str, float]]) -> dict[str, float]:
    """Of each key the weakest; those that go both ways say nothing."""
    kept: dict[str, list[float]] = {}
    for key, way in found:
        kept.setdefault(key, []).append(way)
    return {key: min(ways, key=abs) for key, ways in kept.items() if min(ways) > 0 or max(ways) < 0}


def _ways(session: Session, done: Pass) -> Iterator[tuple[str, float]]:
    """`critic of generator+` -> 1 where the loss rises with all outputs alike, -1 where it falls; `value ~ batch[2]` ->
    the correlation of its derivative with that part; `policy @ batch[1] ~ batch[2]`: by the classes in batch[1].
    """
    outputs = [(name, one) for name, one in done.outputs if one.grad_fn is not None and one.is_floating_point()]
    parts = {path: one for path, one in session.tensors(done.batch).items() if one.dim() == 1 and " " not in path}
    sources = _sources(session, done)
    for (name, one), pull in zip(outputs, _derivatives(done, [one for _, one in outputs])):
        if pull is None or not bool((pull != 0).any()):
            continue
        if way := _steady(pull):
            more = "+" * _is_attached(session.module, name, one)
            yield f"{name} of {sources.get(id(one), '')}{more}", way
        for at, flat in _by_sample(pull, session.size, parts):
            yield from ((f"{name}{at} ~ {path}", r) for path, r in _agreeing(flat, parts) if path not in at)


def _derivatives(done: Pass, outputs: list[Any]) -> list[Any]:
    import torch

    total: list[Any] = [None] * len(outputs)
    for loss in done.losses if outputs else ():
        mean = loss.float().mean()
        for index, more in enumerate(torch.autograd.grad(mean, outputs, retain_graph=True, allow_unused=True)):
            if more is not None:
                total[index] = more if total[index] is None else total[index] + more
    return total


def _steady(pull: Any) -> float:
    used = pull[pull != 0]
    low, high = float(used.min()), float(used.max())
    return 0.0 if high - low > _STEADY * max(abs(low), abs(high)) else 1.0 if low > 0 else -1.0


def _sources(session: Session, done: Pass) -> dict[int, str]:
    """By the id of an output: the part of the batch, or the module, that what its module was given comes from."""
    told: dict[int, str] = {}
    for module in {name for name, _ in done.outputs}:
        given = [one for name, one in done.inputs if name == module]
        returned = [one for name, one in done.outputs if name == module]
        if len(given) == len(returned):
            told |= {id(one): _source(session, done, put) for put, one in zip(given, returned)}
    return told


def _source(session: Session, done: Pass, given: Any) -> str:
    storage = given.untyped_storage().data_ptr()
    for path, one in session.tensors(done.batch).items():
        if one.untyped_storage().data_ptr() == storage or (one.shape == given.shape and bool((one == given).all())):
            return path
    return next((name for name, one in done.outputs if one.untyped_storage().data_ptr() == storage), "")


def _is_attached(module: Any, name: str, one: Any) -> bool:
    """Whether what another module returned is trained by this output, too."""
    own = {id(each) for each in module.get_submodule(name).parameters()}
    return any(id(leaf) not in own for leaf in leaves_of([one]))


def _by_sample(pull: Any, size: int, parts: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The derivative as a number for each sample: by its one output, or by that of the class that a part says."""
    if size < _SAMPLES or not pull.dim() or pull.shape[0] != size or pull.dim() > 2:
        return
    if pull.numel() == size:
        yield "", pull.reshape(-1)
        return
    for path, one in parts.items():
        if not one.is_floating_point() and len(one) == size and 0 <= int(one.min()) <= int(one.max()) < pull.shape[1]:
            yield f" @ {path}", pull.gather(1, one.long()[:, None]).reshape(-1)


def _agreeing(flat: Any, parts: dict[str, Any]) -> Iterator[tuple[str, float]]:
    import torch

    for path, one in list(parts.items())[:_PARTS]:
        if len(one) == len(flat) and bool((one != one[0]).any()) and bool((flat != flat[0]).any()):
            r = float(torch.corrcoef(torch.stack([flat.detach().float(), one.to(flat.device).float()]))[0, 1])
            if abs(r) >= _AGREES:
                yield path, r


# Reach


def _reach(module: Any, done: Pass) -> dict[str, dict[str, int]]:
    """By kind of term: how many there are (""), and how many of them each part of the model is reached by.

    Of one loss: where one optimizer steps after another, each may freeze what is the other's.
    """
    part = _parts(module)
    told: dict[str, dict[str, int]] = {}
    terms = list(lossgraph.reached(done.losses[0])) if len(done.losses) == 1 else []
    for kind, leaves in terms if len(terms) <= _TERMS else ():
        counts = told.setdefault(kind or "other", {"": 0})
        for name in {"", *(part[id(leaf)] for leaf in leaves if id(leaf) in part)}:
            counts[name] = counts.get(name, 0) + 1
    return told if all(len(one) <= _PARTS for one in told.values()) else {}


def _parts(module: Any) -> dict[int, str]:
    """The part of the model that each parameter belongs to: by as little of its name as tells one part from another."""
    named = {name: id(one) for name, one in module.named_parameters() if one.requires_grad}
    for depth in range(1, 4):
        cut = {key: ".".join(name.split(".")[:depth]) for name, key in named.items()}
        if len(set(cut.values())) > 1:
            return cut
    return {}
