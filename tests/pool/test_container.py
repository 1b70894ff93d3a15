"""What a container is made of, and what is said of one: as a real engine has it."""

import msgspec
import pytest

from backburn.pool.cache.fitting import Fitted
from backburn.pool.config import Bytes, Config, GitHub, Injection, Limits, Pool
from backburn.pool.container import HOOKS, body, epoch
from backburn.pool.docker import DockerEngine
from backburn.pool.engine import MARKER
from backburn.pool.lease import Slot
from tests.pool.lab import CPU0, GPU, begun, created, ended, lease, needs_an_engine, said_of


@needs_an_engine
def test_what_is_asked_for_is_what_the_engine_has(engine, engine_daemon, tmp_path):
    daemon, config = engine_daemon, engine._config
    docker = msgspec.structs.replace(config.docker, mounts=(f"{tmp_path}:/data",))
    engine = DockerEngine(msgspec.structs.replace(config, docker=docker))
    container = created(engine)
    host = msgspec.json.decode(said_of(daemon, container, ".HostConfig"))
    expected = {
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        "Init": True,
        "CapDrop": ["ALL"],
        "CapAdd": None,
        "Privileged": False,
        "SecurityOpt": ["no-new-privileges"],
        "NetworkMode": "host",
        "PidsLimit": 64,
        "Memory": 64 << 20,
        "NanoCpus": 10**9,
        "ShmSize": 1 << 20,
        "LogConfig": {"Type": "local", "Config": {"max-file": "2", "max-size": str(64 << 10)}},
        "AutoRemove": False,
        "Binds": None,
    }
    assert {key: host[key] for key in expected} == expected
    assert [(mount["Source"], mount["Target"], mount["ReadOnly"]) for mount in host["Mounts"]] == [
        (str(tmp_path), "/data", True)
    ]
    config = msgspec.json.decode(said_of(daemon, container, ".Config"))
    assert config["User"] == "1001:1001" and config["Tty"] is False
    assert {name for name, _, _ in (line.partition("=") for line in config["Env"])} == {
        *("ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE", "ACTIONS_RUNNER_RETURN_JOB_RESULT_FOR_HOSTED"),
        *(*HOOKS, "NVIDIA_VISIBLE_DEVICES", "PORT", "HOME"),
    }
    assert "docker.sock" not in daemon.ask("inspect", container)


@pytest.mark.parametrize("public", [False, True])
@pytest.mark.parametrize("device", ["", GPU])
def test_what_our_entrypoint_and_hooks_are_told(device, public):
    config = Config(pool=Pool(name="lab", image="x"), github=GitHub(url="https://github.com/acme", allow_public=public))
    slot = Slot(name="one", device=device)
    made = body(config, lease(slot), slot, Injection.CDI if device else Injection.NONE, dict, Fitted())
    told = dict(line.partition("=")[::2] for line in made["Env"])
    assert told.get("BACKBURN_DEVICE", "") == device and told.get("BACKBURN_ALLOW_FORKS", "0") == str(int(public))


@needs_an_engine
def test_the_caches_of_a_lease_are_mounted_and_their_tools_told(engine, engine_daemon, tmp_path):
    docker = msgspec.structs.replace(engine._config.docker, mounts=(f"{tmp_path}:/data",))
    volume = {"Type": "volume", "Target": "/cache/pip", "VolumeOptions": {"Labels": {"a": "b"}}}

    def fit(lease, labels):
        assert labels == {"backburn.pool": "lab", "backburn.slot": "cpu0"}
        return Fitted(environment=("PIP_CACHE_DIR=/cache/pip",), mounts=(volume,))

    fitted = DockerEngine(msgspec.structs.replace(engine._config, docker=docker), fit=fit)
    container = created(fitted)
    mounts = msgspec.json.decode(said_of(engine_daemon, container, ".HostConfig"))["Mounts"]
    assert [mount["Target"] for mount in mounts] == ["/data", "/cache/pip"]
    assert "PIP_CACHE_DIR=/cache/pip" in msgspec.json.decode(said_of(engine_daemon, container, ".Config"))["Env"]
    fitted.remove(container)
    assert engine_daemon.ask("volume", "ls", "--quiet", "--filter", "label=a=b") == "ok", "it goes with its container"


@needs_an_engine
def test_a_read_only_root_takes_the_configuration_too(engine, engine_daemon, github):
    docker = msgspec.structs.replace(engine._config.docker, read_only=True)
    strict = DockerEngine(msgspec.structs.replace(engine._config, docker=docker))
    container = begun(strict, github, "exit=102\nmarker=1\nseconds=0\n")
    assert ended(strict, container).code == 102 and strict.read(container, MARKER)
    mine = ("volume", "ls", "--quiet", "--filter", "label=backburn.slot=cpu0", "--filter", "label=backburn.pool=lab")
    assert len(engine_daemon.ask(*mine).split()) == 2, "/run and /home/runner"
    strict.remove(container)
    assert engine_daemon.ask(*mine) == "ok", "its volume went with it"


@needs_an_engine
def test_a_log_of_next_to_nothing_is_still_bounded(engine, engine_daemon):
    """Half of one byte is 0, which the driver takes for no bound at all."""
    small = DockerEngine(msgspec.structs.replace(engine._config, limits=Limits(log=Bytes(1))))
    host = msgspec.json.decode(said_of(engine_daemon, small.create(lease(), CPU0), ".HostConfig"))
    assert int(host["LogConfig"]["Config"]["max-size"]) >= 1 << 14


@needs_an_engine
def test_what_somebody_else_gave_a_container_of_ours_is_seen(engine, engine_daemon):
    words = ["create", "--label", "backburn.pool=lab", "--label", f"backburn.device={GPU}"]
    image = engine._config.pool.image
    for more, expected in (
        (["--gpus", "all"], ("all",)),
        (["--gpus", "2"], ("count:2",)),
        (["--gpus", '"device=GPU-other"'], ("GPU-other",)),
        (["--device", "/dev/null"], ("/dev/null",)),
        (["--privileged"], ("all",)),
    ):
        container = engine_daemon.ask(*words, *more, image)
        assert engine.inspect(container).devices == expected


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("1970-01-01T00:00:01Z", 1.0),
        ("2026-11-30T03:40:00.123456789Z", 1796010000.123456789),
        ("2026-11-30T04:40:00+01:00", 1796010000.0),
        ("0001-01-01T00:00:00Z", 0.0),
        ("", 0.0),
        ("yesterday", 0.0),
    ],
)
def test_times_of_the_engine(said, seconds):
    assert epoch(said) == pytest.approx(seconds, abs=1e-6)
