"""Registrations, sessions and jobs in virtual time, as GitHub's own service treats them."""

import random

import pytest

from backburn.pool import jit
from backburn.pool.simulation.service import Behaviour, Conflict, Gone, NameTaken, Progress, Service

from ..moments import START, Moments

GPU = ("self-hosted", "gpu")


@pytest.fixture
def clock():
    return Moments()


@pytest.fixture
def service(clock):
    return Service(clock, random.Random(1))


def runner(service, name="a", labels=GPU):
    return service.register(name, labels, 1)


def working(service, name="a"):
    """A runner with a job that it has taken: (runner, session, work)."""
    made = runner(service, name)
    session = service.connect(made.configuration)
    work = service.submit()
    service.assign()
    assert service.poll(session) is work
    return made, session, work


def test_the_life_of_a_job(service, clock):
    made = runner(service)
    assert jit.unfit(made.configuration, made.id) == "" and not made.online
    session = service.connect(made.configuration)
    assert made.online and service.poll(session) is None
    work = service.submit(GPU, seconds="1")
    assert service.assign() == [work] and made.busy and service.remove(made.id) is False
    clock.wait(3)
    assert service.poll(session) is work and work.started == START + 3 and work.instructions == {"seconds": "1"}
    service.finish(session, "failed")
    assert (work.progress, work.result, work.runner) == (Progress.FINISHED, "failed", "a")
    assert made.removed == "used" and not service.live and service.remove(made.id) is None
    with pytest.raises(Gone):
        service.poll(session)


def test_a_name_is_taken_while_it_lives(service):
    first = runner(service)
    with pytest.raises(NameTaken):
        runner(service)
    assert service.remove(first.id) is True and runner(service).id != first.id
    assert len(service.names["a"]) == 2


def test_jobs_go_to_online_idle_runners_that_have_their_labels(service):
    offline, wrong, right = (
        runner(service, name, labels) for name, labels in (("a", GPU), ("b", ("cpu",)), ("c", GPU))
    )
    service.connect(wrong.configuration)
    service.connect(right.configuration)
    jobs = [service.submit(("gpu",)) for _ in range(2)]
    assert service.assign() == jobs[:1] and right.work is jobs[0] and service.queued == 1
    assert service.assign() == [] and not offline.busy and not wrong.busy


def test_a_second_session_is_a_conflict_and_a_configuration_is_for_once(service, clock):
    made, session, _ = working(service)
    with pytest.raises(Conflict):
        service.connect(made.configuration)
    assert service.reused == ["a"]
    service.disconnect(session)
    with pytest.raises(Conflict):  # its lease has not lapsed
        service.connect(made.configuration)
    other = runner(service, "b")
    service.connect(other.configuration)
    service.remove(other.id)
    with pytest.raises(Gone):
        service.connect(other.configuration)
    assert service.reused == ["a", "a", "b"]


@pytest.mark.parametrize("wrong", ["", "e30=", "x"])
def test_what_was_never_handed_out_connects_nobody(service, wrong):
    with pytest.raises(ValueError):
        service.connect(wrong)
    made = runner(service)
    with pytest.raises(ValueError):
        service.connect(made.configuration[:-4] + "AAA=")


def test_a_runner_killed_with_a_job_is_busy_until_its_lease_lapses(service, clock):
    made, session, work = working(service)
    service.disconnect(session)
    assert not made.online and made.busy
    clock.wait(599)
    assert service.remove(made.id) is False and work.progress is Progress.RUNNING
    clock.wait(302)
    assert service.remove(made.id) is True
    assert service.lost == [work] and work.why == "the runner lost communication" and work.ended > work.started


def test_one_that_dies_before_it_takes_its_job_loses_none(service, clock):
    made = runner(service)
    session = service.connect(made.configuration)
    work = service.submit()
    service.assign()
    service.disconnect(session)
    clock.wait(59)
    assert service.remove(made.id) is False
    clock.wait(2)
    service.advance()
    assert work.progress is Progress.QUEUED and service.queued == 1 and not made.online
    other = runner(service, "b")
    service.connect(other.configuration)
    assert service.assign() == [work] and work.assignments == 2


def test_one_that_dies_idle_seems_online_for_a_while(service, clock):
    made = runner(service)
    service.disconnect(service.connect(made.configuration))
    assert made.online
    clock.wait(61)
    service.advance()
    assert not made.online and not made.removed


def test_a_job_that_is_not_taken_is_queued_again_before_the_others(service, clock):
    made = runner(service)
    session = service.connect(made.configuration)
    first, second = service.submit(), service.submit()
    service.assign()
    clock.wait(61)
    service.advance()
    assert first.progress is Progress.QUEUED and service.assign() == [first]
    assert service.poll(session) is first
    clock.wait(61)
    service.advance()
    assert first.progress is Progress.RUNNING and second.progress is Progress.QUEUED


def test_idle_runners_are_removed_after_two_to_six_minutes_where_wanted(clock):
    service = Service(clock, random.Random(1), Behaviour(idle_removal=1.0))
    sessions = [service.connect(runner(service, f"r{number}").configuration) for number in range(50)]
    service.submit()
    service.assign()
    busy = next(one for one in service.live.values() if one.busy)
    service.poll(busy.session)
    clock.wait(119)
    service.advance()
    assert len(service.live) == 50
    clock.wait(120)
    service.advance()
    assert 1 < len(service.live) < 49
    clock.wait(122)
    service.advance()
    assert list(service.live.values()) == [busy]
    assert {one.removed for one in service.runners.values()} == {"idle", ""}
    for session in sessions:
        if session != busy.session:
            with pytest.raises(Gone):
                service.poll(session)


def test_a_registration_that_never_connects_expires_in_a_day(service, clock):
    made, online = runner(service), runner(service, "b")
    service.connect(online.configuration)
    clock.wait(86399)
    service.advance()
    assert not made.removed
    clock.wait(2)
    service.advance()
    assert made.removed == "expired" and not online.removed


def test_one_that_none_connects_is_removed_in_minutes_where_wanted(clock):
    service = Service(clock, random.Random(1), Behaviour(unused_removal=1.0))
    made, used = runner(service), runner(service, "b")
    session = service.connect(used.configuration)
    clock.wait(361)
    assert service.poll(session) is None and made.removed == "unused" and not used.removed
    with pytest.raises(Gone):
        service.connect(made.configuration)


def test_so_does_one_whose_listener_died(service, clock):
    made = runner(service)
    service.disconnect(service.connect(made.configuration))
    clock.wait(86401)
    service.advance()
    assert made.removed == "expired"


def test_new_runners_are_left_out_of_lists_where_wanted(clock):
    service = Service(clock, random.Random(1), Behaviour(late=0.5))
    made = [runner(service, f"r{number}") for number in range(100)]
    late = [one for one in made if one.visible > service.now()]
    assert 30 < len(late) < 70 and all(one.visible <= service.now() + 60 for one in late)


def test_time_is_its_own(service, clock):
    clock.jump(86400 * 30)
    assert service.now() == START
    made = runner(service)
    clock.jump(-86400 * 60)
    service.advance()
    assert not made.removed


def test_what_is_due_next_is_known(service, clock):
    assert service.next_due() == float("inf")
    runner(service)
    assert service.next_due() == START + 86400


def test_every_secret_is_kept_for_canaries(service):
    made = runner(service)
    assert made.configuration in service.secrets and made.configuration not in repr(made)
    assert len(service.secrets) == 2


def test_a_session_that_is_none_disconnects_nobody(service):
    made, session, work = working(service)
    service.disconnect("session-0-0")
    service.finish(session)
    service.disconnect(session)
    assert work.progress is Progress.FINISHED


def test_a_finish_without_a_job_is_none(service):
    session = service.connect(runner(service).configuration)
    with pytest.raises(Gone):
        service.finish(session)
    assert service.poll(session) is None


def test_a_seed_is_a_history():
    def story(seed):
        clock = Moments()
        service = Service(clock, random.Random(seed), Behaviour(late=0.3, idle_removal=0.3))
        said = []
        for number in range(200):
            made = runner(service, f"r{number}")
            session = service.connect(made.configuration)
            service.submit()
            said.append(tuple(work.runner for work in service.assign()))
            if number % 3:
                service.disconnect(session)
            clock.wait(20)
        return said, sorted(service.live)

    assert story(3) == story(3) != story(4)
