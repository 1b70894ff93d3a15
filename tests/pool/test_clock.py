"""Two kinds of time."""

import time

from backburn.pool.clock import SystemClock


def test_now_is_the_wall_clock_and_passed_never_jumps(monkeypatch):
    clock = SystemClock()
    assert abs(clock.now() - time.time()) < 1
    first = clock.passed()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert clock.now() == 0.0 and 0 <= clock.passed() - first < 5


def test_time_asleep_counts():
    """By CLOCK_BOOTTIME, which monotonic() on Linux is not."""
    assert abs(SystemClock().passed() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 1


def test_without_that_clock_it_is_monotonic(monkeypatch):
    monkeypatch.delattr(time, "CLOCK_BOOTTIME")
    assert abs(SystemClock().passed() - time.monotonic()) < 1


def test_it_waits():
    clock = SystemClock()
    before = clock.passed()
    clock.wait(0.05)
    assert clock.passed() - before >= 0.05
