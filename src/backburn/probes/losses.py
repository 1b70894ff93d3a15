"""The loss of a step: what training_step returned, or what was logged as one."""

from __future__ import annotations

from typing import Any


def returned(outputs: Any) -> Any:
    """The loss in what training_step returned, or in what Lightning made of it: a detached tensor of one number, on its
    device; None where there is none.
    """
    loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
    if loss is None or not hasattr(loss, "detach"):
        return None
    return loss.detach() if loss.numel() == 1 else loss.detach().float().mean()


def logged(trainer: Any) -> tuple[str, float | None]:
    """Names and sum of what was logged as a loss (`d_loss + g_loss`), where training_step returned none."""
    metrics = trainer.callback_metrics
    names = sorted(name for name in metrics if "loss" in name.lower() and not name.endswith("_epoch"))
    return " + ".join(names), float(sum(float(metrics[name]) for name in names)) if names else None
