"""Where a loss that is no number comes from: the first module, parameter or part of the batch that is none itself."""

from __future__ import annotations

from typing import Any

from ..batches import leaves
from .session import Session


def look(session: Session) -> dict[str, Any]:
    """Plain data, as `backburn.memorization.falling.Origin` says: of one pass with the parameters as they are now."""
    for name, one in session.module.named_parameters():
        if not _is_finite(one):
            return {"kind": "parameter", "name": name}
    for path, one in session.tensors().items():
        if not _is_finite(one):
            return {"kind": "batch", "name": path}
    found: dict[str, Any] = {}
    hooks = [one.register_forward_hook(_watch(name, found)) for name, one in session.module.named_modules() if name]
    try:
        done = session.run()
    finally:
        for hook in hooks:
            hook.remove()
    if found:
        return found
    call = next((one for one in done.calls if not _is_finite(one.value)), None)
    if call is not None:
        return {"kind": "loss", "name": call.name, "where": call.where}
    return {"kind": "step", "name": "training_step"}


def _watch(name: str, found: dict[str, Any]) -> Any:
    """A forward hook: note the first module whose output is not finite and whose inputs are. Inner ones come first."""

    def hook(module: Any, args: Any, output: Any) -> None:
        if found:
            return
        given, made = _tensors(args), _tensors(output)
        if all(map(_is_finite, given)) and not all(map(_is_finite, made)):
            biggest = max((float(one.detach().abs().max()) for one in given if one.numel()), default=0.0)
            found.update(kind="forward", name=name, type=type(module).__name__, largest=biggest)

    return hook


def _tensors(value: Any) -> list[Any]:
    return [one for _, one in leaves(value) if hasattr(one, "detach")]


def _is_finite(tensor: Any) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex()) or bool(tensor.detach().isfinite().all())
