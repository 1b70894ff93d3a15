"""What must hold once a batch is memorized: its own metrics say so, and a checkpoint brings the model back."""

from __future__ import annotations

import contextlib
from typing import Any

from .metrics import alike, has, logged, metrics, number, shares
from .passes import Pass
from .session import Session, Untold
from .snapshot import Snapshot

_ELEMENTS = 200_000_000  # of a model whose copy is not worth the memory


def look(session: Session) -> dict[str, Any]:
    """Plain data, as `backburn.memorization.afterwards.After` says."""
    told: dict[str, Any] = {}
    for name, take in (
        ("metrics", metrics),
        ("logged", logged),
        ("right", shares),
        ("validated", _validated),
        ("alike", alike),
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


# Validation


def _validated(session: Session) -> dict[str, Any]:
    """The loss of validation_step on this batch, that of training_step in eval mode, and whether they give the model
    the same tensors.
    """
    if not has(session.module, "validation_step"):
        raise Untold("there is no validation_step")
    done, trained = session.evaluate("validation_step"), session.run(evaluation=True)
    if done.swapped:
        raise Untold("it is validated with other weights")
    losses = [number(value) for name, value in done.logged.items() if "loss" in name.lower()]
    losses = [done.value] if done.value is not None else losses
    if len(losses) != 1 or losses[0] is None or trained.value is None:
        raise Untold("validation_step tells no loss, or several")
    return {"losses": [losses[0], trained.value], "alike": _is_fed_alike(done, trained)}


def _is_fed_alike(one: Pass, other: Pass) -> bool:
    """Whether all that the one gives modules of the model, the other gives one, too."""
    import torch

    given = [each for _, each in other.inputs]
    return bool(one.inputs) and all(any(torch.equal(each, mine) for mine in given) for _, each in one.inputs)


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
