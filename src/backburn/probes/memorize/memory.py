"""What a GPU had when its memory ran out: noted where a fit starts, and where torch.OutOfMemoryError ends it."""

from __future__ import annotations

import re
from typing import Any

_ASKED = re.compile(r"Tried to allocate ([\d.]+) ([KMG]iB)")
_UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_SIGNS = ("CUDA out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")


def at_start(pl_module: Any) -> dict[str, int]:
    """Bytes: the GPU's `total`, what `others` use of it, what this process `held` before any step; {} on a CPU."""
    import torch

    here = pl_module.device
    if here.type != "cuda":
        return {}
    free, total = torch.cuda.mem_get_info(here)
    others = max(total - free - torch.cuda.memory_reserved(here), 0)
    return {"total": total, "others": others, "held": torch.cuda.memory_allocated(here)}


def is_exhausted(error: BaseException) -> bool:
    """Whether this is torch's word for a GPU without memory."""
    import torch

    of_torch = getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError)  # its place before torch 2.5
    return isinstance(error, of_torch) or any(one in str(error) for one in _SIGNS)


def exhausted(start: dict[str, int], error: BaseException, pl_module: Any, step: int, samples: int) -> dict[str, int]:
    """Plain data, as `backburn.memorization.memory.Exhausted` says; `step` counts from 1."""
    import torch

    asked = _ASKED.search(str(error))
    told = {"asked": int(float(asked[1]) * _UNITS[asked[2]])} if asked else {}
    if start:
        told["peak"] = torch.cuda.max_memory_allocated(pl_module.device)
    return {"step": step, "samples": samples} | start | told
