"""How a lease goes: GitHub first, so that no job can reach it; its container then; and whatever is left, later."""

from __future__ import annotations

from . import invariants
from .engine import Container, Engine
from .lease import Lease, Phase, Slot
from .place import Tools
from .registrar import Later, Refused, Registrar, Removal, Uncertain

LISTED = 120.0  # seconds until a new runner can be found by name (terraform-aws#4391), twice over


def containers(slot: Slot, engine: Engine) -> list[Container]:
    """Those of one slot."""
    return [one for one in engine.containers() if one.labels.get("backburn.slot") == slot.name]


def from_labels(container: Container, now: float) -> Lease:
    """A lease of which nothing but its container is left: the database was lost."""
    label = container.labels
    return Lease(
        id=label.get("backburn.lease", container.id[:8]),
        slot=label.get("backburn.slot", ""),
        runner=label.get("backburn.runner", container.name),
        runner_id=_number(label.get("backburn.runner-id", "")),
        device=label.get("backburn.device", ""),
        container=container.id,
        phase=Phase.STARTED if container.state != "created" else Phase.CREATED,
        gated=now,
        opened=now,
        started=now,
    )


def _number(text: str) -> int:
    """0 for what is no id: then the runner is looked for by name."""
    return int(text) if text.isdecimal() and len(text) < 19 else 0


def deregister(lease: Lease, registrar: Registrar) -> Removal:
    """Ask GitHub to take the registration away. After GONE no job can arrive; BUSY: there is one."""
    number = lease.runner_id
    if not number:
        found = registrar.find(lease.runner)
        number = found.id if found else 0
    return registrar.remove(number) if number else Removal.GONE


def retire(lease: Lease, cause: str, tools: Tools) -> Removal:
    """Take an idle runner away. GONE is written down: its container may be killed (I5)."""
    removal = deregister(lease, tools.registrar)
    if removal is Removal.GONE:
        lease.removed, lease.cause = tools.clock.now(), cause
        tools.store.save(lease)
    return removal


def take_away(lease: Lease, tools: Tools) -> None:
    """Delete the container of a lease; its registration is what may be left."""
    if lease.container:
        invariants.may_remove(lease, tools.engine.inspect(lease.container))
        tools.engine.remove(lease.container)
    leave(lease, tools)


def leave(lease: Lease, tools: Tools) -> None:
    """Only a registration can be left of it; ask once now, and let the janitor ask until it is gone."""
    lease.phase = Phase.LEAVING
    tools.store.save(lease)
    try:
        depart(lease, tools)
    except (Later, Uncertain, Refused) as error:
        tools.note(lease.slot, "info", f"{lease.runner}: its registration is removed later: {error}")


def depart(lease: Lease, tools: Tools) -> bool:
    """Whether nothing is left of it any more."""
    if lease.removed and lease.runner_id:
        gone = True
    elif lease.runner_id:
        gone = deregister(lease, tools.registrar) is Removal.GONE
    else:  # its registration may have been made, and not be listed yet
        found = tools.registrar.find(lease.runner)
        gone = found is None and abs(tools.clock.now() - lease.opened) > LISTED
        if found and tools.registrar.remove(found.id) is Removal.GONE:
            gone = True
    if gone:
        lease.phase = Phase.CLOSED
        tools.store.save(lease)
    return gone
