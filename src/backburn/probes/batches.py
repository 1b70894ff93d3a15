"""Whether two batches are the same, and where they differ: any nesting of tensors, arrays and plain values."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

_DEPTH = 8  # a graph library's batch refers back to its store; no batch worth reading is deeper

Leaf = tuple[str, Any]


class Batch:
    """The leaves of one batch, tensors cloned on their device, so that what happens to it later does not matter."""

    def __init__(self, batch: Any) -> None:
        self.leaves = [(path, value.detach().clone() if _is_tensor(value) else value) for path, value in leaves(batch)]
        self.values = [value for _, value in self.leaves]
        self.plain = type(batch) if type(batch) in (list, tuple) and all(map(_is_tensor, batch)) else None
        self.equal = _torch().equal

    def differs(self, batch: Any) -> str:
        """The first path at which `batch` is another one, with type and shape; "" when both are the same."""
        if type(batch) is self.plain and len(batch) == len(self.values):
            # The usual batch, a list of tensors: without a word about paths 19 microseconds a step become 4.
            with contextlib.suppress(RuntimeError):  # of another dtype, layout or device
                if all(map(self.equal, self.values, batch)):
                    return ""
        others = list(leaves(batch))
        for (path, value), (where, other) in zip(self.leaves, others):
            if path != where or not _same(value, other):
                return f"{where}: {_kind(other)}"
        return "" if len(others) == len(self.leaves) else f"{len(others)} parts instead of {len(self.leaves)}"

    @property
    def digest(self) -> str:
        """32 hexadecimal digits of BLAKE2b over each leaf's path, dtype, shape and bytes."""
        return digest(self.leaves)


def digest(found: Any) -> str:
    """As Batch.digest, of leaves."""
    total = hashlib.blake2b(digest_size=16)
    for path, value in found:
        total.update(f"{path}\0{_kind(value)}\0".encode())
        total.update(_bytes(value))
    return total.hexdigest()


def size(batch: Any) -> int:
    """Samples in a batch: the first dimension of its first tensor or array; 1 where there is none."""
    shapes = (value.shape for _, value in leaves(batch) if isinstance(getattr(value, "shape", None), tuple))
    return next((int(shape[0]) for shape in shapes if len(shape)), 1)


def leaves(value: Any, path: str = "batch", depth: int = 0) -> Iterator[Leaf]:
    """Every tensor, array and plain value inside, each with the expression that reaches it.

    >>> list(leaves({"x": [1, 2.0], "name": "a"}))
    [("batch['x'][0]", 1), ("batch['x'][1]", 2.0), ("batch['name']", 'a')]
    """
    if isinstance(value, Mapping) and depth <= _DEPTH:  # first: whose attributes are its keys may have any, or raise
        for key, one in value.items():
            yield from leaves(one, f"{path}[{key!r}]", depth + 1)
    elif getattr(value, "is_nested", False):
        for index, one in enumerate(value.unbind()):
            yield from leaves(one, f"{path}[{index}]", depth + 1)
    elif depth > _DEPTH or _is_tensor(value) or hasattr(value, "tobytes"):
        yield path, value
    elif isinstance(value, (list, tuple)):
        for index, one in enumerate(value):
            yield from leaves(one, f"{path}[{index}]", depth + 1)
    elif (held := _attributes(value)) is not None:
        for key, one in held.items():
            yield from leaves(one, f"{path}.{key}", depth + 1)
    else:
        yield path, value


def _attributes(value: Any) -> dict[str, Any] | None:
    """What an object holds, by `__dict__` or `__slots__`; None where it shows nothing, or is a class or a function."""
    slots = [name for one in type(value).__mro__ for name in _slots(one)]
    if isinstance(value, type) or callable(value) or not (slots or hasattr(value, "__dict__")):
        return None
    return {name: getattr(value, name) for name in slots if hasattr(value, name)} | dict(getattr(value, "__dict__", {}))


def _slots(one: type) -> tuple[str, ...]:
    named = vars(one).get("__slots__", ()) if one.__module__ not in ("builtins", "datetime", "decimal") else ()
    given = (named,) if isinstance(named, str) else tuple(named)
    return tuple(name for name in given if name not in ("__dict__", "__weakref__") and not name.startswith("__"))


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "detach") and hasattr(value, "dtype")


def _same(one: Any, other: Any) -> bool:
    if _is_tensor(one):
        return type(one) is type(other) and _same_tensor(one, other)
    if type(one) is not type(other):
        return False
    if hasattr(one, "tobytes"):
        return _kind(one) == _kind(other) and bool(one.tobytes() == other.tobytes())
    if isinstance(one, (str, bytes, int, float, complex)):
        return one == other or (one != one and other != other)
    return True  # an object that shows nothing of itself: no evidence of a difference


def _torch() -> Any:
    import torch

    return torch


def _same_tensor(one: Any, other: Any) -> bool:
    torch = _torch()
    if one.shape != other.shape or one.dtype != other.dtype or one.layout != other.layout or one.device != other.device:
        return False
    if one.layout != torch.strided:
        one, other = one.to_dense(), other.to_dense()
    if torch.equal(one, other):
        return True
    # NaN differs from itself: a batch that holds one would never be the same.
    return bool(((one == other) | ((one != one) & (other != other))).all())


def _kind(value: Any) -> str:
    """`float32 (64, 1, 8, 8)`, or the type's name."""
    if isinstance(value, type) or not isinstance(getattr(value, "shape", None), tuple) or not hasattr(value, "dtype"):
        return type(value).__name__
    return f"{str(value.dtype).rpartition('.')[2]} {tuple(value.shape)}"


def _bytes(value: Any) -> bytes:
    if not _is_tensor(value):
        return bytes(value.tobytes()) if hasattr(value, "tobytes") else repr(value).encode()
    torch = _torch()
    dense = value.detach() if value.layout == torch.strided else value.detach().to_dense()
    return bytes(dense.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
