"""Why nobody takes a job: what each state of a slot says, and what changes when it does."""

import pytest

from backburn.pool.lease import State, Wanted
from backburn.pool.queued import Waiting
from backburn.pool.stuck import FULL, GIVEN_NONE, causes, headline, key, listed, quoted

from . import scene

NOW = scene.NOW + 3600


def found(*standings, leases=()):
    return causes(standings, leases, "gpu-trusted", NOW)


def waiting(since, job=1, **more):
    about = {"repository": "acme/digits", "run": 7, "workflow": "gpu", "name": "train"}
    return Waiting(**{**about, "since": since, "job": job, **more})


@pytest.mark.parametrize(
    ("state", "said", "do"),
    [
        (State.BUSY, "cpu0: busy.", "More slots"),
        (State.CLEANING, "cpu0: between two jobs.", "More slots"),
        (State.STARTING, "cpu0: between two jobs.", "More slots"),
        (
            State.ONLINE,
            "cpu0: idle, and GitHub hands these jobs to no runner of the group `gpu-trusted`.",
            "group",
        ),
        (State.BLOCKED, "cpu0: blocked: `why`.", "looks again"),
        (State.QUARANTINED, "cpu0: quarantined: `why`.", "pool status"),
        (State.PARKED, "cpu0: parked: `why`.", "`backburn pool resume`"),
        (State.UNKNOWN, "cpu0: not known: `why`.", "docker info"),
    ],
)
def test_each_state_says_why_and_what_to_do(state, said, do):
    (cause,) = found(scene.standing("cpu0", state, reason="why"))
    assert cause.said.startswith(said) and do in cause.said


def test_every_state_says_something():
    for state in State:
        (cause,) = found(scene.standing("cpu0", state))
        assert cause.said and cause.do


def test_whose_the_job_is_and_that_it_is_drained():
    busy, drains = scene.standing("cpu0", State.BUSY), scene.standing("cpu1", State.BUSY, wanted=Wanted.DRAIN)
    lease = scene.lease(slot="cpu0", job=scene.job())
    assert [one.why for one in found(busy, drains, leases=[lease])] == [
        "busy with a job of `acme/vision`",
        "being drained",
    ]


def test_slots_with_the_same_to_say_say_it_once():
    slots = [scene.standing(f"cpu{place}", State.BLOCKED, reason="disk") for place in range(9)]
    (cause,) = found(*slots, scene.standing("cpu9", State.BLOCKED, reason="disk"))
    assert cause.slots == tuple(f"cpu{place}" for place in range(10))


def test_a_runner_that_just_came_online_is_not_wondered_at():
    soon = scene.standing("cpu0", State.ONLINE, since=NOW - 60)
    assert found(soon)[0].kind == FULL and found(scene.standing("cpu0", State.ONLINE))[0].kind == GIVEN_NONE


def test_from_job_to_job_nothing_changes_and_a_bad_slot_does():
    first = key(found(scene.standing("cpu0", State.BUSY), scene.standing("cpu1", State.CLEANING)))
    again = key(found(scene.standing("cpu0", State.STARTING), scene.standing("cpu1", State.BUSY)))
    other = key(found(scene.standing("cpu0", State.BUSY), scene.standing("cpu1", State.BLOCKED, reason="3.1 GiB")))
    figure = key(found(scene.standing("cpu0", State.BUSY), scene.standing("cpu1", State.BLOCKED, reason="3.0 GiB")))
    both = key(found(scene.standing("cpu0", State.BUSY), scene.standing("cpu1", State.BUSY)))
    assert first == again == both != other == figure


def test_a_headline_and_the_first_of_many():
    some = [waiting(NOW - 60 * one, job=one, run=one) for one in (30, 20, 90)]
    assert headline(some, NOW) == "3 jobs queued, the longest for 90 min" and headline(some[:1], NOW).startswith(
        "1 job "
    )
    lines = listed(some, "https://github.com", NOW)
    assert lines[0] == "https://github.com/acme/digits/actions/runs/90 `gpu` `train`, for 90 min" and len(lines) == 3
    assert listed(some * 4, "https://github.com", NOW)[5:] == ["and 7 more"]


@pytest.mark.parametrize(("text", "shown"), [("", "`?`"), ("``", "`?`"), ("a`b", "`a b`"), ("<!here>", "`!here`")])
def test_what_somebody_else_wrote_is_code(text, shown):
    assert quoted(text) == shown
    assert len(quoted("x" * 9999)) == 82
