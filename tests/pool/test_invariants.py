"""The two acts that cannot be undone, each refused where it would break something."""

import pytest

from backburn.pool import invariants
from backburn.pool.engine import Container, Inspection
from backburn.pool.invariants import Broken
from backburn.pool.lease import Phase, Slot
from tests.pool import scene

ABOUT = Slot(name=scene.SLOT, device=scene.GPU)


def ready(**more):
    return scene.lease(**{"phase": Phase.CREATED, "container": "mine", **more})


def other(state="running", slot="cpu0", device=""):
    labels = {"backburn.slot": slot, "backburn.device": device}
    return Container(id="other", name="another", state=state, labels=labels)


def test_what_is_sound_starts():
    mine = Container(id="mine", name="mine", state="created", labels={"backburn.slot": scene.SLOT})
    beside = [mine, other(), other("exited", scene.SLOT, scene.GPU), other("running", "gpu1", "GPU-other")]
    invariants.may_start(ready(), ABOUT, beside)
    invariants.may_start(ready(), Slot(name="cpu1"), [other("running", "cpu0", "")])  # no device is no shared device


@pytest.mark.parametrize("state", ["running", "paused", "restarting"])
@pytest.mark.parametrize(("slot", "device"), [(scene.SLOT, ""), ("elsewhere", scene.GPU)])
def test_i1_a_slot_or_a_device_is_not_shared(state, slot, device):
    with pytest.raises(Broken, match="I1"):
        invariants.may_start(ready(), ABOUT, [other(state, slot, device)])


def test_i3_nothing_starts_without_a_gate():
    with pytest.raises(Broken, match="I3"):
        invariants.may_start(ready(gated=0.0), ABOUT, [])


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.CREATED])
def test_i4_a_configuration_is_used_once(phase):
    with pytest.raises(Broken, match="I4"):
        invariants.may_start(ready(phase=phase), ABOUT, [])


@pytest.mark.parametrize("state", ["running", "paused", "restarting"])
def test_i5_what_runs_is_removed_only_when_github_let_it_go_or_by_force(state):
    seen = Inspection(id="mine", state=state)
    with pytest.raises(Broken, match="I5"):
        invariants.may_remove(ready(), seen)
    invariants.may_remove(ready(removed=scene.NOW), seen)
    invariants.may_remove(ready(forced="a watchdog"), seen)


@pytest.mark.parametrize("state", ["created", "exited", "dead", "removing"])
def test_what_does_not_run_may_go(state):
    invariants.may_remove(ready(), Inspection(id="mine", state=state))
    invariants.may_remove(ready(), None)
