"""What a step does inside: the output of each module as it returns, and the gradients as the optimizer takes them.

For the one step that is watched; nothing stays behind. Hooks are global, not the modules' own: a transformer layer that
is in eval mode takes another road where one of its modules has a hook.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .states import gradients
from .tensors import Table, digest, nested


class Detail:
    """Of the step that begins now, until close(). `named` are the parameters' names, by id."""

    def __init__(self, module: Any, optimizers: Iterable[Any], named: dict[int, str]) -> None:
        from torch.nn.modules import module as hooks

        self.named = named
        self.forward: list[tuple[str, str]] = []
        self.clipped: Table = {}
        self.calls: dict[str, int] = {}
        self.names = {id(one): name for name, one in module.named_modules()}
        self.handles = [hooks.register_module_forward_hook(self._returned)]
        self.handles += [self._before(one) for one in optimizers if hasattr(one, "register_step_pre_hook")]

    def close(self) -> None:
        """Take the hooks away."""
        while self.handles:
            self.handles.pop().remove()

    def _returned(self, module: Any, args: Any, output: Any) -> None:
        if is_compiling():  # what is compiled is no module's any more
            return
        name = self.names.get(id(module))
        if name is None:  # a metric's, or a loss that was made in the step
            return
        self.calls[name] = count = self.calls.get(name, 0) + 1
        if one := nested(output):
            self.forward.append((f"{name}#{count}" if count > 1 else name, one))

    def _before(self, optimizer: Any) -> Any:
        return optimizer.register_step_pre_hook(after_closure(lambda: self._taken(optimizer)))

    def _taken(self, optimizer: Any) -> None:
        for name, gradient in gradients(optimizer, self.named):
            if name not in self.clipped and (one := digest(gradient)):
                self.clipped[name] = one


def is_compiling() -> bool:
    """Whether torch is looking at this code instead of running it."""
    import torch

    asked = getattr(torch.compiler, "is_compiling", None)  # torch 2.1 has none
    return asked is not None and bool(asked())


def after_closure(look: Callable[[], None]) -> Callable[..., Any]:
    """A pre-hook for an optimizer's step that calls `look` as soon as the gradients are there, clipped.

    Lightning computes and clips them in the closure that it hands to the step; without one they are there before.
    """

    def before(optimizer: Any, args: tuple[Any, ...], given: dict[str, Any]) -> Any:
        closure = given.get("closure") or (args[1] if len(args) > 1 else None)
        if closure is None:
            return look()

        def watched() -> Any:
            returned = closure()
            look()
            return returned

        if "closure" in given:
            return args, {**given, "closure": watched}
        return (args[0], watched, *args[2:]), given

    return before
