"""What is looked at: a real engine, the stand-in for GitHub, this machine's disks."""

import random

import pytest

from backburn.pool.clock import SystemClock
from backburn.pool.config import Config, Docker, GitHub as Given, Pool
from backburn.pool.connection import Connection
from backburn.pool.doctor import gathering
from backburn.pool.doctor.diagnosis import diagnose
from backburn.pool.simulation.faults import Fault
from backburn.pool.simulation.hub import Hub
from tests.pool.daemon import missing
from tests.pool.proxy import Proxy
from tests.pool.rig import TOKEN
from tests.pool.server import Server

needs_an_engine = pytest.mark.skipif(bool(missing()), reason=f"NO DOCKER ENGINE: {missing()}")


@pytest.fixture
def hub():
    with Server(Hub(SystemClock(), random.Random(0), limit=0, points=0)) as server:
        server.hub.url = f"{server.url}/acme"
        yield server.hub


def config(hub=None, *, host="unix:///nowhere", image="x", token=TOKEN, **given):
    url = hub.url if hub else "http://127.0.0.1:9/acme"
    return Config(
        github=Given(url=url, token=f"env:{token}", **given), pool=Pool(name="p", image=image), docker=Docker(host=host)
    )


def of_github(hub, token=TOKEN, **given):
    return gathering.of_github(config(hub, **given), lambda _: token)


def test_github_is_asked_two_questions_that_change_nothing(hub):
    found = of_github(hub)
    assert found.answered and not (found.error or found.secret or found.refused or found.group)
    assert {call for _, call, _ in hub.asked} == {"remove", "list", "groups"} and not hub.runners


def test_a_credential_that_github_does_not_know(hub):
    found = of_github(hub, "ghp_another")
    assert found.refused.startswith("401") and "revoked" in found.hint and found.answered


def test_a_token_that_may_only_read(hub, monkeypatch):
    """A fine-grained one lists runners, and is refused when it is to change one."""
    answer = hub._remove

    def refused(request, number):
        hub._remove = answer
        from backburn.pool.simulation.hub import _Wrong

        raise _Wrong(403, "Resource not accessible by personal access token")

    hub._remove = refused
    found = of_github(hub)
    assert found.refused.startswith("403") and "organization_self_hosted_runners: write" in found.hint


def test_a_group_that_is_open_or_is_not_there(hub):
    assert "allows public repositories" in of_github(hub, runner_group="open").group
    assert "no runner group" in of_github(hub, runner_group="other").group
    assert of_github(hub, runner_group="open", allow_public=True).group == ""


def test_a_github_that_does_not_answer(hub):
    assert "refused" in of_github(None).error
    hub.faults.plan(Fault.FAILED, "groups")
    assert of_github(hub).error.startswith("GitHub did not answer which runner groups there are: 502")


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("DELETE /orgs/acme/actions/runners/0: no answer: ReadTimeout", "no answer: ReadTimeout"),
        ("502 for DELETE /orgs/acme/actions/runners/0: Bad Gateway", "502 Bad Gateway"),
        ("503 for GET /orgs/acme/actions/runner-groups", "503"),
        ("302 for a removal", "302 for a removal"),
    ],
)
def test_a_question_that_is_a_removal_alarms_nobody(said, shown):
    assert gathering.silent("it", Exception(said)) == f"GitHub did not answer it: {shown}"


def test_a_secret_that_cannot_be_read():
    def read(where):
        from backburn.errors import UserError

        raise UserError("no plain file", where=where)

    assert "no plain file" in gathering.of_github(config(), read).secret


@needs_an_engine
def test_the_engine_and_the_image_as_they_are(engine_daemon, hub):
    settings = config(hub, host=engine_daemon.host, image=engine_daemon.listener(9))
    found = gathering.look(settings, gathering.Path(__file__), read=lambda _: TOKEN)
    assert found.docker.version[:2].isdigit() and found.docker.live_restore and found.docker.cgroup_driver == "cgroupfs"
    assert found.docker.data == str(engine_daemon.folder / "data") and not found.docker.cdi
    assert found.image.present and abs(found.now - found.image.made) < 3600
    assert found.disks[0].free > 0 and found.disks[0].inodes > 0
    assert not diagnose(found).wrong


@needs_an_engine
def test_an_engine_of_old(engine_daemon, tmp_path):
    version = engine_daemon.ask("version", "--format", "{{.Server.Version}}").encode()
    old = b"19.03.15-of-old".ljust(len(version), b"x")[: len(version)]
    with Proxy(tmp_path / "p.sock", engine_daemon.socket) as proxy:
        proxy.change("GET /.*version", lambda data: data.replace(version, old))
        settings = config(host=proxy.host)
        found = gathering.of_engine(Connection(settings, SystemClock(), quick=9.0, slow=9.0), settings)
    assert found.version == old.decode()


def test_no_engine():
    connection = Connection(config(), SystemClock(), quick=3.0, slow=3.0)
    said = "no engine at unix:///nowhere: is Docker installed, and does it run?"
    assert gathering.of_engine(connection, config()).error == gathering.of_image(connection, "x").error == said


@pytest.mark.parametrize(
    ("said", "moment"),
    [("2026-11-30T09:00:00.123456789Z", 1796029200.0), ("0001-01-01T00:00:00Z", 0.0), ("", 0.0), ("soon", 0.0)],
)
def test_times_as_the_engine_writes_them(said, moment):
    assert gathering._moment(said) == moment


def test_device_nodes_without_a_link(tmp_path):
    """/dev/null and /dev/zero stand for NVIDIA's: as root one may make such nodes, else this skips."""
    import os

    (tmp_path / "char").mkdir()
    try:
        os.mknod(tmp_path / "nvidia0", 0o20666, os.makedev(195, 0))
        os.mknod(tmp_path / "nvidiactl", 0o20666, os.makedev(195, 255))
    except PermissionError:
        pytest.skip("only root makes device nodes")
    (tmp_path / "char" / "195:255").touch()
    (tmp_path / "nvidia-caps").mkdir()
    assert gathering.unlinked(tmp_path) == [str(tmp_path / "nvidia0")]


def test_a_disk_that_cannot_be_looked_at(monkeypatch):
    def stale(place):
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(gathering, "free", stale)
    assert gathering.of_disk(gathering.Path("/x")).error == "Stale file handle"
