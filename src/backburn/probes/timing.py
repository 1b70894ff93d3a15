"""Time a few steps as they are: each step, the wait for its batch, Lightning's sections, and a trace of three more."""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import time
from collections.abc import Callable
from typing import Any

from .counting import limit_validation
from .machine import resident_memory

_TRACED = 3  # steps, behind the timed ones: 4 MB of a small network's, and time for what the first one starts


class Timing:
    """The timing pass of one fit: `warmup` training batches, then `timed`, over as many epochs as that takes."""

    def __init__(self, trainer: Any, pl_module: Any, package: str, *, warmup: int, timed: int, trace: str) -> None:
        self.trainer, self.path = trainer, trace
        self.here = pl_module.device
        self.warmup, self.last = warmup, warmup + timed
        self.now = clock(self.here)
        self.moments: list[tuple[int, float, float, float]] = []  # epoch, start and end of each step, busy
        self.started = self.worked = 0.0
        self.epoch = self.in_epoch = 0
        self.about: dict[str, Any] = {}
        self.profile: Any = None
        self.trace = ""
        self.profiler = trainer.profiler = importlib.import_module(f"{package}.profilers").SimpleProfiler()
        limit_validation(trainer, 1)
        trainer.fit_loop.max_epochs = -1

    @property
    def done(self) -> bool:
        """Whether all steps were timed."""
        return bool(self.about)

    def before_step(self, batch: Any) -> None:
        """A step begins: its batch is on the device."""
        self.in_epoch += 1
        self.started, self.worked = self.now(), time.thread_time()

    def after_step(self) -> None:
        """It is over."""
        self.moments.append((self.epoch, self.started, self.now(), time.thread_time() - self.worked))
        if len(self.moments) == self.warmup:
            self._begin()
        elif len(self.moments) == self.last:
            self._end()
        elif len(self.moments) == self.last + _TRACED:
            self.trainer.should_stop = True

    def _begin(self) -> None:
        import torch

        self.profiler.recorded_durations.clear()
        if self.here.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.here)

    def _end(self) -> None:
        """Take what there is, before the trace costs time and memory."""
        import torch

        peak = torch.cuda.max_memory_allocated(self.here) if self.here.type == "cuda" else 0
        self.about = {"peak_memory": peak, "resident_memory": resident_memory(), "sections": self._sections()}
        if not self.path:
            self.trainer.should_stop = True
            return
        activities = [torch.profiler.ProfilerActivity.CPU]
        if self.here.type == "cuda":
            activities.append(torch.profiler.ProfilerActivity.CUDA)
        self.profile = torch.profiler.profile(activities=activities, record_shapes=True)
        self.profile.start()

    def _sections(self) -> dict[str, tuple[int, float]]:
        """Action -> calls and seconds; without what the probe itself is called for."""
        recorded = self.profiler.recorded_durations.items()
        return {name: (len(all_), math.fsum(all_)) for name, all_ in recorded if "ProfileProbe" not in name}

    def validated(self, batch: Any) -> None:
        """A batch of validation data is here."""

    def epoch_over(self) -> None:
        """An epoch is over; a loader that gives nothing any more would go on for ever."""
        if not self.in_epoch:
            self.trainer.should_stop = True
        self.epoch, self.in_epoch = self.epoch + 1, 0

    def close(self) -> None:
        """End the trace, and write it."""
        if self.profile is None:
            return
        self.profile.stop()
        try:
            self.profile.export_chrome_trace(self.path)
            self.trace = os.path.basename(self.path)
        except (OSError, RuntimeError):  # a full disk takes the trace, not the times: they need what it took of it
            with contextlib.suppress(OSError):
                os.remove(self.path)
        self.profile = None

    def record(self) -> dict[str, Any]:
        """Plain data. A wait is from the end of a step to the start of the next in the same epoch; busy is what the
        main thread worked of a step, which others on the machine hardly change.
        """
        timed = range(self.warmup, min(self.last, len(self.moments)))
        pairs = [(self.moments[one - 1], self.moments[one]) for one in timed if one]
        return self.about | {
            "steps": [self.moments[one][2] - self.moments[one][1] for one in timed],
            "busy": [self.moments[one][3] for one in timed],
            "waits": [here[1] - before[2] for before, here in pairs if before[0] == here[0]],
            "trace": self.trace,
        }


def clock(device: Any) -> Callable[[], float]:
    """Seconds, taken when the device has done all that it was given."""
    import torch

    wait = {"cuda": lambda: torch.cuda.synchronize(device), "mps": torch.mps.synchronize}.get(device.type)
    if wait is None:
        return time.perf_counter

    def now() -> float:
        wait()
        return time.perf_counter()

    return now
