"""Bugs of the silent kind, each planted into the user's own module for one short fit: a test of the tests.

To add one: a function that plants it, and a line in BUGS. What it changes is put back by a `Snapshot` of the module.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

from ..batches import leaves
from . import modes
from .replay import duplicate
from .roles import TARGET, roles
from .session import Session, Untold

_TINY = 1e-4  # of the learning rate
_RATES = ("lr", "initial_lr", "max_lr", "min_lr")  # of a parameter group


class Ground:
    """What bugs are planted into: a module as it was before the first step, what a pass of it showed, and its data (a
    DataModule, loaders, or None where the module makes its own).

    `layers` are its leaf modules with trainable parameters of their own, in the order in which they are called.
    """

    def __init__(self, session: Session, data: Any) -> None:
        self.module, self.size, self.data = session.module, session.size, data
        with modes.called(session.module) as self.modes:
            session.run()
        first = session.first
        self.returns_loss = first.returned is not None
        self.called = {call.name for call in first.calls}
        self.targets = sorted(path for path, of in roles(session).items() if TARGET in of)
        self.layers = _called(session)

    def layer(self, index: int) -> Any:
        """The first or the last layer. Raises Untold where they are one."""
        if len(self.layers) < 2:
            raise Untold("fewer than two layers with trainable parameters are called")
        return self.layers[index]


def _called(session: Session) -> list[Any]:
    seen: dict[int, Any] = {}
    own = [
        one
        for one in session.module.modules()
        if not any(True for _ in one.children()) and any(part.requires_grad for part in one.parameters(recurse=False))
    ]
    hooks = [one.register_forward_pre_hook(lambda one, args: seen.setdefault(id(one), one) and None) for one in own]
    try:
        session.run()
    finally:
        for hook in hooks:
            hook.remove()
    return list(seen.values())


def _sign(ground: Ground) -> None:
    if not ground.returns_loss:
        raise Untold("training_step returns no loss")

    def turned(step: Callable[..., Any], *args: Any, **given: Any) -> Any:
        returned = step(*args, **given)
        return {**returned, "loss": -returned["loss"]} if isinstance(returned, dict) else -returned

    _wrap(ground.module, "training_step", turned)


def _softmax(ground: Ground) -> None:
    import torch
    from torch.nn import functional
    from torch.overrides import TorchFunctionMode

    changed: dict[Any, Callable[[Any], Any]] = {
        functional.cross_entropy: lambda scores: scores.softmax(1 if scores.dim() > 1 else 0),
        functional.binary_cross_entropy_with_logits: torch.sigmoid,
    }
    if not ground.called & {one.__name__ for one in changed}:
        raise Untold("its loss takes no logits")

    class Squashed(TorchFunctionMode):  # type: ignore[misc, unused-ignore]
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            given = dict(kwargs or {})
            if function in changed and args:
                args = (changed[function](args[0]), *args[1:])
            elif function in changed:
                given["input"] = changed[function](given["input"])
            return function(*args, **given)

    def squashed(step: Callable[..., Any], *args: Any, **given: Any) -> Any:
        with Squashed():
            return step(*args, **given)

    _wrap(ground.module, "training_step", squashed)


def _detached(ground: Ground) -> None:
    ground.layer(0).register_forward_hook(lambda one, args, output: duplicate(output))


def _mixed(ground: Ground) -> None:
    if ground.size < 2:
        raise Untold("the batch has one sample")

    def mix(one: Any, args: Any, output: Any) -> Any:
        mixes = hasattr(output, "detach") and output.dim() and output.is_floating_point()
        return (output + output.roll(1, 0)) / 2 if mixes else output

    ground.layer(0).register_forward_hook(mix)


def _nan(ground: Ground) -> None:
    import torch

    if not ground.layers:
        raise Untold("no layer with trainable parameters is called")
    one = next(part for part in ground.layers[-1].parameters(recurse=False) if part.requires_grad)
    with torch.no_grad():
        one.view(-1)[0] = math.nan


def _frozen(ground: Ground) -> None:
    ground.layer(0).requires_grad_(False)


def _evaluated(ground: Ground) -> None:
    if None not in ground.modes.values():
        raise Untold("no layer in train mode behaves differently in eval mode")
    ground.module.eval()


def _shuffled(ground: Ground) -> None:
    import torch

    if not ground.targets:
        raise Untold("which part of the batch is the target is not known")
    if ground.size < 4:
        raise Untold("the batch has fewer than four samples")

    def shuffle(batch: Any) -> Any:
        batch = duplicate(batch)
        for path, one in leaves(batch):
            if path in ground.targets and one.dim() and len(one) > 1:
                one.copy_(one[torch.randperm(len(one))].clone())
        return batch

    _wrap(
        ground.module,
        "_on_before_batch_transfer",
        lambda own, batch, *args, **given: own(shuffle(batch), *args, **given),
    )
    if ground.data is None or hasattr(ground.data, "train_dataloader"):
        owner = ground.module if ground.data is None else ground.data
        _wrap(owner, "train_dataloader", lambda own: _collating(own(), shuffle))
    else:
        _collating(ground.data, shuffle)


def _collating(loaders: Any, change: Callable[[Any], Any]) -> Any:
    """The same loaders, with `change` behind each one's collate function."""
    for one in found(loaders):
        own = one.collate_fn
        vars(one)["collate_fn"] = lambda samples, own=own: change(own(samples))
    return loaders


def found(loaders: Any) -> list[Any]:
    """Every DataLoader among them, in whatever lists and dicts, or in a CombinedLoader."""
    loaders = getattr(loaders, "flattened", loaders)
    if isinstance(loaders, dict):
        loaders = list(loaders.values())
    if isinstance(loaders, (list, tuple)):
        return [one for part in loaders for one in found(part)]
    return [loaders] if hasattr(loaders, "collate_fn") else []


def _forgotten(ground: Ground) -> None:
    left_out = {id(one) for one in ground.layer(-1).parameters(recurse=False)}

    def forgetful(configure: Callable[..., Any], *args: Any, **given: Any) -> Any:
        made = configure(*args, **given)
        for one in _optimizers(made):
            for group in one.param_groups:
                kept = [part for part in group["params"] if id(part) not in left_out]
                group["params"][:] = kept or group["params"]
        return made

    _wrap(ground.module, "configure_optimizers", forgetful)


def _slowed(ground: Ground) -> None:
    def slowed(configure: Callable[..., Any], *args: Any, **given: Any) -> Any:
        made = configure(*args, **given)
        for one in _parts(made):
            if hasattr(one, "base_lrs"):
                one.base_lrs = [rate * _TINY for rate in one.base_lrs]
        for one in _optimizers(made):
            for group in one.param_groups:
                group.update({name: group[name] * _TINY for name in _RATES if name in group})
        return made

    _wrap(ground.module, "configure_optimizers", slowed)


def _stale(ground: Ground) -> None:
    if not ground.module.automatic_optimization:
        raise Untold("manual optimization calls zero_grad itself")
    _wrap(ground.module, "optimizer_zero_grad", lambda zero, *args, **given: None)


def _wrap(module: Any, name: str, change: Callable[..., Any]) -> None:
    """Let `change(method, *args)` stand for a method of this module, until its Snapshot is put back."""
    method = getattr(module, name)
    vars(module)[name] = functools.wraps(method)(functools.partial(change, method))


def _optimizers(made: Any) -> list[Any]:
    return list({id(one): one for one in _parts(made) if hasattr(one, "param_groups")}.values())


def _parts(made: Any) -> Iterator[Any]:
    """All that configure_optimizers returned, in whatever lists and dicts."""
    if isinstance(made, dict):
        made = list(made.values())
    if isinstance(made, (list, tuple)):
        for one in made:
            yield from _parts(one)
    elif made is not None:
        yield made


# Name -> what a person reads, and what plants it; one that cannot be planted raises Untold with the reason.
BUGS: dict[str, tuple[str, Callable[[Ground], None]]] = {
    "sign": ("the loss's sign is turned", _sign),
    "softmax": ("softmax (or sigmoid) before a loss that has it", _softmax),
    "shuffled": ("labels are shuffled against the inputs", _shuffled),
    "mixed": ("each sample's first layer gets half of another sample's", _mixed),
    "detached": ("the first layer is cut off by detach()", _detached),
    "forgotten": ("the last layer is left out of the optimizer", _forgotten),
    "frozen": ("the first layer is frozen", _frozen),
    "stale": ("zero_grad() is missing", _stale),
    "slowed": ("the learning rate is a ten-thousandth", _slowed),
    "evaluated": ("the model is in eval mode", _evaluated),
    "nan": ("a weight is NaN", _nan),
}
