"""Out of quarantine: after good looks in a row, or by a person's word; in the world that a supervisor lives in."""

import pytest

from backburn.pool import parole
from backburn.pool.health.symptom import Severity
from backburn.pool.lease import Kind, Quarantine, State, Wanted
from backburn.pool.parole import PAROLED, after, pause
from tests.pool.ward import symptom

from .worlds import MINUTE, outcomes, quiet, reach, sound, until

SLOT, GPU = "gpu00000000", "GPU-00000000-sim"
UNFIT = Quarantine(kind=Kind.UNFIT, reason="ecc: 3 new")


def test_the_pauses():
    assert [pause(looks) for looks in range(5)] == [60, 300, 1800, 1800, 1800]


def test_a_look_that_is_not_good_begins_the_row_anew():
    once = after(after(UNFIT, None), None)
    assert (once.looks, once.good, once.reason) == (2, 2, UNFIT.reason)
    worse = after(once, symptom(Severity.WAIT, "memory", said="in use"))
    assert (worse.looks, worse.good, worse.kind, worse.reason) == (3, 0, Kind.UNFIT, "memory: in use")


@pytest.mark.parametrize("kind", PAROLED)
def test_what_needs_a_person_needs_one_from_then_on(kind):
    assert after(Quarantine(kind=kind), symptom(Severity.RESET)).kind is Kind.RESET
    assert after(Quarantine(kind=kind), symptom(Severity.UNFIT)).kind is kind


def shut(severity=Severity.UNFIT, **given):
    """A world whose one GPU was found ill by the gate."""
    soak = quiet(**given)
    soak.gpus.strike(GPU, severity)
    reach(soak, State.QUARANTINED)
    return soak


class TestParole:
    def test_three_good_looks_in_a_row(self):
        soak = shut()
        soak.go(7 * MINUTE)  # two looks, both bad
        assert soak.store.held(SLOT).looks == 2
        soak.gpus.mend()
        soak.go(61 * MINUTE)  # two good ones, 30 minutes apart
        assert soak.places[0].state is State.QUARANTINED and soak.store.held(SLOT).good == 2
        reach(soak, State.ONLINE, within=31 * MINUTE)
        assert soak.store.held(SLOT) is None and soak.quarantines == {(SLOT, "unfit"): 1}
        assert any("3 good looks in a row" in note for note in soak.notes)
        sound(soak)

    def test_what_passed_by_itself_costs_36_minutes(self):
        soak = shut()
        soak.gpus.mend()
        since = soak.places[0].since
        reach(soak, State.ONLINE, within=40 * MINUTE)
        assert soak.world.passed() - since == pytest.approx(sum(parole.PAUSES), abs=20)

    def test_it_goes_on_where_it_was_after_a_restart(self):
        soak = shut()
        soak.gpus.mend()
        soak.go(2 * MINUTE)
        assert soak.store.held(SLOT).good == 1
        for _ in range(3):  # each start is no look of its own
            soak.kill()
            soak.go(MINUTE)
        assert soak.places[0].state is State.QUARANTINED and soak.store.held(SLOT).good == 1
        reach(soak, State.ONLINE, within=60 * MINUTE)
        sound(soak)

    def test_real_work_is_the_last_look_and_counts(self):
        soak, asked = shut(), []

        def probe(device):
            asked.append(device)
            return symptom(Severity.UNFIT, "cuda") if len(asked) == 1 else None

        soak.tools.care.probe = probe
        soak.gpus.mend()
        soak.go(40 * MINUTE)
        assert asked == [GPU] and soak.store.held(SLOT).good == 0 and "cuda" in soak.places[0].reason
        reach(soak, State.ONLINE, within=100 * MINUTE)
        assert len(asked) == 2

    def test_one_that_is_of_another_gpu_does_not_count(self):
        soak = shut(slots=2)
        soak.gpus.mend()
        soak.gpus.strike("GPU-00000001-sim", Severity.MACHINE)
        soak.go(40 * MINUTE)
        assert soak.places[0].state is State.BLOCKED and soak.store.held(SLOT) is None
        sound(soak)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in PAROLED])
def test_all_other_kinds_wait_for_a_person_also_over_a_restart(kind):
    soak = quiet()
    reach(soak, State.ONLINE)
    soak.store.hold(SLOT, Quarantine(kind=kind, reason="why"))
    reach(soak, State.QUARANTINED, within=MINUTE)
    soak.kill()
    soak.go(120 * MINUTE)
    assert soak.places[0].state is State.QUARANTINED and soak.store.held(SLOT).kind is kind
    soak.store.release([SLOT], soak.world.now())
    reach(soak, State.ONLINE, within=MINUTE)
    sound(soak)


class TestAPersonsWord:
    def test_of_an_idle_slot_github_lets_go_first(self):
        soak = quiet()
        reach(soak, State.ONLINE)
        soak.store.order([SLOT], Quarantine(kind=Kind.ORDERED, reason="new disk"))
        place = reach(soak, State.QUARANTINED, within=MINUTE)
        assert place.reason == "new disk" and outcomes(soak) == ["drained"] and not soak.listeners.alive
        sound(soak)

    def test_takes_a_slot_off_parole(self):
        soak = shut()
        soak.gpus.mend()
        soak.store.order([SLOT], Quarantine(kind=Kind.ORDERED))
        soak.go(120 * MINUTE)
        assert soak.places[0].state is State.QUARANTINED
        sound(soak)

    def test_is_not_forgotten_for_what_parole_finds_meanwhile(self):
        """The look may take half a minute; the order comes in it."""
        soak = shut()
        ordered = Quarantine(kind=Kind.ORDERED)
        soak.tools.care.probe = lambda device: soak.store.order([SLOT], ordered)
        soak.gpus.mend()
        soak.go(60 * MINUTE)
        assert soak.store.held(SLOT) == ordered and soak.places[0].state is State.QUARANTINED

    def test_comes_before_a_drain_and_outlives_it(self):
        soak = shut(Severity.RESET)
        soak.store.want([SLOT], Wanted.DRAIN)
        soak.go(MINUTE)
        assert soak.places[0].state is State.QUARANTINED
        soak.gpus.mend()
        soak.store.release([SLOT], soak.world.now())
        reach(soak, State.PARKED, within=MINUTE)
        soak.store.hold(SLOT, UNFIT)
        reach(soak, State.QUARANTINED, within=MINUTE)
        sound(soak)

    def test_reaches_a_blocked_slot(self):
        """One that has been for long looks again after minutes; an order is carried out within 15 s."""
        soak = quiet()
        soak.free = 0.0
        soak.go(30 * MINUTE)
        until(soak, lambda: soak.places[0].until - soak.world.passed() > MINUTE)
        soak.store.order([SLOT], Quarantine(kind=Kind.ORDERED))
        reach(soak, State.QUARANTINED, within=16.0)


def test_a_slot_that_the_configuration_has_no_more_is_forgotten():
    soak = shut(Severity.RESET)
    soak.places[0].retired = True
    until(soak, lambda: soak.places[0].state is State.PARKED, within=MINUTE)
