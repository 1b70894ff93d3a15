"""What a build is made of; that one is made of it, test_installation.py shows."""

import io
import tarfile

import pytest

from backburn.pool.clock import SystemClock
from backburn.pool.config import Config, Docker
from backburn.pool.connection import Connection
from backburn.pool.engine import Declined, Unreachable
from backburn.pool.setup import image, kit
from tests.pool.daemon import missing, root_filesystem

needs_an_engine = pytest.mark.skipif(bool(missing()), reason=f"NO DOCKER ENGINE: {missing()}")
BASE = "runner@sha256:" + "0" * 64


def recipe(**parts):
    return image.Recipe(base=BASE, parts={"Dockerfile": b"FROM scratch", **parts})


def test_the_same_parts_are_the_same_image_and_others_are_not():
    assert recipe(a=b"1").kit == recipe(a=b"1").kit and recipe().tag.startswith("backburn-runner:")
    others = [recipe(), recipe(a=b"1"), recipe(a=b"2"), recipe(b=b"1"), recipe(a=b"", b=b"1"), recipe(a=b"b", b=b"")]
    others.append(recipe(a=b"\0b1"))
    others.append(image.Recipe(base=BASE.replace("0", "1"), parts=recipe().parts))
    assert len({one.kit for one in others}) == len(others)


def test_what_goes_onto_the_machine_is_not_in_it():
    """A new README builds no new image."""
    found = image.recipe(None, kit.files(), BASE)
    assert "Dockerfile" in found.parts and "entrypoint.sh" in found.parts
    assert not [name for name in found.parts if name.endswith((".toml", ".service", ".md")) or name == "setup.sh"]


def test_the_context_has_no_dates_and_no_owners_and_keeps_programs():
    packed = image.packed({"hooks/a.sh": b"#!/bin/sh\n", "Dockerfile": b"FROM x"})
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        assert [(one.name, one.mode, one.mtime, one.uid) for one in tar] == [
            ("Dockerfile", 0o644, 0, 0),
            ("hooks/a.sh", 0o755, 0, 0),
        ]
    assert packed == image.packed({"Dockerfile": b"FROM x", "hooks/a.sh": b"#!/bin/sh\n"})


def test_an_engine_that_does_not_answer():
    config = Config(docker=Docker(host="unix:///nowhere"))
    connection = Connection(config, SystemClock(), quick=3.0, slow=3.0)
    with pytest.raises(Unreachable):
        image.resolved(connection, "runner:1")
    with pytest.raises(Unreachable):
        image.pull(connection, config, "runner@sha256:1", print)


@needs_an_engine
def test_a_real_engine(engine_daemon):
    """Builds, finds again, fails with the builder's words, and removes."""
    config = Config(docker=Docker(host=engine_daemon.host, network="host"))
    connection = Connection(config, SystemClock(), quick=15.0, slow=60.0)
    base = engine_daemon.load("made-here:1", root_filesystem())
    said = []
    dockerfile = b"ARG BASE\nFROM ${BASE}\nCOPY a /a\nRUN test -f /a\n"
    made = image.Recipe(base=base, parts={"Dockerfile": dockerfile, "a": b"1"})
    assert image.built(connection, made) == ""
    identity = image.build(connection, config, made, said.append)
    assert identity.startswith("sha256:") and image.built(connection, made) == identity and said
    assert image.present(connection, identity) and not image.present(connection, "no-such")
    labels = engine_daemon.ask("inspect", "--format", "{{json .Config.Labels}}", identity)
    assert f'"{image.BASE}":"{base}"' in labels and image.MADE in labels and made.kit in labels
    broken = image.Recipe(base=base, parts={"Dockerfile": dockerfile.replace(b"test -f /a", b"false"), "a": b"1"})
    with pytest.raises(Declined, match="false"):
        image.build(connection, config, broken, said.append)
    with pytest.raises(Declined, match="no-such-base"):
        image.resolved(connection, "127.0.0.1:9/no-such-base:1")
    with pytest.raises(Declined):
        image.pull(connection, config, "127.0.0.1:9/no-such-base@sha256:" + "0" * 64, said.append)
    assert image.remove(connection, made.tag) and not image.built(connection, made)
    assert image.remove(connection, made.tag)
    assert image.resolved(connection, BASE) == BASE
