"""The first optimizer steps: fresh gradients, all of them used, in the right direction, and by a sound amount."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import Skip
from ..report import Check, Finding, Level, after
from . import lossterms
from .judging import at, listed, meant, suspected
from .parameters import parameters_are_optimized

if TYPE_CHECKING:
    from .seen import Evidence

_FEW = 3  # steps at least before a pattern is one
_NOTHING = 1e-4  # of the gradient's length is left: a clip of 1e-6 leaves 1e-6 to 1e-4 (research, O09)
_LEFT = 1e-3  # of length: a clip of 0.1 to 10 leaves that of a loss in dollars too, and Adam asks for no more
_ACROSS = 0.02  # cosine between a step and its gradient: Adam's steps lie at -0.99 to -0.2, random ones at 0 +- 0.01
_SMALL = 1e-5  # of the weights' length in a step, and the loss stands still; the sound do 1e-4 to 1e-2 (research, 8)
_TINY = 1e-7  # no weight of float32 changes by less than 6e-8 of itself
_LARGE = 1.0  # a step as long as the weights themselves, and nothing is memorized
_JUMP = 10  # times the first loss, a loss that one step of such a length throws off
_APART = 30  # times smaller or larger than reviewed: lr / 3, half the width and a warm-up together make 12
_STANDS = 0.02  # of its size, a loss fell by less: it stands still
_EARLY = 20  # steps within which a rate falls to a hundredth, where the plan is not known
_PLAN = 0.1  # of the plan, likewise
_LONG = 50  # steps that a plan has at least, to be held against
_LOST = 0.5  # of 16-bit elements that have a gradient are after all steps what they were (research, P01)
_DECAY = 0.05  # of a weight is taken off at each step: half of it in 14 (research, O07)
_DROWNED = 30  # times the gradient, a coupled weight decay is; sound ones are below 1
# Optimizers of torch that add weight_decay to the gradient; others (AdamW, Lion, LAMB, Muon) take it off the weights.
_COUPLED = ("SGD", "Adam", "Adamax", "NAdam", "RAdam", "RMSprop", "Adagrad", "Adadelta", "ASGD")
_SHRINKING = (
    0.7  # cosine between a step and the way to 0; L2 that dominates gives 0.8 (Adam) to 1, sound steps 0 +- 0.2
)
_MORE = 0.02  # of the weights, more than when it was reviewed
_SCHEDULES = "schedules"  # the key in a reference's settings: `OneCycleLR=step`
_DEAD = 0.9  # of the weights get no gradient: more than a mixture that sends all to one of eight experts leaves out


class Stepped(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the steps on one set of parameters did; lists have a number for each step.

    `ratios`: length of the step by that of the weights, median over matrices. `along`: cosine between step and
    gradient. `shrink`: between step and the way to 0; `pull`: between gradient and weights; `decay`: length of weights
    by that of their gradient (medians too). `kept`: gradient's length at the step by that after backward; `left`: that
    at the step. `rates`: the
    highest of the groups' learning rates; `highest`: what the schedule comes to. `given`: the Trainer has it. `lost`:
    steps that began without the state of the one before. `stale`: parameters whose gradients were never emptied, of
    `windows` times that they were used. `lost_in_precision`: the share of elements of the 16-bit type `low` that had a
    gradient in every step and are what they were.
    """

    name: str = ""
    given: bool = True
    parameters: int = 0
    ratios: tuple[float, ...] = ()
    along: tuple[float, ...] = ()
    shrink: tuple[float, ...] = ()
    pull: tuple[float, ...] = ()
    decay: tuple[float, ...] = ()
    kept: tuple[float, ...] = ()
    left: tuple[float, ...] = ()
    rates: tuple[float, ...] = ()
    highest: float = 0.0
    windows: int = 0
    lost: int = 0
    stale: tuple[str, ...] = ()
    low: str = ""
    lost_in_precision: float = 0.0
    options: dict[str, float] = {}

    @property
    def steps(self) -> int:
        """How many steps were seen."""
        return len(self.ratios)

    @property
    def ratio(self) -> float:
        """The largest of `ratios`, each as it would be at the schedule's highest rate; NaN where none is known."""
        seen = [
            one * (self.highest / rate if 0 < rate < self.highest else 1)
            for one, rate in zip(self.ratios, self.rates)
            if math.isfinite(one) and rate > 0
        ]
        return max(seen, default=math.nan)


class Schedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A schedule tried ahead for `tried` of its own steps, of which the training plans `planned` (`by_epoch`: one
    in an epoch). `peak` is its step of the highest rate, where that is more than twice the first. From its step `low`
    on, to the end of the try, the rate is below 1 % of `highest`; None: never.
    """

    name: str = ""
    by_epoch: bool = False
    planned: float = math.inf
    tried: int = 0
    highest: float = 0.0
    peak: int = 0
    low: int | None = None


class Idle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An optimizer that never stepped while others did, and the names of what it holds."""

    name: str
    parameters: tuple[str, ...] = ()


class Optimizing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the first `count` steps of the training did: optimizers by the sets of parameters that they stepped on."""

    count: int = 0
    backwards: int = 0
    optimizers: tuple[Stepped, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    idle: tuple[Idle, ...] = ()


def gradients_are_fresh(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Each step uses the gradients of its own batch: zero_grad empties them before."""
    for one in _seen(seen).optimizers:
        if one.stale and one.windows >= _FEW:
            names = listed(one.stale, one.parameters, f"parameters of {one.name}")
            message = f"{names} still held the gradients of the step before when backward added to them"
            yield _in_step(Finding(message=message, hint=_STALE), seen)


_STALE = "Call optimizer.zero_grad() before each backward (or behind each step); does an own optimizer_zero_grad do so?"


def gradients_are_kept(seen: Evidence, config: Any) -> Iterator[Finding]:
    """What backward computed reaches the optimizer's step: nothing wipes it or clips it to nothing."""
    for one in _seen(seen).optimizers:
        kept = [share for share in one.kept if not math.isnan(share)]
        if len(kept) >= _FEW and not max(kept) > 0:
            message = f"backward computed gradients, and {one.name} found none of them in any of {len(kept)} steps"
            hint = "Is zero_grad called between backward and step? Or a hook that empties them?"
            yield _in_step(Finding(message=message, hint=hint), seen)
        elif len(kept) >= _FEW and not max(kept) > _NOTHING and not max(one.left, default=0.0) > _LEFT:
            message = f"gradients are cut to {max(kept):.1g} of their length before {one.name} steps"
            hint = "Look at gradient_clip_val: a usual one is 0.1 to 10."
            yield _in_step(Finding(message=message, hint=hint), seen)


@after(gradients_are_kept)
def gradients_reach(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Every trainable parameter gets a gradient."""
    told, steps = seen.probe, told_steps(seen)
    if steps is not None and not steps.optimizers:
        raise Skip("no optimizer took a step (parameters-move)")
    cut = {*told.parameters.disconnected, *told.parameters.twins} if told.parameters else set()
    # Gradients are looked at where Lightning has an optimizer step; of a module's own, nothing is told.
    own = steps is not None and any(not one.given for one in steps.optimizers)
    cut |= {name for one in steps.idle for name in one.parameters} if steps else set()  # parameters-move says it
    without = [name for name in told.without_gradient if name not in cut and not own]
    found = []
    if told.parameters and told.parameters.flat:
        message = f"{listed(told.parameters.flat, told.trainable)} begin as one number throughout"
        hint = "Units that begin alike get one gradient, or none at all; draw weights at random."
        flat = Finding(message=f"{message}: no gradient tells their units apart", hint=hint)
        return (yield at(flat, told.parameters.step))
    if without:
        message = f"{listed(without, told.trainable)} never got a gradient"
        found.append(_in_step(Finding(message=message, hint=_NO_GRADIENT), seen))
    if told.zero_gradient:
        named = listed(told.zero_gradient, told.trainable)
        message = f"{named}: the gradient is always 0, for {told.zero_share:.0%} of the weights"
        zero = _in_step(Finding(message=message, hint=_ZERO_GRADIENT), seen)
        before = float(seen.reference.settings.get("zero-gradients", "0")) if seen.reference else math.inf
        routed = all("expert" in name.lower() for name in told.zero_gradient)
        if not told.zero_share < _DEAD or (told.zero_share > before + _MORE and not routed):
            yield zero
        else:
            found.append(zero)
    reviewed = found and seen.reference is not None and not without
    yield from _quietly(found) if reviewed else suspected(found, gradients_reach, seen.reference)


def _quietly(found: list[Finding]) -> Iterator[Finding]:
    """Next to nothing more than when it was reviewed: a bias of a critic, a unit that died."""
    return (msgspec.structs.replace(one, level=Level.NOTICE) for one in found)


_NO_GRADIENT = "Look for detach(), no_grad(), .data or .item() on the way to the loss, and for layers never used."
_ZERO_GRADIENT = (
    "A factor of 0, weights that all start at 0, a clamp on the loss, a ReLU that is never on, an output that is"
    " dropped (`out[:, -1]` of a BiLSTM)? Experts that this batch is not routed to: [[tool.backburn.allow]]."
)


@after(gradients_are_kept)
def optimizer_descends(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Steps go against the gradient."""
    for one in _seen(seen).optimizers:
        along = [cosine for cosine, ratio in zip(one.along, one.ratios) if ratio > 0]
        if len(along) < _FEW or not min(along) > _ACROSS or _least(one.shrink) > _SHRINKING:
            continue  # of a decay that turns the steps, another check speaks
        maximize = " (maximize=True)" if one.options.get("maximize") else ""
        message = f"all {len(along)} steps of {one.name}{maximize} go along the gradient, so they make the loss larger"
        finding = Finding(message=f"{message}: cosine {min(along):.2f} to {max(along):.2f}", hint=_ASCENDS)
        known = seen.probe.sign > 0 or not maximize  # what is maximized on purpose is no loss of torch's
        yield from [_in_setup(finding, seen)] if known else suspected([finding], optimizer_descends, seen.reference)


_ASCENDS = "An optimizer minimises: leave out maximize=True, and whatever turns the sign of gradients."


@after(gradients_are_kept, parameters_are_optimized)
def parameters_move(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Every parameter that gets a gradient moves."""
    told, steps = seen.probe, told_steps(seen)
    if steps is not None and steps.backwards >= _LONG and not steps.optimizers:
        message = f"backward was called {steps.backwards} times, and no optimizer took a step"
        yield _in_step(Finding(message=message, hint="Manual optimization: call optimizer.step()."), seen)
        return
    if steps is not None and steps.optimizers and not any(any(one.rates) for one in steps.optimizers):
        raise Skip("the learning rate is 0 (learning-rate-holds)")
    idle = [_idle(one, seen) for one in steps.idle] if steps is not None else []
    yield from suspected(idle, parameters_move, seen.reference)
    if told.unmoved and not (steps and any(one.low and one.lost_in_precision > 0 for one in steps.optimizers)):
        yield _in_setup(
            Finding(
                message=f"{listed(told.unmoved, told.trainable)} got a gradient and never moved",
                hint="Does configure_optimizers hand them over? Is their learning rate 0, or too small?",
            ),
            seen,
        )
    if told.noisy:
        message = f"{listed(told.noisy, told.trainable)} did not move: the gradient is rounding noise"
        yield Finding(message=message, level=Level.NOTICE, hint="A bias before a normalisation layer has no effect.")


def _idle(one: Idle, seen: Evidence) -> Finding:
    steps = told_steps(seen)
    message = f"{one.name}, one of {seen.probe.optimizers} optimizers, took no step in {steps.count if steps else 0}"
    named = listed(one.parameters, seen.probe.trainable)
    return _in_step(Finding(message=f"{message}: {named} stay as they are", hint=_IDLE), seen)


_IDLE = "Manual optimization: each optimizer's step() is to be called. One that only begins later? Bless it."


@after(gradients_are_kept)
def updates_are_sized(seen: Evidence, config: Any) -> Iterator[Finding]:
    """A step changes the weights by a sound share of their size."""
    for one in _seen(seen).optimizers:
        yield from _odd_options(one, seen)
        if one.steps < _FEW or not any(one.rates) or one.lost_in_precision > _LOST:
            continue
        said = f"a step of {one.name} changes the weights by {one.ratio:.1g} of their size (usual: 1e-4 to 1e-2)"
        rate = f" at a learning rate of {max(one.rates):.3g}"
        if one.ratio < _TINY or (one.ratio < _SMALL and _stands(seen)):
            yield _in_setup(Finding(message=said + rate, hint="Far too small a learning rate?"), seen)
        elif one.ratio > _LARGE and (_diverges(seen) or (_jumps(seen) and not _searches(one))):
            hint = "Far too high a learning rate: try a hundredth."
            yield _in_setup(Finding(message=said + rate, hint=hint), seen)
        elif _searches(one):  # how far it goes is found out at each step
            continue
        elif one.ratio / _reviewed(one, seen) > _APART or _reviewed(one, seen) / one.ratio > _APART:
            message = f"{said}{rate}; when it was reviewed, {_reviewed(one, seen):.1g}"
            yield _in_setup(Finding(message=message, hint="Has the learning rate's unit changed?"), seen)


def _odd_options(one: Stepped, seen: Evidence) -> Iterator[Finding]:
    """Arguments outside of all use. Source: the defaults of torch, TensorFlow and the papers; research, O15."""
    get = one.options.get
    if "adam" not in one.name.lower():
        return
    betas = get("beta1", 0.9), get("beta2", 0.999)
    if betas[0] >= 0.99 and betas[0] > betas[1]:
        message = f"{one.name} has betas {betas}: the first is larger than the second"
        yield _in_setup(Finding(message=message, hint="Usual: (0.9, 0.999). Swapped?"), seen)
    if get("eps", 0.0) > 1e-2:
        message = f"{one.name} has eps {get('eps', 0.0):.3g}: larger than most gradients, so it hardly adapts"
        finding = _in_setup(Finding(message=message, hint="Usual: 1e-8, or 1e-6 in low precision."), seen)
        yield from suspected([finding], updates_are_sized, seen.reference)


def learning_rate_holds(seen: Evidence, config: Any) -> Iterator[Finding]:
    """The learning rate is above 0, and stays so for a sensible share of the training."""
    steps = _seen(seen)
    for one in steps.schedules:
        plan = f" of {one.planned:.0f}" if one.planned < math.inf else ""
        # Of epochs without a plan nothing is told: StepLR(1, 0.7) for 14 of them is the one of torch's MNIST example.
        early = 0 if one.by_epoch else _EARLY
        within = _PLAN * one.planned if _LONG <= one.planned < math.inf else early if one.planned == math.inf else 0
        if not one.highest > 0:
            message = f"{one.name} holds the learning rate at 0 in all of {one.tried} steps"
            yield _in_setup(Finding(message=message, hint="A warm-up that never ends?"), seen)
        elif one.low is not None and one.low <= within:
            message = f"{one.name} brings the learning rate below 1 % of its highest at its step {one.low}{plan}"
            yield _in_setup(Finding(message=message, hint=_COLLAPSES), seen)
        elif one.peak > one.planned:
            message = f"{one.name} warms up for {one.peak} of its steps, and the training has {one.planned:.0f} of them"
            finding = _in_setup(Finding(message=message, hint=_WARMS), seen)
            yield from suspected([finding], learning_rate_holds, seen.reference)
    yield from _otherwise_stepped(seen)
    for group in steps.optimizers:
        if group.steps >= _FEW and not any(group.rates) and not any(not one.highest > 0 for one in steps.schedules):
            message = f"the learning rate of {group.name} is 0 in all of its {group.steps} first steps"
            yield _in_setup(Finding(message=message, hint="A warm-up that never ends?"), seen)
        elif group.steps >= _FEW and group.rates[-1] < 0.01 * max(group.rates):
            message = f"the learning rate of {group.name} fell from {max(group.rates):.3g} to {group.rates[-1]:.3g}"
            yield _in_setup(Finding(message=f"{message} in {group.steps} steps", hint=_COLLAPSES), seen)


def _otherwise_stepped(seen: Evidence) -> Iterator[Finding]:
    """A schedule that was stepped at each batch when it was reviewed, and is at each epoch now, or the reverse."""
    before = seen.reference.settings.get(_SCHEDULES, "").split() if seen.reference else []
    for one in _seen(seen).schedules:
        others = [other for other in before if other.partition("=")[0] == one.name]
        if others and _stepped(one) not in others:
            was = others[0].partition("=")[2]
            message = (
                f"{one.name} is stepped by {_stepped(one).partition('=')[2]}, and was by {was} when it was reviewed"
            )
            yield _in_setup(meant(Finding(message=message, hint=_WARMS)), seen)


def _stepped(one: Schedule) -> str:
    return f"{one.name}={'epoch' if one.by_epoch else 'step'}"


_WARMS = 'Is a schedule of steps stepped once an epoch? {"scheduler": …, "interval": "step"} steps it at each batch.'
_COLLAPSES = 'Is a schedule of epochs stepped at each batch? {"scheduler": …, "interval": "epoch"} steps it by epoch.'


def optimizer_keeps_state(seen: Evidence, config: Any) -> Iterator[Finding]:
    """The optimizer keeps its state (moments, momentum) from step to step."""
    for one in _seen(seen).optimizers:
        if one.steps > _FEW and one.lost >= one.steps - 1:
            message = f"{one.name} began all of its {one.steps} steps anew: what it keeps (moments, momentum) is lost"
            yield _in_step(Finding(message=message, hint="Is it made in each step, or its state cleared?"), seen)


def precision_keeps_updates(seen: Evidence, config: Any) -> Iterator[Finding]:
    """The parameters' precision is fine enough for the optimizer's steps."""
    for one in _seen(seen).optimizers:
        rounds = one.lost_in_precision > (0 if seen.probe.unmoved else _LOST)  # of which whole parameters
        if one.steps >= _FEW and any(one.rates) and rounds:
            message = (
                f"{one.lost_in_precision:.0%} of the {one.low} weights that get a gradient are after {one.steps} steps"
            )
            hint = "Keep parameters in float32 (precision='bf16-mixed' instead of 'bf16-true'), or raise the rate."
            yield _in_setup(Finding(message=f"{message} of {one.name} what they were before", hint=hint), seen)


def decay_is_small(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Weight decay, or a penalty on the weights, does not dominate the loss."""
    yield from lossterms.penalised(seen)
    for one in _seen(seen).optimizers:
        get = one.options.get
        weight, rate = get("weight_decay", 0.0), max(one.rates, default=0.0)
        drowned, shrink, pull = weight * _least(one.decay), _least(one.shrink), _least(one.pull)
        usual = "Usual: 0 to 0.1."
        if weight * rate > _DECAY:
            message = f"{one.name} takes {weight * rate:.0%} off the weights at each step: weight_decay {weight:g}"
            yield _in_setup(Finding(message=f"{message} times a learning rate of {rate:.3g}", hint=usual), seen)
        elif one.steps >= _FEW and drowned > _DROWNED and one.name in _COUPLED and not get("decoupled_weight_decay"):
            message = f"weight_decay {weight:g} of {one.name} is {drowned:.0f} times the gradient of the loss"
            yield _in_setup(Finding(message=message, hint=usual), seen)
        elif one.steps >= _FEW and shrink > _SHRINKING and pull > _SHRINKING:
            message = f"the gradient points from 0 to the weights (cosine {pull:.2f}): a penalty on them dominates"
            yield _in_step(Finding(message=message, hint="Lower the factor of the L2 or L1 term."), seen)


def kept(seen: Evidence) -> dict[str, str]:
    """What a reference notes of this look: settings by name."""
    steps = told_steps(seen)
    sizes = [f"{one.name}={one.ratio:.2g}" for one in steps.optimizers if one.ratio > 0] if steps else []
    noted = {"zero-gradients": f"{seen.probe.zero_share:.3f}"}
    stepped = [_stepped(one) for one in steps.schedules] if steps else []
    noted |= {_SCHEDULES: " ".join(stepped)} if stepped else {}
    return noted | ({"updates": " ".join(sizes)} if sizes else {})


def _reviewed(one: Stepped, seen: Evidence) -> float:
    """The size of this optimizer's updates in the reference; NaN where it notes none."""
    noted = seen.reference.settings.get("updates", "").split() if seen.reference else []
    sizes = [float(size) for name, _, size in (entry.partition("=") for entry in noted) if name == one.name]
    return sizes[0] if len(sizes) == 1 else math.nan


def _least(values: tuple[float, ...]) -> float:
    """The least of those that are known; 0 where none is."""
    return min((one for one in values if not math.isnan(one)), default=0.0)


def _seen(seen: Evidence) -> Optimizing:
    return seen.look("optimizing", Optimizing)


def told_steps(seen: Evidence) -> Optimizing | None:
    """The record of the first steps; None where there is none."""
    return seen.probe.optimizing


def _stands(seen: Evidence) -> bool:
    """Whether the loss did not fall to speak of."""
    losses = seen.probe.losses
    return bool(losses) and losses[0] - min(losses) < _STANDS * abs(losses[0])


def _diverges(seen: Evidence) -> bool:
    """Whether nothing was memorized, and the loss is no lower at the end than at the start."""
    losses = seen.probe.losses
    return bool(losses) and seen.probe.ended != "memorized" and not losses[-1] < losses[0]


def _jumps(seen: Evidence) -> bool:
    """Whether the first steps made the loss ten times larger."""
    losses = seen.probe.losses[: _FEW + 1]
    return bool(losses) and losses[0] > 0 and not max(losses) <= _JUMP * losses[0]


def _searches(one: Stepped) -> bool:
    """Whether a step is many: L-BFGS tries on the way how far to go, and may begin far off."""
    return "lbfgs" in one.name.lower()


def _in_step(finding: Finding, seen: Evidence) -> Finding:
    """The finding, where training_step is."""
    told = seen.probe.parameters
    return at(finding, told.step) if told else finding


def _in_setup(finding: Finding, seen: Evidence) -> Finding:
    """The finding, where configure_optimizers is."""
    told = seen.probe.parameters
    return at(finding, told.optimizer) if told else finding


CHECKS: tuple[Check, ...] = (
    gradients_are_fresh,
    gradients_are_kept,
    gradients_reach,
    optimizer_descends,
    parameters_move,
    updates_are_sized,
    learning_rate_holds,
    optimizer_keeps_state,
    precision_keeps_updates,
    decay_is_small,
)
