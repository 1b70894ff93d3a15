"""Plain data: what it means is said in one place, and what was written is read again."""

import msgspec
import pytest

from backburn.pool.lease import DEADLINES, LABELS, Job, Lease, Phase, State
from tests.pool import scene


def test_a_lease_comes_back_as_it_was():
    one = scene.lease(job=scene.job(repository="a\u202eb\x00"), forced="x", cause="watchdog", busy=0.1 + 0.2)
    assert msgspec.json.decode(msgspec.json.encode(one), type=Lease) == one


def test_a_lease_of_a_later_version_is_read():
    """A field more is no reason to lose what runs."""
    later = b'{"id": "1", "slot": "cpu0", "runner": "r", "tomorrow": 1}'
    assert msgspec.json.decode(later, type=Lease).runner == "r"


@pytest.mark.parametrize("state", list(State))
def test_a_state_that_we_alone_leave_has_a_deadline(state):
    """I8. The others wait for the world, or for a person."""
    waits = {State.UNKNOWN, State.ONLINE, State.BUSY, State.PARKED, State.BLOCKED, State.QUARANTINED}
    assert (state in DEADLINES) == (state not in waits)
    assert DEADLINES.get(state, 1.0) > 0


def test_a_lease_begins_before_anything_was_asked():
    fresh = Lease(id="1", slot="cpu0", runner="r")
    assert fresh.phase is Phase.REGISTERING and not (fresh.gated or fresh.runner_id or fresh.container or fresh.removed)


def test_no_label_and_no_field_is_for_a_secret():
    names = {*LABELS, *Lease.__struct_fields__, *Job.__struct_fields__}
    assert not [
        name for name in names if "token" in name or "secret" in name or "jit" in name or "configuration" in name
    ]
