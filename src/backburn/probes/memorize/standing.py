"""What is not trained by gradients, and whether it moves: averaged weights, target networks, queues, codebooks, running
statistics. They lie in the module, or in plain objects that it or a callback of the user's holds.

Held against what everything was before the first step, by the part of the model that it belongs to: `ema.*` for the
parameters of a part that is not trained, `net.*.running_mean` for the buffers of a part.
"""

from __future__ import annotations

import itertools
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

from .session import Session

_COPIED = 10**8  # numbers in plain objects that copies are kept of: a data set in an attribute is none of ours
_WHOLE = 10**7  # numbers of a tensor that are all compared (a queue is written in parts),
_COMPARED = 10**8  # and of all together; of what is larger, so many, evenly spread:
_SAMPLE = 2**14
_DEPTH = 3  # an object in an attribute, a list of it, a tensor in that
_MANY = 4096  # things in a list that are looked at
_TOLD = 200  # groups that are told of
# What holds something else than the state of a model, or all of the training.
_FOREIGN = {
    "DataLoader", "Dataset", "LRScheduler", "LightningDataModule", "LightningModule", "Logger", "Metric", "Optimizer",
    "Trainer", "_LRScheduler",
}  # fmt: skip
_SIMPLE = (bool, int, float, complex, str, bytes, type(None), type, types.ModuleType, types.FunctionType)


def look(session: Session) -> dict[str, Any]:
    """Plain data, as `backburn.memorization.standing.Standing` says; the first time, only what everything is."""
    if session.standing is None:
        session.standing = Standing(session)
        return {}
    told: dict[str, Any] = session.standing.record()
    return told


class One(NamedTuple):
    """A tensor, its full name, and that of the group that it moves with."""

    group: str
    name: str
    tensor: Any


class Standing:
    """What the training held before its first step; `record` tells what moved since."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.moved: dict[str, int] = {}
        # The session keeps copies of nearly all of it, for looks to put back.
        kept = {key: own for key, (_, own, *_) in session.began.tensors.items()}
        self.before: dict[str, Any] = {}
        left = _COPIED
        for one in untrained(session, everything=True):
            own = kept.get(id(one.tensor))
            if id(one.tensor) not in kept and one.tensor.numel() <= left:
                left -= one.tensor.numel()
                own = one.tensor.detach().to("cpu", copy=True)
            if own is not None:
                self.before[one.name] = own

    def record(self) -> dict[str, Any]:
        """Groups that moved, with the steps after which it was seen, and those that are what they were."""
        steps, left = self.session.replay.fetched, _COMPARED
        still: dict[str, None] = {}
        for one in untrained(self.session):
            own = self.before.get(one.name)
            if own is None or one.group in self.moved:
                continue
            if _differs(one.tensor, own, left):
                self.moved[one.group] = steps
            left -= own.numel()
            still[one.group] = None
        moved = dict(itertools.islice(self.moved.items(), _TOLD))
        still_now = [one for one in still if one not in self.moved][:_TOLD]
        return {"steps": steps, "moved": moved, "still": still_now, "lags": self._lags()}

    def _lags(self) -> dict[str, float]:
        """Of each group that began as a copy of what is trained: how far it is from that now, as a share of the way
        that this went.
        """
        followed: dict[Any, list[Any]] = {}
        for name, one in self.session.module.named_parameters():
            if one.requires_grad and name in self.before and one.numel() <= _WHOLE:
                followed.setdefault(one.shape, []).append((one, self.before[name]))
        far: dict[str, tuple[float, float]] = {}
        for one in untrained(self.session):
            own = self.before.get(one.name)
            if own is None or not bool((own != own.reshape(-1)[:1]).any()):
                continue  # of constants nobody knows whose copy they are
            for other, began in followed.get(one.tensor.shape, ()):
                if other is not one.tensor and began.equal(own):
                    lag, way = far.get(one.group, (0.0, 0.0))
                    lag += float((other.detach() - one.tensor.detach().to(other.device)).float().square().sum())
                    far[one.group] = lag, way + float((other.detach().to(began.device) - began).float().square().sum())
                    break
        return {group: round((lag / way) ** 0.5, 3) for group, (lag, way) in far.items() if way > 0}


def _differs(now: Any, own: Any, left: int) -> bool:
    now = now.detach()
    if now.shape != own.shape:
        return True
    if own.numel() > min(_WHOLE, left):
        step = -(-own.numel() // _SAMPLE)
        now, own = now.reshape(-1)[::step], own.reshape(-1)[::step]
    return not bool(now.to(own.device).equal(own))


def untrained(session: Session, everything: bool = False) -> Iterator[One]:
    """All floating-point tensors that are not trained, each once; `everything`: what is trained, too."""
    module, held = session.module, _Held(session)
    trained = {name for name, one in module.named_parameters() if held.trains(one)}
    own = list(_of_module(module, trained, ""))
    known = {id(one.tensor) for one in own} | {id(one) for one in module.parameters()}
    for one in own:
        if _is_real(one.tensor) and (everything or one.name not in trained):
            yield one
    parts = {id(one) for one in module.modules()}
    plain = _Plain(held, known, parts)
    for name, one in module.named_modules():
        if not type(one).__module__.startswith("torch.nn.") and not _is_foreign(one, but="LightningModule"):
            yield from plain.inside(f"{name}." if name else "", one, _DEPTH)
    for one in session.trainer.callbacks:
        if not any(base.__module__.startswith(str(__package__)) for base in type(one).__mro__):
            yield from plain.inside(f"{type(one).__name__}.", one, _DEPTH)


def _of_module(module: Any, trained: set[str], prefix: str) -> Iterator[One]:
    """Its parameters, grouped by the largest parts that are not trained, and its buffers, by their own names there."""
    above = {".".join(parts[:n]) for parts in (name.split(".") for name in trained) for n in range(1, len(parts))}
    whole = bool(prefix and not trained)
    roots = set()
    for name, one in module.named_parameters():
        root = _root(name, above)
        roots.add(root)
        part = "*" if whole else f"{root}.*" if root != name else name
        yield One(prefix + part, prefix + name, one)
    for name, one in module.named_buffers():
        path, _, leaf = name.rpartition(".")
        root = _root(path, above)
        part = root if root in roots else path.partition(".")[0]
        part = "*." if whole else f"{part}.*." if part else ""
        yield One(prefix + part + leaf, prefix + name, one)


def _root(name: str, above: set[str]) -> str:
    """The shortest beginning of a name that nothing trained lies below: `ema` of `ema.net.0.weight`."""
    parts = name.split(".")
    ways = (".".join(parts[:n]) for n in range(1, len(parts)))
    return next((way for way in ways if way not in above), name)


class _Held:
    """What the optimizers hold."""

    def __init__(self, session: Session) -> None:
        self.states: dict[int, Any] = {
            id(one): optimizer.state
            for optimizer in session.optimizers
            for group in optimizer.param_groups
            for one in group["params"]
        }

    def trains(self, parameter: Any) -> bool:
        """Whether an optimizer moves it: where it keeps a state of others, and none of this one, it had no gradient."""
        state = self.states.get(id(parameter))
        return parameter.requires_grad and state is not None and (not state or parameter in state)


class _Plain:
    """Tensors in attributes of what is no module, and in modules that are no part of the one that is trained."""

    def __init__(self, held: _Held, known: set[int], parts: set[int]) -> None:
        self.held, self.known, self.parts = held, known, parts

    def inside(self, path: str, value: Any, depth: int) -> Iterator[One]:
        """Of what an object holds, or a list or a dict."""
        if isinstance(value, dict):
            items, group = list(itertools.islice(value.items(), _MANY)), f"{path}*"
        elif isinstance(value, (list, tuple)):
            items, group = list(enumerate(value[:_MANY])), f"{path}*"
        else:
            items, group = list(getattr(value, "__dict__", {}).items()), ""
        for name, one in items:
            if not isinstance(one, _SIMPLE):
                yield from self._of(f"{path}{name}", group or f"{path}{name}", one, depth)

    def _of(self, path: str, group: str, value: Any, depth: int) -> Iterator[One]:
        if id(value) in self.known or id(value) in self.parts:
            return
        if hasattr(value, "named_buffers") and hasattr(value, "named_parameters"):
            self.parts.add(id(value))
            if not _is_foreign(value, but="LightningModule"):  # a copy; the one that is trained is among the parts
                yield from self._of_module(value, path)
        elif _is_tensor(value):
            self.known.add(id(value))
            if _is_real(value) and not self.held.trains(value):
                yield One(group, path, value)
        elif depth and not _is_foreign(value):
            yield from self.inside(f"{path}.", value, depth - 1)

    def _of_module(self, module: Any, path: str) -> Iterator[One]:
        trained = {name for name, one in module.named_parameters() if self.held.trains(one) or id(one) in self.known}
        for one in _of_module(module, trained, f"{path}."):
            if id(one.tensor) not in self.known and _is_real(one.tensor):
                self.known.add(id(one.tensor))
                yield one


def _is_foreign(value: Any, but: str = "") -> bool:
    return any(base.__name__ in _FOREIGN and base.__name__ != but for base in type(value).__mro__)


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "is_floating_point") and hasattr(value, "detach") and hasattr(value, "numel")


def _is_real(tensor: Any) -> bool:
    """Whether it holds floating-point numbers, one by one: counters are none of a model's state."""
    return bool(tensor.is_floating_point() and tensor.numel() and str(tensor.layout) == "torch.strided")
