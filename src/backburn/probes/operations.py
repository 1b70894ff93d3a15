"""One step op by op, into `operations.jsonl`: what each operation that reaches torch's dispatcher gets and gives.

A line is `{"index", "name", "module", "phase", "inputs", "outputs"}`: digests of the tensors among its arguments and
results, "" for one that holds no values of the training yet (fresh from `empty`) or cannot be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from . import tensors
from .detail import after_closure, is_compiling
from .lines import Lines

FILE = "operations.jsonl"  # beside probe.json
# What writes all of its first argument whatever lay there.
_OVERWRITES = {
    "_foreach_copy_", "_foreach_zero_", "bernoulli_", "cauchy_", "copy_", "exponential_", "fill_", "geometric_",
    "log_normal_", "normal_", "random_", "uniform_", "zero_",
}  # fmt: skip


class Operations:
    """A TorchDispatchMode, with its base: what is dispatched inside is written down."""

    supports_higher_order_operators = True

    def __init__(self, lines: Lines, module: Any, optimizers: Iterable[Any]) -> None:
        super().__init__()
        import torch
        from torch.nn.modules import module as hooks

        self.torch, self.lines, self.count = torch, lines, 0
        self.in_backward = getattr(torch._C, "_current_graph_task_id", lambda: -1)
        self.node_now = getattr(torch._C, "_current_autograd_node", lambda: None)
        self.sequence = getattr(torch._C._autograd, "_get_sequence_nr", lambda: 0)
        self.names = {id(one): name for name, one in module.named_modules()}
        self.inside: list[str] = [""]
        self.made: dict[int, str] = {}  # number of a node of the graph -> the module whose forward made it
        self.blank: set[int] = set()  # addresses of storages that hold nothing yet
        self.optimizing = False
        self.handles = [
            hooks.register_module_forward_pre_hook(self._enter),
            hooks.register_module_forward_hook(self._leave, always_call=True),  # of one that raises, too
        ]
        for one in optimizers:
            if hasattr(one, "register_step_pre_hook"):
                self.handles.append(one.register_step_pre_hook(after_closure(self.optimize)))
                self.handles.append(one.register_step_post_hook(self._stepped))

    def close(self) -> None:
        """Take the hooks away."""
        while self.handles:
            self.handles.pop().remove()

    def optimize(self) -> None:
        """What comes now, clipping too, is the optimizer's, until it has stepped."""
        self.optimizing = True

    def _stepped(self, *_: Any) -> None:
        self.optimizing = False

    def _enter(self, module: Any, args: Any) -> None:
        self.inside.append(self.names.get(id(module), self.inside[-1]))

    def _leave(self, module: Any, args: Any, output: Any) -> None:
        if len(self.inside) > 1:
            self.inside.pop()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation, and write it down."""
        kwargs = kwargs or {}
        if is_compiling():  # dynamo would take what is here for the training's
            return func(*args, **kwargs)
        name = str(func)
        if tensors.reading or name.startswith(("profiler.", "prim.")):  # a digest's own, a mark for a trace
            return func(*args, **kwargs)
        phase, module = self._where()
        given, written = list(self._tensors(_read(func, args, kwargs))), _written(func, args, kwargs)
        inputs = [self._told(one) for one in given]
        value = func(*args, **kwargs)
        outputs = list(self._tensors(value)) or list(self._tensors(written))
        self._note_blank("empty" in name or "resize_" in name, given, self._tensors(written), outputs)
        if not outputs:  # a number that Python reads
            return value
        told = {"index": self.count, "name": name, "module": module, "phase": phase}
        self.lines.write(told | {"inputs": inputs, "outputs": [self._told(one) for one in outputs]})
        self.count += 1
        return value

    def _where(self) -> tuple[str, str]:
        """(phase, module): of a backward, the module whose forward it belongs to."""
        if self.in_backward() != -1:
            return "backward", self.made.get(_number(self.node_now()), "")
        if self.optimizing:
            return "optimizer", ""
        self.made.setdefault(self.sequence() - 1, self.inside[-1])
        return "forward", self.inside[-1]

    def _tensors(self, value: Any) -> Iterator[Any]:
        from torch.utils._pytree import tree_flatten

        return (one for one in tree_flatten(value)[0] if isinstance(one, self.torch.Tensor))

    def _told(self, tensor: Any) -> str:
        return "" if _storage(tensor) in self.blank else tensors.digest(tensor)

    def _note_blank(self, empty: bool, given: Iterable[Any], written: Iterable[Any], outputs: Iterable[Any]) -> None:
        """What `empty` makes is blank until something is written to it, and so is a view of it."""
        fresh = set(map(_storage, outputs))
        if empty:
            self.blank |= fresh
        else:  # an address is used again
            self.blank -= set(map(_storage, written)) | (fresh - set(map(_storage, given)))


def _arguments(func: Any) -> Any:
    return getattr(getattr(func, "_schema", None), "arguments", ())


def _written(func: Any, args: Any, kwargs: Any) -> list[Any]:
    """The arguments that an operation writes to."""
    names = [one.name for one in _arguments(func) if one.alias_info is not None and one.alias_info.is_write]
    by_place = [value for one, value in zip(_arguments(func), args) if one.name in names]
    return by_place + [value for name, value in kwargs.items() if name in names]


def _read(func: Any, args: Any, kwargs: Any) -> Any:
    """The arguments that an operation reads: not what it overwrites whatever lay there, nor `out`."""
    written = {id(one) for one in _written(func, args, kwargs)}
    own = args[1:] if _OVERWRITES.intersection(str(func).split(".")[1:2]) else args
    return own, {name: value for name, value in kwargs.items() if id(value) not in written}


def _number(node: Any) -> int:
    try:
        return int(node._sequence_nr())
    except Exception:  # none runs, or one without a number
        return -1


def _storage(tensor: Any) -> int:
    try:
        return int(tensor.untyped_storage().data_ptr())
    except Exception:  # a kind of tensor without one
        return 0


def operations(lines: Lines, module: Any, optimizers: Iterable[Any]) -> Any:
    """Operations as a TorchDispatchMode: a context manager; close() it too."""
    from torch.utils._python_dispatch import TorchDispatchMode

    return type("OperationsMode", (Operations, TorchDispatchMode), {})(lines, module, optimizers)
