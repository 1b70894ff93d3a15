"""From an empty slot to a runner that was started: clean, check, register, create, deliver, start."""

from __future__ import annotations

from . import departing, invariants
from .engine import Container, Declined, Unreachable
from .gate import NotNow, Unfit
from .lease import Lease, Phase, State, Wanted
from .place import RETURNS, Move, Place, Tools, blocked, futile, quarantine
from .registrar import Later, Refused, Taken, Uncertain


def adopted(container: Container, leases: list[Lease], tools: Tools) -> Lease:
    """The lease of a container that runs: as it was written down, or, with a lost database, from its labels."""
    for lease in leases:
        if lease.id == container.labels.get("backburn.lease"):
            break
    else:
        lease = departing.from_labels(container, tools.clock.now())
    lease.container = container.id
    if lease.phase is not Phase.STARTED:
        lease.phase, lease.started = Phase.STARTED, lease.started or tools.clock.now()
    tools.store.save(lease)
    return lease


def adopt(place: Place, container: Container, leases: list[Lease], tools: Tools) -> Move:
    """Go on with what runs, whoever started it: stopping the supervisor stops no job."""
    place.lease = adopted(container, leases, tools)
    place.asked = place.missing = place.quiet = place.began = 0.0
    if place.lease.cause:  # we had let it go already
        return Move(State.FINISHING, place.lease.forced or place.lease.cause)
    return Move(State.ONLINE if place.lease.online else State.STARTING, f"adopted {place.lease.runner}")


def cleaning(place: Place, tools: Tools) -> Move:
    """Nothing of the last lease is left on this machine; what is left at GitHub is on its way out."""
    place.lease = None
    leases = tools.store.open_leases(place.slot.name)
    for container in departing.containers(place.slot, tools.engine):
        if container.running:
            return adopt(place, container, leases, tools)  # a start whose answer was lost
        known = {lease.id: lease for lease in leases}.get(container.labels.get("backburn.lease", ""))
        lease = known or departing.from_labels(container, tools.clock.now())
        lease.container = container.id
        departing.take_away(lease, tools)
    for lease in tools.store.open_leases(place.slot.name):
        if lease.phase is not Phase.LEAVING:
            departing.leave(lease, tools)
    for gone in tools.engine.sweep(place.slot):
        tools.note(place.slot.name, "info", f"removed {gone}")
    return Move(State.CHECKING)


def checking(place: Place, tools: Tools) -> Move:
    """May a job run here? Then a lease is opened, with a name that no attempt before it had."""
    held = tools.store.held(place.slot.name)
    if held and not place.retired:
        return quarantine(place, tools, held)
    if place.retired or tools.store.wanted(place.slot.name) is Wanted.DRAIN:
        return Move(State.PARKED, "drained")
    try:
        tools.gate.admit(place.slot)
    except NotNow as error:
        return blocked(place, tools, str(error))
    except Unfit as error:
        return quarantine(place, tools, error.why)
    now, identity = tools.clock.now(), f"{tools.chance.getrandbits(32):08x}"
    place.lease = Lease(
        id=identity,
        slot=place.slot.name,
        runner=f"{tools.config.prefix}{place.slot.name}-{identity}",
        url=tools.config.github.url,
        device=place.slot.device,
        gated=now,
        opened=now,
    )
    return Move(State.REGISTERING)


def registering(place: Place, tools: Tools) -> Move:
    """A fresh name for every attempt: one whose answer was lost is looked for by the janitor, not tried again."""
    lease = place.lease
    if lease is None or lease.phase is not Phase.REGISTERING or lease.runner_id:
        return Move(State.CLEANING, "an attempt that cannot be gone on with")
    tools.store.save(lease)
    try:
        registered = tools.registrar.register(lease.runner)
    except (Uncertain, Taken) as error:
        departing.leave(lease, tools)
        return blocked(place, tools, f"GitHub: {error}", longest=RETURNS)
    except (Later, Refused):
        lease.phase = Phase.CLOSED  # nothing was made
        tools.store.save(lease)
        raise
    lease.phase, lease.runner_id = Phase.REGISTERED, registered.id
    tools.store.save(lease)
    try:
        _start(place, lease, registered.configuration, tools)
    except Declined as error:
        departing.take_away(lease, tools)
        return futile(place, tools, f"the engine declines: {error} {error.hint}".rstrip())
    except Unreachable as error:
        return Move(State.UNKNOWN, f"the engine does not answer: {error}")
    place.asked = place.missing = place.quiet = place.began = 0.0
    return Move(State.STARTING)


def _start(place: Place, lease: Lease, configuration: str, tools: Tools) -> None:
    """Its container, with the secret inside, started once. The secret is nowhere but in this call's memory."""
    lease.phase = Phase.CREATING
    tools.store.save(lease)
    lease.container = tools.engine.create(lease, place.slot)
    tools.engine.deliver(lease.container, configuration)
    lease.phase = Phase.CREATED
    tools.store.save(lease)
    invariants.may_start(lease, place.slot, tools.engine.containers())
    lease.phase, lease.started = Phase.STARTING, tools.clock.now()
    tools.store.save(lease)
    tools.engine.start(lease.container)
    lease.phase = Phase.STARTED
    tools.store.save(lease)
