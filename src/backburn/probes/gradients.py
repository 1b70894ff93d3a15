"""How large the gradient is that an optimizer is about to use."""

from __future__ import annotations

from typing import Any


def squared_norm(optimizer: Any) -> float | None:
    """The squared L2 norm over all parameters of `optimizer`, each tensor's in float32 at least; one wait for a GPU.
    None where no parameter has a gradient.
    """
    import torch

    gradients = [one.grad for group in optimizer.param_groups for one in group["params"] if one.grad is not None]
    norms = [
        torch.linalg.vector_norm(one, dtype=torch.promote_types(one.dtype, torch.float32))
        for one in map(_numbers, gradients)
    ]
    together = [one.reshape(1).to(norms[0].device) for one in norms]
    return float(torch.cat(together).cpu().double().square().sum()) if together else None


def _numbers(gradient: Any) -> Any:
    """Of a sparse gradient those that are there; of a sharded one this rank's."""
    own = gradient.detach()
    own = own.to_local() if hasattr(own, "to_local") else own
    return own.coalesce().values() if own.is_sparse else own
