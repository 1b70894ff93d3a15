"""The terms of the loss: by which sign and factor each enters, where it begins, and which were reviewed.

They are read from the loss's graph, so that a loss which is written by hand has them, too.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import Skip
from ..report import Check, Finding
from . import pulls
from .judging import Where, at, meant, suspected
from .losscalls import DISTANCES, NOTED, LossCalls, Term, terms_of, told_loss, used_calls

if TYPE_CHECKING:
    from .seen import Evidence

_TINY, _LARGE = 1e-3, 10.0  # factor of a loss that is a mean (research, section 4, row 4)
_HIGH = 3.0  # times chance (row 5); healthy programs of the benchmark start below 2
_SQUARES_HIGH = 10.0  # times E[y^2] (row 5)
_ABSURD = 20.0  # times chance; tied embeddings reach 29 / 2.8 = 10 (research, section 3)
_SCALED = 50.0  # of inputs, in absolute value (research, section 4, row 1): what is beyond is their fault
_CHANGED = 6.0  # times the first loss that was reviewed: half or twice the batch doubles a sum, width 2 less than that
_USED, _UNUSED = "loss calls", "loss calls: unused"  # keys in a reference's settings
_SUNK = 10.0  # times below it: one start in 20 of a hinge loss is 5 times below another by chance


_REACH = "loss reach"  # the key in a reference's settings


def loss_sign(seen: Evidence, config: Any) -> Iterator[Finding]:
    """The loss falls as outputs come closer to their targets."""
    early, late = seen.probe.loss_calls or LossCalls(), seen.probe
    where = early.used[0].where if early.used else early.step
    if early.sign < 0 or late.sign < 0:
        message = f"training_step returned {early.functions or late.functions}: minimised with the wrong sign"
        return (yield at(Finding(message=message, hint=_SIGN), where))
    told = told_loss(seen)
    before = seen.reference.settings.get("loss ways", "").split() if seen.reference else []
    now, flipped = _ways(told), _ways(told, -1)
    first = seen.reference.runs("loss: first") if seen.reference else ()
    # The same written by hand may well be a product of two other signs; its value is the same then.
    if before and before == flipped != now and first and (told.value or 0.0) * first[0] < 0:
        message = f"each term of the loss ({told.value or 0:.4g}) has the other sign than when it was reviewed"
        return (yield at(Finding(message=message, hint=_SIGN), where))
    if first and _mirrored(seen, told.value or 0.0, first[0]):
        message = f"the first loss is {told.value:.4g}; when it was reviewed it was {first[0]:.4g}, and stayed above 0"
        return (yield at(Finding(message=message, hint=_SIGN), where))
    if turned := _turned(told, before):
        message = f"{turned} lower the loss, and raised it when it was reviewed: a term with the other sign"
        return (yield at(meant(Finding(message=message, hint="A penalty is added, a likelihood subtracted.")), where))
    if found := list(pulls.turned(seen, where)):
        return (yield from found)
    if not told.known:
        raise Skip("the loss has terms that are not known")
    terms = [one for one in told.terms if one.sign or one.kind != "weights"]
    if terms and all(one.sign < 0 for one in terms):
        kinds = ", ".join(dict.fromkeys(_KINDS[one.kind] for one in terms))
        message = f"the loss ({told.value or 0:.4g}) falls as {kinds}: minimised with the wrong sign"
        yield at(Finding(message=message, hint=_BY_HAND), where)


def _turned(told: LossCalls, before: Sequence[str]) -> str:
    """A kind of term that entered with the right sign alone, of which one has the wrong one now, for all elements."""
    now = _ways(told)
    for kind in sorted({one.kind for one in told.terms if one.sign < 0} & set(_RAISE)):
        right, wrong = f"{kind}+", f"{kind}-"
        if right in before and wrong not in before and before.count(right) == now.count(right) + now.count(wrong):
            return _RAISE[kind]
    return ""


def _mirrored(seen: Evidence, value: float, first: float) -> bool:
    """Whether a loss that never came below 0 begins about as far below as it began above."""
    fell = seen.reference.runs("progress") if seen.reference else ()
    return bool(fell) and first > 0 and fell[0] <= 1 and abs(value + first) <= first / 2


def _ways(told: LossCalls, times: int = 1) -> list[str]:
    """`classes+ other-`: the terms whose derivative has one sign, and which."""
    return sorted(f"{one.kind or 'other'}{'+' if one.way * times > 0 else '-'}" for one in told.terms if one.way)


_RAISE = {"squares": "squares", "distances": "absolute values", "hinges": "hinges", "classes": "unlikely classes"}
_RAISE["binary"] = "unlikely answers"
_SIGN = "Return the loss itself; an optimizer minimises."
_BY_HAND = "An optimizer minimises: of squares that is their mean, of probabilities the mean of -log p."
_KINDS = {
    "classes": "the right class gets less likely",
    "binary": "the right answer gets less likely",
    "squares": "squared errors grow",
    "distances": "errors grow",
    "hinges": "margins are violated more",
    "alignments": "the right alignment gets less likely",
    "weights": "weights grow",
}


def loss_scale(seen: Evidence, config: Any) -> Iterator[Finding]:
    """The loss depends on the outputs, by a factor that neither hides it nor blows it up."""
    told = told_loss(seen)
    terms = [one for one in told.terms if one.kind != "weights"]
    largest = max((one.factor for one in terms), default=1.0)
    where = told.used[0].where if told.used else told.step
    if largest == 0:
        if told.value:  # margins that are all kept have a loss of 0
            message = f"the loss is {told.value:.4g} and its gradient is 0: a clamp, or a factor of 0"
            yield at(Finding(message=message, hint="Clamp what goes into the logarithm, not the loss."), where)
    elif largest < _TINY:
        message = f"outputs enter the loss by a factor of {largest:.2g}: gradients drown in rounding and Adam's eps"
        yield at(Finding(message=message, hint="Leave the factor out; a rate belongs to the optimizer."), where)
    else:
        yield from suspected(_out_of_scale(told, terms, where), loss_scale, seen.reference)


def detached(seen: Evidence) -> Iterator[Finding]:
    """Outputs that do not reach the loss, where a penalty on the parameters lets each of them get a gradient."""
    told = seen.probe.loss_calls
    if told is None or not told.calls or not told.terms:
        return
    if all(one.kind == "weights" for one in told.terms):
        one = told.calls[0]
        message = f"the loss depends on the size of parameters alone; {one.name} gets outputs without a gradient"
        yield at(Finding(message=message, hint="Look for detach(), .data, no_grad() or .item()."), one.where)


def cut_off(seen: Evidence) -> Iterator[Finding]:
    """A call that gave parameters a gradient when it was reviewed, which now only other terms of the loss give them."""
    told, parameters = seen.probe.loss_calls, seen.probe.parameters
    words = seen.reference.settings.get(_REACH, "").split() if seen.reference else []
    if told is None or parameters is None or f"of={parameters.trainable}" not in words:
        return
    for word in _reach(told):
        name, _, now = word.partition("=")
        before = next((other.partition("=")[2] for other in words if other.startswith(f"{name}=")), now)
        pairs = list(zip(map(int, before.split(",")), map(int, now.split(","))))
        if before.count(",") == now.count(",") and any(more > few for few, more in pairs):
            few, more = next((few, more) for few, more in pairs if more > few)
            message = f"{more - few} parameters get no gradient of {name} any more, as they did when reviewed"
            hint = "Look for detach(), no_grad(), .data or .item() between them and it."
            where = next((one.where for one in told.used if one.name == name), told.step)
            yield at(meant(Finding(message=message, hint=hint)), where)


def _reach(told: LossCalls) -> list[str]:
    """`mse_loss=0,4`: of each function, the parameters that each of its calls does not reach."""
    names = dict.fromkeys(one.name for one in told.used)
    calls = {name: sorted(one.unreached for one in told.used if one.name == name) for name in names}
    return [f"{name}={','.join(map(str, many))}" for name, many in calls.items()]


def _out_of_scale(told: LossCalls, terms: Sequence[Term], where: Where) -> Iterator[Finding]:
    if terms and all(one.kind and one.factor > _LARGE * max(one.size, 1) for one in terms):
        message = f"outputs enter the loss by a factor of {max(one.factor for one in terms):.3g} (usual: 1 of a mean)"
        yield at(Finding(message=message, hint="Leave the factor out; a rate belongs to the optimizer."), where)
    for one in told.calls:
        if one.weight == 0 and one.value:
            message = f"{one.name} ({one.value:.4g}) enters the loss by a factor of 0"
            yield at(Finding(message=message, hint="A weight that begins at 0? [[tool.backburn.allow]]."), one.where)


def initial_loss(seen: Evidence, config: Any) -> Iterator[Finding]:
    """The first loss is about what chance gives."""
    if not math.isfinite(next(iter(seen.probe.losses), 0.0)):
        raise Skip("the first loss is no number")
    calls = [one for one in used_calls(seen) if one.chance and one.chance > 0 and one.sign >= 0 and one.trains]
    if not calls:
        raise Skip("what chance gives is not known for this loss")
    for one in calls:
        times = one.value / (one.chance or 1.0)
        classes = one.name not in DISTANCES
        if not times <= (_HIGH if classes else _SQUARES_HIGH):
            chance = f"the {one.chance:.4g} that outputs of 0 give"
            message = f"the first {one.name} is {one.value:.4g}, {times:.3g} times {chance}"
            finding = at(Finding(message=message, hint=_INITIAL), one.where)
            if classes and not times <= _ABSURD and not told_loss(seen).tied and told_loss(seen).largest <= _SCALED:
                yield finding
            elif not _was(seen, "initial", times):
                yield from suspected([finding], initial_loss, seen.reference)


_INITIAL = "Inputs that are not scaled, weights initialised too large, or a scale factor before the loss?"


def _was(seen: Evidence, name: str, value: float) -> bool:
    """Whether the reviewed training had a value not far below."""
    before = seen.reference.runs(f"loss: {name}") if seen.reference else ()
    return bool(before) and value <= 2 * before[0]


def as_reviewed(seen: Evidence, config: Any) -> Iterator[Finding]:
    """The loss has the terms that were reviewed, and begins about where it did."""
    if seen.reference is None:
        raise Skip("there is no reference")
    told, (before, now) = told_loss(seen), terms_of(seen)
    lost, new = set(before) - set(now), set(now) - set(before)
    fewer = any(before.count(one) > now.count(one) for one in now)
    idle = told.idle > int(seen.reference.settings.get("loss idle", "0") or 0)
    others = seen.reference.runs("loss: others")
    anew = bool(others) and told.others > others[0]  # what is gone may be one of those that are written otherwise
    if before and ((lost and not new and not anew) or (fewer and idle)):
        terms = ", ".join(before), ", ".join(now) or "none"
        message = f"the terms of the loss were {terms[0]} when it was reviewed, and are {terms[1]} now"
        finding = Finding(message=message, hint="A term with weight 0, or one that is not added any more?")
        yield at(meant(finding), told.step)
    elif cut := _cut(seen, told):
        yield at(meant(Finding(message=cut[0], hint=_CUT)), cut[1])
    first = (seen.reference.runs("loss: first") or (0.0,))[0]
    fell = seen.reference.runs("progress")
    crosses = bool(fell) and fell[0] > 1  # 0 is no end of such a loss (a cosine), and no scale is told by its size
    if told.value and first > 0 and not crosses and not 1 / _SUNK <= told.value / first <= _CHANGED:
        message = f"the first loss is {told.value:.4g}, and was {first:.4g} when it was reviewed"
        hint = "A factor, a sum instead of a mean, or inputs on another scale?"
        yield at(meant(Finding(message=message, hint=hint)), told.step)


def _cut(seen: Evidence, told: LossCalls) -> tuple[str, Where] | None:
    """A function that the loss followed when it was reviewed, and that is computed without it now: detached outputs,
    or a term that is logged alone.
    """
    before = collections.Counter(seen.reference.settings.get(_USED, "").split() if seen.reference else ())
    idle = collections.Counter(seen.reference.settings.get(_UNUSED, "").split() if seen.reference else ())
    now, unused = (collections.Counter(one.name for one in calls) for calls in (told.used, told.unused))
    for one in told.unused:
        if before[one.name] > now[one.name] and unused[one.name] > idle[one.name] and before.total() > 1:
            message = f"{one.name} ({one.value:.4g}) is computed, and the loss follows it no longer as when reviewed"
            return message, one.where
    return None


_CUT = "Is what it is given detached, are outputs and targets exchanged, or is it not added any more?"


def penalised(seen: Evidence) -> Iterator[Finding]:
    """A penalty on the weights that is new since the loss was reviewed, and the most of it."""
    told = seen.probe.loss_calls
    first = seen.reference.runs("loss: first") if seen.reference else ()
    if told is None or not first or told.value is None or not first[0] > 0:
        return
    before, now = terms_of(seen)
    if "weights" in now and "weights" not in before and told.value > _CHANGED * first[0]:
        message = f"a penalty on the weights is new, and the first loss {told.value:.4g} where it was {first[0]:.4g}"
        yield at(meant(Finding(message=message, hint="Lower its factor.")), told.step)


def kept(seen: Evidence) -> dict[str, str]:
    """What a reference notes of the loss: settings by name."""
    told = seen.probe.loss_calls
    if told is None:
        return {}
    terms = {"loss terms": " ".join(told.kinds), "loss ways": " ".join(_ways(told))}
    counted = {
        "loss ignored": " ".join(map(str, told.ignored)),
        "loss ends": " ".join(one.strip("*") for one in told.ends),
    }
    counted |= {"loss never": " ".join(told.never), "loss constants": " ".join(told.constants)}
    counted["loss related"] = " ".join(f"{name}={r:.3g}" for name, r in told.related.items() if abs(r) >= NOTED)
    weights = next((one.weights for one in told.used if one.weights), ())
    if seen.probe.parameters and told.used:
        counted[_REACH] = " ".join([*_reach(told), f"of={seen.probe.parameters.trainable}"])
    counted["loss weights"] = ",".join(f"{one:g}" for one in weights)
    counted = {name: text for name, text in counted.items() if text or name == "loss ends"}
    named = {_USED: " ".join(one.name for one in told.used), _UNUSED: " ".join(one.name for one in told.unused)}
    counted |= {name: text for name, text in named.items() if text}
    return terms | {"loss targets": told.taken, "loss idle": str(told.idle)} | counted


def figures(seen: Evidence) -> dict[str, float]:
    """What a reference notes of the loss: numbers by name."""
    told = seen.probe.loss_calls
    if told is None:
        return {}
    times = [one.value / one.chance for one in told.used if one.chance]
    first = {"loss: first": told.value} if told.value is not None else {}
    first |= {"loss: samples": float(told.size), "loss: others": float(told.others)}
    first |= {"loss: counted": told.share} if told.share is not None else {}
    return first | ({"loss: initial": max(times)} if times else {})


CHECKS: tuple[Check, ...] = (
    loss_sign,
    loss_scale,
    initial_loss,
)
