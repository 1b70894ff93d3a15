"""What stands before a lease, each reason alone."""

import errno
from pathlib import Path

import pytest
from msgspec.structs import replace

from backburn.pool import gate
from backburn.pool.config import Cache
from backburn.pool.engine import Unreachable
from backburn.pool.care import Care
from backburn.pool.gate import MachineGate, NotNow, Unfit
from backburn.pool.health.symptom import Severity
from backburn.pool.lease import Kind, Slot
from tests.pool import scene
from tests.pool.ward import Ward, symptom

ABOUT = Slot(name="cpu0")
GIB = 1 << 30


class Parts:
    """An engine that answers a ping, and a registrar that knows the time."""

    def __init__(self, skew=0.0, silent=False):
        self.off, self.silent = skew, silent

    def ping(self):
        if self.silent:
            raise Unreachable("refused")

    def skew(self):
        return self.off


def made(folder, room=lambda place: (1e12, 50.0), **parts):
    return MachineGate(scene.pool(folder), Parts(**parts), Parts(**parts), room)


def test_all_is_well(tmp_path):
    made(tmp_path).admit(ABOUT)


def test_a_silent_engine_is_asked_first(tmp_path):
    with pytest.raises(Unreachable):
        made(tmp_path, lambda place: (0.0, 0.0), silent=True).admit(ABOUT)


@pytest.mark.parametrize("full", ["/var/lib/docker", "state"])
@pytest.mark.parametrize(
    ("room", "said"), [((10 * GIB - 1, 50.0), "disk-min-free"), ((1e12, 4.9), "4.9 % of the inodes")]
)
def test_each_disk_must_have_room(tmp_path, full, room, said):
    def look(place):
        return room if str(place).endswith(full) else (1e12, 50.0)

    with pytest.raises(NotNow, match=said) as raised:
        made(tmp_path, look).admit(ABOUT)
    assert full in str(raised.value)


def test_the_disk_of_caches_must_have_room_too(tmp_path):
    gate = made(tmp_path, lambda place: (0.0, 50.0) if place == Path("/caches") else (1e12, 50.0))
    gate.admit(ABOUT)
    gate._config = replace(gate._config, cache=Cache(root="/caches"))
    with pytest.raises(NotNow, match="free at /caches"):
        gate.admit(ABOUT)


def test_the_limit_itself_is_enough(tmp_path):
    made(tmp_path, lambda place: (10.0 * GIB, 5.0)).admit(ABOUT)


@pytest.mark.parametrize(("skew", "said"), [(601.0, "10 min behind"), (-1200.0, "20 min ahead of")])
def test_a_clock_that_is_far_off(tmp_path, skew, said):
    with pytest.raises(NotNow, match=said):
        made(tmp_path, skew=skew).admit(ABOUT)


@pytest.mark.parametrize("skew", [600.0, -600.0, 300.0, 0.0])
def test_a_clock_that_is_a_little_off_is_no_matter(tmp_path, skew):
    made(tmp_path, skew=skew).admit(ABOUT)


def test_free_is_of_the_nearest_folder_that_exists(tmp_path):
    assert gate.free(tmp_path / "not/yet/made") == pytest.approx(gate.free(tmp_path), rel=0.1)
    space, inodes = gate.free(Path("/"))
    assert space > 0 and 0 < inodes <= 100


def test_a_file_system_that_counts_no_inodes_has_enough(tmp_path, monkeypatch):
    class Btrfs:
        f_favail = f_files = 0
        f_bavail = f_frsize = f_blocks = f_bfree = 1

    monkeypatch.setattr("os.statvfs", lambda place: Btrfs)
    assert gate.free(tmp_path)[1] == 100.0


def test_a_disk_that_cannot_be_looked_at_is_not_one_with_room(tmp_path, monkeypatch):
    def stale(place):
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr("os.statvfs", stale)
    with pytest.raises(NotNow, match="Stale file handle"):
        MachineGate(scene.pool(tmp_path), Parts(), Parts()).admit(ABOUT)


GPU = Slot(name=scene.SLOT, device=scene.GPU)


def warded(folder, *now):
    parts = Parts()
    return MachineGate(scene.pool(folder), parts, parts, lambda place: (1e12, 50.0), Care(Ward(*now), ()))


@pytest.mark.parametrize(("severity", "kind"), [(Severity.UNFIT, Kind.UNFIT), (Severity.RESET, Kind.RESET)])
def test_a_gpu_that_is_ill_is_unfit_and_of_what_kind(tmp_path, severity, kind):
    with pytest.raises(Unfit, match="ecc: 3 new") as raised:
        warded(tmp_path, symptom(Severity.WAIT), symptom(severity)).admit(GPU)
    assert raised.value.why.kind is kind


@pytest.mark.parametrize("severity", [Severity.WAIT, Severity.MACHINE])
def test_what_may_pass_and_what_is_of_the_machine_is_waited_for(tmp_path, severity):
    with pytest.raises(NotNow, match="^ecc: 3 new"):
        warded(tmp_path, symptom(severity)).admit(GPU)


def test_what_is_of_the_machine_stops_every_gpu_and_no_other_slot(tmp_path):
    gate = warded(tmp_path, symptom(Severity.MACHINE))
    with pytest.raises(NotNow):
        gate.admit(GPU)
    with pytest.raises(NotNow, match=f"^{scene.GPU}: ecc"):
        gate.admit(Slot(name="gpu2", device="GPU-2"))
    gate.admit(ABOUT)


def test_what_is_noted_lets_pass(tmp_path):
    warded(tmp_path, symptom(Severity.NOTED)).admit(GPU)


def test_its_memory_should_be_free(tmp_path):
    gate = warded(tmp_path)
    gate.admit(GPU)
    assert gate._care.health.asked == [(scene.GPU, True)]


@pytest.mark.parametrize(("room", "full"), [((1 * GIB - 1, 50.0), True), ((1e12, 0.4), True), ((1 * GIB, 0.5), False)])
def test_a_disk_is_full_at_a_tenth_of_what_is_asked_for(tmp_path, room, full):
    said = made(tmp_path, lambda place: room).full()
    assert said.startswith("the disk is full") is full and bool(said) is full


def test_a_disk_that_cannot_be_looked_at_is_not_called_full(tmp_path):
    def stale(place):
        raise OSError(errno.ESTALE, "Stale file handle")

    assert made(tmp_path, stale).full() == ""


def test_real_work_before_each_lease_where_it_is_asked_for(tmp_path):
    asked = []
    gate = warded(tmp_path)
    gate._care.probe = lambda device: asked.append(device) or symptom(check="cuda")
    gate.admit(GPU)
    gate._care.each_lease = True
    with pytest.raises(Unfit, match="cuda"):
        gate.admit(GPU)
    gate._care.health.now.append(symptom(Severity.WAIT))
    with pytest.raises(NotNow):
        gate.admit(GPU)
    assert asked == [scene.GPU]
