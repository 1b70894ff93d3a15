"""What a training holds, as digests: any tensor, wherever it lies and however it is stored, by its values.

Nothing here changes a tensor, draws a random number, or raises: what cannot be read has the digest "".
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from .batches import leaves

DIGITS = 16
_SMALL = 2**16  # bytes: a copy of as many is cheaper than a view, for which ctypes makes a type
_MOST = 10_000  # leaves of one value: an output that refers to the whole program ends somewhere

Table = dict[str, str]
reading = 0  # how many of `ours` run


class ours:  # noqa: N801 # a generator would take 1 microsecond more
    """What is dispatched inside is none of the training's operations."""

    def __enter__(self) -> None:
        """One more."""
        global reading
        reading += 1

    def __exit__(self, *_: object) -> None:
        """One less."""
        global reading
        reading -= 1


def digest(tensor: Any) -> str:
    """16 hexadecimal digits of a SHA-256 over dtype, shape and bytes in the order of the indices; "" where it cannot be
    read: no values (meta, lazy), freed or captured storage, a kind that torch does not take apart.
    """
    total = hashlib.sha256()
    try:
        with ours():
            _add(total, tensor)
    except Exception:  # whatever a library's own kind of tensor raises, the training goes on
        return ""
    return total.hexdigest()[:DIGITS]


def nested(value: Any) -> str:
    """The digest of any nesting of tensors, arrays and plain values; "" where a part cannot be read."""
    total = hashlib.sha256()
    try:
        for path, one in islice(leaves(value, ""), _MOST):
            part = digest(one) if is_tensor(one) else plain(one)
            if not part:
                return ""
            total.update(f"{path}\0{part}\0".encode())
    except Exception:  # an attribute that raises when it is read
        return ""
    return total.hexdigest()[:DIGITS]


def table(named: Iterable[tuple[str, Any]]) -> Table:
    """Name -> digest, each tensor read once whatever it is called; without those that cannot be read."""
    seen: dict[int, str] = {}
    found = {}
    for name, one in named:
        if id(one) not in seen:
            seen[id(one)] = digest(one)
        if seen[id(one)]:
            found[name] = seen[id(one)]
    return found


def parameters(module: Any) -> Table:
    """The digest of each parameter under each of its names."""
    return table(module.named_parameters(remove_duplicate=False))


def buffers(module: Any) -> Table:
    """The digest of each buffer, kept in checkpoints or not."""
    return table(module.named_buffers(remove_duplicate=False))


def norms(module: Any) -> dict[str, tuple[float, float]]:
    """The sum of |x| and the root of the sum of x² of each parameter, in float32 at least, each tensor once."""
    import torch

    found = {}
    for name, one in module.named_parameters():
        try:
            here = one.detach()
            here = here.to_local() if hasattr(here, "to_local") else here
            _expect_values(here)
            kind = torch.float32 if here.dtype in (torch.float16, torch.bfloat16) else None
            found[name] = tuple(float(torch.linalg.vector_norm(here, order, dtype=kind)) for order in (1, 2))
        except Exception:  # a kind of tensor without such a norm
            continue
    return found  # type: ignore[return-value]


def is_tensor(value: Any) -> bool:
    """Whether it is one of torch's, of any kind."""
    return hasattr(value, "detach") and hasattr(value, "dtype")


def plain(value: Any) -> str:
    """An array or a plain value; without its address, which is another one in each process."""
    if hasattr(value, "tobytes"):
        about = f"{getattr(value, 'dtype', '')} {getattr(value, 'shape', '')}"
        return hashlib.sha256(about.encode() + b"\0" + value.tobytes()).hexdigest()[:DIGITS]
    return f"{type(value).__name__} {re.sub(' at 0x[0-9a-fA-F]+', '', repr(value))}"


def _add(total: Any, tensor: Any) -> None:
    import torch

    here = tensor.detach()
    if type(here) is not torch.Tensor:
        if hasattr(here, "to_local"):  # a shard: this rank's
            here = here.to_local()
        elif hasattr(here, "__tensor_flatten__"):
            names, _ = here.__tensor_flatten__()
            _add_all(total, type(here).__name__, (getattr(here, name) for name in names))
            return
        here = here.as_subclass(torch.Tensor)
    if here.is_nested:  # it has no shape
        return _add_all(total, "nested", here.unbind())
    total.update(_kind(here.dtype, tuple(here.shape)))
    if here.layout is torch.strided and not here.is_quantized:
        total.update(raw(here))
    else:
        _add_all(total, str(here.layout), _parts(here))


def _add_all(total: Any, kind: str, parts: Iterable[Any]) -> None:
    total.update(kind.encode())
    for part in parts:
        _add(total, part)


@functools.lru_cache(maxsize=4096)
def _kind(dtype: Any, shape: tuple[int, ...]) -> bytes:
    return f"{dtype} {shape}\0".encode()


def _parts(tensor: Any) -> Iterator[Any]:
    """Of what is not one dense block: the blocks that it is made of."""
    import torch

    if tensor.is_quantized:
        yield tensor.int_repr()
        per_tensor = tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric)
        scales = (tensor.q_scale(), tensor.q_zero_point()) if per_tensor else ()
        yield from map(torch.tensor, scales)
        yield from () if per_tensor else (tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points())
    elif tensor.layout is torch.sparse_coo:
        one = tensor.coalesce()
        yield from (one.indices(), one.values())
    elif tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        yield from (tensor.crow_indices(), tensor.col_indices(), tensor.values())
    elif tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        yield from (tensor.ccol_indices(), tensor.row_indices(), tensor.values())
    else:
        yield tensor.to_dense()


def raw(tensor: Any) -> Any:
    """The bytes of a plain dense tensor, in place where they lie in order in this machine's memory.

    Raises ValueError where it has none. Torch may be without numpy, which has no bfloat16 either.
    """
    import torch

    if tensor.is_cuda and torch.cuda.is_current_stream_capturing():
        raise ValueError("a copy would break the capture")
    _expect_values(tensor)
    size = tensor.nbytes
    here = tensor
    if not (here.is_cpu and here.is_contiguous() and not here.is_conj() and not here.is_neg()):
        here = here.resolve_conj().resolve_neg().cpu().contiguous()
    if size <= _SMALL:
        return ctypes.string_at(here.data_ptr(), size) if size else b""
    view = (ctypes.c_char * size).from_address(here.data_ptr())
    view.owner = here  # its memory lives as long
    return view


def _expect_values(tensor: Any) -> None:
    """Raise ValueError where there is nothing to read: FSDP frees a storage, and keeps the shape."""
    if tensor.numel() and (tensor.is_meta or not tensor.untyped_storage().nbytes()):
        raise ValueError("it has no values")
