"""A clock that a test turns, and a client of GitHub's stand-in that lives by it."""

from __future__ import annotations

import base64
import json
import random

import httpx
import pytest

from backburn.pool.config import Config, GitHub as Given, Pool
from backburn.pool.github import GitHub
from backburn.pool.registrar import Later
from backburn.pool.simulation.hub import App, Hub

from .contract import Checked

START = 1_795_000_000.0  # 2026-11-18
TOKEN = "ghp_canary0canary0canary0canary0canary"
PREFIX = "lab1-box-"


class Moments:
    """Seconds pass when a test says so. `jump` moves what people read, and no deadline."""

    def __init__(self):
        self.since, self.offset = 0.0, START

    def now(self):
        return self.offset + self.since

    def passed(self):
        return self.since

    def wait(self, seconds):
        self.since += seconds

    def jump(self, seconds):
        self.offset += seconds


def config(url="https://github.com/acme", **given):
    """As of pool.toml."""
    wanted = {"token": "env:TOKEN"} if "private_key" not in given else {}
    return Config(github=Given(url=url, **{**wanted, **given}), pool=Pool(name="lab1", host="box", image="x"))


class Rig:
    """A hub, its clock, and a client whose every exchange is held against GitHub's description."""

    def __init__(self, url="https://github.com/acme", *, seed=1, hub=None, read=None, **given):
        self.clock, self.secret = Moments(), TOKEN
        self.hub = Hub(self.clock, random.Random(seed), url=url, token=TOKEN, **(hub or {}))
        self.checked = Checked(self.hub.handle)
        self.config = config(url, **given)
        self.read = read or (lambda where: self.secret)
        self.github = self.client()

    def client(self, transport=None):
        transport = transport or httpx.MockTransport(self.checked)
        return GitHub(
            self.config,
            clock=self.clock,
            transport=transport,
            dice=random.Random(7),
            read=lambda where: self.read(where),
        )

    def sound(self):
        """Both sides kept to GitHub's description."""
        assert not self.checked.breaches, self.checked.breaches[:5]

    def ask(self, call, *given, patience=200):
        """The supervisor's way: come back when told to. The answer, or Uncertain, Taken or Refused as it comes."""
        for _ in range(patience):
            try:
                return getattr(self.github, call)(*given)
            except Later as later:
                self.clock.wait(later.seconds)
        raise AssertionError(f"{call} was never answered")


@pytest.fixture(scope="session")
def keys():
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return private, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.fixture
def rig():
    made = Rig()
    yield made
    made.sound()


@pytest.fixture
def app(keys):
    """A rig whose client is an App."""
    private, public = keys
    given = {"private_key": "file:/key", "app_id": "Iv1.pool"}
    made = Rig(hub={"app": App(id="Iv1.pool", public_key=public)}, read=lambda where: private, **given)
    yield made
    made.sound()


def answering(rig, *answers):
    """A client of a server that gives these answers, and the requests that it got; the last is given for ever."""
    asked = []

    def handle(request):
        asked.append(request)
        return answers[min(len(asked), len(answers)) - 1]

    return rig.client(httpx.MockTransport(handle)), asked


def groups():
    return httpx.Response(200, json={"total_count": 1, "runner_groups": [{"id": 1, "name": "Default"}]})


def generated(number=5, name="a", **runner):
    """The answer to a registration, with this `.runner`."""
    files = {".runner": {"AgentId": number, "Ephemeral": True, **runner}, ".credentials": {}}
    files = {file: base64.b64encode(json.dumps(content).encode()).decode() for file, content in files.items()}
    blob = base64.b64encode(json.dumps(files).encode()).decode()
    shown = {"id": 5, "name": name, "os": "x", "status": "offline", "busy": False, "labels": []}
    return httpx.Response(201, json={"runner": shown, "encoded_jit_config": runner.pop("blob", blob)})
