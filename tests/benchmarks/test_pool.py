"""What the pool's benchmark claims is of its own rows, and its peers lose in the same world what it does not."""

import pytest

pytest.importorskip("docker")
from backburn.pool import departing  # noqa: E402
from backburn.pool.health import judging  # noqa: E402
from backburn.pool.simulation.fuse import POINTS  # noqa: E402
from benchmarks.pool import health, virtual  # noqa: E402
from benchmarks.pool.__main__ import headlines  # noqa: E402

KEYS = (
    "crash_points orphans jobs_lost double_leases drain_losses rearm_p95_s rss_mb rss_growth_mb recovery_max_s "
    "gate_blocked false_quarantine nvml_block_max_s"
)


def silent(said):
    """No progress."""


def test_the_headline_is_of_our_own_rows_and_of_none_of_the_peers():
    rows = {
        "F1 real": {"points": 22, "orphans": 1, "jobs_lost": 2, "double": 3},
        "F2 peer: the same name again": {"orphans": 100},
        "F3": {"term": {"recovery_max_s": 9.0, "jobs_lost": 1, "double": 0}, "kill": {"recovery_max_s": 4.0}},
        "F4": {"5xx": {"recovery_s": 41.0}, "secondary limit": {"recovery_s": 150.0}},
        "F6 rows": {"gate_blocked": 0.99},
        "F6 noise": {"false_quarantine": 0.002},
        "F6 driver": {"nvml_block_max_s": 1.6},
        "F9 real": {"lost": 1, "double": 0},
        "F9 peer: look, then kill": {"lost": 50, "jobs_lost": 50},
        "F10": {"rearm_p95_s": 2.0, "rss_mb": 60.0, "rss_growth_mb": 0.5},
        "F13": {"found": [("log", "ghp_")]},
    }
    assert headlines(rows) == dict(
        zip([*KEYS.split(), "secrets_found"], [22, 1, 3, 3, 1, 2.0, 60.0, 0.5, 41.0, 0.99, 0.002, 1.6, 1], strict=True)
    )
    assert list(headlines({})) == [*KEYS.split(), "secrets_found"] and headlines({})["rss_mb"] is None


def test_the_same_name_again_leaves_registrations_and_a_fresh_one_leaves_none():
    ours, theirs = virtual.unheard(60, silent), virtual.same_name(60, silent)
    assert ours["faults"] > 5 and ours["orphans"] == ours["broken"] == 0
    assert theirs["faults"] > 5 and theirs["orphans"] > 0


def test_looking_and_then_killing_strikes_jobs_and_deregistering_first_strikes_none():
    sound = departing.retire
    ours, theirs = virtual.drains(200, silent), virtual.drains_by_looking(200, silent)
    assert (ours["drains"], ours["struck"], ours["lost"], ours["broken"]) == (200, 0, 0, 0)
    assert theirs["struck"] > 0 and departing.retire is sound


@pytest.mark.slow
def test_every_point_once():
    done = virtual.killed(1, silent)
    assert (
        done["kills"] == done["points"] == len(POINTS) and done["orphans"] == done["jobs_lost"] == done["double"] == 0
    )


def test_every_fault_of_a_gpu_is_kept_from_work_and_a_sound_one_is_not():
    done = health.blocked(300, 1, silent)
    assert done["gate_blocked"] == 1.0 and done["passed"] == [] and done["said_only"] == done["of_said_only"] == 3
    done = health.noise(300, silent)
    assert done["false_quarantine"] < 0.01 and done["waited"] > 0
    assert all(done[what] > 0 for what in ("blips", "corrected", "replays", "app xids", "lost looks", "stragglers"))


def test_a_gate_that_lets_a_fault_through_is_seen(monkeypatch):
    without = {name: check for name, check in judging.CHECKS.items() if name != "gpu/pages"}
    monkeypatch.setattr(judging, "CHECKS", without)
    done = health.blocked(60, 1, silent)
    assert done["gate_blocked"] < 1.0 and done["passed"] == ["pages: pending, flapping", "pages: pending, steady"]
