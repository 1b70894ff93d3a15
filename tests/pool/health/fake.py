"""A driver without a GPU: the fake library, built once, and steered from a test."""

import os
import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("fake_nvml.c")
NAME = "libnvidia-ml.so.1"


def missing():
    """Why there is none here; None: there is."""
    return None if shutil.which("gcc") else "gcc is not installed"


def build(folder, source=SOURCE, name=NAME):
    """The library, in a folder. Raises CalledProcessError."""
    words = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", str(folder / name), str(source)]
    subprocess.run([*words, "-ldl"], check=True, timeout=60)
    return folder / name


class Driver:
    """One driver, of its own folder. `path` is what LD_LIBRARY_PATH must say."""

    def __init__(self, library, folder):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, folder / NAME)
        self.path, self._state = folder, {}
        (folder / "events").touch()
        self.set()

    def set(self, **values):
        """`ecc=1` is what every device answers; `{"UUID/ecc": 1}` by ** one alone. None: as a sound one does."""
        self._state |= {name.replace("_", "-") if "/" not in name else name: one for name, one in values.items()}
        lines = [f"{name}={one}\n" for name, one in self._state.items() if one is not None]
        scratch = self.path / "state.new"
        scratch.write_text("".join(lines))
        os.replace(scratch, self.path / "state")

    def sound(self):
        """As a sound card's."""
        self._state.clear()
        self.set()

    def event(self, device, code, kind=8, instance=""):
        """An Xid, or another kind of event."""
        with (self.path / "events").open("a") as stream:
            stream.write(f"{device} {kind} {code} {instance}\n".replace(" \n", "\n"))
