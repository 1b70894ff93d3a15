"""Which slots there are: those of the configuration, and those that it has no more and that still have something."""

from __future__ import annotations

from ..errors import UserError
from .config import Config
from .engine import Engine
from .lease import Phase, Slot, State
from .place import Place
from .store import Standing, Store


def settled(config: Config, store: Store) -> None:
    """Raise UserError where runners are up that this configuration would not know: under another name they would be
    nobody's, and elsewhere GitHub knows none of them, which looks like a job that is over and still runs.
    """
    for lease in store.open_leases():
        if lease.phase is Phase.LEAVING:  # only a registration, which the janitor knows by its number
            continue
        elsewhere = lease.url and _plain(lease.url) != _plain(config.github.url)
        if elsewhere or not lease.runner.startswith(config.prefix):
            raise UserError(
                f"{lease.runner} may still run, registered at {lease.url or 'a place that is not known'}; now its name"
                f" would begin with {config.prefix}, at {config.github.url}",
                where="[pool] name, [pool] host, [github] url",
                hint="Put them back as they were (a machine with a new name: [pool] host is the old one), "
                "`backburn pool drain all`, and change them once all slots are parked.",
            )


def _plain(url: str) -> str:
    return url.rstrip("/").lower()


def muster(config: Config, store: Store, engine: Engine) -> list[Place]:
    """A place for each, to be looked at before anything else. Raises Unreachable: without the engine nobody knows."""
    standing = {one.name: one for one in store.slots()}
    slots = {slot.name: slot for slot in config.all_slots}
    found = {one.labels.get("backburn.slot", ""): one.labels.get("backburn.device", "") for one in engine.containers()}
    left = {name: device for name, device in found.items() if name and name not in slots}
    left |= {lease.slot: lease.device for lease in store.open_leases() if lease.slot not in slots}
    places = [_place(slot, standing.get(slot.name)) for slot in slots.values()]
    for name, device in sorted(left.items()):
        places.append(_place(Slot(name=name, device=device), standing.get(name), retired=True))
    for name in set(standing) - {place.slot.name for place in places}:
        store.forget(name)
    return places


def _place(slot: Slot, standing: Standing | None, *, retired: bool = False) -> Place:
    """In no state yet, but for what outlives us: a quarantine, and failures in a row."""
    place = Place(slot=slot, retired=retired)
    if standing is not None:
        place.failures = standing.failures
        if standing.state is State.QUARANTINED:
            place.state, place.reason = State.QUARANTINED, standing.reason
    return place
