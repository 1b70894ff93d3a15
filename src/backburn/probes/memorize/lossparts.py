"""How what the loss holds outputs against, and what the model is given, follow from the batch: by correlation.

So a target that is made on the way (the velocity of a flow, noise, a residual) is known again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from . import lossgraph
from .passes import Pass
from .session import Session

_NOTED = 0.3  # of |r|: below it a batch of 100 says nothing
_MADE = (
    0.95  # below it something is drawn on the way: another draw tells whether r is the mixture's own (mixup's is not)
)
_STEADY = 0.1  # by which it may move then
_ELEMENTS = 100_000  # of each part, at most
_PARTS = 8

Found = dict[str, float]


def related(session: Session) -> Found:
    """`target:batch[0]` -> its correlation with that part of the batch; `input:batch[0]` likewise, of the model's first
    input of floating-point numbers. One more pass where one is a mixture, and none that another draw moves.
    """
    found = dict(_related(session, session.first))
    if not any(_NOTED <= abs(r) < _MADE for r in found.values()):
        return found
    again = dict(_related(session, session.run(seed=1)))
    return {name: r for name, r in found.items() if abs(again.get(name, 0.0) - r) <= _STEADY}


def _related(session: Session, done: Pass) -> Iterator[tuple[str, float]]:
    given: Any = next((one for _, one in done.inputs if one.is_floating_point()), None)
    parts = [(path, one) for path, one in session.tensors(done.batch).items() if one.is_floating_point()]
    for name, one in (("target", _target(done)), ("input", given)):
        for path, part in parts[:_PARTS] if one is not None else ():
            if part.numel() == one.numel() and " " not in path:
                yield f"{name}:{path}", _correlation(one, part)


def _correlation(one: Any, other: Any) -> float:
    import torch

    flat = [each.detach().reshape(-1)[:_ELEMENTS].float().cpu() for each in (one, other)]
    if len(flat[0]) < 4 or not float(flat[0].std()) > 0 or not float(flat[1].std()) > 0:
        return 0.0
    r = float(torch.corrcoef(torch.stack(flat))[0, 1])
    return r if r == r else 0.0


def _target(done: Pass) -> Any:
    """The first target of numbers: a loss call's, or the other side of a squared difference that is written by hand."""
    for call in done.calls:
        wanted: Any = call.given.get("target")
        if hasattr(wanted, "detach") and wanted.is_floating_point() and call.edge is not None:
            return wanted
    outputs = {one.grad_fn: one.detach() for _, one in done.outputs if one.grad_fn is not None}
    for loss in done.losses:
        with contextlib.suppress(RuntimeError):
            for difference, side, node in lossgraph.differences(loss):
                if node in outputs and outputs[node].shape == difference.shape:
                    return outputs[node] - side * difference
    return None
