"""Run one training: the night's own, and beside it, with what it keeps in a scratch folder, as often as is needed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from .. import config, environment, evidence, reach, training
from ..errors import UserError
from . import digests, steps
from .manifest import Manifest
from .told import Told

DEFAULTS = {"shift": 0, "until": 0, "ulp": 0}
NEVER = 2**53  # to `until`: a run beside the night's own, whose checkpoints are scratch, and that goes on to its end


class Ran(NamedTuple):
    """How a run ended, what its probe told (None: it was never reached) and the roots of its recorded steps."""

    ended: training.Ended
    told: Told | None
    roots: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Runs:
    """All runs of one training share a time limit, `deadline` on the monotonic clock; `settings` are the probe's."""

    one: config.Training
    args: str | tuple[str, ...]
    settings: Mapping[str, Any]
    python: environment.Environment
    root: Path
    out: Path
    deadline: float

    @cached_property
    def manifest(self) -> Manifest:
        """Of the files that the runs read, each of which is looked at once."""
        return Manifest(root=self.root)

    def has(self, seconds: float) -> bool:
        """Whether so much time is left."""
        return self.deadline - time.monotonic() >= seconds

    def night(self) -> Ran:
        """The training as its author wrote it."""
        return self._run(self.out, prepared=False, label="", settings={})

    def aside(self, name: str, label: str, **settings: Any) -> Ran:
        """Another run, in a folder `name` of its own, with other settings of the probe (shift, ulp, until)."""
        label = f"{self.one.name}, {label}"
        return self._run(self.out / name, prepared=True, label=label, settings=settings)

    def _run(self, out: Path, *, prepared: bool, label: str, settings: Mapping[str, Any]) -> Ran:
        ended = training.start(
            self.one,
            "reproduce",
            DEFAULTS | dict(self.settings) | dict(settings),
            args=self.args,
            python=self.python,
            root=self.root,
            out=out,
            timeout=max(0.0, self.deadline - time.monotonic()),
            prepared=prepared,
            recorded=True,  # a run beside it that was not leaves its reach unknown, and nothing could be reused
            label=label,
        )
        shutil.rmtree(out / "scratch", ignore_errors=True)  # checkpoints are not evidence: they would be uploaded
        answer, recorded = out / "probe.json", out / steps.FILE
        told = evidence.load(answer, Told) if answer.exists() else None
        if told and (files := self.manifest.of(out / reach.FILE)):
            told = msgspec.structs.replace(told, data=told.data | files)
            evidence.save(told, answer)  # `backburn diff` reads it there
        roots = _roots(recorded, told.start if told else 0)
        if settings.get("ulp"):
            recorded.unlink(missing_ok=True)  # nothing is held against its tensors, and they take megabytes
        return Ran(ended, told, roots)


def _roots(recorded: Path, start: int) -> dict[str, str]:
    """Of what was recorded; of nothing where it was not, or cannot be read: then the figures alone are compared."""
    try:
        return digests.of(steps.load(recorded), start) if recorded.exists() else {}
    except UserError:
        return {}
