"""The model of the GPUs is one that health, listeners and witness can go by."""

import random

import pytest

from backburn.pool.health.symptom import Severity
from backburn.pool.simulation.gpus import Gpus
from backburn.pool.simulation.world import World

A, B = "GPU-0000000a", "GPU-0000000b"


@pytest.fixture
def gpus():
    return Gpus(World(random.Random(0)))


def test_what_lasts_is_there_until_it_ends(gpus):
    woken = []
    gpus.watch(woken.append)
    gpus.strike(A, Severity.UNFIT, 60.0)
    assert woken == [A] and [one.severity for one in gpus.symptoms(A)] == [Severity.UNFIT] and gpus.symptoms(B) == ()
    gpus.world.wait(61.0)
    assert gpus.symptoms(A) == ()


def test_what_is_seen_once_is_only_there_in_between(gpus):
    gpus.world.wait(100.0)
    gpus.strike(A, Severity.RESET, 0.0)
    now = gpus.world.now()
    assert gpus.symptoms(A) == () and gpus.between(B, 0.0, now) == gpus.between(A, now + 1, now + 2) == ()
    assert [one.severity for one in gpus.between(A, now - 1, now)] == [Severity.RESET]
    gpus.forget()
    assert gpus.between(A, now - 1, now) == ()


def test_a_person_mends_one_or_all(gpus):
    for device in (A, B):
        gpus.strike(device, Severity.RESET)
        gpus.duds.add(device)
    gpus.world.wait(1e6)
    gpus.mend(A)
    assert gpus.symptoms(A) == () != gpus.symptoms(B) and gpus.duds == {B}
    gpus.mend()
    assert gpus.symptoms(B) == () and gpus.duds == set()


@pytest.mark.parametrize(
    ("severity", "here", "there"),
    [(Severity.RESET, True, False), (Severity.MACHINE, True, True), (Severity.WAIT, False, False)],
)
def test_who_had_long_been_ill(gpus, severity, here, there):
    gpus.strike(A, severity, 1000.0)
    gpus.world.wait(2000.0)
    assert [gpus.long_ill(device, 500.0, 300.0) for device in (A, B)] == [here, there]
    assert not gpus.long_ill(A, 200.0, 300.0) and not gpus.long_ill(A, 1001.0, 300.0)
