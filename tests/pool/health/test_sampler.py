"""From end to end: the real nvidia-ml-py in a real process, asked of a driver that is told what to say."""

import threading
import time

import pytest
from msgspec.structs import replace

from backburn.pool.clock import SystemClock
from backburn.pool.config import Slots
from backburn.pool.health.reading import NEEDED, Event, Look, Reading, Trouble
from backburn.pool.health.sampler import Sampler, watched
from backburn.pool.health.symptom import Health, Unwatched
from tests.pool import scene
from tests.pool.health.virtual import SOUND

MIG = "MIG-6f1a0b2c-0000-4000-8000-00000000000a"
# What the driver says -> what the pool is told, by one question.
ROWS = [
    ({"recovery": 1}, "recovery-action", "reset"),
    ({"recovery": 2}, "recovery-action", "machine"),
    ({"remap_pending": 1}, "row-remap", "reset"),
    ({"remap_failed": 1}, "row-remap", "reset"),
    ({"pages": 1}, "pages", "reset"),
    ({"ecc": 3}, "ecc", "unfit"),
    ({"compute": 4711}, "memory", "wait"),
    ({"memory": 2 << 30}, "memory", "wait"),
    ({"device": 15}, "present", "wait"),
    ({"device": 999}, "present", "wait"),
    ({"recovery": "!999"}, "present", "wait"),
]


def test_each_row_alone(watch, driver):
    """One watch for all of them; between two, time enough for what was seen to count no more."""
    watching = watch()
    for values, check, severity in ROWS:
        driver.sound()
        watching.later(1300)
        assert watching.until([]) == [], values
        driver.set(**values)
        assert watching.until([(f"gpu/{check}", severity)]) == [(f"gpu/{check}", severity)], values
    assert watching.health.unseen(scene.GPU) == ()


def test_rows_that_must_last(watch, driver):
    watching = watch()
    assert watching.until([]) == []
    driver.set(device=16, compute=None)
    assert watching.until([("gpu/present", "wait")]) == [("gpu/present", "wait")]
    watching.later(6)
    assert watching.until([("gpu/present", "reset")]) == [("gpu/present", "reset")]
    driver.sound()
    watching.later(700)
    assert watching.until([]) == []
    driver.set(throttle=0x80, inforom="!14", compute=7)
    watching.until([("gpu/memory", "wait")])
    driver.set(compute=None)
    for _ in range(6):
        watching.later(25)
        watching.told()
        time.sleep(0.25)
    assert ("gpu/throttle", "unfit") in watching.told()


@pytest.mark.parametrize(("code", "severity"), [(79, "reset"), (74, "unfit"), (31, "noted")])
def test_an_xid_wakes_whom_it_concerns(watch, driver, code, severity):
    watching, woken = watch(), threading.Event()
    assert watching.until([]) == []
    threading.Thread(target=watching.health.watch, args=(lambda device: woken.set(),), daemon=True).start()
    begin = watching.clock.now()
    driver.event(scene.GPU, code)
    assert woken.wait(5) and watching.told() == [("gpu/xid", severity)]
    (found,) = watching.health.between(scene.GPU, begin, watching.clock.now())
    assert found.said.startswith(f"Xid {code}: ") and begin <= found.at
    assert watching.health.between(scene.GPU, begin - 100, begin - 50) == ()


def test_what_a_card_does_not_have_is_skipped_and_named(watch, driver):
    keys = "recovery remap-pending pages ecc ecc-corrected throttle width gen replays load memory inforom event-types"
    driver.set(**dict.fromkeys(keys.split(), "!3"), bus="!3")
    watching = watch()
    assert watching.until([]) == []
    assert watching.health.unseen(scene.GPU) == tuple(NEEDED)


@pytest.mark.parametrize(("code", "said"), [(9, "Driver Not Loaded"), (18, "version mismatch"), (999, "Unknown Error")])
def test_a_driver_that_refuses_is_the_machines_until_it_is_back(watch, driver, code, said):
    driver.set(init=f"!{code}")
    watching = watch()
    assert watching.until([("gpu/driver", "machine")]) == [("gpu/driver", "machine")]
    (found,) = watching.health.symptoms(scene.GPU)
    assert said in found.said and f"NVML {code}" in found.said
    assert len([one for one in watching.notes if said in one[2]]) == 1
    driver.sound()
    assert watching.until([]) == []  # loaded after we began


def test_no_library_at_all(watch, driver, monkeypatch, tmp_path):
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path / "none"))
    watching = watch()
    assert watching.until([("gpu/driver", "machine")]) == [("gpu/driver", "machine")]
    assert "NVML 12" in watching.health.symptoms(scene.GPU)[0].said


def test_a_driver_that_hangs_keeps_nobody_waiting(watch, driver):
    """Each question within two seconds; once is waited for, twice needs a restart; and it may come back."""
    watching, longest, told = watch(answer=1.0, begin=1.0), 0.0, []
    assert watching.until([]) == []
    driver.set(hang="ecc")
    end = time.monotonic() + 7.0
    while time.monotonic() < end and told[-1:] != [[("gpu/driver-hangs", "reset")]]:
        begun = time.monotonic()
        told.append(watching.told())
        longest = max(longest, time.monotonic() - begun)
        time.sleep(0.05)
    assert longest < 2.0 and told[-1] == [("gpu/driver-hangs", "reset")]
    assert [("gpu/driver-hangs", "wait")] in told
    driver.sound()
    watching.later(1300)
    assert watching.until([], 12.0) == []


def test_a_process_that_crashes_is_started_again(watch, driver):
    driver.set(abort=1)
    watching = watch()
    assert watching.until([("gpu/driver", "machine")]) == [("gpu/driver", "machine")]
    assert "exit code -6" in watching.health.symptoms(scene.GPU)[0].said
    driver.sound()
    watching.later(400)
    assert watching.until([]) == []


def test_a_mig_instance_is_its_own_for_memory_and_its_cards_for_the_rest(watch, driver):
    driver.set(**{f"{MIG}/card": scene.GPU, f"{MIG}/gi": 2})
    watching = watch(gpu=MIG)
    assert watching.until([]) == []
    driver.set(**{f"{MIG}/compute": 99, f"{scene.GPU}/compute": 98, f"{scene.GPU}/pages": 1})
    wanted = [("gpu/pages", "reset"), ("gpu/memory", "wait")]
    assert watching.until(wanted) == wanted and "by process 99" in watching.health.symptoms(MIG)[1].said
    driver.event(scene.GPU, 74, instance="3 0")  # of another instance
    driver.event(scene.GPU, 92, instance="2 0")
    driver.event(scene.GPU, 119)
    wanted = [("gpu/pages", "reset"), ("gpu/xid", "reset"), ("gpu/xid", "unfit"), ("gpu/memory", "wait")]
    assert watching.until(wanted) == wanted
    assert [one.said[:7] for one in watching.health.symptoms(MIG)[1:3]] == ["Xid 119", "Xid 92:"]


class Deaf:
    """A keeper that brings nothing."""

    prompt, wants = True, 0

    def want(self):
        self.wants += 1

    def close(self):
        """Nothing to end."""


@pytest.fixture
def alone(tmp_path):
    """A Sampler, what it is told by hand, and a clock by hand."""
    clock = scene.Hand()
    made = Sampler(scene.pool(tmp_path), clock, lambda *said: made.notes.append(said))
    made.notes, made.clock = [], clock
    return made


def test_no_gpu_is_watched_without_one(tmp_path):
    config = scene.pool(tmp_path)
    without = replace(config, slots=Slots(cpu=1))
    assert isinstance(watched(without, SystemClock(), print), Unwatched)
    health: Health = Sampler(config, SystemClock(), print)
    assert health.symptoms("") == health.between("", 0, 1) == health.unseen("") == health.unseen(scene.GPU) == ()


def test_a_question_waits_for_a_look_that_is_newer_than_it_and_no_longer_than_two_seconds(alone):
    keeper = Deaf()
    alone.start(keeper)
    begun = time.monotonic()
    assert [one.severity for one in alone.symptoms(scene.GPU)] == ["wait"]
    assert 1.0 < time.monotonic() - begun < 2.0 and keeper.wants == 1
    alone.hear(Look((Reading(device=scene.GPU, **SOUND), Reading(device="GPU-of-nobody"))))
    assert alone.symptoms(scene.GPU) == () and keeper.wants == 1
    alone.clock.wait(5)
    threading.Timer(0.1, alone.hear, [Look((Reading(device=scene.GPU, **(SOUND | {"recovery": 1})),))]).start()
    assert [one.check for one in alone.symptoms(scene.GPU)] == ["gpu/recovery-action"]
    keeper.prompt = False
    alone.clock.wait(5)
    begun = time.monotonic()
    assert [one.check for one in alone.symptoms(scene.GPU)] == ["gpu/recovery-action", "gpu/driver"]
    assert time.monotonic() - begun < 0.25 and keeper.wants == 2


def test_it_is_woken_once_for_what_stays_so(alone):
    bad = Look((Reading(device=scene.GPU, **(SOUND | {"pages_pending": 1})),))
    woken = []
    threading.Thread(target=alone.watch, args=(woken.append,), daemon=True).start()
    for _ in range(3):
        alone.hear(bad)
        time.sleep(0.05)
    assert woken == [scene.GPU]
    alone.hear(Event(device="GPU-of-nobody", kind="xid", code=31))
    alone.hear(Event(device=scene.GPU, kind="xid", code=31))
    time.sleep(0.05)
    alone.hear(Trouble(kind="hang"))
    time.sleep(0.05)
    assert woken == [scene.GPU] * 3
    alone.close()


def test_a_change_that_is_no_xid_is_a_reason_to_look_and_no_symptom(alone):
    alone.hear(Look((Reading(device=scene.GPU, **SOUND),)))
    keeper = Deaf()
    alone.start(keeper)
    alone.hear(Event(device=scene.GPU, kind="change", code=1))
    assert keeper.wants == 1 and alone.symptoms(scene.GPU) == alone.between(scene.GPU, 0, 1e12) == ()


def test_what_lasted_is_told_once_with_the_events_in_their_order(alone):
    for code in (31, 79):
        alone.hear(Look((Reading(device=scene.GPU, **(SOUND | {"inforom": 1})),)))
        alone.clock.wait(10)
        alone.hear(Event(device=scene.GPU, kind="xid", code=code))
    found = alone.between(scene.GPU, scene.NOW, scene.NOW + 100)
    assert [one.check for one in found] == ["gpu/inforom", "gpu/xid", "gpu/xid"]
    assert [one.at - scene.NOW for one in found] == [0.0, 10.0, 20.0]
    assert [one.said[:6] for one in alone.between(scene.GPU, scene.NOW + 15, scene.NOW + 100)[-1:]] == ["Xid 79"]


def test_another_process_is_no_trouble(alone):
    alone.hear(Look((Reading(device=scene.GPU, **SOUND),)))
    alone.hear(Trouble(kind="anew"))
    assert alone.symptoms(scene.GPU) == () and alone.notes == []


def test_a_disk_that_is_full_is_said_and_does_no_harm(alone, tmp_path):
    (tmp_path / "state").write_text("a file where the folder should be")
    alone.hear(Look((Reading(device=scene.GPU, **SOUND),)))
    assert alone.symptoms(scene.GPU) == ()
    alone.hear(Look((Reading(device=scene.GPU, **SOUND),)))
    assert "cannot be kept" in alone.notes[0][2] and alone.symptoms(scene.GPU) == ()
