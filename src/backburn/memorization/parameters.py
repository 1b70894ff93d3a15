"""Parameters: registered, connected to the loss, in the optimizer, and trainable where they should be.

Three sets say it: leaves of the loss's graph, the module's parameters, the optimizers' (research, mechanism B).
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import Skip
from ..report import Finding
from .judging import Where, at, listed, suspected

if TYPE_CHECKING:
    from .seen import Evidence


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names of the module's parameters by what became of them before the first step, in the module's order.

    `unregistered`: shapes of trainable leaves in the loss's graph that are no parameter of the module (`64 x 10`).
    `disconnected`: trainable, and not in the graph. `missing`: in the graph, trainable, and in no optimizer. `foreign`:
    shapes of what optimizers hold and the module does not. `shares`: of all elements, those of each set.
    """

    trainable: int = 0
    frozen: tuple[str, ...] = ()
    unregistered: tuple[str, ...] = ()
    disconnected: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    shares: dict[str, float] = {}
    twins: tuple[str, ...] = ()  # frozen modules that are copies of trained ones (EMA, a teacher)
    step: Where = ("", 0)  # where training_step is defined
    optimizer: Where = ("", 0)  # where configure_optimizers is


def parameters_are_registered(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Every trainable tensor that the loss depends on is a parameter of the module."""
    told = seen.look("parameters", Parameters)
    if told.unregistered:
        some = ", ".join(told.unregistered[:3])
        message = f"{len(told.unregistered)} trainable tensors that the loss depends on are in no module ({some})"
        hint = "Layers in a plain list or dict? Use nn.ModuleList, nn.ModuleDict or nn.Parameter."
        yield at(Finding(message=message, hint=hint), told.step)


def parameters_are_connected(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Every trainable parameter takes part in the loss."""
    told = seen.look("parameters", Parameters)
    cut = told.disconnected
    if not told.trainable:
        yield at(Finding(message="no parameter is trainable"), told.step)
    if cut:
        share = told.shares.get("disconnected", 0.0)
        message = f"{listed(cut, told.trainable)} do not take part in the loss: {share:.0%} of the weights"
        finding = at(Finding(message=message, hint=_CUT), told.step)
        yield from suspected([finding], parameters_are_connected, seen.reference)


_CUT = "Look for detach(), no_grad(), .data, .item() on the way to the loss, and for layers that forward never calls."


def parameters_are_optimized(seen: Evidence, config: Any) -> Iterator[Finding]:
    """The optimizers hold every trainable parameter, and nothing else."""
    told = seen.look("parameters", Parameters)
    if told.foreign:
        message = f"an optimizer holds {len(told.foreign)} tensors that are no parameter of the module"
        hint = "Was it made for a copy of the model, or before its layers were replaced?"
        yield at(Finding(message=message, hint=hint), told.optimizer)
    if told.missing:
        share = told.shares.get("missing", 0.0)
        message = f"{listed(told.missing, told.trainable)} get a gradient and are in no optimizer: {share:.0%}"
        hint = "What configure_optimizers passes over stays as it was initialised; freeze it, or hand it over."
        yield at(Finding(message=f"{message} of the weights", hint=hint), told.optimizer)


def parameters_stay_trainable(seen: Evidence, config: Any) -> Iterator[Finding]:
    """No parameter is frozen that was not declared (`frozen`) or reviewed."""
    told = seen.look("parameters", Parameters)
    before = seen.reference.settings.get("frozen", "").split() if seen.reference else []
    frozen = [name for name in told.frozen if not any(fnmatch.fnmatch(name, one) for one in (*config.frozen, *before))]
    if not told.frozen:
        raise Skip("no parameter is frozen")
    if frozen and set(frozen) - set(told.twins):
        message = f"{listed(frozen, len(told.frozen) + told.trainable, 'parameters')} are frozen"
        hint = f'On purpose? frozen = ["{frozen[0].rpartition(".")[0] or frozen[0]}.*"] in [tool.backburn.memorize].'
        finding = Finding(message=message, hint=hint)
        if seen.reference is not None:  # the names themselves are held against it, so these are new
            yield msgspec.structs.replace(finding, message=f"{message}, and were not when it was reviewed")
        else:
            yield from suspected([finding], parameters_stay_trainable, None)


def kept(seen: Evidence) -> dict[str, str]:
    """What a reference notes of this look: settings by name."""
    told = seen.probe.parameters
    return {"frozen": " ".join(told.frozen)} if told else {}
