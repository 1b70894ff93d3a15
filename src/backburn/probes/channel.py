"""How a probe is asked (one environment variable, JSON) and answers (one file at an absolute path, JSON)."""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Mapping
from typing import Any

VARIABLE = "BACKBURN_PROBE"


class Asked:
    """What the stage wants: its name, its settings (plain data), and the file that the answer goes to.

    Without a file the answer stays in this process, in `record`.
    """

    def __init__(self, stage: str, settings: Mapping[str, Any], evidence: str) -> None:
        self.stage, self.settings, self.evidence = stage, dict(settings), evidence
        self.record: dict[str, Any] | None = None

    @property
    def answered(self) -> bool:
        """Whether the answer is there."""
        return os.path.exists(self.evidence) if self.evidence else self.record is not None


def asked() -> Asked | None:
    """What the environment asks of this process; None when no stage is on. Raises ValueError for other JSON."""
    text = os.environ.get(VARIABLE)
    return _read(text) if text else None


@functools.lru_cache(maxsize=1)
def _read(text: str) -> Asked:
    """One for the process: what is noted of a Trainer's arguments as it is made reaches the callback it then makes."""
    return Asked(**json.loads(text))


def answer(one: Asked, record: Mapping[str, Any]) -> None:
    """Write `record` atomically: whoever finds the file finds all of it. Raises OSError (full disk, no such folder)."""
    if not one.evidence:
        one.record = _spell(record)
        return
    partial = f"{one.evidence}.{os.getpid()}.part"
    with open(partial, "w", encoding="utf-8") as stream:
        json.dump(_spell(record), stream, allow_nan=False)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, one.evidence)


def _spell(value: Any) -> Any:
    """Spell NaN and the infinities as words, which JSON lacks and backburn.evidence reads back.

    >>> _spell({"losses": [0.5, float("nan"), float("-inf")]})
    {'losses': [0.5, 'nan', '-inf']}
    """
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _spell(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_spell(one) for one in value]
    return value
