"""What is to befall a pool does, and nothing else."""

from dataclasses import replace

import pytest

from backburn.pool.health.symptom import Severity
from backburn.pool.lease import Kind
from backburn.pool.simulation.fate import HOUR, QUIET
from backburn.pool.simulation.soak import Soak


@pytest.mark.parametrize(
    ("what", "seen"),
    [
        ("kills", lambda soak: soak.doomed < float("inf")),
        ("restarts", lambda soak: soak.dock.back),
        ("drains", lambda soak: any("drained" in note for note in soak.notes)),
        ("full", lambda soak: soak.free < 1e12),
        ("jumps", lambda soak: soak.world.jump),
        ("ills", lambda soak: soak.gpus.spells),
        ("duds", lambda soak: soak.gpus.duds),
        ("orders", lambda soak: soak.store.held("gpu00000000")),
        ("storms", lambda soak: soak.hub.faults._storms),
    ],
)
def test_each_alone(what, seen):
    soak = Soak(slots=1, per_hour=0.0, fate=replace(QUIET, **{what: 100.0}), look=5.0)
    for _ in range(20):
        soak.go(HOUR / 10)
        if seen(soak):
            break
    assert seen(soak), what
    quiet = Soak(slots=1, per_hour=0.0, fate=QUIET, look=5.0)
    quiet.go(HOUR)
    assert not seen(quiet)


def test_a_person_mends_and_releases_what_waits_for_one():
    soak = Soak(slots=1, per_hour=0.0, fate=replace(QUIET, rounds=100.0), look=5.0)
    soak.gpus.strike("GPU-00000000-sim", Severity.RESET)
    soak.go(60.0)
    assert soak.store.held("gpu00000000").kind is Kind.RESET
    soak.go(2 * HOUR)
    assert soak.store.held("gpu00000000") is None and soak.places[0].lease.online
