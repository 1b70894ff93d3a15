"""Which GPUs NVIDIA's driver has, asked in a child: a driver that hangs takes nobody along."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ...received import line
from .seen import Driver

LIMIT = 20.0  # seconds; without persistence mode nvidia-smi first loads the driver, some seconds for each GPU
_COMMAND = ("nvidia-smi", "-L")
_PROC = Path("/proc/driver/nvidia/gpus")
_UUID = re.compile(r"UUID:\s*((?:GPU|MIG)-[0-9A-Za-z/-]{4,80})")


def look(command: Sequence[str] = _COMMAND, proc: Path = _PROC, limit: float = LIMIT) -> Driver:
    """By `nvidia-smi -L`; where that is not installed, by what the kernel's module shows in /proc."""
    try:
        code, said = _asked(command, limit)
    except FileNotFoundError:
        found = tuple(_shown(proc))
        return Driver(
            gpus=found, error="" if found else "nvidia-smi is not installed, and /proc/driver/nvidia is empty"
        )
    except OSError as error:
        return Driver(error=f"{command[0]}: {error.strerror or error}")
    found = tuple(_slots(said))
    if code == 0 and found:
        return Driver(gpus=found)
    return Driver(error=line(said) or f"{command[0]} ended with {code}, and names no GPU")


def _asked(command: Sequence[str], limit: float) -> tuple[int, str]:
    """Exit code and output. One that cannot be killed (state D) is left behind, and not waited for."""
    child = subprocess.Popen(list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        said, _ = child.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        child.kill()
        return 124, f"{command[0]} does not answer within {limit:.0f} s: the driver hangs"
    return child.returncode, said.decode(errors="replace")


def _slots(said: str) -> list[str]:
    """A GPU, or the MIG instances that follow it."""
    found: list[str] = []
    for uuid in _UUID.findall(said):
        if uuid.startswith("MIG-") and found and found[-1].startswith("GPU-"):
            found.pop()
        found.append(uuid)
    return found


def _shown(proc: Path) -> list[str]:
    texts = (path.read_text(errors="replace") for path in sorted(proc.glob("*/information")))
    return [uuid for text in texts for uuid in _UUID.findall(text)]
