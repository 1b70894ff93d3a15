"""The image itself: what the real `docker build` makes of the Dockerfile, and a job in it, through the supervisor."""

import json
import shlex

import msgspec
import pytest

from backburn.pool import exits
from backburn.pool.config import Injection, Limits, Pool, Slots
from backburn.pool.docker import DockerEngine
from backburn.pool.engine import DONE, MARKER
from backburn.pool.lease import Slot
from tests.pool.lab import GitHub, created, ended, lease, settings, until
from tests.pool.rig import Rig

from .scratch import GPU, RUNNER

SLOT = Slot(name="gpu0", device=GPU)
NAMES = {
    "GITHUB_REPOSITORY": "acme/vision",
    "GITHUB_WORKFLOW": "'nightly \"GPU\"'",
    "GITHUB_JOB": "train",
    "GITHUB_RUN_ID": "17",
    "GITHUB_REF": "refs/heads/main",
    "GITHUB_EVENT_PATH": "$HOME/event.json",
    "RUNNER_WORKSPACE": "$HOME/_work/m",
    "GITHUB_WORKSPACE": "$HOME/_work/m/m",
}


@pytest.fixture(scope="module")
def github():
    stand_in = GitHub()
    yield stand_in
    stand_in.server.shutdown()


@pytest.fixture
def engine(engine_daemon, image, github):
    """As it is configured for a GPU, which /dev/null stands for."""
    tables = {"pool": Pool(name="image", image=image(github.port)), "limits": Limits()}
    config = settings(engine_daemon, github, slots=Slots(injection=Injection.DEVICES), **tables)
    engine = DockerEngine(config, nodes=lambda device: {"/dev/null": "/dev/nvidia0"})
    yield engine
    for container in engine.containers():
        engine.remove(container.id)


def worker(event="push", head=1, step="true"):
    """What the pool's listener is told to run as a job: the worker, which runs the hooks."""
    payload = json.dumps({"pull_request": {"head": {"repo": {"id": head}}, "base": {"repo": {"id": 1}}}})
    env = " ".join(
        f"{name}={value}" for name, value in {**NAMES, "GITHUB_EVENT_NAME": event, "STEP": shlex.quote(step)}.items()
    )
    return f"mkdir -p $HOME/_work/m/m; echo '{payload}' >$HOME/event.json; {env} $HOME/bin/Runner.Worker; [ $? = 100 ]"


def run(daemon, *words):
    return daemon.ask("run", "--rm", "--network=none", *words)


def test_what_is_ours_in_it_is_roots_and_nobody_elses_to_change(engine_daemon, image):
    name = image(1)
    listed = run(engine_daemon, "--entrypoint=find", name, "/opt/backburn", "/run/backburn", "-printf", "%p %U %m\n")
    assert dict(line.split(" ", 1) for line in listed.splitlines()) == {
        "/opt/backburn": "0 755",
        "/opt/backburn/entrypoint.sh": "0 755",
        "/opt/backburn/view.sh": "0 755",
        "/opt/backburn/hooks": "0 755",
        "/opt/backburn/hooks/job-started.sh": "0 755",
        "/opt/backburn/hooks/job-completed.sh": "0 755",
        "/opt/backburn/runner-version": "0 644",
        "/run/backburn": "1001 700",
    }
    assert run(engine_daemon, "--entrypoint=cat", name, "/opt/backburn/runner-version") == "0.0.0"


def test_what_is_said_of_it(engine_daemon, image):
    (said,) = json.loads(engine_daemon.ask("image", "inspect", image(1)))
    config = said["Config"]
    assert config["User"] == "1001:1001" and config["WorkingDir"] == "/home/runner"
    assert config["Entrypoint"] == ["/opt/backburn/entrypoint.sh"] and not config["Cmd"]
    assert config["Labels"]["org.opencontainers.image.base.name"] == "base:latest"
    assert config["Labels"]["org.opencontainers.image.title"] == "backburn runner"


def test_it_has_no_base_of_its_own():
    """Whoever builds says which: a tag in here would be out of date within 30 days."""
    text = (RUNNER / "Dockerfile").read_text()
    assert text.count("\nARG BASE\n") == 2 and "\nFROM ${BASE}\n" in text


def test_alone_it_says_what_is_missing(engine_daemon, image):
    assert run(engine_daemon, image(1)) is None and "no configuration" in engine_daemon.error


def test_a_signal_reaches_the_listener_and_its_code_comes_back(engine_daemon, engine, github):
    container = created(engine, SLOT)
    github.jobs[f"configuration-{container[:12]}"] = "behave=command\ncommand=sleep 100\nmarker=1\n"
    engine.start(container)
    until(lambda: engine.read(container, MARKER))
    engine_daemon.ask("stop", "--time", "20", container)
    assert ended(engine, container).code == 143  # of the shell that it is here: not 137, after 20 s


def test_the_configuration_is_nowhere_to_be_seen(engine_daemon, engine, github):
    secret = "eyJjYW5hcnkiOiAiY2FuYXJ5In0="
    container = engine.create(lease(SLOT), SLOT)
    engine.deliver(container, secret)
    github.jobs[secret] = f"behave=command\ncommand={worker(step='sleep 100')}\n"
    engine.start(container)
    until(lambda: engine.read(container, MARKER))
    for said in (engine_daemon.ask("inspect", container), engine_daemon.ask("top", container, "-eo", "pid,args")):
        assert "Runner.Worker" in said or "Config" in said
        assert secret[:12] not in said
    assert secret not in engine.logs(container).decode()


def test_a_container_that_does_not_see_its_gpu_takes_no_job(engine, github):
    blind = DockerEngine(engine._config, nodes=lambda device: {"/dev/null": "/dev/nvidiactl"})
    container = created(blind, SLOT)
    blind.start(container)
    seen = ended(blind, container)
    assert exits.outcome(exits.Ending(lease=lease(SLOT), seen=seen, registered=True)) is exits.Outcome.BLIND
    assert "does not see its GPU" in blind.logs(container).decode()
    assert not any(container[:12] in one for one in github.connected)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_job_goes_all_the_way(engine, github, read_only):
    docker = msgspec.structs.replace(engine._config.docker, read_only=read_only)
    engine = DockerEngine(msgspec.structs.replace(engine._config, docker=docker), nodes=engine._nodes)
    container = created(engine, SLOT)
    step = "echo work >file; (sleep 1000 9<>/dev/nvidia0 >/dev/null 2>&1 &)"
    github.jobs[f"configuration-{container[:12]}"] = f"behave=command\ncommand={worker(step=step)}\n"
    engine.start(container)
    seen, said = ended(engine, container), engine.logs(container).decode()
    assert seen.code == 100, said
    assert f"this job has {GPU}" in said and "the job left 1 processes, 0 of them" in said
    told = json.loads(engine.read(container, MARKER))
    assert told["workflow"] == 'nightly "GPU"' and json.loads(engine.read(container, DONE)) == {"ended": True}
    assert engine.read(container, "/home/runner/_work/m/m/file") is None


def test_the_supervisor_arms_it_and_knows_whose_job_it_was(engine_daemon, image, tmp_path):
    with Rig(engine_daemon, tmp_path) as rig:
        port = int(rig.server.url.rpartition(":")[2])
        rig.file.write_text(rig.file.read_text().replace(f"listener:{port}", image(port)))
        rig.start()
        for event, head, outcome in (("pull_request", 1, "succeeded"), ("pull_request", 2, "failed")):
            rig.until(rig.all_online)
            (job,) = rig.submit(behave="command", command=worker(event, head), marker=0)
            entry = rig.until(lambda: rig.line(job))  # noqa: B023
            told = (entry.outcome, entry.repository, entry.workflow, entry.job, entry.run_id, entry.ref)
            assert told == (outcome, "acme/vision", 'nightly "GPU"', "train", "17", "refs/heads/main"), rig.said()
