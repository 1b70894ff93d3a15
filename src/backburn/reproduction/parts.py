"""A judge for each part of a step: whether two trainings part there, what kind of difference that is, and its name.

All of them see the two records of one step, of which everything before it was the same, and are asked in the order in
which a step comes to its parts. The first that has an answer has the cause; what comes after it only follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from .. import comparison
from .pair import Cause, Kind, Pair, common, either, number, parent, some

_COUNTER = "num_batches_tracked"  # of a batch norm: how often it was called to train
_NEARLY_ALL = 0.8  # of all gradients: one that is zero stays so, whatever the loss is multiplied by


def judge(pair: Pair) -> Cause | None:
    """Where the two part in this step; None where all that both recorded is the same."""
    return next((found for one in (_NEAR if pair.near else _FAR) if (found := one(pair))), None)


def structure(pair: Pair) -> Cause | None:
    """The names of the model's parameters, which are made before the first step. A buffer more may mean nothing."""
    part = "before" if pair.recorded("before") else "parameters"
    known = {*pair.base.buffers, *pair.head.buffers}
    gone, new = (tuple(name for name in names if name not in known) for names in pair.only(part))
    if not (gone or new):
        return None
    said = f"the model has other parts: {either(gone, new)}"
    return Cause(Kind.INIT, part, *_named(new or gone), said=said, names=(*gone, *new))


def initial(pair: Pair) -> Cause | None:
    """The weights that the first step begins with: no batch has moved them."""
    names = pair.changed("before") if pair.fresh else ()
    if not names:
        return None
    if pair.generators and _redrawn(pair, names):
        said = f"the first weights are another draw, from {names[0]} on: another seed, or one number more or less"
        return Cause(Kind.RNG, "rng", ", ".join(pair.generators), "", said, names=names)
    if all(name in pair.base.buffers for name in names) and any(name.endswith(_COUNTER) for name in names):
        said = f"running statistics moved before the first step, as by a validation that trains: {some(names)}"
        return Cause(Kind.EVALUATION, "before", names[0], parent(names[0]), said, names=names)
    name = next((name for name in names if _rescaled(pair, name)), names[0])
    return Cause(Kind.INIT, "before", name, parent(name), f"the first weights differ: {some(names)}", names=names)


def batch(pair: Pair) -> Cause | None:
    """The samples; after the first step another random state, where there is one, came before them."""
    if not (pair.differs("batch") or pair.differs("served")):
        return None
    moved = pair.changed("rng")
    others = f", and the random state of {', '.join(moved)}" if moved else ""
    if pair.generators and not pair.fresh and not pair.uneven:
        return _drawn(pair, ", and with it the batch differs")
    said = ("the batch is another one" if pair.differs("batch") else "an earlier batch was another one") + others
    if pair.generators and pair.fresh and not pair.recorded("before"):
        said += " (another seed, or other data: the step was not recorded in detail)"
        return Cause(None, "batch", "", "", said)
    return Cause(Kind.DATA, "batch" if pair.differs("batch") else "served", "", "", said)


def rng(pair: Pair) -> Cause | None:
    """The generators as the step begins."""
    return _drawn(pair, "") if pair.generators else None


def _drawn(pair: Pair, more: str) -> Cause:
    since = "before the first step" if pair.fresh else f"since step {pair.last}"
    said = f"a random number more or less was drawn {since} ({', '.join(pair.generators)}){more}"
    return Cause(Kind.RNG, "rng", ", ".join(pair.generators), "", said)


def between(pair: Pair) -> Cause | None:
    """The weights as a later step begins, which were the same when the last one ended."""
    names = () if pair.fresh else pair.changed("before")
    if not names:
        return None
    moved = [name for name in names if name in pair.base.gradients]
    name, said = (moved or names)[-1], f"changed since the step before, and by no optimizer: {some(names)}"
    return Cause(Kind.OPTIMIZER if moved else Kind.BUFFER, "before", name, parent(name), said, names=names)


def forward(pair: Pair) -> Cause | None:
    """The output of each module. The first to return another one is it: a parent returns after its children."""
    one, other = dict(pair.base.forward), dict(pair.head.forward)
    changed = [name for name in one if name in other and one[name] != other[name]]
    if not pair.recorded("forward") or not (changed or pair.differs("loss")):
        return None  # a module that is only in one of them and changes nothing, an Identity say, is no cause
    gone, new = _ahead(one, other, changed), _ahead(other, one, changed)
    if gone or new:
        said = f"other modules are called: {either(gone, new)}"
        name = _module((gone or new)[-1])
        return Cause(Kind.FORWARD, "forward", name, name, said, names=(*gone, *new))
    if not changed:
        return None
    name = _module(changed[0])
    said = f"the output of {name or 'the LightningModule'} is the first that differs"
    said += ", and more or fewer random numbers are drawn, by it or before it" if pair.drew else ""
    return Cause(Kind.FORWARD, "forward", name, name, said, names=tuple(changed))


def _ahead(one: Mapping[str, str], others: Mapping[str, str], changed: list[str]) -> tuple[str, ...]:
    """The modules that the others lack, up to the first that changed, without those that hand on what came before."""
    names = [*one]
    ahead = names[: names.index(changed[0])] if changed else names
    return tuple(name for name in ahead if name not in others and not _hands_on(one, name))


def _hands_on(outputs: Mapping[str, str], name: str) -> bool:
    """Whether a module returns what another returned before it: an Identity, a dropout that drops nothing."""
    names = [*outputs]
    return outputs[name] in {outputs[earlier] for earlier in names[: names.index(name)]}


def _module(name: str) -> str:
    """Without the number of the call: `encoder#2` is the second of `encoder` in one step."""
    return name.partition("#")[0]


def loss(pair: Pair) -> Cause | None:
    """The number itself. What it is made of is known to be the same only if that was recorded."""
    if not pair.differs("loss"):
        return None
    before, now = number(pair.base.loss), number(pair.head.loss)
    moved = f"it is {now}, was {before}"
    if pair.recorded("forward"):
        return Cause(Kind.FORWARD, "loss", "loss", "", f"the loss itself: {moved}, of the same outputs", before, now)
    of = "weights, the forward pass" if pair.fresh else "the forward pass"
    said = f"the loss: {moved} ({of} or the loss itself: the step was not recorded in detail)"
    return Cause(None if pair.fresh else Kind.FORWARD, "loss", "", "", said, before, now)


def accumulation(pair: Pair) -> Cause | None:
    """At which batches the optimizer steps: at others it takes no gradient, and has no state before its first step."""
    part = "clipped" if pair.recorded("forward") else "optimizer"
    one, other = bool(getattr(pair.base, part)), bool(getattr(pair.head, part))
    if one == other or not pair.recorded("parameters") or pair.differs("settings"):
        return None
    said = f"the optimizer steps here {'no longer' if one else 'only now'}: gradients are accumulated otherwise"
    return Cause(Kind.OPTIMIZER, part, "accumulation", "", said)


def gradients(pair: Pair) -> Cause | None:
    """Before clipping. Backward runs from the end, so the last that differs is the first that came to differ."""
    gone, new = pair.only("gradients")
    if gone or new:
        said = f"other parameters have a gradient: {either(gone, new)}"
        name, module = _named(gone or new)
        inside = [one for one in (*pair.base.gradients, *pair.head.gradients) if one.startswith(f"{module}.")]
        if not module or {*inside} - {
            *gone,
            *new,
        }:  # not all of it: backward came to an end, or further, behind the last
            last = max(gone or new, key=lambda name: _place(pair, name))
            name, module = last if len(gone or new) == 1 else parent(last), parent(last)
        return Cause(Kind.BACKWARD, "gradients", name, module, said, names=(*gone, *new))
    names, every = pair.changed("gradients"), [*pair.base.gradients]
    if not names:
        return None
    last = max(names, key=lambda name: _place(pair, name))
    many = len(every) > 1 or not last  # of a root, which is all of them, there is one
    if many and len(names) >= _NEARLY_ALL * len(every) and last == max(every, key=lambda name: _place(pair, name)):
        said = "the loss is the same and all gradients differ: its scale, as by accumulation, or their precision"
        return Cause(Kind.BACKWARD, "gradients", "", "", said, names=names)
    said = f"the gradient differs, backward came first to {last}: {some(names)}"
    return Cause(Kind.BACKWARD, "gradients", last, parent(last), said, names=names)


def _place(pair: Pair, name: str) -> tuple[int, int]:
    """How late in the forward pass a parameter is used. Where its module has children it may be used at any time."""
    module, order = name.rpartition(".")[0], [_module(one) for one, _ in pair.base.forward]
    known = module in order and not any(one.startswith(f"{module}.") for one in order)
    return order.index(module) if module and known else -1, [*pair.base.gradients, *pair.head.gradients].index(name)


def clipped(pair: Pair) -> Cause | None:
    """The gradients as the optimizer takes them."""
    names = pair.changed("clipped")
    how = "otherwise"
    if pair.head.clipped == pair.head.gradients:
        how = "no more"
    elif pair.base.clipped == pair.base.gradients:
        how = "only now"
    said = f"the same gradients are clipped {how}: {some(names)}"
    return Cause(Kind.CLIP, "clipped", "", "", said, names=names) if names else None


def settings(pair: Pair) -> Cause | None:
    """Of the optimizer, where they move something: one that moves nothing is no cause."""
    gone, new = pair.only("settings")
    names = sorted(pair.changed("settings"), key=lambda name: not name.endswith(".lr"))  # of all the one people know
    kept = pair.recorded("parameters") and not (pair.differs("parameters") or pair.differs("optimizer"))
    if kept or not (names or gone or new):
        return None
    shorts = [name.split(".", 2)[-1] for name in (*names, *new, *gone)]
    if not names:
        said = f"the optimizer has other settings: {either(gone, new)}"
        return Cause(Kind.OPTIMIZER, "settings", shorts[0], "", said, names=(*new, *gone))
    if not names[0]:
        return Cause(Kind.OPTIMIZER, "settings", "", "", "settings of the optimizer differ", names=tuple(names))
    before, now = number(pair.base.settings[names[0]]), number(pair.head.settings[names[0]])
    more = f", and others: {some(shorts[1:])}" if shorts[1:] else ""
    said = f"{shorts[0]} of the optimizer is {now}, was {before}{more}"
    return Cause(Kind.OPTIMIZER, "settings", shorts[0], "", said, before, now, (*names, *new, *gone))


def optimizer(pair: Pair) -> Cause | None:
    """Its state after the step."""
    gone, new = pair.only("optimizer")
    names = (*gone, *new) or pair.changed("optimizer")
    if not names:
        return None
    said = f"the optimizer keeps other state: {either(gone, new) or some(names)}"
    parameter = names[0].split(".", 2)[-1] if len(names) < len(pair.base.optimizer) else ""
    kind = Kind.OPTIMIZER if pair.recorded("clipped") else None
    said += ", of the same gradients" if kind else ", of the same gradients (by clipping, or by itself)"
    return Cause(kind, "optimizer", parameter, parent(parameter), said, names=names)


def parameters(pair: Pair) -> Cause | None:
    """After the step. What has no gradient is no optimizer's to move: an average of weights, say."""
    names = pair.changed("parameters")
    moved = tuple(name for name in names if name in pair.base.gradients)
    if names and not moved:
        said = f"weights that no gradient moves differ, an average or a copy: {some(names)}"
        return Cause(Kind.BUFFER, "parameters", names[-1], parent(names[-1]), said, names=names)
    if not moved:
        return None
    name = "" if len(moved) == len(pair.base.gradients) > 1 else moved[-1]
    if not (pair.recorded("clipped") or pair.recorded("optimizer")):
        said = f"the same gradients move weights otherwise (by clipping, or by the optimizer): {some(moved)}"
        return Cause(None, "parameters", name, parent(name), said, names=names)
    said = f"the optimizer, with the same gradients, settings and state, moves otherwise: {some(moved)}"
    return Cause(Kind.OPTIMIZER, "parameters", name, parent(name), said, names=names)


def meanwhile(pair: Pair) -> Cause | None:
    """What trains, somewhere on the way to this step: which part began it was not recorded."""
    parts = [part for part in ("loss", "gradients", "optimizer") if pair.differs(part)]
    moved = tuple(name for name in pair.changed("parameters") if name in pair.base.gradients)
    parts += ["parameters"] * bool(moved)
    said = f"{', '.join(parts)} differ; batch, random state and settings do not"
    return Cause(None, parts[0], "", "", said, names=moved) if parts else None


def buffers(pair: Pair) -> Cause | None:
    """After the step."""
    names = pair.changed("buffers")
    if not names:
        return None
    known = pair.recorded("before") or not pair.fresh  # else it may have begun so
    said = f"buffers differ, and no parameter does: {some(names)}"
    return Cause(Kind.BUFFER if known else None, "buffers", names[0], parent(names[0]), said, names=names)


def validation(pair: Pair) -> Cause | None:
    """The metrics of a validation after the step; what measures the machine is none.

    Where nothing else of the step was recorded, the weights may differ too. Where only one of them validates, and goes
    on with another batch, an epoch has another length, which is a matter of the data.
    """
    one, other = bool(pair.base.validation), bool(pair.head.validation)
    if one != other and pair.recorded("parameters") and pair.goes_on:
        said = f"a validation runs behind it {'no longer' if one else 'only now'}"
        return Cause(Kind.EVALUATION, "validation", "", "", said)
    names = tuple(name for name in pair.changed("validation") if not comparison.is_clock(name))
    if not names:
        return None
    before, now = number(pair.base.validation[names[0]]), number(pair.head.validation[names[0]])
    kind = Kind.EVALUATION if pair.recorded("parameters") else None
    said = f"{'only the evaluation' if kind else 'the evaluation'} differs: {names[0]} is {now}, was {before}"
    return Cause(kind, "validation", names[0], "", said, before, now, names)


_Judge = Callable[[Pair], Cause | None]
_NEAR: tuple[_Judge, ...] = (
    structure, initial, batch, rng, between, forward, loss, accumulation, gradients, clipped, settings, optimizer,
    parameters, buffers, validation,
)  # fmt: skip
# Steps lie between: what comes from outside of the training first, then what only follows from an earlier step.
_FAR: tuple[_Judge, ...] = (
    structure, batch, rng, settings, accumulation, meanwhile, parameters, buffers, validation,
)  # fmt: skip


def _redrawn(pair: Pair, names: Iterable[str]) -> bool:
    """Whether weights differ by no more than two draws of one distribution do."""
    return bool(pair.base.norms and pair.head.norms) and not any(_rescaled(pair, name) for name in names)


def _rescaled(pair: Pair, name: str) -> bool:
    """Whether a parameter's size says that it was drawn from another distribution, or set.

    Of n values drawn twice the root of the sum of squares differs by about 1/√n of itself (normal; less where uniform),
    and n is about 1.5 (sum |x|)² / sum x²; six of those, as the first step has moved the weights already.
    """
    if name not in pair.base.norms or name not in pair.head.norms:
        return False
    (absolute, before), (_, now) = pair.base.norms[name], pair.head.norms[name]
    count = 1.5 * (absolute / before) ** 2 if before else 0.0
    return not abs(now - before) <= 6 * before / max(count, 1.0) ** 0.5


def _named(names: tuple[str, ...]) -> tuple[str, str]:
    """What to call several parameters, and the module they lie in: one by its own name, more by that module's."""
    module = common(names)
    return (names[0] if len(names) == 1 else module), module
