"""The fake driver, and a health that asks it by the real nvidia-ml-py in a real process."""

import time

import pytest

from backburn.pool import config as configuration
from backburn.pool.clock import SystemClock
from backburn.pool.health import looker
from backburn.pool.health.keeper import Keeper
from backburn.pool.health.sampler import Sampler
from tests.pool import scene
from tests.pool.health import fake


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """Built once. Skips loudly where it cannot be."""
    if reason := fake.missing():
        pytest.skip(f"NO FAKE DRIVER: {reason}")
    pytest.importorskip("pynvml")
    return fake.build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def driver(library, tmp_path, monkeypatch):
    """A sound one, which processes that are started from now on find."""
    made = fake.Driver(library, tmp_path / "driver")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(made.path))
    return made


class Skipping(SystemClock):
    """The system's, and `skipped` seconds more."""

    skipped = 0.0

    def now(self):
        return super().now() + self.skipped

    def passed(self):
        return super().passed() + self.skipped


class Watch:
    """A Sampler and all that a test asks of it; closed at the end."""

    def __init__(self, folder, gpu=scene.GPU, **limits):
        self.clock, self.notes = Skipping(), []
        text = scene.TEXT.replace("{gpu}", gpu) + '[health]\ninterval = "1s"\n'
        self.config = configuration.load(scene.written(folder, text=text))
        self.health = Sampler(self.config, self.clock, lambda *said: self.notes.append(said))
        devices = [slot.device for slot in self.config.all_slots if slot.device]
        self.keeper = Keeper(looker.command(devices), 1.0, self.health.hear, **{"paces": (0.3, 0.3), **limits})
        self.health.start(self.keeper)
        self.device = gpu

    def told(self, **more):
        return [(one.check, str(one.severity)) for one in self.health.symptoms(self.device, **more)]

    def until(self, wanted, seconds=10.0, **more):
        """What is told once it is so; else the last that was."""
        end = time.monotonic() + seconds
        while (found := self.told(**more)) != wanted and time.monotonic() < end:
            time.sleep(0.1)
        return found

    def later(self, seconds):
        """By so much, for what was seen."""
        self.clock.skipped += seconds


@pytest.fixture
def watch(driver, tmp_path):
    """Makes one: `watch(gpu, limits of its keeper)`."""
    made = []

    def make(**given):
        made.append(Watch(tmp_path, **given))
        return made[-1]

    yield make
    for one in made:
        one.health.close()
