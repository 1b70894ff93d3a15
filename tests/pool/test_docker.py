"""The engine as it is: a private dockerd, real containers, a listener that is a script."""

import contextlib
import io
import os
import random
import re
import tarfile
import time
from pathlib import Path

import msgspec
import pytest

from backburn.pool.clock import SystemClock
from backburn.pool.config import Injection, Pool, Slots
from backburn.pool.docker import DockerEngine
from backburn.pool.engine import CONFIGURATION, DONE, MACHINE, MARKER, Declined, Unreachable
from backburn.pool.github import GitHub as Client
from backburn.pool.lease import Job, Slot
from backburn.pool.simulation.hub import Hub
from tests.pool import moments
from tests.pool.lab import (
    CPU0,
    GPU,
    Watcher,
    begun,
    created,
    ended,
    lease,
    needs_an_engine,
    said_of,
    settings,
    unreachable,
    until,
)
from tests.pool.proxy import Proxy
from tests.pool.server import serve

pytestmark = needs_an_engine

CANARY = "c4n4ry" * 40


# One lease, from its container to nothing.


def test_a_lease_from_create_to_remove(engine, engine_daemon, github):
    before = time.time()
    one = lease()
    container = engine.create(one, CPU0)
    (listed,) = engine.containers()
    assert (listed.id, listed.name, listed.state) == (container, one.runner, "created")
    assert listed.labels == {
        "backburn.pool": "lab",
        "backburn.slot": "cpu0",
        "backburn.lease": one.id,
        "backburn.runner": one.runner,
        "backburn.runner-id": str(one.runner_id),
        "backburn.device": "",
        "backburn.schema": "1",
    }
    fresh = engine.inspect(container)
    assert (fresh.state, fresh.started, fresh.finished, fresh.devices) == ("created", 0.0, 0.0, ())
    github.jobs["secret"] = "seconds=0\nexit=100\nmarker=1\nrepository=acme/model\n"
    engine.deliver(container, "secret")
    engine.start(container)
    last = ended(engine, container)
    assert (last.code, last.out_of_memory, last.error) == (100, False, "")
    assert before - 1 < last.started <= last.finished < time.time() + 1
    job = msgspec.json.decode(engine.read(container, MARKER), type=Job)
    assert (job.repository, job.ref) == ("acme/model", "refs/heads/main")
    assert engine.read(container, DONE) == b'{"ended": true}\n'
    assert engine.read(container, CONFIGURATION) is None, "the listener unlinks it"
    assert "secret" in github.connected and "secret" in github.done
    engine.remove(container)
    engine.remove(container)
    assert engine.inspect(container) is None and engine.containers() == [] and engine.logs(container) == b""


# What is asked twice.


def test_create_again_gives_the_same_container_until_it_was_started(engine, github):
    one = lease()
    container = engine.create(one, CPU0)
    assert engine.create(one, CPU0) == container
    engine.deliver(container, "again")
    engine.start(container)
    with pytest.raises(Declined, match="was started before"):
        engine.create(one, CPU0)
    with pytest.raises(Declined, match="was started before"):
        engine.start(container)
    with pytest.raises(Declined, match="was started before"):
        engine.deliver(container, "again")
    github.jobs["again"] = "exit=100\nseconds=0\n"
    ended(engine, container)
    with pytest.raises(Declined, match="was started before"):
        engine.start(container)
    assert github.connected.count("again") == 1


def test_a_name_that_is_somebody_elses_is_declined(engine, engine_daemon):
    one, other = lease(), lease()
    image = engine._config.pool.image
    words = ("backburn.pool=lab", "backburn.lease=x", f"backburn.runner={other.runner}")
    labels = [word for label in words for word in ("--label", label)]
    assert engine_daemon.ask("create", "--name", one.runner, image)
    assert engine_daemon.ask("create", "--name", other.runner, *labels, image)
    for each in (one, other):
        with pytest.raises(Declined, match="another container is called"):
            engine.create(each, CPU0)
        assert engine_daemon.ask("inspect", each.runner) is not None
        engine_daemon.ask("rm", each.runner)


def test_an_answer_that_was_lost_is_unreachable_and_the_next_call_finds_what_was_done(engine_daemon, github, tmp_path):
    with Proxy(engine_daemon.folder / "p.sock", engine_daemon.socket) as proxy:
        engine = DockerEngine(settings(engine_daemon, github, host=proxy.host))
        engine.ping()
        one = lease()
        proxy.lose("/containers/create")
        with pytest.raises(Unreachable):
            engine.create(one, CPU0)
        (listed,) = until(engine.containers)
        assert engine.create(one, CPU0) == listed.id and len(engine.containers()) == 1
        engine.deliver(listed.id, "lost")
        proxy.lose("/start")
        with pytest.raises(Unreachable):
            engine.start(listed.id)
        until(lambda: engine.inspect(listed.id).started)
        with pytest.raises(Declined, match="was started before"):
            engine.start(listed.id)
        proxy.lose("DELETE /")
        with pytest.raises(Unreachable):
            engine.remove(listed.id)
        until(lambda: engine.inspect(listed.id) is None)
        engine.remove(listed.id)


def test_a_limit_that_the_engine_says_it_forgets_is_declined(engine_daemon, github):
    def forget(data):  # a kernel without the pids group
        warning = b'"Warnings":["PIDs limit discarded."]'
        head, _, body = data.partition(b"\r\n\r\n")
        body = re.sub(rb'"Warnings":(\[\]|null)', warning, body)
        return re.sub(rb"(Content-Length: )\d+", rb"\g<1>" + str(len(body)).encode(), head) + b"\r\n\r\n" + body

    with Proxy(engine_daemon.folder / "p.sock", engine_daemon.socket) as proxy:
        engine = DockerEngine(settings(engine_daemon, github, host=proxy.host))
        proxy.change("/containers/create", forget)
        with pytest.raises(Declined, match="limit would not hold: PIDs limit") as caught:
            engine.create(lease(), CPU0)
        assert "[limits]" in caught.value.hint and engine.containers() == []


# What it declines, with what to do.


def test_a_lease_of_another_device_is_declined(engine):
    with pytest.raises(Declined, match="the slot has none"):
        engine.create(lease(CPU0, GPU), CPU0)
    assert engine.containers() == []


# Devices.


def test_device_nodes_are_given_and_read_back(engine, engine_daemon, github):
    slot = Slot(name="gpu0", device=GPU)
    config = msgspec.structs.replace(engine._config, slots=Slots(gpus=(GPU,), injection=Injection.DEVICES))
    nodes = {"/dev/zero": "/dev/nvidia0"}
    engine = DockerEngine(config, nodes=lambda _: nodes)
    container = begun(engine, github, "seconds=30\n", slot)
    assert engine.inspect(container).devices == (GPU,)
    assert engine_daemon.ask("exec", container, "head", "-c", "0", "/dev/nvidia0") == "ok", "it can be opened"
    nodes["/dev/null"] = "/dev/nvidiactl"
    assert engine.inspect(container).devices == ("/dev/zero",), "not all that it should have"


# What a job is told while it runs.


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_comes_into_one_that_runs_and_is_its_users(engine, engine_daemon, github, read_only):
    config = engine._config
    config = msgspec.structs.replace(config, docker=msgspec.structs.replace(config.docker, read_only=read_only))
    engine = DockerEngine(config)
    container = begun(engine, github, "seconds=30\n")
    for text in ("once\n", "twice\n"):
        engine.tell(container, MACHINE, text)
        assert engine_daemon.ask("exec", "--user", "1001", container, "cat", MACHINE) == text.strip()
    assert engine_daemon.ask("exec", container, "stat", "-c", "%a %u %g", MACHINE) == "400 1001 1001"
    assert engine_daemon.ask("exec", container, "stat", "-c", "%a %u", "/run/backburn") == "700 1001"


@pytest.mark.parametrize(
    "trap",
    [
        "rm -rf /run/backburn/*; ln -s /home/runner/.profile /run/backburn/machine.md",
        "mkdir -p /run/backburn/machine.md/full",
        "rm -rf /run/backburn/* /run/backburn/.[a-z]*; chmod 0 /run/backburn",
    ],
)
def test_what_a_job_puts_in_its_place_harms_nobody_else(engine, engine_daemon, github, trap):
    container = begun(engine, github, "seconds=30\n")
    until(lambda: engine_daemon.ask("exec", "--user", "1001", container, "sh", "-c", trap))
    with contextlib.suppress(Declined):
        engine.tell(container, MACHINE, "told\n")
    assert engine_daemon.ask("exec", container, "cat", "/home/runner/.profile") is None
    assert engine.inspect(container).state == "running"


def test_nobody_elses_container_is_told_anything(engine, engine_daemon):
    assert engine_daemon.ask("create", "--name", "strange", engine._config.pool.image), engine_daemon.error
    for name in ("strange", "nowhere"):
        with pytest.raises(Declined):
            engine.tell(name, MACHINE, "told\n")
    engine_daemon.ask("rm", "strange")


# Secrets.


def test_the_configuration_is_where_only_its_user_reads_it(engine, engine_daemon, github):
    container = created(engine, configuration=CANARY)
    hints = [
        said_of(engine_daemon, container, "."),
        engine_daemon.ask("ps", "--all", "--no-trunc"),
        repr(engine.containers()),
    ]
    github.jobs[CANARY] = "seconds=3\n"
    engine.start(container)
    until(lambda: CANARY in github.connected)
    hints += [said_of(engine_daemon, container, "."), engine.logs(container).decode(), repr(engine.inspect(container))]
    hints += [engine_daemon.log.read_text(), engine_daemon.ask("top", container, "-ef"), _every_process()]
    assert not any(CANARY[:12] in hint for hint in hints)
    assert engine_daemon.ask("exec", container, "ls", "-ldn", "/run/backburn").split()[:4] == [
        "drwx------",
        "2",
        "1001",
        "1001",
    ]


def test_the_file_is_of_its_user_alone(engine, engine_daemon):
    container = engine.create(lease(), CPU0)
    engine.deliver(container, CANARY)
    assert engine.read(container, CONFIGURATION) == CANARY.encode()
    import docker  # not at import time: the tests are skipped where it is not installed

    packed, _ = docker.APIClient(engine_daemon.host).get_archive(container, "/run/backburn")
    with tarfile.open(fileobj=io.BytesIO(b"".join(packed))) as tar:
        found = {entry.name: (oct(entry.mode & 0o777), entry.uid, entry.gid) for entry in tar}
    assert found == {"backburn": ("0o700", 1001, 1001), "backburn/jit": ("0o400", 1001, 1001)}


def test_a_call_that_fails_says_nothing_of_the_secret(engine, engine_daemon, github):
    container = engine.create(lease(), CPU0)
    with Proxy(engine_daemon.folder / "p.sock", engine_daemon.socket) as proxy:
        lossy = DockerEngine(settings(engine_daemon, github, host=proxy.host))
        proxy.lose("PUT /")
        with pytest.raises(Unreachable) as caught:
            lossy.deliver(container, CANARY)
        assert CANARY[:12] not in repr(caught.value) + str(caught.value)
    with pytest.raises(Declined) as caught:
        engine.deliver("0" * 64, CANARY)
    assert CANARY[:12] not in repr(caught.value) + str(caught.value)


def test_the_proxies_of_a_persons_docker_are_not_handed_on(engine_daemon, github, tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text('{"proxies": {"default": {"httpProxy": "http://me:password@proxy:1"}}}')
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    engine = DockerEngine(settings(engine_daemon, github))
    container = engine.create(lease(), CPU0)
    assert "password" not in engine_daemon.ask("inspect", container)
    engine.remove(container)


def _every_process():
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        if int(path.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            found += [(path / name).read_bytes().decode(errors="replace") for name in ("cmdline", "environ")]
    return "\n".join(found)


# What a job can do to us.


@pytest.mark.parametrize(
    "job",
    [
        *(f"exit={code}\nseconds=0\n" for code in (0, 1, 2, 7, *range(100, 106))),
    ],
)
def test_exit_codes_come_as_they_are(engine, github, job):
    container = begun(engine, github, job)
    assert ended(engine, container).code == int(job[5:].split("\n")[0])
    assert engine.read(container, MARKER) is None


@pytest.mark.parametrize(("job", "code"), [("taken", 5), ("removed", 0)])
def test_a_listener_without_a_job_ends_as_the_real_one(engine, github, job, code):
    assert ended(engine, begun(engine, github, job)).code == code


def test_memory_is_bounded_and_said(engine, github):
    last = ended(engine, begun(engine, github, "behave=oom\nexit=137\n"))
    assert last.out_of_memory is True


def test_processes_are_bounded(engine, engine_daemon, github):
    container = begun(engine, github, "behave=fork\nseconds=2\n")
    identity = said_of(engine_daemon, container, ".Id").strip('"')
    (group,) = [path for path in _groups(engine_daemon, identity) if (path / "pids.max").exists()]
    until(lambda: "max 0" not in (group / "pids.events").read_text())
    assert int((group / "pids.current").read_text()) <= 64
    assert ended(engine, container).code == 0
    assert "fork" in engine.logs(container).decode()


def _groups(daemon, identity):
    top = Path("/sys/fs/cgroup")
    return [*top.glob(f"*{daemon.cgroup}/{identity}"), *top.glob(f"{daemon.cgroup[1:]}/{identity}")]


def test_the_log_is_bounded_and_its_end_is_kept(engine, engine_daemon, github):
    container = begun(engine, github, "behave=chatter\nbytes=3000000\n")
    ended(engine, container)
    folder = Path(engine_daemon.folder, "data/containers", container, "local-logs")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2 * (128 << 10)
    printed = (b"a line of a job that says too much\n" * 100000)[:3000000]
    assert engine.logs(container, 1000) == printed[-1000:]
    assert len(kept := engine.logs(container)) > 16 << 10 and printed.endswith(kept)


def test_what_stands_where_a_marker_should_is_no_marker(engine, engine_daemon, github):
    container = begun(engine, github, "seconds=60\n")
    plant = """cd /run/backburn; ln -s /etc/passwd link; ln -s /etc folder-link; mkfifo pipe; mkdir folder
        truncate -s 8G huge
        echo plain > plain; head -c 65536 /dev/zero > exact; head -c 65537 /dev/zero > more; : > empty
        mkdir chain; ln -s /run/backburn/plain chain/link"""
    assert engine_daemon.ask("exec", container, "sh", "-c", plant)
    absent = ("link", "pipe", "folder", "huge", "more", "plain/x", "nothing", "chain/link", "..", "link/x")
    begin = time.monotonic()
    assert [name for name in absent if engine.read(container, f"/run/backburn/{name}") is not None] == []
    assert time.monotonic() - begin < 5, "8 GB are not read"
    assert engine.read(container, "/run/backburn/plain") == b"plain\n"
    assert engine.read(container, "/run/backburn/exact") == bytes(65536)
    assert engine.read(container, "/run/backburn/empty") == b""
    passwd = engine.read(container, "/run/backburn/folder-link/passwd")
    assert passwd.startswith(b"root:x:0:0::/:/bin/sh"), "a link leads within the container at most"


def test_a_file_that_never_stands_still_does_no_harm(engine, engine_daemon, github):
    container = begun(engine, github, "seconds=60\n")
    change = "head -c 30000 /dev/zero >> it; sleep 0.01; rm it; ln -s /etc it; rm it; mkdir it; rmdir it"
    assert engine_daemon.ask("exec", "--detach", container, "sh", "-c", f"cd /tmp; while :; do {change}; done")
    for _ in range(30):
        content = engine.read(container, "/tmp/it")
        assert content is None or set(content) <= {0}


def test_other_ways_in_which_a_job_misbehaves(engine, engine_daemon, github):
    ways = ("hang", "abandon", "leak", "fill")
    began = {way: begun(engine, github, f"behave={way}\nseconds=0\nexit=100\nmegabytes=20\n") for way in ways}
    for way in ways[1:]:
        assert ended(engine, began[way]).code == 100
    secrets = {way: f"configuration-{began[way][:12]}" for way in ways}
    until(lambda: secrets["hang"] in github.done)
    assert engine.inspect(began["hang"]).state == "running", "its job has ended, and it has not"
    assert secrets["abandon"] not in github.done
    assert secrets["leak"].encode() in engine.logs(began["leak"]), "what it prints is not ours to hide here"
    size = engine_daemon.ask("inspect", "--size", "--format", "{{.SizeRw}}", began["fill"])
    assert int(size) >= 20 << 20


def test_a_container_that_is_deaf_is_removed(engine, github):
    container = begun(engine, github, "behave=deaf\nseconds=0\n")
    until(lambda: f"configuration-{container[:12]}" in github.done)
    begin = time.monotonic()
    engine.remove(container)
    assert engine.inspect(container) is None and time.monotonic() - begin < 5


# What is not ours.


def test_only_what_carries_both_labels_is_swept(engine, engine_daemon):
    ask = engine_daemon.ask
    ours = ("--label", "backburn.pool=lab", "--label", "backburn.slot=cpu0")
    others = {
        "bare": (),
        "slot-only": ours[2:],
        "pool-only": ours[:2],
        "other-pool": ("--label", "backburn.pool=lab2", *ours[2:]),
        "other-slot": (*ours[:2], "--label", "backburn.slot=cpu01"),
        "lab-host-cpu0-1": ("--label", "backburn=lab"),
    }
    for kind in ("volume", "network"):
        for name, labels in (others | {"ours": ours, "busy": ours}).items():
            assert ask(kind, "create", *labels, name)
    assert ask("create", "--volume", "busy:/x", "--network", "busy", "--name", "user", engine._config.pool.image)
    assert engine.sweep(CPU0) == ["volume ours", "network busy", "network ours"] or engine.sweep(CPU0) == []
    for kind in ("volume", "network"):
        left = set(ask(kind, "ls", "--format", "{{.Name}}").split())
        assert set(others) <= left and "ours" not in left
        ask(kind, "rm", *others)
    ask("rm", "--force", "--volumes", "user")
    assert engine.sweep(CPU0) == ["volume busy"] and engine.sweep(CPU0) == []


def test_other_containers_are_neither_seen_nor_touched(engine, engine_daemon):
    for name, labels in (
        ("lab-host-cpu0-x", ()),
        ("other", ("--label", "backburn.pool=lab2")),
        ("bare", ("--label", "pool=lab")),
    ):
        assert engine_daemon.ask("create", "--name", name, *labels, engine._config.pool.image)
        assert engine.containers() == []
        for call in (engine.remove, engine.start, lambda one: engine.deliver(one, "x")):
            with pytest.raises(Declined, match="not of this pool"):
                call(name)
        assert engine_daemon.ask("rm", name) == name


# An engine that goes away.


@pytest.mark.parametrize("live_restore", [True, False])
@pytest.mark.parametrize("stop", ["term", "kill"])
def test_a_daemon_that_ends_and_comes_back(own_daemon, github, live_restore, stop):
    if own_daemon.live_restore != live_restore:
        own_daemon.term()
        own_daemon.live_restore = live_restore
        own_daemon.up()
    engine = DockerEngine(settings(own_daemon, github), quick=5.0)
    first = engine.restarted()
    assert 0 < first < time.time() + 1
    container = begun(engine, github, "seconds=4\nexit=100\nmarker=1\n")
    until(lambda: engine.read(container, MARKER))
    watching = DockerEngine(engine._config)
    with Watcher(watching) as watcher:
        before = len(watcher.said)
        getattr(own_daemon, stop)()
        until(lambda: watcher.said[before:].count("") >= 1)
        assert unreachable(engine, container) == []
        assert engine.restarted() == 0.0 or engine.restarted() == first, "it has not come back"
        seen = len(watcher.said)
        own_daemon.up()
        back = engine.restarted()
        assert first < back < time.time() + 1
        now = until(lambda: engine.inspect(container))
        if live_restore:
            assert now.state == "running"
            assert ended(engine, container).code == 100
        else:
            killed = ended(engine, container, 30)
            assert killed.code in (137, 143) and not killed.out_of_memory
            assert killed.started < back and killed.finished < back + 15, "as `restarted` says"
        until(lambda: len(watcher.said) > seen)
    engine.remove(container)


def test_a_job_that_ends_while_the_daemon_is_down_keeps_its_code(own_daemon, github):
    engine = DockerEngine(settings(own_daemon, github))
    container = begun(engine, github, "seconds=1\nexit=102\n")
    own_daemon.kill()
    until(lambda: f"configuration-{container[:12]}" in github.done)
    time.sleep(0.3)
    own_daemon.up()
    assert ended(engine, container).code == 102


def test_the_listener_and_the_stand_in_for_github_understand_each_other(engine, engine_daemon):
    hub = Hub(SystemClock(), random.Random(1), token=moments.TOKEN)
    with serve(hub) as server:
        client = Client(moments.config(api_url=server.api), read=lambda _: moments.TOKEN)
        tables = {"pool": Pool(name="lab", image=engine_daemon.listener(int(server.url.rpartition(":")[2])))}
        engine = DockerEngine(msgspec.structs.replace(engine._config, **tables))
        one = lease()
        made = client.register(one.runner)
        container = engine.create(one, CPU0)
        engine.deliver(container, made.configuration)
        engine.start(container)
        until(lambda: client.get(made.id).online)
        work = hub.submit(seconds="0", exit="102", marker="1")
        assert ended(engine, container).code == 102 and engine.read(container, DONE)
        until(lambda: client.get(made.id) is None)
        assert hub.jobs[work.id].result == "failed"
        for configuration, code in ((made.configuration, 1), ("nonsense", 1)):
            another = engine.create(lease(), CPU0)
            engine.deliver(another, configuration)
            engine.start(another)
            assert ended(engine, another).code == code
        client.close()
