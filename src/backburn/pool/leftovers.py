"""What leases that are over left on this machine; it asks for nothing that lacks this pool's label."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from .blackbox import surplus
from .cache import clearing
from .config import Config
from .engine import Container, Declined, Engine, Unreachable
from .lease import Slot
from .store import Store

_STILL = ("created", "exited", "dead")  # nothing runs in it


def collect(config: Config, store: Store, engine: Engine, now: float, *, dry_run: bool) -> tuple[list[str], str]:
    """(What was removed, or would be; why the engine was not asked to the end). `now`: seconds since the epoch."""
    gone = list(_boxes(config, now, dry_run))
    try:
        gone += _of_engine(config, store, engine, dry_run)
        gone += clearing.collect(config, store, engine, dry_run=dry_run)
    except (Unreachable, Declined) as error:
        return gone, str(error) or type(error).__name__
    return gone, ""


def _boxes(config: Config, now: float, dry_run: bool) -> Iterator[str]:
    limits = config.black_box
    for folder in surplus(config.state, limits.keep, limits.most, now):
        if not dry_run:
            shutil.rmtree(folder, ignore_errors=True)
        yield f"black box {folder.name}"


def _of_engine(config: Config, store: Store, engine: Engine, dry_run: bool) -> list[str]:
    """Containers first, leases after: a lease is written down before its container is made, so that what is listed and
    has no open lease then is over. One that has, its supervisor still wants to look at, however long it has ended.
    """
    found = engine.containers()
    leases = store.open_leases()
    wanted, slots = {one.id for one in leases}, {one.slot for one in leases}
    gone = []
    for one in found:
        if one.state in _STILL and one.labels.get("backburn.lease") not in wanted:
            if dry_run or _remove(one, engine):
                gone.append(f"container {one.name}")
    if not dry_run:
        for slot in _idle(config, found, slots):
            gone += engine.sweep(slot)
    return gone


def _remove(one: Container, engine: Engine) -> bool:
    """Looked at once more: the list is a second old, and removing kills."""
    seen = engine.inspect(one.id)
    if seen is None or seen.state not in _STILL:
        return False
    engine.remove(one.id)
    return True


def _idle(config: Config, found: list[Container], leased: set[str]) -> list[Slot]:
    """Slots with no lease and no running container, of the configuration or of an earlier one."""
    devices = {one.labels.get("backburn.slot", ""): one.labels.get("backburn.device", "") for one in found}
    devices |= {slot.name: slot.device for slot in config.all_slots}
    running = {one.labels.get("backburn.slot") for one in found if one.running}
    return [Slot(name=name, device=device) for name, device in devices.items() if name not in running | leased | {""}]
