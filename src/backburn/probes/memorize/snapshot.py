"""All that a module or a DataModule holds, put back in place: tensors, flags, hooks, counters, lists of outputs."""

from __future__ import annotations

import collections
import contextlib
import copy
import operator
import random
import sys
from collections.abc import Iterator
from typing import Any

_LARGE = 10**9  # frozen numbers: a language model under LoRA fills half of the GPU, and nothing writes into it
_CONTAINERS = (dict, list, set, collections.deque)


class Snapshot:
    """What `root` and its submodules (of a plain object: it alone) hold now; `restore` makes it so again.

    Tensors keep their identity: an optimizer, a tied weight and a view go on seeing them. `parameters=False` leaves
    their values out, for a pass that cannot change them; more than 10**9 frozen ones are left out anyway. `host`: the
    copies lie in the host's memory, as a GPU may have no place for a second model.
    """

    def __init__(self, root: Any, *, parameters: bool = True, host: bool = False) -> None:
        self.parameters, self.host = parameters, host
        frozen = [one for one in getattr(root, "parameters", tuple)() if not one.requires_grad]
        self.frozen = sum(one.numel() for one in frozen) <= _LARGE
        self.held: list[tuple[Any, dict[str, Any]]] = []
        self.containers: list[tuple[Any, Any]] = []
        self.tensors: dict[int, tuple[Any, Any, bool, Any, Any]] = {}
        for one in root.modules() if hasattr(root, "modules") else [root]:
            self.held.append((one, dict(vars(one))))
            self._keep(vars(one))

    def _keep(self, values: dict[str, Any]) -> None:
        for name, value in values.items():
            if isinstance(value, _CONTAINERS):
                self.containers.append((value, value.copy()))
                inside = list(value.values() if isinstance(value, dict) else value)
            else:
                inside = [value]
            for one in inside:
                if _is_tensor(one) and id(one) not in self.tensors:
                    own = None if name == "_parameters" and not self._holds(one) else self._copied(one)
                    self.tensors[id(one)] = (one, own, one.requires_grad, one.grad if one.is_leaf else None, one.device)

    def _holds(self, parameter: Any) -> bool:
        return self.parameters and (self.frozen or parameter.requires_grad)

    def _copied(self, tensor: Any) -> Any:
        return tensor.detach().to("cpu", copy=True) if self.host else tensor.detach().clone()

    def restore(self) -> None:
        """Put all of it back. A tensor that moved to another device or shape gets its old values anew."""
        for one, values in self.held:
            vars(one).clear()
            vars(one).update(values)
        for container, values in self.containers:
            if _is_as_it_was(container, values):  # most are; and one that is frozen raises where it is changed
                continue
            container.clear()
            container.update(values) if isinstance(container, (dict, set)) else container.extend(values)
        for tensor, own, requires, grad, device in self.tensors.values():
            if own is not None:
                _put_back(tensor, own, device)
            if tensor.is_leaf:
                tensor.requires_grad_(requires)
                tensor.grad = grad


class Optimizers:
    """The optimizers that `root` and its submodules hold, in an attribute or in a list or dict there; as `Snapshot`."""

    def __init__(self, root: Any) -> None:
        self.held = [
            (one, dict(vars(one)), _cloned(one.state), [(group, _own(group)) for group in one.param_groups])
            for one in self.of(root)
        ]

    @staticmethod
    def of(root: Any) -> list[Any]:
        """Each of them, once."""
        found = {id(one): one for module in root.modules() for one in _held(module) if hasattr(one, "param_groups")}
        return list(found.values())

    def restore(self) -> None:
        """Put all of it back; the tensors of a state are new ones."""
        for one, values, state, groups in self.held:
            vars(one).clear()
            vars(one).update(values)
            one.state.clear()
            one.state.update(state)
            one.param_groups[:] = [group for group, _ in groups]
            for group, own in groups:
                group.clear()
                group.update(own)


def _is_as_it_was(container: Any, values: Any) -> bool:
    if len(container) != len(values):
        return False
    if isinstance(container, dict):
        return all(key in container and container[key] is one for key, one in values.items())
    return container == values if isinstance(container, set) else all(map(operator.is_, container, values))


def _held(module: Any) -> Iterator[Any]:
    for value in list(vars(module).values()):
        yield value
        if isinstance(value, _CONTAINERS):
            yield from list(value.values() if isinstance(value, dict) else value)


def _cloned(state: Any) -> dict[Any, Any]:
    return {key: _own(one) if isinstance(one, dict) else one for key, one in state.items()}


def _own(values: dict[str, Any]) -> dict[str, Any]:
    return {name: one.detach().clone() if _is_tensor(one) else one for name, one in values.items()}


def _put_back(tensor: Any, own: Any, device: Any) -> None:
    same = (tensor.device, tensor.shape, tensor.dtype) == (device, own.shape, own.dtype)
    if not same:
        tensor.data = own.to(device)
    elif own.device != device or not tensor.data.equal(own):
        tensor.data.copy_(own)


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "detach") and hasattr(value, "requires_grad") and hasattr(value, "is_leaf")


class Numbers:
    """The random numbers that come next, of torch (on the CPU and on the GPU in use), Python and numpy."""

    def __init__(self) -> None:
        import torch

        on_gpu = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        here = [torch.cuda.default_generators[torch.cuda.current_device()]] if on_gpu else []
        # The generators themselves: torch.get_rng_state() asks for the device each time, 6 microseconds of a step.
        self.generators = [torch.default_generator, *here]
        self.numpy: Any = sys.modules.get("numpy.random")
        self.states = [one.get_state() for one in self.generators]
        self.python: Any = random.getstate()
        self.numpys = self.numpy.get_state() if self.numpy else None

    def again(self) -> None:
        """Let them come once more."""
        for one, state in zip(self.generators, self.states):
            one.set_state(state)
        if self.python:
            random.setstate(self.python)
        if self.numpy:
            self.numpy.set_state(self.numpys)

    @property
    def some(self) -> bool:
        """Whether there are any."""
        return bool(self.generators or self.python or self.numpy)

    def drawn(self) -> Numbers:
        """Of these, those of generators that were drawn from since: the rest need not be put back."""
        one = copy.copy(self)
        moved = [not now.get_state().equal(state) for now, state in zip(self.generators, self.states)]
        one.generators = [now for now, has in zip(self.generators, moved) if has]
        one.states = [state for state, has in zip(self.states, moved) if has]
        one.python = self.python if random.getstate() != self.python else None
        if self.numpy and _same(self.numpy.get_state(), self.numpys):
            one.numpy = None
        return one


def _same(one: Any, other: Any) -> bool:
    """Two states of numpy's generator: its name, an array, numbers."""
    return one[0] == other[0] and bool((one[1] == other[1]).all()) and one[2:] == other[2:]


@contextlib.contextmanager
def numbers_kept(first: Numbers | None = None) -> Iterator[None]:
    """Inside, the numbers of `first` come (None: those that come next); the world outside sees none of it."""
    outside = Numbers()
    if first is not None:
        first.again()
    try:
        yield
    finally:
        outside.again()
