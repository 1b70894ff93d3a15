"""Small worlds for the supervisor: quiet ones in which a test lets one thing happen."""

from collections.abc import Callable

from backburn.pool.lease import State
from backburn.pool.place import Place
from backburn.pool.simulation.fate import QUIET
from backburn.pool.simulation.soak import Soak

MINUTE = 60.0


def quiet(**given: object) -> Soak:
    """No job and no misfortune but those of the test; a worker looks every 5 s, as the real one does."""
    return Soak(**{"slots": 1, "per_hour": 0.0, "fate": QUIET, "look": 5.0, **given})


def until(soak: Soak, happens: Callable[[], bool], within: float = 10 * MINUTE) -> None:
    """Let time pass until then."""
    end = soak.world.passed() + within
    while not happens():
        assert soak.world.passed() < end, (f"not within {within:.0f} s", states(soak), soak.notes[-20:])
        soak.go(0.25)


def reach(soak: Soak, *wanted: State, within: float = 10 * MINUTE) -> Place:
    """Let time pass until the first slot is in one of these states."""
    until(soak, lambda: bool(soak.places) and soak.places[0].state in wanted, within)
    return soak.places[0]


def states(soak: Soak) -> list[str]:
    """Of every slot."""
    return [f"{place.slot.name} {place.state}: {place.reason}" for place in soak.places]


def job(soak: Soak, seconds: float = 100.0) -> object:
    """One, which takes so long, for whoever is online."""
    soak.listeners.lasts = (seconds, seconds)
    work = soak.hub.submit(repository="acme/vision")
    soak.listeners.hand_out()
    return work


def outcomes(soak: Soak) -> list[str]:
    """Of the ledger, in their order."""
    assert soak.store is not None
    return [entry.outcome for entry in soak.store.ledger()]


def sound(soak: Soak) -> None:
    """No invariant was broken, and no job was lost to the supervisor."""
    assert soak.witness.looks > 0
    assert soak.witness.broken == {}
    assert soak.witness.unasked == []
