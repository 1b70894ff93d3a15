"""What follows the parts of the model that no optimizer trains: a teacher, a target network, averaged weights."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

from .metrics import has, number
from .passes import Pass
from .session import Session, Untold
from .standing import untrained

_PARTS = 4  # that are shaken one by one, two passes each
_NUMBERS = 10**7  # of a part that is shaken: a copy of it is kept meanwhile


def look(session: Session) -> dict[str, Any]:
    """By part (`teacher.*`): whether the loss follows it, or what validation_step makes and logs."""
    parts: dict[str, list[Any]] = {}
    # By what optimizers hold, not by what they keep of it: LBFGS keeps all of its state with the first parameter.
    held = {id(one) for optimizer in session.optimizers for group in optimizer.param_groups for one in group["params"]}
    own = {id(one) for one in session.module.parameters() if not (one.requires_grad and id(one) in held)}
    for one in untrained(session):
        if one.group.endswith("*") and id(one.tensor) in own:
            parts.setdefault(one.group, []).append(one.tensor)
    small = {name: ones for name, ones in parts.items() if sum(one.numel() for one in ones) <= _NUMBERS}
    if not small:
        raise Untold("every part of the model is trained")
    steps = ["training_step"] + (["validation_step"] if has(session.module, "validation_step") else [])
    found: dict[str, list[str]] = {"training_step": [], "validation_step": []}
    for step in steps:
        with contextlib.suppress(Exception):  # a step that does not take this batch
            before = _values(_passed(session, step))
            for name in list(small)[:_PARTS]:
                with _shaken(small[name]):
                    after = _values(_passed(session, step))
                found[step] += [name] if _differ(before, after) else []
    return {"parts": list(small)[:_PARTS], "loss": found["training_step"], "validation": found["validation_step"]}


def _passed(session: Session, step: str) -> Pass:
    return session.run() if step == "training_step" else session.evaluate(step)


def _values(done: Pass) -> list[float]:
    """What gradients start from, or, where there is none, what was made and logged."""
    if done.losses:
        return [float(one.detach().float().mean()) for one in done.losses]
    made = [float(one.detach().float().abs().mean()) for _, one in done.outputs if one.numel()]
    return made + [value for value in map(number, done.logged.values()) if value is not None]


def _differ(before: list[float], after: list[float]) -> bool:
    pairs = zip(before, after)
    return any(math.isfinite(one) and not math.isclose(one, other, rel_tol=1e-5) for one, other in pairs)


@contextlib.contextmanager
def _shaken(tensors: list[Any]) -> Iterator[None]:
    import torch

    before = [one.detach().clone() for one in tensors]
    numbers = torch.Generator().manual_seed(0)
    try:
        for one in tensors:
            noise = torch.randn(one.shape, generator=numbers).to(one.device, one.dtype)
            one.data.copy_(one.detach() * 1.5 + noise * (float(one.detach().float().abs().mean()) + 0.01))
        yield
    finally:
        for one, values in zip(tensors, before):
            one.data.copy_(values)
