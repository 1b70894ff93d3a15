"""Metrics: what the steps log of the batch, beside the share of their predictions that is right."""

from __future__ import annotations

import re
from typing import Any

from .changes import spread
from .lossfacts import BINARY, BY_CLASS
from .passes import Pass
from .session import Session, Untold

_METRIC = re.compile(r"(?:^|[_/ -])(acc|accuracy|f1|auroc|auc|iou|dice|precision|recall|top[_-]?1)(?:$|[_/ -])", re.I)


_SAME = 1e-4  # of an output's spread: without gradients, attention and recurrences take another way


def look(session: Session) -> dict[str, Any]:
    """Plain data, as `backburn.memorization.afterwards.Metrics` says."""
    return {"metrics": metrics(session)}


def metrics(session: Session) -> list[dict[str, Any]]:
    """What training_step and validation_step log, and how many of their own predictions are right."""
    found = []
    for hook in ("training_step", "validation_step"):
        if not has(session.module, hook):
            continue
        done = session.run() if hook == "training_step" else session.evaluate(hook)
        right, borrowed = _right(done), False
        if right is None and not done.calls and any(map(_METRIC.search, done.logged)):
            right, borrowed = _borrowed(session, done), True
        if right is None:
            continue
        for name, value in done.logged.items():
            kind = _METRIC.search(name)
            plain = bool(kind and kind[1].lower() in ("acc", "accuracy"))
            if kind and (plain or not right["soft"]) and (logs := number(value)) is not None:
                shares = {"right": right["right"], "by_class": right["by_class"]}
                found.append(
                    {"hook": hook, "name": name, "value": logs, "plain": plain, "borrowed": borrowed, **shares}
                )
    if not found:
        raise Untold("no step logs a metric that says how many predictions are right")
    return found


def has(module: Any, hook: str) -> bool:
    """Whether the module's own class has this hook."""
    base = next(one for one in type(module).__mro__ if one.__name__ == "LightningModule")
    return getattr(type(module), hook, None) is not getattr(base, hook, None)


def logged(session: Session) -> dict[str, float]:
    """`validation_step/val_acc` -> value, of each metric that counts what is right, on the memorized batch."""
    found: dict[str, float] = {}
    for hook in ("training_step", "validation_step"):
        if has(session.module, hook):
            done = session.run() if hook == "training_step" else session.evaluate(hook)
            if done.swapped:
                continue
            numbers = {name: number(value) for name, value in done.logged.items() if _METRIC.search(name)}
            found |= {f"{hook}/{name}": value for name, value in numbers.items() if value is not None}
    return found


def shares(session: Session) -> dict[str, float]:
    """The share of a step's own predictions that are right, by the step, where that can be told."""
    found: dict[str, float] = {}
    for hook in ("training_step", "validation_step"):
        if has(session.module, hook):
            right = _right(session.run() if hook == "training_step" else session.evaluate(hook))
            found |= {hook: right["right"]} if right is not None else {}
    return found


def _borrowed(session: Session, done: Pass) -> dict[str, float] | None:
    """As `_right`, of a step without a loss: that of training_step in eval mode, where the model says the same."""
    trained = session.run(evaluation=True)
    return _right(trained) if _says_the_same(done, trained) else None


def alike(session: Session) -> bool:
    """Whether the model says in a validation_step without a loss what it says in training_step, in eval mode."""
    if not has(session.module, "validation_step"):
        raise Untold("there is no validation_step")
    done = session.evaluate("validation_step")
    if done.calls or done.swapped or not done.outputs:
        raise Untold("it has a loss, or other weights, or calls no module")
    trained = session.run(evaluation=True)
    if trained.drew or any(not _there(name, one, trained) for name, one in done.outputs):
        raise Untold("training_step draws random numbers, or calls other modules")
    return _says_the_same(done, trained)


def _says_the_same(done: Pass, trained: Pass) -> bool:
    return bool(done.outputs) and all(
        any(_same(one, other) for other in _there(name, one, trained)) for name, one in done.outputs
    )


def _there(name: str, one: Any, trained: Pass) -> list[Any]:
    """What training_step has from the module of this name, in this shape."""
    return [other for own, other in trained.outputs if own == name and other.shape == one.shape]


def _same(one: Any, other: Any) -> bool:
    if not one.is_floating_point():
        return bool(one.equal(other))
    return float((one - other.detach()).abs().max()) <= _SAME * spread(other.detach().float())


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


def number(value: Any) -> float | None:
    """What was logged as one number; None where it is none."""
    if hasattr(value, "numel"):
        return float(value) if value.numel() == 1 else None
    return float(value) if isinstance(value, (int, float)) else None
