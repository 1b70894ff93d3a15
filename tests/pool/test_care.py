"""What the health of a GPU comes to for its slot."""

import pytest

from backburn.pool.care import EARLY, MOST, Care, gravest, ground, said
from backburn.pool.health.symptom import Blame, Severity
from backburn.pool.lease import Kind, Slot
from tests.pool import scene
from tests.pool.ward import Ward, symptom

HERE, THERE, CPU = Slot(name=scene.SLOT, device=scene.GPU), Slot(name="gpu2", device="GPU-2"), Slot(name="cpu0")


def made(*now, devices=(), **more):
    notes = []
    care = Care(Ward(*now, **more), devices, note=lambda *said: notes.append(said))
    care.notes = notes
    return care


def test_a_slot_without_a_gpu_is_never_asked_for():
    care = made(symptom(Severity.MACHINE))
    assert care.against(CPU) == () == care.felt(CPU, scene.lease(), scene.NOW) and care.health.asked == []


def test_what_is_of_the_machine_speaks_against_every_gpu_until_it_is_over():
    ill = symptom(Severity.MACHINE)
    care = made(ill, devices=(scene.GPU, "GPU-2"))
    assert care.against(THERE) == (ill,), "its own slot has not looked yet"
    assert care.against(HERE) == (ill,)
    assert care.against(THERE) == (ill,)
    care.health.now.clear()  # and the slot that it was seen on looks no more: drained, or gone
    assert care.against(THERE) == ()
    care.health.asked.clear()
    assert care.against(THERE) == () and care.health.asked == [("GPU-2", True)]


def test_what_is_new_on_a_gpu_whose_slot_looks_no_more_is_asked_by_others():
    care = made(devices=(scene.GPU, "GPU-2"))
    assert care.against(THERE) == () == care.against(HERE)
    care.health.now.append(ill := symptom(Severity.MACHINE))
    assert care.against(THERE) == ()
    care.doubt(scene.GPU)
    assert care.against(THERE) == (ill,)


def test_where_its_own_gpu_says_so_no_other_is_asked():
    """Each may take two seconds."""
    late = symptom(Severity.WAIT, device="GPU-2")
    for own in (late, symptom(Severity.MACHINE, device="GPU-2")):
        care = made(symptom(Severity.MACHINE), own, devices=(scene.GPU, "GPU-2"))
        assert care.against(THERE) == (own,) and care.health.asked == [("GPU-2", True)]


def test_what_is_noted_is_said_once_and_counted():
    care = made(symptom(Severity.NOTED, "pcie"), unseen=("ecc", "x\x1b[2J"))
    for _ in range(3):
        care.against(HERE)
    assert [(level, text) for _, level, text in care.notes] == [
        ("info", "ecc: not supported by this card or driver, and left out"),
        ("info", "x [2J: not supported by this card or driver, and left out"),
        ("warning", "pcie: 3 new; jobs go on"),
    ]
    assert care.counted() == {(scene.SLOT, "pcie", "noted"): 1}
    care.health.now.clear()
    care.against(HERE)
    assert care.counted() == {}


def test_what_was_felt_since_a_job_began_comes_once():
    lease = scene.lease(started=scene.NOW, busy=scene.NOW + 100)
    before, first, again = (symptom(at=scene.NOW + at) for at in (100 - EARLY - 1, 90, 110))
    other, now = symptom(Severity.NOTED, at=scene.NOW + 120), symptom(Severity.RESET, "rows")
    late = symptom(Severity.WAIT, "driver")
    whose = symptom(Severity.NOTED, blame=Blame.CODE, at=scene.NOW + 121)
    care = made(now, late, seen=[before, first, again, other, whose])
    felt = care.felt(HERE, lease, scene.NOW + 200)
    assert felt == (first, other, whose, now) and care.health.spans == [(scene.NOW + 100 - EARLY, scene.NOW + 200)]
    assert care.health.asked == [(scene.GPU, False)], "a job's memory is no symptom"
    lease.symptoms = felt
    assert care.felt(HERE, lease, scene.NOW + 300) == ()


def test_without_a_job_it_is_since_the_start_of_the_container():
    care = made()
    care.felt(HERE, scene.lease(started=scene.NOW + 5), scene.NOW + 10)
    care.felt(HERE, scene.lease(started=scene.NOW + 5, busy=scene.NOW + 6), scene.NOW + 10)
    assert care.health.spans == [(scene.NOW + 5, scene.NOW + 10)] * 2


def test_what_was_seen_before_a_person_released_the_slot_is_mended():
    old, standing = symptom(Severity.RESET, at=scene.NOW), symptom(Severity.RESET, "rows", at=scene.NOW + 2)
    care = made(old, standing, symptom(check="timeless"))
    care.trusted, care.clock = {scene.SLOT: scene.NOW + 1}.__getitem__, scene.Hand(scene.NOW + 5)
    assert [one.check for one in care.against(HERE)] == ["rows", "timeless"]
    care.clock.at = scene.NOW  # set back: what is told now would be older than the release
    assert len(care.against(HERE)) == 3


@pytest.mark.parametrize("severity", Severity)
def test_real_work_that_cannot_be_tried_is_said_once_and_no_reason(severity):
    care = made()
    care.probe = lambda device: symptom(severity, "cuda")
    found = [care.worked(HERE) for _ in range(2)]
    assert (found == [None, None]) is (len(care.notes) == 1) is (severity is Severity.NOTED)
    assert care.worked(CPU) is None


def test_so_many_are_kept_of_a_lease():
    care = made(*(symptom(check=f"c{number}") for number in range(2 * MOST)))
    lease = scene.lease()
    lease.symptoms += care.felt(HERE, lease, scene.NOW)
    lease.symptoms += care.felt(HERE, lease, scene.NOW)
    assert len(lease.symptoms) == MOST


def test_the_gravest():
    found = [symptom(one) for one in (Severity.WAIT, Severity.RESET, Severity.NOTED)]
    assert gravest(found, Severity.WAIT).severity is Severity.RESET
    assert gravest(found, Severity.MACHINE) is gravest([], Severity.NOTED) is None


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        ((Severity.UNFIT,), Kind.UNFIT),
        ((Severity.UNFIT, Severity.RESET), Kind.RESET),
        ((Severity.UNFIT, Severity.MACHINE), Kind.UNFIT),
        ((Severity.MACHINE, Severity.WAIT, Severity.NOTED), None),
        ((), None),
    ],
)
def test_what_is_a_ground_for_quarantine(found, kind):
    why = ground(symptom(one) for one in found)
    assert (why and why.kind) == kind


def test_a_drivers_words_are_one_line():
    assert said(symptom(said="a\n\x1b[31mb", hint="reset it")) == "ecc: a [31mb reset it"
