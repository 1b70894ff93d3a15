"""A scratch root for each test; the template of it is made once."""

import os
import subprocess

import pytest

from tests.pool import daemon as engines

from . import scratch as scratches

engine_daemon, own_daemon = engines.engine_daemon, engines.own_daemon


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """What stands for GitHub's image, as a folder."""
    if said := scratches.missing():
        pytest.skip(f"NO DOCKER ENGINE: {said}")
    return scratches.make(tmp_path_factory.mktemp("base") / "root")


@pytest.fixture(scope="session")
def dressed(base, tmp_path_factory):
    """And as the Dockerfile makes it."""
    folder = tmp_path_factory.mktemp("dressed")
    return scratches.dress(scratches.Scratch(base, folder).root)


@pytest.fixture
def scratch(dressed, tmp_path):
    """One to change."""
    return scratches.Scratch(dressed, tmp_path)


@pytest.fixture(scope="session")
def image(base, engine_daemon, tmp_path_factory):
    """`image(port)`: by the real `docker build`, whose listener asks the GitHub at that port of this host."""
    daemon = engine_daemon
    packed = scratches.tar(base, tmp_path_factory.mktemp("tar") / "base.tar")
    assert daemon.ask("import", str(packed), "base:latest"), daemon.error
    build(daemon, scratches.RUNNER, "--build-arg", "BASE=base:latest", "--tag", "backburn-runner:latest")

    def of(port):
        name = f"backburn-runner:{port}"
        if daemon.ask("image", "inspect", name) is None:
            folder = tmp_path_factory.mktemp("with-port")
            (folder / "Dockerfile").write_text(f"FROM backburn-runner:latest\nENV PORT={port}\n")
            build(daemon, folder, "--tag", name)
        return name

    return of


def build(daemon, folder, *words):
    """By the builder that every engine has, and without a network."""
    command = ["docker", "--host", daemon.host, "build", "--network", "none", *words, str(folder)]
    env = os.environ | {"PATH": scratches.program_path(), "DOCKER_BUILDKIT": "0"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
