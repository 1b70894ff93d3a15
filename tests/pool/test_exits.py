"""Each exit code of the listener in each circumstance, and who ended it before that."""

import pytest

from backburn.pool import exits
from backburn.pool.engine import Inspection
from backburn.pool.exits import BAD, FUTILE, Ending, Outcome
from tests.pool import scene

JOB, NONE, GONE, THERE = True, False, False, True  # a job was seen or not; the registration is gone or still there


def end(code, job=NONE, registered=GONE, *, oom=False, restarted=0.0, finished=scene.NOW + 100, **lease):
    about = scene.lease(busy=scene.NOW + 1 if job else 0.0, **lease)
    seen = Inspection(id="x", state="exited", code=code, out_of_memory=oom, finished=finished)
    return Ending(lease=about, seen=seen, registered=registered, restarted=restarted)


@pytest.mark.parametrize(
    ("code", "job", "registered", "outcome"),
    [
        (0, NONE, GONE, Outcome.IDLE),  # GitHub took it back: no failure (actions/runner#4726)
        (0, NONE, THERE, Outcome.ORPHANED),  # its worker hung before it read its job (actions/runner#4598)
        (0, JOB, GONE, Outcome.DONE),
        (0, JOB, THERE, Outcome.ORPHANED),
        (1, NONE, GONE, Outcome.IDLE),  # the registration was deleted
        (1, NONE, THERE, Outcome.CRASHED),
        (1, JOB, GONE, Outcome.CRASHED),
        (1, JOB, THERE, Outcome.CRASHED),
        (2, NONE, GONE, Outcome.RETRYABLE),  # run.sh would start it again (actions/runner#3822)
        (2, JOB, GONE, Outcome.RETRYABLE),
        (3, NONE, GONE, Outcome.RETRYABLE),
        (4, NONE, GONE, Outcome.RETRYABLE),
        (5, NONE, THERE, Outcome.CONFLICT),
        (6, NONE, GONE, Outcome.CRASHED),
        (7, NONE, THERE, Outcome.DEPRECATED),
        (100, JOB, GONE, Outcome.SUCCEEDED),
        (101, JOB, GONE, Outcome.SUCCEEDED),
        (102, JOB, GONE, Outcome.FAILED),
        (103, JOB, GONE, Outcome.CANCELED),
        (104, JOB, GONE, Outcome.SKIPPED),
        (105, JOB, THERE, Outcome.ABANDONED),
        (69, NONE, THERE, Outcome.BLIND),
        (102, NONE, THERE, Outcome.FAILED),  # the hook did not write, and the code is proof enough
        (42, NONE, GONE, Outcome.CRASHED),
        (106, JOB, GONE, Outcome.CRASHED),
        (125, NONE, THERE, Outcome.IMAGE),
        (126, NONE, THERE, Outcome.IMAGE),
        (127, NONE, THERE, Outcome.IMAGE),
        (137, JOB, THERE, Outcome.KILLED),
        (139, NONE, GONE, Outcome.KILLED),
        (143, JOB, THERE, Outcome.KILLED),
        (255, NONE, THERE, Outcome.KILLED),
    ],
)
def test_a_code_in_its_circumstance(code, job, registered, outcome):
    assert exits.outcome(end(code, job, registered)) is outcome


def test_the_kernels_killer_is_named_unless_the_job_had_its_result():
    assert exits.outcome(end(137, JOB, oom=True)) is Outcome.MEMORY
    assert exits.outcome(end(1, JOB, oom=True)) is Outcome.MEMORY
    assert exits.outcome(end(102, JOB, oom=True)) is Outcome.FAILED  # a child was killed, and the job says how it went


@pytest.mark.parametrize("apart", [0.0, 10.5, -29.0, 30.0])
def test_the_engine_that_came_back_took_it_along(apart):
    ended = end(137, JOB, THERE, restarted=scene.NOW + 100 + apart)
    assert exits.outcome(ended) is Outcome.RESTARTED


@pytest.mark.parametrize(("restarted", "why"), [(200.0, "long after"), (-50.0, "before it began"), (0.0, "never")])
def test_another_restart_did_not(restarted, why):
    at = scene.NOW + restarted if restarted else 0.0
    assert exits.outcome(end(137, JOB, THERE, restarted=at)) is Outcome.KILLED


def test_a_container_that_is_gone():
    gone = Ending(lease=scene.lease(), seen=None, registered=THERE)
    assert exits.outcome(gone) is Outcome.LOST
    assert exits.outcome(Ending(lease=scene.lease(), seen=None, registered=THERE, restarted=scene.NOW + 1)) is (
        Outcome.RESTARTED
    )


@pytest.mark.parametrize("cause", list(Outcome))
def test_what_we_did_ourselves_comes_before_any_code(cause):
    assert exits.outcome(end(0, JOB, THERE, oom=True, cause=cause.value)) is cause


def test_a_job_is_known_by_its_hook_by_github_or_by_the_code():
    assert end(0, JOB).job and end(105).job and not end(0).job
    assert Ending(lease=scene.lease(job=scene.job()), seen=None, registered=GONE).job


def test_the_sets():
    """What is bad is kept; what is futile is bad; no job that ended by itself is either."""
    assert FUTILE < BAD and Outcome.BLIND in FUTILE and Outcome.ORPHANED in BAD - FUTILE
    for quiet in ("succeeded", "canceled", "skipped", "done", "idle", "drained"):
        assert Outcome(quiet) not in BAD
