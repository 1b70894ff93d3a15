"""What must hold once a batch is memorized: its own metrics say so, and a checkpoint brings the model back."""

from __future__ import annotations

import contextlib
import re
from typing import Any

from .lossfacts import BINARY, BY_CLASS
from .passes import Pass
from .session import Session, Untold
from .snapshot import Snapshot

_METRIC = re.compile(r"(?:^|[_/ -])(acc|accuracy|f1|auroc|auc|iou|dice|precision|recall|top[_-]?1)(?:$|[_/ -])", re.I)
_ELEMENTS = 200_000_000  # of a model whose copy is not worth the memory


def look(session: Session) -> dict[str, Any]:
    """Plain data, as `backburn.memorization.afterwards.After` says."""
    told: dict[str, Any] = {}
    for name, take in (
        ("metrics", _metrics),
        ("logged", _logged),
        ("validated", _validated),
        ("checkpoint", _checkpoint),
        ("accumulation", _accumulation),
    ):
        try:
            told[name] = take(session)
        except Untold as reason:
            told.setdefault("untold", {})[name] = str(reason)
        except Exception as error:  # a validation_step that wants another batch than training's, say
            told.setdefault("untold", {})[name] = f"it raised {type(error).__name__}: {error}"[:200]
    return told


# Metrics


def _metrics(session: Session) -> list[dict[str, Any]]:
    """What training_step and validation_step log of themselves, where their own predictions are all right."""
    found = []
    for hook in ("training_step", "validation_step"):
        if not _has(session.module, hook):
            continue
        done = session.run() if hook == "training_step" else session.evaluate(hook)
        right = _right(done)
        if right is None:
            continue
        for name, value in done.logged.items():
            kind = _METRIC.search(name)
            plain = bool(kind and kind[1].lower() in ("acc", "accuracy"))
            if kind and (plain or not right["soft"]) and (number := _number(value)) is not None:
                found.append(
                    {
                        "hook": hook,
                        "name": name,
                        "value": number,
                        "plain": plain,
                        "right": right["right"],
                        "by_class": right["by_class"],
                    }
                )
    if not found:
        raise Untold("no step logs a metric that says how many predictions are right")
    return found


def _has(module: Any, hook: str) -> bool:
    base = next(one for one in type(module).__mro__ if one.__name__ == "LightningModule")
    return getattr(type(module), hook, None) is not getattr(base, hook, None)


def _logged(session: Session) -> dict[str, float]:
    """`validation_step/val_acc` -> value, of each metric that counts what is right, on the memorized batch."""
    found: dict[str, float] = {}
    for hook in ("training_step", "validation_step"):
        if _has(session.module, hook):
            done = session.run() if hook == "training_step" else session.evaluate(hook)
            if done.swapped:
                continue
            numbers = {name: _number(value) for name, value in done.logged.items() if _METRIC.search(name)}
            found |= {f"{hook}/{name}": value for name, value in numbers.items() if value is not None}
    return found


def _validated(session: Session) -> list[float]:
    """The loss of validation_step on this batch, and that of training_step in eval mode."""
    if not _has(session.module, "validation_step"):
        raise Untold("there is no validation_step")
    done, trained = session.evaluate("validation_step"), session.run(evaluation=True)
    if done.swapped:
        raise Untold("it is validated with other weights")
    losses = [_number(value) for name, value in done.logged.items() if "loss" in name.lower()]
    losses = [done.value] if done.value is not None else losses
    if len(losses) != 1 or losses[0] is None or trained.value is None:
        raise Untold("validation_step tells no loss, or several")
    return [losses[0], trained.value]


def _right(done: Pass) -> dict[str, float] | None:
    """The share of right predictions, over samples and as the mean over classes, by the one cross entropy of class
    numbers, or of yes and no, that was called; None for others.
    """
    calls = [one for one in done.calls if one.name in (*BY_CLASS, *BINARY) and one.given]
    if len(calls) != 1:
        return None
    scores, target = calls[0].given["input"], calls[0].given["target"]
    if calls[0].name in BINARY:
        return _right_of_two(calls[0].name, scores, target)
    if target.is_floating_point():
        return None
    counted = target != calls[0].given["ignore_index"]
    hits, classes = (scores.argmax(dim=1 if scores.dim() > 1 else 0) == target)[counted].float(), target[counted]
    if not hits.numel():
        return None
    shares = [float(hits[classes == one].mean()) for one in classes.unique()]
    return {"right": float(hits.mean()), "by_class": sum(shares) / len(shares), "soft": 0.0}


def _right_of_two(name: str, scores: Any, target: Any) -> dict[str, float] | None:
    if scores.shape != target.shape or not bool(((target == 0) | (target == 1)).all()):
        return None
    wanted = target > 0.5
    hits = ((scores > (0.0 if name.endswith("logits") else 0.5)) == wanted).float()
    shares = [float(hits[wanted == one].mean()) for one in wanted.unique()]
    exact = float(hits.reshape(len(hits), -1).amin(dim=1).mean())  # all labels of a sample
    # Of yes and no, other metrics than the accuracy are often taken of the probabilities themselves (a soft Dice).
    return {"right": float(hits.mean()), "by_class": min(exact, sum(shares) / len(shares)), "soft": 1.0}


def _number(value: Any) -> float | None:
    if hasattr(value, "numel"):
        return float(value) if value.numel() == 1 else None
    return float(value) if isinstance(value, (int, float)) else None


# Checkpoint


def _checkpoint(session: Session) -> dict[str, Any]:
    """The loss now, and of the model as it was before training with today's state_dict loaded into it."""
    if sum(one.numel() for one in session.module.parameters()) > _ELEMENTS:
        raise Untold("the model is too large to be copied")
    module, began = session.module, session.began
    now = Snapshot(module)
    before = _losses(session)
    if before[0] is None:
        raise Untold("training_step returns no loss")
    state = {name: _copied(one) for name, one in module.state_dict().items()}
    saved: dict[str, Any] = {"state_dict": state}
    module.on_save_checkpoint(saved)
    try:
        began.restore()
        module.on_load_checkpoint(saved)
        missing, unexpected = module.load_state_dict(saved["state_dict"], strict=False)
        after = _losses(session)
    finally:
        now.restore()
    names = [*missing, *unexpected]
    pairs = [(one, other) for one, other in zip(before, after) if one is not None and other is not None]
    worst = max(pairs, key=lambda pair: abs(pair[0] - pair[1]), default=(before[0], None))
    return {"before": worst[0], "after": worst[1], "names": names[:5], "precision": _precision(session)}


def _losses(session: Session) -> tuple[float | None, float | None]:
    """The loss as training computes it, and in eval mode where buffers matter: running statistics are used there."""
    there = session.run().value
    if any(True for _ in session.module.buffers()):
        with contextlib.suppress(Exception):  # a detector returns boxes there
            return there, session.run(evaluation=True).value
    return there, None


def _copied(value: Any) -> Any:
    return value.detach().clone() if hasattr(value, "detach") else value


def _precision(session: Session) -> str:
    return str(session.trainer.precision)


# Accumulation


def _accumulation(session: Session) -> dict[str, Any]:
    """The gradient of the whole batch, and the mean of those of its halves, each taken twice to keep the batch's size.

    A loss that is a mean over tokens is not the mean of two halves' means where these differ in length.
    """
    if session.accumulated <= 1:
        raise Untold("no gradients are accumulated")
    rows = session.size
    if rows < 4 or rows % 2:
        raise Untold(f"a batch of {rows} has no two halves")
    whole, halves = _gradient(session, None), [_gradient(session, part) for part in (0, 1)]
    mean = [(one + other) / 2 for one, other in zip(*halves)]
    distance = sum(float((a - b).square().sum()) for a, b in zip(whole, mean)) ** 0.5
    size = sum(float(one.square().sum()) for one in whole) ** 0.5
    return {"times": session.accumulated, "difference": distance / size if size else 0.0}


def _gradient(session: Session, part: int | None) -> list[Any]:
    import torch

    batch, rows = session.copy(), session.size
    for one in session.tensors(batch).values():
        if part is not None and one.dim() and one.shape[0] == rows:
            half = one[: rows // 2] if part == 0 else one[rows // 2 :]
            one.copy_(torch.cat([half, half]))
    done = session.run(batch, evaluation=True)
    if not done.losses:
        raise Untold("training_step returns no loss that depends on a parameter")
    parameters = [one for one in session.module.parameters() if one.requires_grad]
    found = torch.autograd.grad(done.losses, parameters, allow_unused=True)
    return [torch.zeros_like(one) if grad is None else grad for one, grad in zip(parameters, found)]
