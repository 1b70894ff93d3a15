"""One engine, one GitHub, one registry with a base image in it, and a machine for each test."""

import pytest

from tests.pool.server import Server
from tests.runner import scratch

from . import ground as grounds
from . import registry


@pytest.fixture(scope="session")
def server():
    """Each machine puts a hub of its own into it."""
    with Server(grounds.new_hub()) as server:
        yield server


@pytest.fixture(scope="session")
def base(engine_daemon, server, tmp_path_factory):
    """NAME:TAG of what stands for GitHub's image, in a registry that has it until the tests are over."""
    if said := grounds.missing() or scratch.missing():
        pytest.skip(f"NO DOCKER ENGINE: {said}")
    folder = tmp_path_factory.mktemp("registry")
    with registry.served(folder) as address:
        name, tar = f"{address}/runner:1", scratch.tar(scratch.make(folder / "root"), folder / "base.tar")
        port = server.url.rpartition(":")[2]
        assert engine_daemon.ask("import", "--change", f"ENV PORT={port}", str(tar), name), engine_daemon.error
        assert engine_daemon.ask("push", name), engine_daemon.error
        engine_daemon.ask("image", "rm", name)
        yield name


@pytest.fixture
def ground(engine_daemon, server, base, tmp_path):
    """A fresh machine."""
    with grounds.Ground(engine_daemon, tmp_path, server, base) as ground:
        yield ground
