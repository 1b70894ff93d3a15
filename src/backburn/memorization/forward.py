"""Forward: it computes, and nothing else: no parameter is another one after it, and no luck is in it in eval mode."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from ..report import Finding
from .judging import Where, at, meant, spelled, suspected

if TYPE_CHECKING:
    from .seen import Evidence

_NAMED = 5


class Forward(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names of what training_step did besides computing a loss; of no optimizer's doing.

    `changed`: trainable parameters that the loss depends on, and that are others afterwards; `again`: those that
    change once more when it runs again (what is clipped, normalised or initialised by the first batch does not);
    `written`: all that it changed. `dropped`: dropouts that were on in eval mode, by module, share and place.
    `noisy`: innermost modules whose outputs, in eval mode, differ by the seed alone; `masked` those of them that drew
    uniform or Bernoulli numbers.
    """

    changed: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    dropped: tuple[tuple[str, float, Where], ...] = ()
    noisy: tuple[str, ...] = ()
    masked: tuple[str, ...] = ()
    manual: bool = False
    step: Where = ("", 0)


def forward_leaves_parameters(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Computing the loss changes no parameter."""
    told = seen.look("forward", Forward)
    if told.again:
        message = f"training_step itself changes {_some(told.again)}, each time that it runs"
        finding = at(Finding(message=message, hint=_CHANGED), told.step)
        # An update by hand is what manual optimization is for.
        yield from suspected([finding], forward_leaves_parameters, seen.reference) if told.manual else [finding]
    elif told.changed and seen.reference is not None and not seen.reference.settings.get("changed"):
        message = f"training_step itself changes {_some(told.changed)}, and did not when it was reviewed"
        yield at(meant(Finding(message=message, hint=_CHANGED)), told.step)


_CHANGED = (
    "Is a layer made or initialised in forward? What an optimizer learns is thrown away there; do it in __init__."
)


def evaluation_repeats(seen: Evidence, config: Any) -> Iterator[Finding]:
    """In eval mode, the model gives the same outputs for the same inputs."""
    told = seen.look("forward", Forward)
    for name, p, where in told.dropped:
        message = f"a dropout of {p:g} in {name or 'the module'}{spelled(where)} is on in eval mode"
        yield at(Finding(message=message, hint=_DROPPED), where)
    if told.dropped or not told.noisy:
        return
    if seen.reference is not None and not seen.reference.settings.get("noisy"):
        message = f"in eval mode, {_some(told.noisy)} gives other outputs by the seed alone, which is new"
        yield at(meant(Finding(message=message, hint=_NOISY)), told.step)
    elif seen.reference is None and told.masked:
        finding = Finding(message=f"in eval mode, {_some(told.masked)} gives other outputs by the seed alone")
        yield from suspected([at(msgspec.structs.replace(finding, hint=_NOISY), told.step)], evaluation_repeats, None)


_DROPPED = "F.dropout drops unless it is told `training=self.training`; a layer made in forward is in train mode."
_NOISY = "Noise that is meant for training stands behind `if self.training:`."


def _some(names: tuple[str, ...]) -> str:
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + rest


def kept(seen: Evidence) -> dict[str, str]:
    """What a reference notes of this look: settings by name."""
    told = seen.probe.forward
    return {"changed": " ".join(told.changed[:_NAMED]), "noisy": " ".join(told.noisy[:_NAMED])} if told else {}


CHECKS = (forward_leaves_parameters, evaluation_repeats)
