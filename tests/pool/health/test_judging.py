"""Each row of the table, sound and broken; what must last, what counts for a while, and what a sound card does."""

from pathlib import Path

import pytest

from backburn.pool.health.judging import CHECKS, judge, of_event
from backburn.pool.health.reading import Event
from backburn.pool.health.record import HELD, QUIET
from backburn.pool.health.symptom import Blame, Severity
from tests.pool.health.virtual import Card
from tests.pool.scene import GPU, NOW

GIB = 1 << 30


@pytest.fixture
def card(tmp_path):
    """One that was looked at for some minutes, and passed the gate."""
    card = Card(tmp_path)
    card.go(600)
    assert card.gate() == ()
    return card


def told(symptoms):
    return [(one.check, str(one.severity)) for one in symptoms]


# What the card says -> the check, its severity, its blame, and words of what is said.
STATES = [
    ({"recovery": 1}, "recovery-action", "reset", "reset the GPU (recovery action 1)"),
    ({"recovery": 2}, "recovery-action", "machine", "restart the machine"),
    ({"recovery": 3}, "recovery-action", "unfit", "links between GPUs"),
    ({"recovery": 4}, "recovery-action", "reset", "and reset it"),
    ({"recovery": 5}, "recovery-action", "unfit", "IMEX"),
    ({"recovery": 6}, "recovery-action", "reset", "bus"),
    ({"recovery": 7}, "recovery-action", "machine", "restart the system"),
    ({"recovery": 8}, "recovery-action", "reset", "not known here (recovery action 8)"),
    ({"remap_pending": 1}, "row-remap", "reset", "wait for a reset to be replaced"),
    ({"remap_failed": 1, "remap_pending": 1}, "row-remap", "reset", "could not be replaced"),
    ({"pages_pending": 1}, "pages", "reset", "wait for a reset to be retired"),
    ({"ecc_uncorrected": 2}, "ecc", "unfit", "2 uncorrected memory errors"),
    ({"inforom": 1}, "inforom", "noted", "checksum is wrong"),
    ({"error": 15}, "present", "wait", "the GPU is lost (NVML 15), once"),
    ({"error": 999}, "present", "wait", "an unknown error (NVML 999), once"),
]


@pytest.mark.parametrize(("values", "check", "severity", "said"), STATES)
def test_what_one_look_shows(card, values, check, severity, said):
    card.set(**values)
    (found,) = card.gate()
    assert (found.check, found.severity, found.device) == (f"gpu/{check}", severity, GPU)
    assert said in found.said and found.at == NOW + card.passed
    assert bool(found.hint) == (severity != "wait")
    if severity == "reset" and "could not" not in said:
        assert f"nvidia-smi -r -i {GPU}" in found.hint and "Stop the supervisor" in found.hint


@pytest.mark.parametrize(("values", "check", "severity", "said"), STATES[:11])
def test_seen_once_it_counts_for_a_while_and_no_longer(card, values, check, severity, said):
    card.look(**values)
    card.go(HELD - 20)
    (found,) = card.ask()
    assert found.check == f"gpu/{check}" and found.at == NOW + card.passed - HELD + 20
    card.go(40)
    assert card.ask() == ()


@pytest.mark.parametrize(
    ("error", "severity"), [(15, "reset"), (16, "reset"), (6, "unfit"), (28, "unfit"), (999, "unfit"), (17, "unfit")]
)
def test_no_answer_twice(card, error, severity):
    card.look(error=error)
    assert told(card.ask()) == [("gpu/present", "wait")]
    card.passed += 2.0  # a question just after a look is not two looks
    card.look(error=error)
    assert told(card.ask()) == [("gpu/present", "wait")]
    card.passed += 10.0
    card.look(error=error)
    (found,) = card.ask()
    assert (found.check, found.severity) == ("gpu/present", severity) and "once" not in found.said


def test_no_answer_once_is_over_after_a_minute(card):
    card.look(error=999)
    card.go(50)
    assert told(card.ask()) == [("gpu/present", "wait")]
    card.go(20)
    assert card.ask() == ()


XIDS = [
    *[(code, Severity.NOTED, Blame.CODE) for code in (13, 31, 43, 45, 68, 109)],
    *[(code, Severity.RESET, Blame.MACHINE) for code in (48, 62, 63, 64, 79, 94, 95, 119, 120, 140)],
    *[(code, Severity.UNFIT, Blame.MACHINE) for code in (74, 92)],
    (8, Severity.NOTED, Blame.OPEN),
    (154, Severity.NOTED, Blame.MACHINE),
    (4242, Severity.UNFIT, Blame.OPEN),
]


@pytest.mark.parametrize(("code", "severity", "blame"), XIDS)
def test_an_xid(card, code, severity, blame):
    card.event(code)
    (found,) = card.ask()
    assert (found.check, found.severity, found.blame) == ("gpu/xid", severity, blame)
    assert found.said.startswith(f"Xid {code}: ") and found.at == NOW + card.passed


def test_an_xid_that_only_a_person_ends_is_there_a_day_later_whatever_came_after_it(card):
    card.event(79)
    for code in (31, 13, *range(5000, 7000)):
        card.event(code)
    card.event(119)
    card.go(86400)
    assert [one.said[:7] for one in card.ask() if one.severity is Severity.RESET] == ["Xid 79:", "Xid 119"]


@pytest.mark.parametrize("make", [lambda card: card.event(74), lambda card: card.look(ecc_uncorrected=1)])
def test_what_may_pass_is_quiet_for_ten_minutes_from_when_the_slot_was_first_kept_from_work(card, make):
    make(card)
    card.set(ecc_uncorrected=card.record.newest.ecc_uncorrected)
    card.go(5 * 3600)  # a job goes on
    assert told(card.ask(empty=False)) == told(card.ask()) != []
    card.go(QUIET - 60)
    assert told(card.ask()) != []
    card.go(120)
    assert card.ask() == ()


def test_an_error_before_we_looked_is_not_of_this_watch(tmp_path):
    card = Card(tmp_path)
    card.set(ecc_uncorrected=7)
    card.go(60)
    assert card.gate() == ()
    card.set(ecc_uncorrected=0)  # the driver was loaded anew
    card.go(60)
    card.set(ecc_uncorrected=1)
    assert told(card.gate()) == [("gpu/ecc", "unfit")]


def test_154_is_suspect_where_the_card_does_not_say_what_to_do(card):
    card.set(recovery=None)
    card.go(600)
    card.event(154)
    assert told(card.ask()) == [("gpu/xid", "unfit")]


def test_many_corrected_errors_are_said_and_few_are_not(card):
    card.set(ecc_corrected=9)
    card.go(60)
    assert card.gate() == ()
    card.set(ecc_corrected=40)
    (found,) = card.gate()
    assert (found.check, found.severity, found.blame) == ("gpu/ecc", Severity.NOTED, Blame.CODE)
    assert "40 corrected memory errors a minute, more than 10" in found.said


@pytest.mark.parametrize(
    ("bits", "busy", "severity"),
    [
        (0x8, False, "unfit"),
        (0x80, False, "unfit"),
        (0x48, False, "unfit"),
        (0x20, False, "noted"),
        (0x40, False, "noted"),
        (0x8, True, "noted"),
        (0x8, None, "noted"),  # a card that does not say whether it has something to do
        (0x1 | 0x2 | 0x4 | 0x10 | 0x100, False, ""),
    ],
)
def test_slowed_down_for_longer_than_the_grace(card, bits, busy, severity):
    card.set(throttle=bits, compute={True: (7,), False: (), None: None}[busy])
    card.go(110)
    assert card.ask(empty=not busy) == ()
    card.go(20)
    wanted = [("gpu/throttle", severity)] if severity else []
    assert told(card.ask(empty=not busy)) == told(card.ask(empty=False)) == wanted


def test_slowed_down_half_of_the_time_is_no_blip(card):
    card.go(600, lambda passed: card.set(throttle=0x8 if passed // 10 % 2 else 1))
    (found,) = card.ask()
    assert (found.check, found.severity) == ("gpu/throttle", Severity.UNFIT)
    assert "slowed down for 240 s of the last 480 s: hardware slowdown, with nothing to do" in found.said
    card.set()
    card.go(300)
    assert card.ask() == ()


def test_blips_are_none(card):
    card.go(7200, lambda passed: card.set(throttle=0x8 if passed % 300 < 40 else 1))
    assert card.ask() == ()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"link_width": 8}, "x8 gen 4 under load, and could be x16 gen 4"),
        ({"link_gen": 1}, "x16 gen 1 under load"),
        ({"link_width": 8, "load": 5}, ""),  # links drop where there is little to do
        ({"link_width": 8, "compute": ()}, ""),
        ({"link_width": None}, ""),
        ({"link_width_max": None, "link_width": 8}, ""),
    ],
)
def test_the_link_is_looked_at_under_load(card, values, said):
    card.set(**{"compute": (7,), "load": 90, **values})
    card.go(20)
    assert card.ask(empty=False) == ()
    card.go(20)
    found = card.ask(empty=False)
    assert bool(found) == bool(said)
    if said:
        assert (found[0].check, found[0].severity, found[0].blame) == ("gpu/pcie", Severity.NOTED, Blame.OPEN)
        assert said in found[0].said


def test_many_replays_are_said_and_few_are_not(card):
    card.set(replays=8)
    card.go(60)
    assert card.ask() == ()
    card.set(replays=30)
    card.look()
    (found,) = card.ask()
    assert (found.check, found.severity) == ("gpu/pcie", Severity.NOTED) and "30 PCIe replays a minute" in found.said


def test_memory_that_a_job_leaves_has_half_a_minute(card):
    card.set(memory_used=2 * GIB, compute=(4711,), graphics=(12,))
    (found,) = card.gate()
    assert (found.check, found.severity) == ("gpu/memory", Severity.WAIT)
    assert "2048 MiB in use with no job there, where 4 MiB would be, by process 4711, 12" in found.said
    card.go(20)
    assert told(card.gate()) == [("gpu/memory", "wait")]
    card.go(20)
    assert told(card.gate()) == [("gpu/memory", "unfit")]
    assert card.ask(empty=False) == ()
    card.set()
    assert card.gate() == ()


def test_memory_without_a_process_is_a_leftover_too(card):
    card.set(memory_used=60 << 20)
    assert card.gate() == ()
    card.set(memory_used=300 << 20)
    card.gate()
    card.go(40)
    (found,) = card.gate()
    assert found.severity is Severity.UNFIT and "by process" not in found.said


def test_a_job_between_two_questions_is_not_what_was_left(card):
    card.set(memory_used=2 * GIB)
    assert told(card.gate()) == [("gpu/memory", "wait")]
    card.go(3600)
    assert told(card.gate()) == [("gpu/memory", "wait")]


def test_memory_that_comes_and_goes_with_no_job_there(card):
    for _ in range(2):
        assert card.gate() == ()
        card.set(memory_used=2 * GIB)
        assert told(card.gate()) == [("gpu/memory", "wait")]
        card.set()
        card.go(10)
    (found,) = card.gate()
    assert (found.check, found.severity) == ("gpu/memory", Severity.WAIT) and "2 times in 300 s" in found.said
    card.go(310)
    assert card.gate() == ()


@pytest.mark.parametrize("code", [9, 12, 18, 999, -1])
def test_a_driver_that_cannot_be_asked_is_the_machines(card, code):
    card.trouble("driver", code, "Driver/library\x1b[31m version mismatch")
    (found,) = card.ask()
    assert (found.check, found.severity, found.blame) == ("gpu/driver", Severity.MACHINE, Blame.MACHINE)
    assert f"(NVML {code})" in found.said and "\x1b" not in found.said and "nvidia-smi" in found.hint
    card.go(HELD + 10)
    assert card.ask() == ()


def test_a_process_that_ends_again_and_again_is_the_machines(card):
    for _ in range(2):
        card.trouble("end", -11)
    assert card.ask() == ()
    card.trouble("end", -6)
    (found,) = card.ask()
    assert found.severity is Severity.MACHINE and "ended 3 times in 300 s, last with exit code -6" in found.said


def test_a_hang_is_waited_for_once_and_needs_a_restart_then(card):
    card.trouble("hang")
    assert told(card.ask()) == [("gpu/driver-hangs", "wait")]
    card.go(30)
    card.trouble("hang")
    (found,) = card.ask()
    assert (found.check, found.severity) == ("gpu/driver-hangs", Severity.RESET) and "restart the machine" in found.hint
    card.go(QUIET)
    assert told(card.ask()) == [("gpu/driver-hangs", "wait")]
    card.go(40)
    assert card.ask() == ()


def test_a_process_that_cannot_be_ended_needs_a_restart_at_once(card):
    card.trouble("hang")
    card.trouble("stuck")
    (found,) = card.ask()
    assert found.severity is Severity.RESET and "cannot be ended" in found.said


def test_what_was_not_looked_at_is_not_sound(tmp_path):
    card = Card(tmp_path)
    assert told(card.ask()) == [("gpu/driver", "wait")]
    card.go(10)
    assert card.ask() == ()
    card.passed += 61
    (found,) = card.ask()
    assert (found.check, found.severity) == ("gpu/driver", Severity.WAIT) and "more than 60 s" in found.said


def test_what_does_not_answer_at_once_is_waited_for(card):
    seen = card.record.seen(NOW + card.passed, card.passed, late=True)
    (found,) = judge(seen)
    assert (found.check, found.severity, found.said) == ("gpu/driver", Severity.WAIT, "it has not answered yet")
    card.trouble("hang")
    seen = card.record.seen(NOW + card.passed, card.passed, late=True, troubles=card.troubles)
    assert told(judge(seen)) == [("gpu/driver-hangs", "wait")]


def test_what_a_card_does_not_support_is_never_a_symptom(tmp_path):
    card = Card(tmp_path)
    card.values = {}
    card.go(600)
    assert card.ask() == card.ask(empty=False) == ()


def test_the_gravest_is_first_and_every_check_makes_a_claim(card):
    card.set(inforom=1, recovery=2, pages_pending=1)
    card.event(74)
    assert [one.severity for one in card.gate()] == ["machine", "reset", "unfit", "noted"]
    assert all(check.__doc__.splitlines()[0].endswith(".") for check in CHECKS.values())
    assert of_event(Event(device=GPU, kind="ecc", code=3)).said == "3 uncorrected memory errors"


def test_the_page_has_a_row_for_every_check_and_its_figures():
    page = (Path(__file__).parents[3] / "docs" / "pool.md").read_text()
    rows = page[page.index("## What speaks against a GPU") : page.index("## Metrics and health")]
    assert [check for check in (*CHECKS, "gpu/driver-hangs", "gpu/probe") if f"`{check}`" not in rows] == []
    assert (HELD, QUIET) == (300.0, 600.0) and "five minutes" in rows and "quiet for ten minutes" in rows
