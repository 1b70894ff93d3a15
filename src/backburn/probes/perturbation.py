"""Weights that differ by one rounding: how far that alone carries a training is what its curve may not be held to."""

from __future__ import annotations

from typing import Any


def perturb(module: Any, number: int) -> None:
    """Multiply each floating parameter by 1 + {-1, 0, 1}·eps of its dtype, by a draw of its own for each `number`.

    Each parameter once, whatever it is called; no global random number is drawn. Research: shared/research 4.3, rung 2.
    """
    import torch

    draw = torch.Generator("cpu").manual_seed(number)
    with torch.no_grad():
        for parameter in module.parameters():
            here = parameter.to_local() if hasattr(parameter, "to_local") else parameter
            if here.is_floating_point() and here.layout is torch.strided and not _is_lazy(here):
                signs = torch.randint(-1, 2, here.shape, generator=draw, device="cpu", dtype=torch.int8)
                here.mul_(1 + signs.to(here.device).to(here.dtype) * torch.finfo(here.dtype).eps)


def _is_lazy(parameter: Any) -> bool:
    from torch.nn.parameter import is_lazy

    return bool(is_lazy(parameter))
