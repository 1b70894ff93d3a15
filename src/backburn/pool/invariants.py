"""I1 to I8, what never happens: asked here before the two acts that cannot be undone, a start and a removal."""

from __future__ import annotations

from collections.abc import Sequence

from .engine import Container, Inspection
from .lease import Lease, Phase, Slot


class Broken(AssertionError):
    """An invariant would not hold: the act is not done. A bug of ours, or somebody else's hand on our containers."""


def may_start(lease: Lease, slot: Slot, beside: Sequence[Container]) -> None:
    """Raise Broken where the start of a lease's container would break I1, I3 or I4."""
    if not lease.gated:
        raise Broken(f"I3: {lease.runner} has passed no gate")
    if lease.phase is not Phase.CREATED:
        raise Broken(f"I4: the configuration of {lease.runner} may have been used: it is {lease.phase}")
    for other in beside:
        there, device = other.labels.get("backburn.slot"), other.labels.get("backburn.device")
        if other.id != lease.container and other.running and (there == slot.name or device and device == slot.device):
            raise Broken(f"I1: {other.name} runs on {slot.name}, and {lease.runner} would take its device too")


def may_remove(lease: Lease, seen: Inspection | None) -> None:
    """Raise Broken where removing a lease's container would break I5: it runs, and GitHub has not let it go."""
    if seen is not None and seen.state in ("running", "paused", "restarting") and not (lease.removed or lease.forced):
        raise Broken(f"I5: {lease.runner} runs, GitHub has not said that it is gone, and nobody has forced it")
