"""Does the GPU compute? Real work on it, in a process of its own: memory filled, copied and read back, arithmetic."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from ...received import line
from .looker import environment
from .symptom import Blame, Severity, Symptom

MODULE = "backburn.pool.health.cuda_work"
LIMIT = 20.0  # seconds for one try
_REAP = 1.0  # seconds that a killed one may take to be gone; in the kernel it may take for ever
_TRIES = 2


class Worked(msgspec.Struct, frozen=True, kw_only=True):
    """What one try came to: the last line of its output. `absent`: there is no CUDA to ask."""

    failed: str = ""
    absent: str = ""
    memory: int = 0  # bytes that were filled, copied and read
    seconds: float = 0.0


def command() -> list[str]:
    """What is started; the device is in its environment."""
    return [sys.executable, "-P", "-m", MODULE]


def probe(
    device: str, *, words: Sequence[str] | None = None, limit: float = LIMIT, now: Callable[[], float] = time.time
) -> Symptom | None:
    """None where the GPU did the work, else why not. UNFIT after two failures; NOTED where there is no CUDA to ask.

    Takes up to 20 seconds, 40 where it fails: for a slot's own worker, with no job on the device.
    """
    worked = Worked()
    for _ in range(_TRIES):
        worked = _tried(words or command(), environment() | {"CUDA_VISIBLE_DEVICES": device}, limit)
        if not worked.failed:
            break
    if worked.failed:
        said, hint = f"it failed at real work, {_TRIES} times: {line(worked.failed)}", "`dcgmi diag -r 2` says more."
        return _symptom(device, Severity.UNFIT, Blame.MACHINE, said, hint, now())
    if worked.absent:
        said = f"real work could not be tried: {line(worked.absent)}"
        return _symptom(device, Severity.NOTED, Blame.CODE, said, 'Install libcuda, or say probe = "none".', now())
    return None


def _tried(words: Sequence[str], env: Mapping[str, str], limit: float) -> Worked:
    env = {**env, "CUDA_CACHE_DISABLE": "1"}
    try:
        child = subprocess.Popen(  # noqa: S603
            list(words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=env,
            start_new_session=True,
        )
    except OSError as error:
        return Worked(absent=str(error))
    try:
        said, _ = child.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        child.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_REAP)
        return Worked(failed=f"it was not done within {limit:.0f} s")
    try:
        return msgspec.json.decode(said.splitlines()[-1], type=Worked)
    except (IndexError, msgspec.DecodeError):
        return Worked(failed=f"the process that worked ended with exit code {child.returncode}")


def _symptom(device: str, severity: Severity, blame: Blame, said: str, hint: str, at: float) -> Symptom:
    return Symptom(check="gpu/probe", device=device, severity=severity, blame=blame, said=said, hint=hint, at=at)
