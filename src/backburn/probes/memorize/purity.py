"""Purity: does a forward change parameters, and does it draw random numbers in eval mode."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

from ..batches import leaves
from . import frames
from .parameters import leaves_of
from .session import Session, Untold

_DROPOUTS = ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")
_SMALL = 1e-3  # of a parameter's norm: what noise that is added and taken off again, or rounding, leaves behind
_MOVED = 1e-4  # of an output's spread: bfloat16 and atomic additions on a GPU stay below it in eval mode
_MANY = 32  # names that are told of


def look(session: Session) -> dict[str, Any]:
    """Names and places, as `backburn.memorization.forward.Forward` says."""
    changed, again, written = _changed(session)
    told: dict[str, Any] = {"changed": changed[:_MANY], "again": again[:_MANY], "written": written}
    told["manual"] = not session.module.automatic_optimization
    told["step"] = frames.of(type(session.module).training_step)
    return told | _random(session)


def _changed(session: Session) -> tuple[list[str], list[str], list[str]]:
    """Parameters that the loss depends on and that training_step changed by itself (optimizers stand still), and those
    that it changed once more when it ran again: what is clipped or normalised stays as it is then. Last, all that it
    changed, whether the loss depends on it by gradients or not.
    """
    prints: list[dict[str, Any]] = []
    named: dict[int, str] = {}
    module = session.module

    def twice(step: Any, args: Any, given: Any) -> Any:
        prints.append(_prints(module))
        step(*args, **given)
        prints.append(_prints(module))
        returned = step(*args, **given)
        prints.append(_prints(module))
        named.update((id(one), name) for name, one in module.named_parameters())
        return returned

    with instead(module, twice):
        done = session.run()
    if len(prints) < 3:
        raise Untold("training_step could not be run twice")
    used = {named.get(id(one)) for one in leaves_of(done.losses)}
    first, second = _differing(prints[0], prints[1]), _differing(prints[1], prints[2])
    return [name for name in first if name in used], [name for name in second if name in used], first


@contextlib.contextmanager
def instead(module: Any, run: Any) -> Iterator[None]:
    """Inside, `run(step, args, given)` takes the place of training_step."""
    own, step = vars(module).get("training_step"), module.training_step
    # Under its own signature: a step may well take no batch_idx.
    vars(module)["training_step"] = functools.wraps(step)(lambda *args, **given: run(step, args, given))
    try:
        yield
    finally:
        vars(module).pop("training_step", None)
        if own is not None:
            vars(module)["training_step"] = own


def _prints(module: Any) -> dict[str, Any]:
    """Three numbers per trainable parameter, that tell of any change but a swap of equal values."""
    import torch

    found = {}
    with torch.no_grad():
        for name, one in module.named_parameters():
            if one.requires_grad and one.numel() and one.is_floating_point():
                flat = one.detach().reshape(-1).float()
                weights = torch.linspace(0.5, 1.5, flat.numel(), device=flat.device)
                found[name] = torch.stack([flat.norm(), flat.sum(), (flat * weights).sum()])
    return found


def _differing(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    def far(name: str) -> bool:
        one, other = before[name], after[name]
        return not float((one - other).abs().max()) <= _SMALL * float(one.abs().max()) + 1e-12

    return [name for name in after if name in before and far(name)]


class Calls:
    """What each module was given and returned, call by call, the dropouts that were on, and the modules that drew a
    mask (of uniform or Bernoulli numbers) themselves, while `watching`.
    """

    def __init__(self, module: Any) -> None:
        self.done: list[tuple[str, list[Any], list[Any]]] = []  # name, inputs, outputs; inner modules first
        self.dropped: list[tuple[str, float, tuple[str, int]]] = []  # name of the module, p, where
        self.masked: set[str] = set()
        self.inside: list[tuple[str, Any]] = [("", module)]


@contextlib.contextmanager
def watching(module: Any) -> Iterator[Calls]:
    """Tell of each call of a submodule, and of each dropout function that is on."""
    import torch
    from torch.overrides import TorchFunctionMode

    calls = Calls(module)
    dropouts = {torch.dropout, *(getattr(torch.nn.functional, name) for name in _DROPOUTS)}
    tensor = torch.Tensor
    masks = {torch.rand, torch.rand_like, torch.bernoulli, tensor.bernoulli, tensor.bernoulli_, tensor.uniform_}

    class Dropping(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func in dropouts:
                _note(calls, dict(zip(("input", "p", "training"), args)) | (kwargs or {}))
            elif func is torch.nn.functional.scaled_dot_product_attention:
                given = dict(zip(("query", "key", "value", "attn_mask", "p"), args)) | (kwargs or {})
                _note(calls, {"p": given.get("p", given.get("dropout_p", 0.0))})
            elif func in masks:
                calls.masked.add(calls.inside[-1][0])
            return func(*args, **(kwargs or {}))

    def enter(name: str) -> Any:
        return lambda layer, args, given: calls.inside.append((name, layer))

    def leave(layer: Any, args: Any, given: Any, output: Any) -> None:
        name, _ = calls.inside.pop()
        calls.done.append((name, _tensors([args, given]), _tensors(output)))

    hooks = []
    for name, one in module.named_modules():
        if one is not module:
            hooks.append(one.register_forward_pre_hook(enter(name), with_kwargs=True))
            hooks.append(one.register_forward_hook(leave, with_kwargs=True))
    try:
        with Dropping():
            yield calls
    finally:
        for hook in hooks:
            hook.remove()


def _note(calls: Calls, given: dict[str, Any]) -> None:
    p = float(given.get("p", 0.5))
    name, module = calls.inside[-1]
    # A module that stays in train mode by its own doing is a Monte Carlo dropout.
    if given.get("training", given.get("train", True)) and p > 0 and not module.training:
        calls.dropped.append((name, p, frames.here()))


def _tensors(value: Any) -> list[Any]:
    return [one.detach() for _, one in leaves(value) if hasattr(one, "detach")]


def _random(session: Session) -> dict[str, Any]:
    """Dropouts that are on in eval mode, and else the modules whose outputs differ though their inputs do not."""
    with watching(session.module) as first:
        session.run(evaluation=True, seed=1)
    with watching(session.module) as second:
        session.run(evaluation=True, seed=2)
    noisy = []
    for (name, given, out), (other, again, differs) in zip(first.done, second.done):
        if name != other:
            break
        if _same(given, again) and not _same(out, differs, _MOVED):
            noisy.append(name)
    noisy = [one for one in noisy if not _augments(session.module, one)]
    inner = [one for one in dict.fromkeys(noisy) if not any(more.startswith(f"{one}.") for more in noisy)]
    masked = [one for one in inner if any(f"{name}.".startswith(f"{one}.") for name in first.masked)]
    return {"dropped": list(dict.fromkeys(first.dropped))[:_MANY], "noisy": inner[:_MANY], "masked": masked[:_MANY]}


def _augments(module: Any, name: str) -> bool:
    """Whether it is a library's, and stands in no layer: what mixes or distorts inputs is random by its purpose."""
    import sys

    path = name.split(".")
    above = [module.get_submodule(".".join(path[:count])) for count in range(1, len(path) + 1)]
    home = type(above[-1]).__module__
    own = home.startswith("torch.nn.") or frames.is_theirs(getattr(sys.modules.get(home), "__file__", None) or "")
    return not own and not any(True for one in above for _ in one.parameters())


def _same(ones: list[Any], others: list[Any], share: float = 0.0) -> bool:
    if [one.shape for one in ones] != [one.shape for one in others]:
        return False
    return all(_near(one, other, share) for one, other in zip(ones, others))


def _near(one: Any, other: Any, share: float) -> bool:
    if not one.is_floating_point() or not one.numel() or not share:
        return bool(one.equal(other))
    spread = float((one.float() - one.float().mean()).abs().max())
    return float((one.float() - other.float()).abs().max()) <= share * spread
