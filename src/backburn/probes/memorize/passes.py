"""One run of training_step, and who listens to it: submodules, loss functions, log and backward."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from ..batches import leaves
from ..floor import Call, recorder
from . import frames

_DEEP = 64  # tensors that layers were given, at most


class Pass:
    """What one run of training_step did with `batch`.

    `returned` is its loss with the graph behind it, or None; `calls` are the loss functions it called, `inputs` and
    `outputs` what each outermost submodule was given and returned (name, tensor), `deep` what layers with weights were
    given that no other layer made, `wanted` what one that computes a loss was given to hold outputs against, `logged`
    what was logged, `roots` the tensors that it called backward on (manual optimization); `drew` is whether any random
    numbers were drawn.
    """

    def __init__(self) -> None:
        self.batch: Any = None
        self.returned: Any = None
        self.calls: list[Call] = []
        self.inputs: list[tuple[str, Any]] = []
        self.outputs: list[tuple[str, Any]] = []
        self.wanted: list[Any] = []
        self.deep: list[Any] = []
        self.logged: dict[str, Any] = {}
        self.roots: list[Any] = []
        self.swapped = False  # it is validated with other weights than it is trained with: averaged ones
        self.drew = False

    @property
    def value(self) -> float | None:
        """The loss as a number (of several elements, their mean); None where there is none."""
        return None if self.returned is None else float(self.returned.detach().float().mean())

    @property
    def losses(self) -> list[Any]:
        """What gradients start from: the returned loss, or what manual optimization called backward on."""
        has_graph = self.returned is not None and self.returned.requires_grad
        # What an attack, or an inner loop, steps back from is not what is trained by.
        if has_graph and not any(one is self.returned for one in self.roots):
            return [self.returned]
        return self.roots or ([self.returned] if has_graph else [])


@contextlib.contextmanager
def observed(module: Any, done: Pass) -> Iterator[None]:
    """Inside, what `module` (a LightningModule) calls, logs and steps back from goes to `done`."""
    with contextlib.ExitStack() as stack:
        for hook in _listening(module, done):
            stack.callback(hook.remove)
        stack.enter_context(_logged(module, done.logged))
        stack.enter_context(_stepped_back(done.roots))
        seen = stack.enter_context(recorder(frames.here))
        try:
            yield
        finally:
            done.calls.extend(seen.calls)


def _listening(module: Any, done: Pass) -> Iterator[Any]:
    """Hooks of every submodule; only the outermost of those at work, which training_step called itself, tells."""
    depth = [0]
    given: list[Any] = []  # to the outermost one that is at work

    def enter(name: str) -> Callable[..., None]:
        def entered(module: Any, args: Any, kwargs: Any) -> None:
            depth[0] += 1
            if depth[0] == 1:
                given[:] = _tensors([args, kwargs])
                done.inputs.extend((name, one.detach()) for one in given)

        return entered

    def leave(name: str) -> Callable[..., None]:
        def left(module: Any, args: Any, output: Any) -> None:
            depth[0] -= 1
            if depth[0] == 0:
                returned = _tensors(output)
                if _computes_a_loss(given, returned):
                    del done.inputs[len(done.inputs) - len(given) :]
                    done.wanted.extend(one for one in given if not one.requires_grad)
                else:
                    done.outputs.extend((name, one) for one in returned)

        return left

    for name, one in module.named_modules():
        if any(True for _ in one.parameters(recurse=False)):
            yield one.register_forward_pre_hook(_noting(done.deep), with_kwargs=True)
        if one is not module and not _is_loss(one):
            yield one.register_forward_pre_hook(enter(name), with_kwargs=True)
            yield one.register_forward_hook(leave(name), always_call=True)


def _noting(deep: list[Any]) -> Callable[..., None]:
    def entered(module: Any, args: Any, kwargs: Any) -> None:
        if len(deep) < _DEEP:
            deep.extend(one for one in _tensors([args, kwargs]) if not one.requires_grad)

    return entered


@contextlib.contextmanager
def _logged(module: Any, to: dict[str, Any]) -> Iterator[None]:
    """What is logged lands in `to` alone."""

    def log(name: str, value: Any, *args: Any, **given: Any) -> None:
        to[name] = _as_now(value)

    def log_dict(values: Any, *args: Any, **given: Any) -> None:
        to.update({name: _as_now(value) for name, value in values.items()})

    vars(module).update(log=log, log_dict=log_dict)
    try:
        yield
    finally:
        vars(module).pop("log", None)
        vars(module).pop("log_dict", None)


def _as_now(value: Any) -> Any:
    """What is logged, and of a metric of torchmetrics its value of this very call: it is put back after the pass."""
    if not hasattr(value, "compute"):
        return value
    cached = getattr(value, "_forward_cache", None)
    if cached is None and getattr(value, "_update_count", 1) > 1:
        return None  # of all the steps before, too
    with contextlib.suppress(Exception):
        return value.compute() if cached is None else cached
    return None


@contextlib.contextmanager
def _stepped_back(roots: list[Any]) -> Iterator[None]:
    """What backward is called on is noted, and its graph stays: looks walk it afterwards."""
    import torch

    backward = torch.autograd.backward

    def noted(tensors: Any, grad_tensors: Any = None, retain_graph: Any = None, *args: Any, **given: Any) -> Any:
        own = [tensors] if hasattr(tensors, "detach") else list(tensors)
        # A list goes through the recorder of loss functions, and so comes by here twice.
        roots.extend(one for one in own if not any(one is other for other in roots))
        return backward(tensors, grad_tensors, True, *args, **given)

    torch.autograd.backward = noted
    try:
        yield
    finally:
        torch.autograd.backward = backward


def _tensors(value: Any) -> list[Any]:
    return [one for _, one in leaves(value) if hasattr(one, "detach")]


def _computes_a_loss(given: list[Any], returned: list[Any]) -> bool:
    """Whether a module that is nobody's we know makes one number of outputs: a loss of the project's or a library's."""
    return bool(returned) and all(one.dim() == 0 for one in returned) and any(one.requires_grad for one in given)


def _is_loss(module: Any) -> bool:
    """Whether it is a loss of torch's, whose functions are seen themselves, or a metric."""
    is_metric = any("torchmetrics" in one.__module__ for one in type(module).__mro__)
    return type(module).__module__ == "torch.nn.modules.loss" or is_metric
