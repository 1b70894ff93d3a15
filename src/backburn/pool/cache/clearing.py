"""What goes from caches: what leases that are over wrote, layers that nobody reads, and what is too much."""

from __future__ import annotations

from ...errors import UserError
from ..config import Config
from ..engine import Engine
from ..lease import Phase
from ..store import Store
from .porter import Porter
from .shelf import BASE, LAYERS, Shelf


def collect(config: Config, store: Store, engine: Engine, *, dry_run: bool) -> list[str]:
    """For `backburn pool gc`: what was removed, or would be. What may be kept is left to the supervisor, which asks
    GitHub; while it is at work on the caches itself, all is. Raises Declined, Unreachable, and UserError for a folder
    that is another's.
    """
    shelf = Shelf(config)
    if not config.cache.root or not shelf.folder.exists():
        return []
    try:
        return _collected(shelf, Porter(config, shelf.folder), config.cache.most, store, engine, dry_run)
    except OSError as error:
        hint = "Ask as the supervisor's user, or as root."
        raise UserError(error.strerror or str(error), where=error.filename or str(shelf.folder), hint=hint) from error


def _collected(shelf: Shelf, porter: Porter, most: int, store: Store, engine: Engine, dry_run: bool) -> list[str]:
    with shelf.working() as alone:
        left = [one for one in over(shelf, store, engine) if shelf.offered(one) is None] if alone else []
        gone = [f"what the lease {one} wrote to caches" for one in left]
        if dry_run or not alone:
            return gone + [f"the cache layer {one}" for one in shelf.retired()]
        porter.clear()
        for one in left:
            shelf.close(one)
        layers = shelf.retire()
        compact(shelf, porter, most)
        empty(shelf, porter)
        return gone + [f"the cache layer {one}" for one in layers]


def over(shelf: Shelf, store: Store, engine: Engine) -> list[str]:
    """The leases of which no container is left, and none can come: its folder is made after the lease is written down.

    Raises Unreachable.
    """
    found = shelf.leases()
    going = {one.id for one in store.open_leases() if one.phase is not Phase.LEAVING} if found else set()
    there = {one.labels.get("backburn.lease", "") for one in engine.containers()} if found else set()
    return [one for one in found if one not in going | there]


def crowded(shelf: Shelf) -> list[str]:
    """The caches whose layers are to be made one."""
    return [name for name in shelf.names if len(shelf.current(name)) >= LAYERS]


def compact(shelf: Shelf, porter: Porter, most: int) -> dict[str, int]:
    """Make one layer of too many, and of all where they have more than `most` bytes, without what is too much. Returns
    bytes by cache. Raises Declined and Unreachable: then every layer is still there.
    """
    bytes_ = _weighed(shelf, porter)
    full = sum(bytes_.values()) > most
    names = [name for name in shelf.names if shelf.current(name)] if full else crowded(shelf)
    built = {name: shelf.build(name) for name in names}
    for name, one in built.items():
        layers = [shelf.folder / "layers" / name / layer for layer in reversed(shelf.current(name))]
        porter.do("merge", *map(porter.inside, (one, *layers)))
    if full:
        porter.do("prune", most // 1024, *map(porter.inside, built.values()))
    for name, one in built.items():
        shelf.add(one, name, BASE)
    if not built:
        return bytes_
    shelf.retire()
    return _weighed(shelf, porter)


def empty(shelf: Shelf, porter: Porter) -> None:
    """Remove what nobody sees any more. Raises Declined and Unreachable."""
    if shelf.litter():
        porter.do("clear", porter.inside(shelf.folder / "trash"))


def _weighed(shelf: Shelf, porter: Porter) -> dict[str, int]:
    """Bytes on the disk by cache; of files that layers share, once."""
    folders = [porter.inside(shelf.folder / "layers" / name) for name in shelf.names]
    kib = [int(line.split()[0]) for line in porter.do("measure", *folders).splitlines()]
    return {name: size * 1024 for name, size in zip(shelf.names, kib, strict=True)}
