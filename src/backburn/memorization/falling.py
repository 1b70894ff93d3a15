"""The loss while the batch is memorized: finite, not below its bound, and as far down as memorizing takes it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import Skip, Unjudged
from ..report import Finding, Level, after
from .judging import Where, at, suspected

if TYPE_CHECKING:
    from .seen import Evidence, Told

# Of its size: what a loss without a known floor has to fall by (research, section 3: VAE 0.69, flow 0.33).
_PROGRESS = 0.1
_MOST = 0.5  # of its size, likewise, where targets move (bootstrapped values, a teacher's)
_FAR = 30  # times the steps: what is extrapolated to reach its mark by then is slow, not stuck; SGD at 1e-3 takes 10
_ROOMY = 10  # trainable numbers for each sample, at least: fewer may well be unable to memorize
_ADAPTED = 0.8  # of the weights are frozen: LoRA on a small base with random weights, as tests have it, leaves 0.96
_TOLERANCE = 0.01  # of the way from the first loss to the bound: bfloat16 keeps 8 bits
_MEMORIZED, _LATE = "memorized", "late"


class Origin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a loss that is no number comes from. `kind`: parameter, batch, forward, loss or step."""

    kind: str
    name: str
    type: str = ""
    largest: float = 0.0
    where: Where = ("", 0)


def loss_is_finite(seen: Evidence, config: Any) -> Iterator[Finding]:
    """The loss is a finite number at every step."""
    told = seen.probe
    if told.ended == "no-gpu":
        raise Skip("nothing was trained")
    if not told.losses and told.manual:
        raise Skip("no loss was seen: this training optimizes manually and logs none")
    if not told.losses:
        hint = "Return it on every path: Lightning goes on without a word where it is None."
        yield Finding(message="training_step returned no loss, so nothing is learned", hint=hint)
    for step, loss in enumerate(told.losses, 1):
        if not math.isfinite(loss):
            before = f" (before: {told.losses[step - 2]:.4g})" if step > 1 else ""
            said = f"the loss is {loss} at step {step}{before}{_from(told.origin)}"
            finding = Finding(message=said, hint=_NOT_FINITE[step > 1])
            return (yield at(finding, told.origin.where) if told.origin else finding)
    calls = told.loss_calls
    if calls is not None and calls.underflows:
        made = calls.underflows.lower()
        message = f"the loss takes the logarithm of a {made}: infinite as soon as a probability rounds to 0"
        finding = at(Finding(message=message, hint=_UNDERFLOWS), calls.step)
        yield from suspected([finding], loss_is_finite, seen.reference)


def _from(origin: Origin | None) -> str:
    if origin is None:
        return ""
    return {
        "parameter": f"; the parameter {origin.name} holds NaN or infinity",
        "batch": f"; {origin.name} holds NaN or infinity",
        "forward": f"; it first appears in {origin.name} ({origin.type}): inputs finite, at most {origin.largest:.3g}",
        "loss": f"; what {origin.name} was given is finite, and what it returned is not",
        "step": "; every module's output is finite: it comes from training_step itself",
    }.get(origin.kind, "")


_NOT_FINITE = (
    "At the first step, before anything moved: look for NaN in the batch, log(0) or a division by 0.",
    "It began finite: the learning rate may be too high, or a logarithm, root or exponential overflows.",
)


_UNDERFLOWS = "Use log_softmax, logsigmoid, or cross_entropy on logits: they take logarithms before they round."


@after(loss_is_finite)
def loss_above_bound(seen: Evidence, config: Any) -> Iterator[Finding]:
    """The loss stays above its lower bound."""
    told = seen.probe
    if told.sign < 0:
        raise Skip(f"training_step returned {told.functions}")
    if told.bound is None:
        raise Skip(f"its lower bound is unknown: {_why_unknown(told)}")
    lowest = min(told.losses)
    if not lowest >= told.bound - _TOLERANCE * abs(told.losses[0] - told.bound):
        yield Finding(
            message=f"the loss fell to {lowest:.4g}, below {told.bound:.4g}, the least that {told.functions} can be",
            hint="Look at what the loss function is given: nll_loss takes logarithms, binary_cross_entropy shares.",
        )


def _why_unknown(told: Told) -> str:
    if told.manual:
        return "manual optimization is not looked into"
    if not told.functions:
        return "none of torch's loss functions that have one was seen on the way to what training_step returned"
    return f"training_step returned something else than a steady sum of {told.functions}"


def loss_falls(seen: Evidence, config: Any) -> Iterator[Finding]:
    """The loss falls as far as memorizing takes it."""
    told = seen.probe
    if told.optimizers > 1:
        raise Skip(f"{told.optimizers} optimizers: one's loss may rise because another's falls")
    if not told.losses:
        raise Skip("no loss was seen")
    floor = config.floor if config.floor is not None else told.bound
    first, best = told.losses[0], min(told.losses)
    if floor is None or (config.floor is None and _is_of_pairs(told)):
        return (yield from _without_floor(seen))
    if told.ended == _MEMORIZED or _falls(told.losses, floor, first - floor, config):
        return
    if told.constant is not None and first - floor <= config.threshold * (told.constant - floor):
        if told.constant > floor:
            raise Skip(f"it starts at its floor: {first:.4g}, where guessing costs {told.constant:.4g} (fine-tuning?)")
    need = floor + config.threshold * (first - floor)
    message = f"the loss fell from {first:.4g} to {best:.4g} in {told.steps} steps; memorizing takes {need:.4g}"
    if told.ended == _LATE:
        raise Unjudged(f"{message}, for which there was no time", hint="A smaller batch, model or picture is faster.")
    needed = _needed(told.losses, floor, need)
    if needed <= _FAR * config.steps:
        said = f"{message}: at this rate about {needed:,.0f} steps"
        return (yield Finding(message=said, level=Level.WARNING, hint="It is only slow: raise `steps`."))
    if told.loss_calls and told.loss_calls.drawn and progress(told.losses) >= _MOST:
        said = f"{message}; its targets follow from the model itself, and move with it"
        return (yield Finding(message=said, level=Level.WARNING, hint="Raise `steps`, if it is only slow."))
    if few := _few(told):
        finding = Finding(message=f"{message}, with {few}", hint=_STUCK)
        return (yield from suspected([finding], loss_falls, seen.reference))
    yield Finding(message=message, hint=_STUCK)


def _few(told: Told) -> str:
    """What may well be too little to memorize with: few numbers, or adapters on a frozen base that knows nothing."""
    if 0 < told.elements < _ROOMY * _rows(told):
        return f"{told.elements:,} trainable numbers for {_rows(told)} samples"
    still = told.parameters.still if told.parameters else 0.0
    return f"{still:.0%} of the weights frozen" if still > _ADAPTED else ""


_STUCK = (
    "Learning rate, frozen layers, labels that do not belong to the inputs? A loss that cannot fall so far: set `floor`"
    " in [tool.backburn.memorize] to what it can come down to."
)


def _without_floor(seen: Evidence) -> Iterator[Finding]:
    """A loss whose least value is not known (a VAE's, a likelihood's, a policy's) has to fall at all."""
    told = seen.probe
    done = progress(told.losses)
    before = seen.reference.runs("progress")[0] if seen.reference and seen.reference.runs("progress") else None
    if done >= _PROGRESS or (before is not None and done >= before / 3):
        return
    message = f"the loss went from {told.losses[0]:.4g} to {min(told.losses):.4g} in {told.steps} steps"
    said = f"{message}: {done:.1%} of its size, which is next to nothing"
    yield from suspected([Finding(message=said, hint=_STUCK)], loss_falls, seen.reference)


def _is_of_pairs(told: Told) -> bool:
    """Whether samples are told from each other by their likeness: cosines by a temperature (SimCLR's 0.5) are bounded,
    so that loss stays far above 0, which is a bound of it all the same.
    """
    calls = told.loss_calls.calls if told.loss_calls else ()
    size = told.loss_calls.size if told.loss_calls else 1
    return any(
        one.counts and one.name == "cross_entropy" and one.targets > 1 and not one.taken and one.classes >= max(size, 2)
        for one in calls
    )


def progress(losses: Sequence[float]) -> float:
    """How far a loss fell, as a share of its size: 0 to 1 of one that stays above 0, more of one that crosses it."""
    low = min(losses)
    size = max(abs(losses[0]), abs(low))
    return (losses[0] - low) / size if size and math.isfinite(size) else 0.0


def _rows(told: Told) -> int:
    return max(told.batch.rows, 1) if told.batch else 1


def _falls(losses: Sequence[float], floor: float, way: float, config: Any) -> bool:
    """(loss - floor) / (first - floor) < threshold for `running` steps in a row."""
    low = [way > 0 and loss - floor < config.threshold * way for loss in losses]
    return any(all(low[i : i + config.running]) for i in range(len(low) - config.running + 1))


def _needed(losses: Sequence[float], floor: float, need: float) -> float:
    """Steps until a loss that goes on as in the second half of its steps is below `need`; inf where it stands still.

    A line through log(loss - floor), by least squares; what is within three standard errors of level stands still.
    """
    half = [math.log(max(loss - floor, 1e-12)) for loss in losses[len(losses) // 2 :]]
    count = len(half)
    if count < 10 or need <= floor or not all(map(math.isfinite, half)):
        return math.inf
    middle, level = (count - 1) / 2, math.fsum(half) / count
    across = math.fsum((i - middle) ** 2 for i in range(count))
    slope = math.fsum((i - middle) * (one - level) for i, one in enumerate(half)) / across
    rest = math.fsum((one - level - slope * (i - middle)) ** 2 for i, one in enumerate(half))
    error = math.sqrt(rest / (count - 2) / across)
    if not slope < -3 * error:
        return math.inf
    return len(losses) + max(0.0, (math.log(need - floor) - half[-1]) / slope)


def figures(seen: Evidence) -> dict[str, float]:
    """What a reference notes in numbers."""
    losses = seen.probe.losses
    told = {"steps": float(seen.probe.steps)}
    return told | {"progress": progress(losses)} if losses and all(map(math.isfinite, losses)) else told
