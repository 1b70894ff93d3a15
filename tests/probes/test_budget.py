import math
import time

from backburn.probes.budget import Budget


def spending(seconds, share=0.02):
    one = Budget(share)
    one.spent = one.last = seconds
    return one


def test_the_first_recording_is_always_paid():
    assert Budget(0.02).affords(0.0, 0.0)


def test_another_waits_until_it_is_earned():
    one = spending(0.5)
    assert not one.affords(49.0, 0.0) and one.affords(51.0, 0.0)
    assert not one.affords(51.0, 0.0, besides=0.1)


def test_a_long_training_has_a_little_credit():
    one = spending(0.1)
    assert one.affords(1.0, 3600.0) and one.affords(1.0, 20.1) and not one.affords(1.0, 19.9)  # half of 2 % of that
    assert not spending(0.13).affords(1.0, 3600.0)  # 0.25 s, not 72


def test_whatever_a_recording_costs_the_share_holds():
    """Each costs up to 9 times the one before, or a ninth; no plan is known."""
    for factor in (0.1, 1.0, 1.5):
        one, trained = spending(0.003), 0.0
        for _ in range(20_000):
            trained += 0.01
            if one.affords(trained, 0.0):
                assert one.spent + one.last <= 0.02 * trained
                one.spent, one.last = one.spent + one.last * factor, one.last * factor
        assert one.spent <= 0.02 * trained * 1.5


def test_no_time_is_saved_where_all_is_asked_for():
    assert spending(1e9, math.inf).affords(0.0, 0.0)


def test_what_is_paid_is_counted():
    one = Budget(0.02)
    for _ in range(2):
        with one.paid():
            time.sleep(0.01)
    assert one.spent >= 0.02 and one.last == 0.0
    one.over()
    assert one.last == one.spent
    with one.paid():
        pass
    one.over()
    assert one.last < 0.01
