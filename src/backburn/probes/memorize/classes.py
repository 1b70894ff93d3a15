"""Of a loss over classes: what each class weighs, and on which axis its targets are distributions."""

from __future__ import annotations

from typing import Any

from ..floor import Call

_SUM = 1e-3  # by which a distribution may miss 1: float32 misses it by 1e-6, bfloat16 by 4e-3 at worst
_MANY = 64  # classes whose weights are told


def weights(call: Call) -> list[float]:
    """Of each class (`weight` of cross entropy), or of its presence (`pos_weight`); none where they are not given."""
    given = call.given.get("weight") if call.name in ("cross_entropy", "nll_loss") else call.given.get("pos_weight")
    if given is None or given.numel() > _MANY:
        return []
    return [float(f"{value:.3g}") for value in given.detach().reshape(-1).tolist()]


def on_other_axis(call: Call, wanted: Any) -> bool:
    """Whether targets are distributions over another axis than that of the classes: the last one, or the samples."""
    values = wanted.float()
    if call.name == "cross_entropy" and wanted.dim() > 2:
        return _sums(values, -1) and not _sums(values, 1)
    if call.name == "cross_entropy" and wanted.dim() == 2:
        return _sums(values, 0) and not _sums(values, 1)
    if call.name == "kl_div" and wanted.dim() == 2:
        values = values.exp() if call.given.get("log_target") else values
        return _sums(values, 0) and not _sums(values, 1)
    return False


def _sums(values: Any, axis: int) -> bool:
    return bool((values >= 0).all() and ((values.sum(dim=axis) - 1).abs() <= _SUM).all())
