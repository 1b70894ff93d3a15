"""The real act: how it is called, how its `--json` stream is read as it grows, and how it is ended."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import process
from ..errors import UserError
from .workflow import Job, Workflow

Say = Callable[[str], None]
_TAIL = 40  # lines of a step's output that are kept for the finding
_SHA = re.compile(r"@([0-9a-f]{7})[0-9a-f]{33}\b")
_PATIENCE = 30.0  # seconds after which a step that is still at work is mentioned
_NAME = 72  # characters of a step's name in its line


@dataclass(kw_only=True)
class Leg:
    """One job, or one leg of its matrix, as far as act told of it. Seconds are of this process's clock.

    `broken` are the steps that failed, the first one first: name -> the key of its last lines in `outputs`.
    """

    job: str
    label: str
    started: float
    ended: float = 0.0
    outcome: str = ""
    broken: dict[str, str] = field(default_factory=dict)
    artifacts: set[str] = field(default_factory=set)
    unsupported: bool = False
    timed_out: bool = False
    outputs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    tolerated: set[str] = field(default_factory=set)
    began: bool = False
    step: str = ""
    since: float = 0.0
    told: float = 0.0

    @property
    def failed(self) -> str:
        """The first step that failed: the others may follow from it."""
        return next(iter(self.broken), "")

    def tail(self, step: str = "") -> tuple[str, ...]:
        """The last output of that step, or of the first that failed; of a job without one, of its last step."""
        culprit = self.broken.get(step or self.failed, "")
        return tuple(self.outputs.get(culprit) or next(reversed(self.outputs.values()), ()))


class Late(Exception):
    """A job is past its limit. act ignores `timeout-minutes` of a job, so that we end act."""


def locate() -> str:
    """The path of act: beside this Python, or on the PATH. Raises UserError when there is none."""
    beside = Path(sys.executable).with_name("act")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("act")
    if not found:
        raise UserError("act is not installed", hint="Install it: pip install 'backburn[rehearse]'")
    return found


def command(
    file: Path, clone: Path, event: str, payload: Path, jobs: Iterable[Job], extra: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """The command line of act; `extra` holds `env` and `var`. No file of the project's or the user's configures act."""
    labels = {label for job in jobs for label in job.labels if not job.elsewhere}
    words = [locate(), event, "--json", "-C", str(clone), "-W", str(file), "-e", str(payload), "--no-cache-server"]
    for kind in ("env", "var", "secret", "input"):
        words += [f"--{kind}-file", os.devnull]
    for label in sorted(labels):
        words += ["-P", f"{label}=-self-hosted"]
    for kind, values in extra.items():
        for name, value in values.items():
            words += [f"--{kind}", f"{name}={value}"]
    return words


class Stream:
    """act's lines, read as they come: a line per step for the person who waits, and what each leg came to."""

    def __init__(self, file: Path, log: Path, workflow: Workflow, say: Say) -> None:
        self.legs: dict[str, Leg] = {}
        self.complaint: list[str] = []
        self.cut = ""
        self._file, self._log, self._workflow, self._say = file, log, workflow, say
        self._jobs = {job.id: job for job in workflow.jobs}
        self._callers = {name: job.id for job in workflow.jobs if job.calls for name in (job.id, job.name)}
        self._offset = 0

    def tick(self, label: str, seconds: float) -> None:
        """Read on, then raise Late if a job has been at work for longer than it may."""
        self.read()
        for leg in self.legs.values():
            self._still(leg)
            limit = self._jobs[leg.job].limit if leg.job in self._jobs else float("inf")
            if not leg.outcome and time.monotonic() - leg.started > limit:
                leg.timed_out, leg.outcome, leg.ended = True, "failure", time.monotonic()
                self.cut = f"{leg.label} timed out"
                raise Late(self.cut)

    def _still(self, leg: Leg) -> None:
        """A line now and then for a step that takes long: nobody knows otherwise whether anything happens."""
        now = time.monotonic()
        if leg.step and now - max(leg.since, leg.told) > _PATIENCE:
            leg.told = now
            self._say(f"{self._workflow.stem} / {leg.label} · {leg.step} … {now - leg.since:.0f} s so far")

    def read(self) -> None:
        """Take in the whole lines that were added since."""
        if not self._file.exists():
            return
        with self._file.open("rb") as stream:
            stream.seek(self._offset)
            new = stream.read()
        whole, newline, _ = new.rpartition(b"\n")
        self._offset += len(whole) + len(newline)
        with self._log.open("a", encoding="utf-8") as log:
            for line in whole.decode(errors="replace").split("\n"):
                self._line(line, log.write)

    def _line(self, line: str, write: Callable[[str], object]) -> None:
        try:
            entry = json.loads(line)
        except ValueError:
            if line.strip():
                self.complaint.append(line.strip())
                write(line + "\n")
            return
        if not isinstance(entry, dict) or "jobID" not in entry:
            return
        leg = self._leg(entry)
        text = process.plain(str(entry.get("msg", "")))  # act gives steps a terminal
        write(f"{leg.label} | {_step(entry)} | {text}\n")
        if not self.cut:  # what act says while it is being ended is no job's doing
            self._note(leg, entry, text)

    def _leg(self, entry: Mapping[str, Any]) -> Leg:
        job, matrix = str(entry["jobID"]), entry.get("matrix") or {}
        label = f"{job} ({', '.join(str(value) for value in matrix.values())})" if matrix else job
        # A job of a called workflow is shown as `<caller>/<called workflow>/<its name>`, others as `<workflow>/<name>`.
        first, _, rest = str(entry.get("job", "")).partition("/")
        if first.strip() in self._callers:
            job = self._callers[first.strip()]
            label = f"{job} / {rest.rpartition('/')[2].strip()}"
        if label not in self.legs:
            self.legs[label] = Leg(job=job, label=label, started=time.monotonic())
        return self.legs[label]

    def _note(self, leg: Leg, entry: Mapping[str, Any], text: str) -> None:
        outer = str((entry.get("stepID") or [""])[0])
        if "unsupported platform" in text:
            leg.unsupported = True
        if entry.get("name") == "artifact-id" and entry.get("command") == "set-output":
            leg.artifacts.add(str(entry.get("arg", "")))
        if entry.get("raw_output") or entry.get("level") == "error":
            leg.outputs[outer] = (*leg.outputs.get(outer, ())[1 - _TAIL :], text)
        if text.startswith("Failed but continue"):
            leg.tolerated.add(outer)
        if outer and len(entry["stepID"]) == 1 and text.startswith("⭐"):
            leg.step, leg.since = _step(entry), time.monotonic()
        if "stepResult" in entry and outer and len(entry["stepID"]) == 1:
            leg.step = ""
            self._finished(leg, entry, outer)
        if "jobResult" in entry:
            # act has one result for a whole matrix: a sound leg is told "Job failed" when another failed before it.
            sound = bool(entry.get("matrix")) and leg.began and not leg.failed
            leg.outcome, leg.ended = "success" if sound else str(entry["jobResult"]), time.monotonic()

    def _finished(self, leg: Leg, entry: Mapping[str, Any], outer: str) -> None:
        """A step of the workflow's own ended; a step inside an action is that action's business."""
        failed = entry["stepResult"] == "failure"
        tolerated = outer in leg.tolerated
        if failed and not tolerated:
            leg.broken.setdefault(_step(entry), outer)
        if entry.get("stage") != "Main" and not failed:
            return
        leg.began = True
        word = {"success": "ok", "skipped": "skipped"}.get(str(entry["stepResult"]), "FAILED")
        word += ", and the job goes on" if failed and tolerated else ""
        seconds = float(entry.get("executionTime", 0)) / 1e9
        self._say(f"{self._workflow.stem} / {leg.label} · {_step(entry)} … {seconds:.1f} s {word}")


def _step(entry: Mapping[str, Any]) -> str:
    first = _SHA.sub(r"@\1", str(entry.get("step", "")).strip().partition("\n")[0])
    return first if len(first) <= _NAME else first[: _NAME - 1] + "…"


def sweep(tracking: str) -> None:
    """Kill what steps left behind, as GitHub's runner does by the same variable; Linux only, like /proc."""
    mark = f"RUNNER_TRACKING_ID={tracking}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # gone, or somebody else's
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                os.kill(int(folder.name), signal.SIGKILL)


def limit_of(job: Job) -> str:
    """`5 min`, as the workflow writes it."""
    return f"{job.limit / 60:g} min"
