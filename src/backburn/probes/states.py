"""What a step begins with beside its weights: the state of each random generator, and the settings of its optimizers;
and what the optimizers keep of the steps before. As digests, which draw nothing and change nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import sys
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

from .machine import spelled
from .tensors import DIGITS, Table, digest, is_tensor, nested


def rng() -> Table:
    """Generator -> digest of its state: torch, python, numpy where it is loaded, and each GPU's."""
    import torch

    version, numbers, gauss = random.getstate()
    found = {"torch": digest(torch.get_rng_state()), "python": _hashed(array("Q", numbers).tobytes(), version, gauss)}
    if "numpy" in sys.modules:
        with contextlib.suppress(Exception):  # a numpy of another kind
            found["numpy"] = _numpy(sys.modules["numpy"].random.get_state(legacy=False))
    with contextlib.suppress(Exception):  # a GPU that is gone
        if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            for index in range(torch.cuda.device_count()):
                found[f"cuda:{index}"] = digest(torch.cuda.get_rng_state(index))
    return {name: one for name, one in found.items() if one}


def _numpy(state: Any) -> str:
    own = dict(state.get("state", {}))
    keys = own.pop("key", None)  # the usual generator's 624
    return _hashed(keys.tobytes(), state | {"state": own}) if hasattr(keys, "tobytes") else nested(state)


def _hashed(content: bytes, *more: Any) -> str:
    return hashlib.sha256(content + repr(more).encode()).hexdigest()[:DIGITS]


def settings(optimizers: Sequence[Any]) -> Table:
    """`<optimizer>.<group>.<setting>` -> its value: a number as float.hex(), a tuple's numbers one by one."""
    found: Table = {}
    for index, optimizer in enumerate(optimizers):
        for number, group in enumerate(getattr(optimizer, "param_groups", ())):
            for key, value in group.items():
                if key != "params":
                    found |= _setting(f"{index}.{number}.{key}", value)
    return found


def _setting(name: str, value: Any) -> Table:
    if isinstance(value, (tuple, list)):
        return {key: text for at, one in enumerate(value) for key, text in _setting(f"{name}.{at}", one).items()}
    return {name: number(value) or spelled(value)}


def number(value: Any) -> str:
    """`float.hex()` of a number, or of a tensor with one in it; "" of anything else.

    >>> number(0.1), number(1), number(True), number("a")
    ('0x1.999999999999ap-4', '0x1.0000000000000p+0', '', '')
    """
    if isinstance(value, bool) or not (isinstance(value, (int, float)) or is_tensor(value)):
        return ""
    try:
        return float(value).hex()
    except Exception:  # several numbers, or a GPU that is lost
        return ""


def names(module: Any) -> dict[int, str]:
    """`id` of each parameter -> the first of its names."""
    return {id(one): name for name, one in module.named_parameters()}


def gradients(optimizer: Any, named: dict[int, str]) -> Iterator[tuple[str, Any]]:
    """(name, gradient) of each parameter of an optimizer that has one; `named` as from names()."""
    for name, parameter in _parameters(optimizer, named):
        if parameter.grad is not None:
            yield name, parameter.grad


def kept(optimizers: Sequence[Any], named: dict[int, str]) -> Table:
    """`<optimizer>.<state>.<parameter>` -> digest, of all that the optimizers keep for a parameter."""
    found = {}
    for index, optimizer in enumerate(optimizers):
        state = getattr(optimizer, "state", None) or {}
        for name, parameter in _parameters(optimizer, named):
            for key, value in _held(state, parameter).items():
                if value is not None and (one := digest(value) if is_tensor(value) else nested(value)):
                    found[f"{index}.{key}.{name}"] = one
    return found


def _held(state: Any, parameter: Any) -> dict[Any, Any]:
    held = state[parameter] if parameter in state else {}  # .get() of a defaultdict is as harmless, a library's is not
    return held if isinstance(held, dict) else {}


def _parameters(optimizer: Any, named: dict[int, str]) -> Iterator[tuple[str, Any]]:
    """Each parameter with its name; `<group>.<position>` for one that the module does not know."""
    for number_, group in enumerate(getattr(optimizer, "param_groups", ())):
        for position, parameter in enumerate(group["params"]):
            yield named.get(id(parameter), f"{number_}.{position}"), parameter
