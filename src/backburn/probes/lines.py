"""A file of JSON lines that a training writes as it goes: it never ends the training, and says why it stopped."""

from __future__ import annotations

import contextlib
import json
import math
import os
from typing import Any


class Lines:
    """`path`, begun with a header of `kind`; what lay there is gone.

    Each line is written at once and whole, or the file ends before it: `failed` then says why, and nothing more comes.
    """

    def __init__(self, path: str, kind: str) -> None:
        self.path, self.failed = path, ""
        self.stream: Any = None
        try:
            self.stream = open(path, "wb", buffering=0)  # one write a line: a killed process leaves whole ones
        except OSError as error:
            self._fail(error)
        self.write({"kind": kind, "schema": 1})

    def write(self, record: dict[str, Any]) -> None:
        """One more line; numbers that JSON lacks as words."""
        if self.stream is None:
            return
        content = json.dumps(_spell(record), separators=(",", ":"), allow_nan=False).encode() + b"\n"
        try:
            if self.stream.write(content) < len(content):  # what a disk that gets full does at first
                raise OSError(28, os.strerror(28))
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        """No more lines."""
        if self.stream is not None:
            with contextlib.suppress(OSError):
                self.stream.close()
            self.stream = None

    def _fail(self, error: OSError) -> None:
        self.failed = f"{os.path.basename(self.path)}: {error.strerror or error}"
        self.close()


def _spell(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _spell(one) for key, one in value.items()}
    return [_spell(one) for one in value] if isinstance(value, (list, tuple)) else value
