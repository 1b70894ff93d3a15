"""What uninstall asks of GitHub and leaves of files; from end to end it is in test_installation.py."""

import os
import random
import subprocess

import pytest

from backburn.pool.clock import SystemClock
from backburn.pool.config import Config, Docker, GitHub as Given, Pool, Slots
from backburn.pool.setup import removal, service
from backburn.pool.setup.files import digest
from backburn.pool.setup.journal import Journal
from backburn.pool.setup.removal import Uninstall
from backburn.pool.setup.request import Places
from backburn.pool.setup.user import Failed
from backburn.pool.simulation.faults import Fault
from backburn.pool.simulation.hub import Hub
from tests.pool.rig import TOKEN
from tests.pool.server import Server

LABELS = ("self-hosted",)


@pytest.fixture
def hub():
    with Server(Hub(SystemClock(), random.Random(0), limit=0, points=0)) as server:
        server.hub.url = f"{server.url}/acme"
        yield server.hub


def config(hub, **docker):
    given = Given(url=hub.url, token="env:X")
    pool = Pool(name="lab1", host="box", image="x", state="/nowhere")
    return Config(github=given, pool=pool, slots=Slots(cpu=1), docker=Docker(**docker))


def deregister(hub, read=lambda _: TOKEN):
    said = []
    removal.deregister(config(hub), read, said.append)
    return said


def test_only_our_own_runners_go(hub):
    names = ["lab1-box-cpu0-0123abcd", "lab1-box-gpu01234567-0123abcd", "lab1-box-mine", "lab1-other-cpu0-0123abcd"]
    for name in names:
        hub.register(name, LABELS, 1)
    assert deregister(hub) == []
    assert {one.name for one in hub.live.values()} == set(names[2:])


def test_a_runner_with_a_job_stops_it(hub):
    runner = hub.register("lab1-box-cpu0-0123abcd", LABELS, 1)
    hub.connect(runner.configuration)
    hub.submit()
    hub.assign()
    with pytest.raises(Failed, match="with a job: lab1-box-cpu0"):
        deregister(hub)
    assert hub.live


def test_a_github_that_does_not_answer_stops_it_and_one_that_refuses_does_not(hub):
    hub.faults.plan(Fault.FAILED, "list")
    with pytest.raises(Failed, match="does not answer"):
        deregister(hub)
    assert "GitHub refuses (401" in deregister(hub, lambda _: "ghp_other")[0]

    def unreadable(where):
        raise removal.UserError("there is no secret", where=where)

    assert "cannot be asked" in deregister(hub, unreadable)[0]


def test_an_engine_that_does_not_answer_stops_it(hub):
    with pytest.raises(Failed, match="the engine"):
        removal.clear(config(hub, host="unix:///nowhere"))


def test_a_file_goes_only_as_setup_wrote_it(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(service, "forget", lambda: told.append("daemon-reload"))
    path = tmp_path / "token"
    path.write_text("mine")
    assert removal._remove_file(path, digest(b"ours")) == f"{path}: changed since setup wrote it" and path.exists()
    path.with_name(f".token{removal.files.NEW}").touch()
    assert removal._remove_file(path, digest(b"mine")) == "" and list(tmp_path.iterdir()) == []
    assert removal._remove_file(path, digest(b"mine")) == "" and not told
    unit = tmp_path / service.UNIT
    unit.write_text("u")
    assert removal._remove_file(unit, digest(b"u")) == "" and told == ["daemon-reload"]


@pytest.mark.parametrize(
    ("target", "kept"), [("opt/current/bin/backburn", False), ("elsewhere", True), (None, True), ("", False)]
)
def test_a_link_goes_only_where_it_is_still_setups(tmp_path, target, kept):
    places = Places(etc=tmp_path / "etc", toolkit=tmp_path / "opt", command=tmp_path / "backburn")
    journal = Journal(places.etc)
    journal.begin()
    journal.will("link", str(places.command))
    if target is None:
        places.command.write_text("mine")
    elif target:
        places.command.symlink_to(tmp_path / target)
    asked = Uninstall.asked(places, purge=False, timeout=None, say=print)
    assert f"link {places.command}: removed, unless it was changed" in list(asked.changes())
    assert asked.carry_out() == [f"{places.command}: no link of setup's any more"] * kept
    assert os.path.lexists(places.command) is kept


def test_an_installation_that_never_came_to_a_pool_toml(tmp_path):
    """All that it made goes: a folder, and an environment."""
    places = Places(etc=tmp_path / "etc", units=tmp_path / "units", toolkit=tmp_path / "opt")
    journal = Journal(places.etc)
    journal.begin()
    places.toolkit.mkdir()
    journal.will("toolkit", str(places.toolkit))
    journal.will("folder", str(tmp_path / "state"))
    (tmp_path / "state").mkdir()
    asked = Uninstall.asked(places, purge=False, timeout=None, say=print)
    assert [line.partition(": ")[2] for line in asked.changes()] == [
        "removed",
        "removed",
        "kept, as root's (--purge removes it)",
    ]
    assert asked.carry_out() == [] and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("purge", [False, True])
def test_what_jobs_left_in_the_state_folder_leads_nowhere(tmp_path, purge):
    """A link of theirs in a cache, and a tree that is deeper than Python walks."""
    places = Places(etc=tmp_path / "etc", units=tmp_path / "units", toolkit=tmp_path / "opt")
    journal = Journal(places.etc)
    journal.begin()
    state, outside = tmp_path / "state", tmp_path / "outside"
    journal.will("folder", str(state))
    outside.touch()
    state.mkdir()
    (state / "link").symlink_to(outside)
    here = os.getcwd()
    try:
        os.chdir(state)
        for _ in range(1500):
            os.mkdir("d")
            os.chdir("d")
    finally:
        os.chdir(here)
    if os.geteuid() == 0:
        for path, owner in ((outside, 4001), (state / "d", 1001)):
            os.chown(path, owner, owner)
    elif not purge:
        pytest.skip("only root gives files away")
    kept = Uninstall.asked(places, purge=purge, timeout=None, say=print).carry_out()
    assert outside.exists() and state.exists() is not purge and len(kept) == (not purge)
    assert os.geteuid() != 0 or outside.stat().st_uid == 4001
    subprocess.run(["rm", "-rf", str(state)], check=True)


@pytest.mark.parametrize("purge", [False, True])
def test_a_folder_for_caches_stays_as_the_ledger_does(tmp_path, purge):
    places = Places(etc=tmp_path / "etc", units=tmp_path / "units", toolkit=tmp_path / "opt")
    journal = Journal(places.etc)
    journal.begin()
    for name in ("state", "cache"):
        journal.will("folder", str(tmp_path / name))
        (tmp_path / name).mkdir()
        (tmp_path / name / "something").touch()
    asked = Uninstall.asked(places, purge=purge, timeout=None, say=print)
    assert [f"{tmp_path}/cache: kept, as root's (--purge removes it)" in one for one in asked.changes()][
        -1
    ] is not purge
    kept = asked.carry_out()
    assert [one.partition(": ")[2][:6] for one in kept] == ([] if purge else ["the le", "caches"])
    assert (tmp_path / "cache").exists() is (tmp_path / "state").exists() is not purge


def test_what_somebody_put_into_our_folders_is_kept_and_named(tmp_path):
    places = Places(etc=tmp_path / "etc", units=tmp_path / "units", toolkit=tmp_path / "opt")
    journal = Journal(places.etc)
    journal.begin()
    (places.etc / "notes").touch()
    kept = Uninstall.asked(places, purge=False, timeout=None, say=print).carry_out()
    assert kept == [f"{places.etc}: something else is in it"] and [path.name for path in places.etc.iterdir()] == [
        "notes"
    ]
