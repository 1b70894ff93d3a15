"""What an engine's error means, on a real engine, and by the words of one that is going."""

import msgspec
import pytest

from backburn.pool import declining as module
from backburn.pool.config import Bytes, Injection, Limits, Pool, Slots
from backburn.pool.docker import DockerEngine
from backburn.pool.engine import MARKER, Declined, Unreachable
from backburn.pool.lease import Slot
from tests.pool.lab import CPU0, GPU, created, lease, needs_an_engine, settings
from tests.pool.proxy import Proxy


@needs_an_engine
@pytest.mark.parametrize(
    ("tables", "said", "hint"),
    [
        ({"pool": Pool(name="lab", image="no/such:image")}, "No such image", "docker pull no/such:image"),
        ({"docker": {"mounts": ("/no/such/folder:/x",)}}, "bind source path does not exist", "[docker] mounts"),
        ({"docker": {"mounts": ("relative:/x",)}}, "no mount", "[docker] mounts"),
        ({"docker": {"user": "runner"}}, "no number", "1001:1001"),
        ({"docker": {"network": "no-such"}}, "no-such", "docker network create no-such"),
        ({"limits": Limits(cpus=1e4)}, "Range of CPUs", "[limits] cpus"),
        ({"limits": Limits(memory=Bytes(1000))}, "memory limit", "[limits] memory"),
    ],
)
def test_what_is_declined_says_what_to_do(engine, engine_daemon, tables, said, hint):
    config = engine._config
    replaced = {
        k: msgspec.structs.replace(getattr(config, k), **v) if isinstance(v, dict) else v for k, v in tables.items()
    }
    wrong = DockerEngine(msgspec.structs.replace(config, **replaced))
    with pytest.raises(Declined, match=said) as caught:
        wrong.start(wrong.create(lease(), CPU0))
    assert hint in caught.value.hint


@needs_an_engine
@pytest.mark.parametrize(
    ("way", "hint"),
    [("nvidia", "nvidia-ctk runtime configure"), ("auto", "nvidia-ctk runtime"), ("cdi", "nvidia-ctk cdi generate")],
)
def test_a_start_without_the_gpus_driver_says_what_to_install(engine, way, hint):
    slot = Slot(name="gpu0", device=GPU)
    engine = DockerEngine(msgspec.structs.replace(engine._config, slots=Slots(gpus=(GPU,), injection=Injection(way))))
    container = created(engine, slot)
    assert engine.inspect(container).devices == (GPU,)
    with pytest.raises(Declined, match="could not select device driver") as caught:
        engine.start(container)
    assert hint in caught.value.hint
    failed = engine.inspect(container)
    assert failed.started == 0.0 and "could not select" in failed.error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError("('Connection aborted.', FileNotFoundError(2, 'No such file or directory'))"),
            "no engine at tcp://x:1",
        ),
        (ConnectionRefusedError(111, "Connection refused"), "no engine at tcp://x:1: is Docker installed"),
        (OSError("('Connection aborted.', PermissionError(13, 'Permission denied'))"), "tcp://x:1 may not be used"),
        (TimeoutError("read timed out"), "TimeoutError: read timed out"),
    ],
)
def test_no_answer_is_said_in_words(error, said):
    assert module.silent(error, "tcp://x:1").startswith(said)


@needs_an_engine
def test_a_500_of_an_engine_that_is_going_is_no_answer(engine_daemon, github):
    """Its containerd is gone, it is about to go: what was asked may have been done, and a file may be there."""
    body = b'{"message": "rpc error: code = Unavailable desc = transport is closing"}'
    answer = b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
    with Proxy(engine_daemon.folder / "p.sock", engine_daemon.socket) as proxy:
        engine = DockerEngine(settings(engine_daemon, github, host=proxy.host))
        container = created(engine)
        proxy.change("/(archive|logs|start)", lambda _: answer % (len(body), body))
        for call in (engine.logs, engine.start, lambda one: engine.read(one, MARKER)):
            with pytest.raises(Unreachable, match="transport is closing"):
                call(container)
        proxy.change("nothing", bytes)
        engine.remove(container)


@pytest.mark.parametrize(
    ("said", "away"),
    [
        ("transport is closing: unknown", True),
        ('rpc error: code = Unavailable desc = "connection error"', True),
        ("context deadline exceeded", True),
        ("dial unix /run/containerd/containerd.sock: connect: connection refused", True),
        ("could not select device driver", False),
        ("no space left on device", False),
        ("driver failed to remove root filesystem: device or resource busy", False),
    ],
)
def test_a_500_that_is_no_answer(said, away):
    assert bool(module._AWAY.search(said)) is away
