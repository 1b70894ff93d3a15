"""What befalls a request: planned, in a storm, or by chance."""

import random

import pytest

from backburn.pool.simulation.faults import ONLY, Fault, Faults


@pytest.fixture
def faults():
    return Faults(random.Random(1))


def test_nothing_goes_wrong_by_itself(faults):
    assert {faults.chosen("list", 0.0) for _ in range(1000)} == {None} and not any(faults.seen.values())


def test_a_plan_is_kept_in_its_order_for_its_call(faults):
    faults.plan(Fault.LOST, "register", times=2)
    faults.plan(Fault.FAILED)
    assert [faults.chosen(call, 0.0) for call in ("list", "register", "register", "register")] == [
        Fault.FAILED,
        Fault.LOST,
        Fault.LOST,
        None,
    ]
    assert faults.seen[Fault.LOST] == 2


def test_rates_are_shares(faults):
    faults.rates = {Fault.LOST: 0.1, Fault.FAILED: 0.2}
    for _ in range(10000):
        faults.chosen("list", 0.0)
    assert 900 < faults.seen[Fault.LOST] < 1100 and 1600 < faults.seen[Fault.FAILED] < 2000


def test_a_storm_has_a_beginning_an_end_and_a_share(faults):
    faults.storm([Fault.FAILED, Fault.THROTTLED], 10.0, 20.0, share=0.5)
    seen = {moment: [faults.chosen("list", moment) for _ in range(200)] for moment in (9.9, 10.0, 19.9)}
    assert set(seen[9.9]) == {None} and set(seen[10.0]) == {None, Fault.FAILED, Fault.THROTTLED}
    assert 60 < sum(one is not None for one in seen[19.9]) < 140
    assert faults.chosen("list", 20.0) is None


@pytest.mark.parametrize("fault", ONLY)
def test_some_befall_one_call_alone(faults, fault):
    faults.rates = {fault: 1.0}
    faults.storm([fault], 0.0, 9.0)
    faults.plan(fault)
    assert faults.chosen("list", 1.0) is None and faults.chosen(ONLY[fault], 1.0) is fault


def test_a_seed_is_a_history():
    histories = []
    for _ in range(2):
        faults = Faults(random.Random(5))
        faults.rates = {fault: 0.05 for fault in Fault}
        histories.append([faults.chosen("register", float(moment)) for moment in range(500)])
    assert histories[0] == histories[1] and len(set(histories[0])) > 8
