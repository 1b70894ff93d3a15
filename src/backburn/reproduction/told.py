"""What the reproduce probe told of one run, and the figures in it that are compared."""

from __future__ import annotations

import math

import msgspec

from .. import comparison, training
from ..references import Machine

Points = tuple[tuple[int, float], ...]  # (training batches since the start, value), steps ascending
WHOLE = ("fit", "budget")  # how a run ends that is held against a reference: all of it, or as far as its hours went


class Told(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the probe saw of one run. `ended`: running, fit (the last fit came to its end), until (the step that it was
    asked to end at), budget (its time was up), exception or no-gpu.

    `ulp` is the number of the perturbation by one rounding that its weights began with, 0 for none, and `recording`
    the part of `seconds` that its steps were written down in; `unrecorded` says why that came to an end, if it did.
    `start` is how many training batches a checkpoint had behind it as this process began to count its own. `shift`
    was added to the seeds that the script asked for (`seeded`). `losses`, `rates` (learning rate) and `norms` (of
    the whole gradient, before clipping) are at the steps of one fixed grid; a mean is over the steps since half of
    its own, (s/2, s], the last one's may be shorter. `metrics` are those at the end, tests included; `validations`
    those of each validation. `samples` is how many one validation saw. Memory is in bytes.
    """

    ended: str
    shift: int = 0
    ulp: int = 0
    seeded: tuple[int, ...] = ()
    steps: int = 0
    planned: int = 0
    epochs: int = 0
    seconds: float = 0.0
    recording: float = 0.0
    unrecorded: str = ""
    start: int = 0
    losses: Points = ()
    means: Points = ()
    rates: Points = ()
    norms: Points = ()
    metrics: dict[str, float] = {}
    validations: dict[str, Points] = {}
    samples: int = 0
    settings: dict[str, str] = {}
    data: dict[str, str] = {}
    device: str = ""
    machine: Machine | None = None
    peak_memory: int = 0
    kind: str = "reproduce-probe"
    schema: int = 1


def is_whole(ended: training.Ended, told: Told | None) -> bool:
    """Whether a run came to its end, or to that of its hours, and nothing went wrong on the way."""
    return told is not None and told.ended in WHOLE and told.steps > 0 and not ended.code and not ended.timed_out


def how_far(ended: training.Ended, told: Told | None) -> str:
    """`reached at least step 700 of 1000`."""
    if told is None:
        return f"{'`prepare`' if ended.prepare else 'no fit was seen; it'} took {ended.seconds:.0f} s"
    of_planned = f" of {told.planned}" if told.planned > 0 else ""
    came = {"fit": "the fit ended at", "running": "reached at least"}  # that one was told up to 30 s before
    return f"{came.get(told.ended, 'reached')} step {told.steps}{of_planned}"


def coverage(told: Told) -> str:
    """How much of a training its hours were enough for: `47 % of 1000 steps`; empty where it came to its end."""
    if told.ended != "budget":
        return ""
    return f"{100 * told.steps / told.planned:.0f} % of {told.planned} steps" if told.planned else f"{told.steps} steps"


def not_finite(told: Told) -> str:
    """What is first no finite number, and when; empty where all are."""
    several = {"the loss": told.losses, "the mean loss since half that step": told.means} | told.validations
    points = [(step, value, name) for name, many in several.items() for step, value in many if not math.isfinite(value)]
    if points:
        step, value, name = min(points, key=lambda point: point[0])
        return f"{name} is {value} at step {step} of {told.steps}"
    return next((f"{name} is {one} at the end" for name, one in told.metrics.items() if not math.isfinite(one)), "")


def seed(told: Told, otherwise: int) -> int:
    """The seed that a run had: the first that its script asked for, or the one that was set for it."""
    return (told.seeded[0] if told.seeded else otherwise) + told.shift


def figures(told: Told) -> dict[str, float | int]:
    """What is compared, by the names that it has in a reference, at the steps of the training, not of this process.

    A run that was ended early has no end to compare.
    """
    points = {"loss": told.losses, "mean loss": told.means, "rate": told.rates, "norm": told.norms}
    at_steps = {f"{name}@{told.start + step}": value for name, many in points.items() for step, value in many}
    if told.ended != "fit":
        return at_steps
    final = {f"final {name}": value for name, value in told.metrics.items() if not comparison.is_clock(name)}
    begun = {"start": told.start} if told.start else {}
    return {"steps": told.start + told.steps, "samples": told.samples, **begun, **final, **at_steps}
