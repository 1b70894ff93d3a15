"""Parameters: registered, connected to the loss, in the optimizer, and trainable where they should be.

Three sets say it: leaves of the loss's graph, the module's parameters, the optimizers' (research, mechanism B).
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import Skip
from ..report import Check, Finding, Level
from . import lossterms, pulls
from .judging import Where, at, listed, meant, suspected

if TYPE_CHECKING:
    from .seen import Evidence


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names of the module's parameters by what became of them before the first step, in the module's order.

    `unregistered`: shapes of trainable leaves in the loss's graph that are no parameter of the module (`64 x 10`).
    `disconnected`: trainable, and not in the graph, nor a twin; `detached`: of these what an optimizer holds, and
    changes the loss all the same. `missing`: in the graph, trainable, and in no optimizer; `resting`: of these what is
    in eval mode.
    `shared`: in more than one optimizer. `foreign`: shapes of what optimizers hold and the module does not. `shares`:
    of all elements that are trainable, those of each set; `still`: of all elements, those that are not.
    `frozen_parts`: the largest modules that are frozen as a whole.
    """

    trainable: int = 0
    trained: tuple[str, ...] = ()  # in the graph, and in an optimizer
    frozen: tuple[str, ...] = ()
    frozen_parts: tuple[str, ...] = ()
    unregistered: tuple[str, ...] = ()
    disconnected: tuple[str, ...] = ()
    detached: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    resting: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    shares: dict[str, float] = {}
    still: float = 0.0
    twins: tuple[str, ...] = ()  # not reached by gradients, and copies of what is (EMA, a teacher)
    flat: tuple[str, ...] = ()  # all matrices, where each is one number throughout, so that units are no different
    gain: float = 0.0  # what a layer makes of inputs of size 1, at first: mean over matrices; 0 where there is none
    matrices: int = 0
    zeroed: int = 0  # of these, 0 throughout
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
    if not told.trainable:
        hint = "Does requires_grad_(False), or freeze(), take all of them? Leave the head trainable."
        yield at(Finding(message="no parameter is trainable", hint=hint), told.step)
    whole = list(lossterms.detached(seen)) or list(lossterms.cut_off(seen))
    yield from whole or pulls.cut(seen, told.step)
    never = set(seen.probe.without_gradient)  # a GAN's generator may well be stepped in another step than the first
    never -= set(seen.probe.forward.written) if seen.probe.forward else set()  # a codebook that is averaged
    detached = [name for name in told.detached if name in never]
    if detached:
        share = told.shares.get("detached", 0.0)
        message = f"{listed(detached, told.trainable)} change the loss, and no gradient reaches them"
        yield at(Finding(message=f"{message}: {share:.0%} of the weights", hint=_CUT), told.step)
    unused = [name for name in told.disconnected if name in never and name not in detached]
    if unused:
        share = told.shares.get("disconnected", 0.0) - told.shares.get("detached", 0.0)
        message = f"{listed(unused, told.trainable)} do not take part in the loss: {share:.0%} of the weights"
        count = len(unused) - len(_elsewhere(unused, told))
        yield from _more("unused", count, at(Finding(message=message, hint=_UNUSED), told.step), seen)


_CUT = (
    "Look for detach(), no_grad(), .data, .item() on the way to the loss. On purpose? requires_grad_(False), or leave"
    " them out of the optimizer."
)
_UNUSED = "A layer that forward never calls, or whose output nobody uses? Take it out, or call it."


def _elsewhere(unused: Sequence[str], told: Parameters) -> list[str]:
    """Those of experts of which nothing is used: each batch, and each step, is routed to others."""
    later = [name for name in told.disconnected if name not in unused]
    used = {_expert(name) for name in (*told.trained, *later)}
    return [name for name in unused if _expert(name) and _expert(name) not in used]


def _expert(name: str) -> str:
    """`net.experts.0` of `net.experts.0.2.weight`; "" where it is none's."""
    found = re.match(r"(.*expert[^.]*(\.\d+)?)\.", name, re.IGNORECASE)
    return found[1] if found else ""


def _more(name: str, count: int, finding: Finding, seen: Evidence) -> Iterable[Finding]:
    """As `suspected`, by how many there were when it was reviewed; names change with a refactoring, counts do not."""
    if seen.reference is None:
        return suspected([finding], parameters_are_connected, None)
    if count <= int(seen.reference.settings.get(name, "0")):
        return [msgspec.structs.replace(finding, level=Level.NOTICE)]
    before = seen.reference.settings.get(name, "0")
    return [
        msgspec.structs.replace(
            meant(finding), message=f"{finding.message} (when it was reviewed, {before} parameters)"
        )
    ]


def parameters_are_optimized(seen: Evidence, config: Any) -> Iterator[Finding]:
    """The optimizers hold every trainable parameter, and nothing else."""
    told = seen.look("parameters", Parameters)
    if told.foreign:
        message = f"an optimizer holds {len(told.foreign)} tensors that are no parameter of the module"
        hint = "Was it made for a copy of the model, or before its layers were replaced?"
        yield at(Finding(message=message, hint=hint), told.optimizer)
    missing = [name for name in told.missing if name not in told.resting]
    if missing:
        share = told.shares.get("missing", 0.0)
        message = f"{listed(missing, told.trainable)} get a gradient and are in no optimizer: {share:.0%}"
        hint = "What configure_optimizers passes over stays as it was initialised; freeze it, or hand it over."
        yield at(Finding(message=f"{message} of the weights", hint=hint), told.optimizer)
    if told.resting:
        message = f"{listed(told.resting, told.trainable)} are in eval mode and in no optimizer, but not frozen"
        finding = at(Finding(message=message, hint="On purpose? requires_grad_(False) saves time."), told.optimizer)
        yield from suspected([finding], parameters_are_optimized, seen.reference)
    if told.shared:
        message = f"{listed(told.shared, told.trainable)} are in more than one optimizer, so each moves them"
        hint = "A generator's optimizer takes the generator's parameters, a discriminator's the other ones."
        yield from _more("shared", len(told.shared), at(Finding(message=message, hint=hint), told.optimizer), seen)


def parameters_stay_trainable(seen: Evidence, config: Any) -> Iterator[Finding]:
    """No parameter is frozen, or trained, that was not declared (`frozen`) or reviewed."""
    told = seen.look("parameters", Parameters)
    thawed = list(_thawed(seen, told))
    yield from thawed
    if not told.frozen:
        if not thawed:
            raise Skip("no parameter is frozen")
        return
    noted = seen.reference.settings if seen.reference else {}
    known = (*config.frozen, *noted.get("frozen", "").split())
    frozen = [name for name in told.frozen if not any(fnmatch.fnmatch(name, one) for one in known)]
    frozen = [name for name in frozen if name not in told.twins]
    if not frozen or (seen.reference is not None and len(told.frozen) <= int(noted.get("frozen-count", "0"))):
        return
    message = f"{listed(frozen, len(told.frozen) + told.trainable, 'parameters')} are frozen"
    hint = f'On purpose? frozen = ["{frozen[0].rpartition(".")[0] or frozen[0]}.*"] in [tool.backburn.memorize].'
    finding = at(Finding(message=message, hint=hint), told.optimizer)
    if seen.reference is not None:  # the names themselves are held against it, so these are new
        yield msgspec.structs.replace(finding, message=f"{message}, and were not when it was reviewed")
    elif all(_in_whole_part(name, told) for name in frozen):
        yield msgspec.structs.replace(finding, level=Level.NOTICE)
    else:
        yield msgspec.structs.replace(finding, level=Level.WARNING)


def _thawed(seen: Evidence, told: Parameters) -> Iterator[Finding]:
    """What was frozen when it was reviewed, and is trained now: a teacher, a backbone that is to stay what it is."""
    patterns = seen.reference.settings.get("frozen", "").split() if seen.reference else []
    found = {one: len(fnmatch.filter(told.trained, one)) for one in patterns}
    found = {one: count for one, count in found.items() if count}
    # An adapter that is put into a frozen part has a name below it, and as many are frozen as before.
    if found and seen.reference and len(told.frozen) < int(seen.reference.settings.get("frozen-count", "0")):
        some = ", ".join(f"{one} ({count} parameter{'s' * (count > 1)})" for one, count in list(found.items())[:_SHOWN])
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        message = f"{some}{more} are trained, and were frozen when it was reviewed"
        yield at(meant(Finding(message=message, hint=_THAWED)), told.optimizer)


_SHOWN = 3
_THAWED = "Is requires_grad_(False) still called, on these, before configure_optimizers? `require_grad` sets nothing."


def _in_whole_part(name: str, told: Parameters) -> bool:
    """Whether it lies in a part of several layers that is frozen as a whole: a backbone, a teacher."""
    part = next((one for one in told.frozen_parts if "." not in one and name.startswith(f"{one}.")), "")
    return len([one for one in told.frozen if part and one.startswith(f"{part}.") and one.endswith("weight")]) > 1


_KEPT = 12  # patterns of what is frozen; of more, their count says enough


def kept(seen: Evidence) -> dict[str, str]:
    """What a reference notes of this look: settings by name."""
    told = seen.probe.parameters
    if told is None:
        return {}
    single = [name for name in told.frozen if not any(name.startswith(f"{part}.") for part in told.frozen_parts)]
    patterns = [*(f"{part}.*" for part in told.frozen_parts), *single]
    never = set(seen.probe.without_gradient)
    unused = [name for name in told.disconnected if name in never and name not in told.detached]
    return {
        "frozen": " ".join(patterns[:_KEPT]),
        "frozen-count": str(len(told.frozen)),
        "unused": str(len(unused) - len(_elsewhere(unused, told))),
        "shared": str(len(told.shared)),
    }


CHECKS: tuple[Check, ...] = (
    parameters_are_registered,
    parameters_are_connected,
    parameters_are_optimized,
    parameters_stay_trainable,
)
