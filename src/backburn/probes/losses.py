"""The loss of a step: what training_step returned, or what was logged as one."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any


def returned(outputs: Any) -> Any:
    """The loss in what training_step returned, or in what Lightning made of it: a detached tensor of one number, on its
    device; None where there is none.
    """
    loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
    if loss is None or not hasattr(loss, "detach"):
        return None
    loss = loss.detach() if loss.requires_grad else loss  # Lightning's is: 1 microsecond of each step
    return loss if loss.numel() == 1 else loss.float().mean()


def logged(trainer: Any, read: Callable[[Any], Any] = float, apart_from: Container[str] = ()) -> tuple[str, Any]:
    """Names and sum of what was logged as a loss (`d_loss + g_loss`), where training_step returned none.

    `read` makes of each tensor what is added; `apart_from` are names that a validation logged.
    """
    metrics = trainer.callback_metrics
    own = [name for name in metrics if "loss" in name.lower() and not name.endswith("_epoch")]
    names = sorted(name for name in own if name not in apart_from)
    return " + ".join(names), sum(read(metrics[name]) for name in names) if names else None


def of_step(trainer: Any, pl_module: Any, outputs: Any, validated: Container[str]) -> Any:
    """What training_step returned, or logged: a float where reading it costs nothing, else a tensor on its device; or
    None. What a validation logged (`validated`) is none of the step's.
    """
    loss = returned(outputs)
    if not pl_module.automatic_optimization:
        return logged(trainer, _read, validated)[1] if loss is None else _read(loss)
    # Lightning has divided it by the steps that are accumulated.
    return None if loss is None else _read(loss) * trainer.accumulate_grad_batches


def _read(loss: Any) -> Any:
    if loss.device.type == "cpu":
        return loss.item()
    return loss.float() if loss.device.type == "mps" else loss.double()  # Apple's GPUs have no float64
