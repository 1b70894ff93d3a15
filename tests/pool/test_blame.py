"""Whose fault an end was: each row alone, and never the machine's without a reason."""

import pytest

from backburn.pool.blame import judge, page
from backburn.pool.config import Bytes, Limits
from backburn.pool.engine import Inspection
from backburn.pool.exits import BAD, Ending, Outcome
from backburn.pool.health.symptom import Blame, Severity
from tests.pool import scene
from tests.pool.ward import symptom

LIMITED, FREE = Limits(memory=Bytes(64 << 30)), Limits()
MACHINE, CODE, OPEN = symptom(check="xid 79"), symptom(check="xid 13", blame=Blame.CODE), symptom(
    check="slow", blame=Blame.OPEN
)  # fmt: skip


def end(code=1, symptoms=(), job=True, **more):
    told = scene.job() if job else None
    lease = scene.lease(job=told, symptoms=symptoms, **more)
    return Ending(lease=lease, seen=Inspection(id="x", state="exited", code=code), registered=False)


@pytest.mark.parametrize(
    ("how", "code", "symptoms", "blame", "why"),
    [
        (Outcome.FAILED, 102, (), "code", "nothing spoke against the machine"),
        (Outcome.CRASHED, 1, (), "code", "nothing spoke against the machine"),
        (Outcome.CRASHED, 134, (), "open", "crashed"),
        (Outcome.KILLED, 137, (), "open", "killed"),
        (Outcome.ABANDONED, 105, (), "open", "abandoned"),
        (Outcome.ORPHANED, 0, (), "open", "orphaned"),
        (Outcome.RESTARTED, 137, (), "machine", "restarted"),
        (Outcome.RESTARTED, 137, (CODE,), "machine", "restarted"),
        (Outcome.LOST, 0, (), "machine", "removed"),
        (Outcome.FAILED, 102, (MACHINE,), "machine", "xid 79: 3 new"),
        (Outcome.FAILED, 102, (CODE, OPEN, MACHINE), "machine", "xid 79"),
        (Outcome.FAILED, 102, (CODE, OPEN), "open", "slow"),
        (Outcome.FAILED, 102, (CODE,), "code", "xid 13"),
        (Outcome.KILLED, 137, (MACHINE,), "machine", "xid 79"),
        (Outcome.MEMORY, 137, (), "code", "[limits] memory, 64.0 GiB"),
        (Outcome.MEMORY, 137, (MACHINE,), "code", "[limits] memory"),
    ],
)
def test_each(how, code, symptoms, blame, why):
    judged = judge(end(code, symptoms), how, LIMITED)
    assert judged[0] == blame and why in judged[1]


def test_memory_without_a_limit_of_its_own_is_open():
    assert judge(end(137), Outcome.MEMORY, FREE)[0] == "open"


def test_a_watchdog_of_a_hang_is_ours_and_one_of_a_job_that_never_ends_is_open():
    """The words are watching.py's own."""
    long = "it ran longer than [pool] max-job, 86400 s"
    assert judge(end(137, forced=long), Outcome.WATCHDOG, FREE) == ("open", long)
    hang = "GitHub ended its job 300 s ago, and it still runs"
    assert judge(end(137, forced=hang), Outcome.WATCHDOG, FREE) == ("machine", hang)


def test_a_full_disk_is_the_machines_unless_more_is_known():
    full = "the disk is full: 12 MiB free"
    assert judge(end(102), Outcome.FAILED, LIMITED, full) == ("machine", full)
    assert judge(end(137), Outcome.MEMORY, LIMITED, full)[0] == "code"


@pytest.mark.parametrize("how", sorted(set(Outcome) - BAD))
def test_a_good_end_is_nobodys_fault(how):
    assert judge(end(100, (MACHINE,)), how, FREE, "full") == ("", "")


@pytest.mark.parametrize("how", sorted(BAD))
def test_without_a_job_there_is_nobody_to_blame_for(how):
    assert judge(end(5, job=False), how, FREE) == ("", "")


@pytest.mark.parametrize("how", sorted(BAD - {Outcome.RESTARTED, Outcome.LOST, Outcome.WATCHDOG}))
@pytest.mark.parametrize("code", [0, 1, 2, 102, 134, 137, 139])
def test_never_the_machines_where_nothing_was_seen(how, code):
    for limits in (LIMITED, FREE):
        for symptoms in ((), (CODE,), (OPEN,)):
            assert judge(end(code, symptoms), how, limits)[0] in ("code", "open")


def test_the_page_of_a_job():
    text = page([symptom(at=scene.NOW, said="fell off <the bus>\n# x", hint="reset it"), CODE, OPEN])
    assert text.startswith("### The GPU of this job") and "xid 13" not in text
    assert "- 14:13:20 UTC, the machine's: ecc" in text
    assert "fell off &lt;the bus&gt; # x reset it" in text and "\n# x" not in text
    assert "the machine's, or the code's: slow" in text and "before it began" in text
    assert page([CODE]) == page([]) == ""


def test_every_severity_of_the_machines_is_told():
    assert all(page([symptom(severity)]) for severity in Severity)
