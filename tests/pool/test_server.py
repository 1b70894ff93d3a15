"""The hub over HTTP, as a supervisor and a script in a container see it."""

import random
import shutil
import subprocess
import threading
import time
import urllib.request

import pytest

from backburn.pool.clock import SystemClock
from backburn.pool.github import GitHub
from backburn.pool.questions import Purpose
from backburn.pool.registrar import Later, Removal, Uncertain
from backburn.pool.repositories import Repositories
from backburn.pool.simulation.faults import Fault
from backburn.pool.simulation.hub import Hub
from backburn.pool.simulation.repository import Branch

from .moments import TOKEN, config
from .server import serve


@pytest.fixture
def hub():
    return Hub(SystemClock(), random.Random(1), token=TOKEN)


@pytest.fixture
def server(hub):
    with serve(hub) as started:
        yield started


@pytest.fixture
def github(server):
    client = GitHub(config(api_url=server.api), read=lambda where: TOKEN)
    yield client
    client.close()


def said(server, method, path, body=None):
    """As the script does it: (exit code, text, what wget complains of)."""
    words = ["busybox", "wget", "-q", "-O", "-", f"{server.url}/_listener/{path}"]
    if method == "POST":
        words[2:2] = ["--post-data", body or ""]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30)
    return done.returncode, done.stdout, done.stderr


needs_busybox = pytest.mark.skipif(not shutil.which("busybox"), reason="no busybox: apt-get install busybox-static")


def test_the_client_over_a_real_socket(server, hub, github):
    made = github.register("lab1-box-a")
    assert github.find("lab1-box-a").id == made.id and abs(github.skew()) < 1.5
    hub.faults.plan(Fault.LOST, "register")
    with pytest.raises(Uncertain, match="disconnected"):
        github.register("lab1-box-b")
    assert len(hub.names["lab1-box-b"]) == 1
    hub.faults.plan(Fault.DROPPED, "list")
    with pytest.raises(Later):
        github.find("lab1-box-b")
    time.sleep(1.1)  # what the circuit asks for
    assert github.remove(made.id) is Removal.GONE


@needs_busybox
def test_a_script_lives_through_a_job(server, hub, github):
    made = github.register("lab1-box-a")
    code, session, _ = said(server, "POST", "connect", made.configuration)
    assert code == 0 and github.get(made.id).online
    code, text, complaint = said(server, "POST", "connect", made.configuration)
    assert code == 1 and "409" in complaint
    session = session.strip()
    assert said(server, "GET", f"next?session={session}&wait=0.1")[:2] == (0, "")
    waiting = {}
    thread = threading.Thread(target=lambda: waiting.update(said=said(server, "GET", f"next?session={session}")))
    thread.start()
    time.sleep(0.3)
    work = hub.submit(seconds="1", exit="100", marker="1", behave="hang")
    thread.join(10)
    assert waiting["said"][1] == f"id={work.id}\nseconds=1\nexit=100\nmarker=1\nbehave=hang\n"
    assert github.get(made.id).busy
    assert said(server, "POST", f"done?session={session}&result=failed")[:2] == (0, "ok\n")
    assert work.result == "failed" and github.get(made.id) is None
    code, _, complaint = said(server, "GET", f"next?session={session}")
    assert code == 1 and "410" in complaint
    assert said(server, "POST", f"done?session={session}")[0] == 1


@needs_busybox
def test_an_idle_runner_that_is_removed_hears_of_it(server, hub, github):
    made = github.register("lab1-box-a")
    session = said(server, "POST", "connect", made.configuration)[1].strip()
    waiting = {}
    thread = threading.Thread(target=lambda: waiting.update(said=said(server, "GET", f"next?session={session}")))
    thread.start()
    time.sleep(0.2)
    github.remove(made.id)
    thread.join(10)
    assert waiting["said"][0] == 1 and "410" in waiting["said"][2]
    assert "410" in said(server, "POST", "connect", made.configuration)[2]


@needs_busybox
@pytest.mark.parametrize("wrong", ["", "x", "\u00e9", "e30="])
def test_a_configuration_that_is_none(server, wrong):
    assert "400" in said(server, "POST", "connect", wrong)[2]


def test_latency_is_of_the_api_alone(hub):
    with serve(hub, latency=0.2) as server:
        github = GitHub(config(api_url=server.api), read=lambda where: TOKEN)
        begun = time.monotonic()
        github.find("x")
        assert 0.2 <= time.monotonic() - begun < 1.5
        github.close()


def test_a_listener_that_is_silent_is_taken_to_be_dead_where_wanted(hub):
    hub.behaviour.noticed_in = (0.0, 0.0)
    made = hub.register("a", ("gpu",), 1)
    with serve(hub, alive=0.4) as server:
        post(server, "connect", made.configuration)
        assert made.online
        until = time.monotonic() + 5
        while made.online and time.monotonic() < until:
            time.sleep(0.02)
        assert not made.online and not made.session


def post(server, path, body=""):
    request = urllib.request.Request(f"{server.url}/_listener/{path}", data=body.encode(), method="POST")
    with urllib.request.urlopen(request, timeout=5) as answer:
        return answer.read().decode()


def test_a_killed_container_is_told_by_the_rig(server, hub, github):
    made = github.register("lab1-box-a")
    session = hub.connect(made.configuration)
    hub.submit()
    while hub.poll(session) is None:
        time.sleep(0.02)
    assert post(server, f"lost?session={session}") == "ok\n"
    seen = github.get(made.id)
    assert seen.busy and not seen.online


def test_it_ends_at_once_with_listeners_waiting(hub):
    server = serve(hub)
    with server:
        session = hub.connect(hub.register("a", ("gpu",), 1).configuration)
        url = f"{server.url}/_listener/next?session={session}"
        thread = threading.Thread(target=lambda: urllib.request.urlopen(url, timeout=60).close(), daemon=True)
        thread.start()
        time.sleep(0.2)
        begun = time.monotonic()
    thread.join(5)
    assert time.monotonic() - begun < 5 and not thread.is_alive()


def test_issues_and_branches_with_a_slash_over_http(hub, server):
    home = hub.repository("acme/digits")
    home.branches["release/1"] = Branch(commits=["a" * 40], protected=True)
    github = GitHub(config(api_url=server.api), read=lambda where: TOKEN)
    some = Repositories(github.beside(Purpose(permissions={}, key="")))
    assert some.branch("acme/digits", "release/1").protected
    number = some.open("acme/digits", "x", "y")
    assert some.change("acme/digits", number, body="z", state="closed") and home.issues[number].body == "z"
    github.close()
