"""Dependence: which outputs follow which parts of the inputs: not other samples, not what comes later, not nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from . import frames
from .changes import Changes, Output, noisy, outputs, spread, varies
from .exchange import Exchange
from .order import order
from .parameters import leaves_of
from .parts import followed, reordered
from .roles import TARGET
from .passes import Pass
from .session import Session, Untold
from .tokens import future, padding, sees

_MOVED = 1e-5  # of an output's spread: float32 keeps 1e-7, a sum over 1000 terms of it 1e-6
_LEAK = 1e-4  # of an output's spread, as in the check
_SAMPLES = 8  # of which it means something that one is in the rows of most others: a mixup has it in one
_INPUTS = 6  # that are changed one by one


def look(session: Session) -> dict[str, Any]:
    """As `backburn.memorization.dependence.Dependence` says."""
    changes = Changes(session)
    told: dict[str, Any] = {"step": frames.of(type(session.module).training_step), "untold": {}}
    probes: tuple[tuple[str, Callable[[Changes], Any]], ...] = (
        ("leak", leak),
        ("use", use),
        ("future", future),
        ("padding", padding),
        ("linear", linear),
        ("order", order),
        ("parts", followed),
        ("reordered", reordered),
        ("sees", sees),
    )
    for name, probe in probes:
        if changes.late:
            told["untold"][name] = "its passes are slow"
            continue
        try:
            told[name] = probe(changes)
        except Untold as reason:
            told["untold"][name] = str(reason)
        except Exception as error:  # a change that the model cannot take
            if session.settings.get("strict"):
                raise
            told["untold"][name] = f"{type(error).__name__}: {error}"[:200]
    return told


# Other samples


def leak(changes: Changes) -> dict[str, Any]:
    """How far outputs of other samples move when one sample's inputs change."""
    size, certain = samples(changes)
    changed = {path: one for path, one in _without_one(changes, size)}
    if _is_graph(changes) or not changed:
        return _exchanged(changes)
    if size < 2:
        raise Untold("there is one sample in the batch")
    done = changes.run(changed)
    share = _mixed(changes, done, size)
    mixed = share > 0 and not _plain(changes)  # a mixup: look at what the model itself does
    both = mixed and not _alone(changes)
    found = [] if mixed else [(one, far) for one, far in _moved(changes, done, size) if not far <= _LEAK]
    supervised = [one for one, _ in found if one.call is not None and _is_target(changes, one)]
    if not found:
        found = [pair for pair in _moved(changes, _behind(changes, size), size) if pair[0].call is None]
    if not found:
        raise Untold("no output has one row per sample")
    one, far = next((pair for pair in found if pair[0] in supervised), max(found, key=lambda pair: pair[1]))
    sure = bool(supervised) and certain and not _by_batch(changes)
    told = {"mixes": share > 0, "both": both, "share": share if size >= _SAMPLES else 0.0}
    return {"output": one.name, "far": far, "supervised": sure, "where": one.where, **told}


def _exchanged(changes: Changes) -> dict[str, Any]:
    """As `leak`, where the inputs have no row for each sample: a sample is exchanged before it is collated."""
    exchange = changes.exchange
    plain = outputs(exchange.plain)
    furthest: dict[int, float] = {}
    for place, done in exchange.each():
        for index, (one, other) in enumerate(zip(plain, outputs(done))):
            if one.name == other.name and one.value.shape == other.value.shape and len(one.value) == exchange.rows:
                if one.call is not None and _is_pairs(changes, one, exchange.rows):
                    continue
                far = (one.value - other.value).abs().reshape(exchange.rows, -1).amax(dim=1) / spread(one.value)
                far[place] = 0
                furthest[index] = max(furthest.get(index, 0.0), float(far.max()))
    if not furthest:
        raise Untold("no output has one row per sample")
    found = [(plain[index], far) for index, far in furthest.items() if not far <= _LEAK]
    one, far = max(found or [(plain[index], far) for index, far in furthest.items()], key=lambda pair: pair[1])
    held = any(other.call is not None and _is_target(changes, other, exchange) for other, _ in found)
    return {
        "output": one.name,
        "far": far,
        "supervised": held and not _by_batch(changes),
        "mixes": False,
        "where": one.where,
    }


def _moved(changes: Changes, done: Pass, size: int) -> list[tuple[Output, float]]:
    """How far other samples' rows moved in each output that has rows of samples."""
    moved = changes.moved(done, all_of_them=False)
    # What a module returns may be packed sequences, whose rows are samples' only by chance of their number.
    found = [(one, far) for one, far in moved if any(True for _ in _rows(far, size)) and not _is_packed(one, size)]
    pairs = {one.value.shape for one, _ in found if one.call is not None and _is_pairs(changes, one, size)}
    return [(one, (_apart if one.value.shape in pairs else _others)(size, far)) for one, far in found]


def _is_packed(one: Output, size: int) -> bool:
    return one.call is None and size not in one.value.shape[:2]


def _mixed(changes: Changes, done: Pass, size: int) -> float:
    """The share of others that have something of the first sample in the first thing that moved of what a layer is
    given; a module without parameters may be what mixes them (CutMix).
    """
    layers = {name for name, one in changes.session.module.named_modules() if any(True for _ in one.parameters())}
    for (name, one), (_, other) in zip(changes.first.inputs, done.inputs):
        if name in layers and one.shape == other.shape and not one.equal(other):
            ways = [rows[1:].reshape(size - 1, -1).any(dim=1) for rows in _rows(one != other, size)]
            return min((float(way.float().mean()) for way in ways), default=0.0)
    return 0.0


def _behind(changes: Changes, size: int) -> Pass:
    """A pass in which the first sample is another one only for outermost modules, whatever they are given."""
    import torch

    inside: list[Any] = []

    def enter(layer: Any, args: Any) -> Any:
        inside.append(layer)
        if len(inside) > 1:
            return None
        return tuple(_other_first(changes, one, size) if isinstance(one, torch.Tensor) else one for one in args)

    def leave(layer: Any, args: Any, output: Any) -> None:
        inside.pop()

    hooks = []
    for name, one in changes.session.module.named_modules():
        if name and any(True for _ in one.parameters()):
            hooks += [one.register_forward_pre_hook(enter), one.register_forward_hook(leave, always_call=True)]
    try:
        return changes.run({})
    finally:
        for hook in hooks:
            hook.remove()


def _other_first(changes: Changes, one: Any, size: int) -> Any:
    axis = _axis(one.shape, size)
    # A second axis of two is one of features: 64 patches with 16 pixels, of 16 images.
    if axis is None or (axis == 1 and one.dim() == 2) or not noisy(one.detach()):
        return one
    changed = one.clone()
    first = changed.select(axis, 0)
    first.add_(spread(one.detach()) * changes.noise(first))
    return changed


def samples(changes: Changes) -> tuple[int, bool]:
    """How many samples there are, and whether that is certain: by the loader, or by a part with one number for each."""
    shapes = [tuple(one.shape) for one in changes.tensors.values()]
    asked = getattr(changes.session.trainer.train_dataloader, "batch_size", None)
    if isinstance(asked, int) and any(asked in shape[:2] for shape in shapes):
        return asked, True
    single = {shape[0] for shape in shapes if len(shape) == 1}
    if len(single) == 1:
        return single.pop(), True
    size = changes.session.size
    return size, all(shape[0] == size for shape in shapes) and len({shape[1:2] for shape in shapes}) > 1


def _axis(shape: Any, size: int) -> int | None:
    return next((axis for axis in (0, 1) if len(shape) > axis and shape[axis] == size), None)


def _without_one(changes: Changes, size: int) -> Iterator[tuple[str, Any]]:
    """Each input with another sample's values in the place of the first one's."""
    for path, one in changes.inputs.items():
        axis = _axis(one.shape, size)
        if axis is None:
            continue
        changed = one.clone()
        first, others = changed.select(axis, 0), one.movedim(axis, 0)
        other = next((row for row in others[1:] if not row.equal(others[0])), others[0])
        first.copy_(other + spread(one.float()) * changes.noise(other) if noisy(one) else other)
        yield path, changed


def _others(size: int, far: Any) -> float:
    """The furthest that any other sample's numbers moved, where rows are read as samples in the way that says least."""
    return min((float(one[1:].max()) for one in _rows(far, size)), default=0.0)


def _apart(size: int, far: Any) -> float:
    """Likewise of similarities, each sample held against each: but for what the first one is held against, or is held
    against it; of several views of a sample, whether they stand side by side or one after the other.
    """
    import torch

    at = [torch.arange(count, device=far.device) for count in far.shape]
    ways = [(one % size != 0, one // (len(one) // size) != 0) for one in at]
    return min(float(far[rows][:, columns].max()) for rows in ways[0] for columns in ways[1])


def _rows(far: Any, size: int) -> Iterator[Any]:
    """Each way to read it as one row per sample: by its first or second axis, or by its first one taken apart into
    samples and positions.
    """
    rows = far.shape[0] if far.dim() else 0
    ways = [far]
    if rows > size and rows % size == 0:
        ways += [far.reshape(size, rows // size, -1), far.reshape(rows // size, size, -1)]
    for one in ways:
        yield from (one.movedim(axis, 0) for axis in (0, 1) if one.dim() > axis and one.shape[axis] == size)


def _is_pairs(changes: Changes, one: Output, size: int) -> bool:
    """Whether each sample is held against each: similarities, whose target is their number."""
    shape, target = one.value.shape, one.call.given.get("target")
    if len(shape) != 2 or shape[0] % size or shape[1] % size or getattr(target, "shape", None) == shape:
        return False
    return not _is_target(changes, one)


def _plain(changes: Changes) -> bool:
    """Whether every target is a part of the batch as it came: a mixup mixes them, too."""
    calls = [one.call for one in changes.base if one.call is not None]
    wanted = [one.given.get("target") for one in calls]
    return bool(wanted) and all(
        any(hasattr(one, "equal") and _same_values(one, part) for part in changes.tensors.values()) for one in wanted
    )


def _alone(changes: Changes) -> bool:
    """Whether a call holds outputs against a part of the batch as it came, and no other call holds the same outputs
    against more of it.
    """
    calls = [one.call.given for one in changes.base if one.call is not None]
    for given in calls:
        wanted, others = _classes(given.get("target")), [one for one in calls if one is not given]
        if any(hasattr(wanted, "detach") and _same_values(wanted, part) for part in changes.tensors.values()):
            if not any(one.get("input") is given["input"] for one in others):
                return True
    return False


def _classes(wanted: Any) -> Any:
    """Targets; those that are one-hot, as the numbers of their classes."""
    if not hasattr(wanted, "detach") or wanted.dim() < 2 or not wanted.is_floating_point():
        return wanted
    hard = bool(((wanted == 0) | (wanted == 1)).all()) and bool((wanted.sum(dim=1) == 1).all())
    return wanted.argmax(dim=1) if hard else wanted


def _same_values(one: Any, part: Any) -> bool:
    return bool(one.numel() == part.numel() and (one.reshape(-1).double() == part.reshape(-1).double()).all())


def _is_target(changes: Changes, one: Output, exchange: Exchange | None = None) -> bool:
    wanted = one.call.given.get("target")
    there = changes.tensors if exchange is None else changes.session.tensors(exchange.plain.batch)
    parts = [part for path, part in there.items() if TARGET in changes.roles.get(path, ())]
    return hasattr(wanted, "detach") and any(_same_values(wanted, part) for part in parts)


def _is_graph(changes: Changes) -> bool:
    """A batch of nodes and edges: each node's output follows its neighbours' inputs."""
    paths = changes.session.tensors()
    named = any(part in path.lower() for path in paths for part in ("edge", "adj", "laplac", "graph", "senders"))
    square = any(map(_is_adjacency, paths.values()))
    return named or square or any(str(one.layout) != "torch.strided" for one in paths.values())


def _is_adjacency(one: Any) -> bool:
    """Whether it may say which nodes are neighbours: square, of 0 and 1, or symmetric in where it is not 0."""
    if one.dim() != 2 or one.shape[0] != one.shape[1]:
        return False
    there = one != 0
    return bool((one == there).all()) or bool(one.equal(one.T)) or bool(there.equal(there.T) and not there.all())


def _by_batch(changes: Changes) -> bool:
    """Whether a normalisation keeps no statistics of its own, so that it takes the batch's in eval mode, too."""
    return any(getattr(one, "track_running_stats", None) is False and "Batch" in type(one).__name__
               for one in changes.session.module.modules())  # fmt: skip


# Nothing


def use(changes: Changes) -> dict[str, Any]:
    """Which inputs the outputs follow, and which they do not."""
    own = changes.session.tensors(changes.first.batch)
    given = [one for _, one in changes.first.inputs]
    reached = {path for path in changes.inputs if any(_is_part(own[path], one) for one in given)}
    if not changes.inputs:
        raise Untold("no input was found in the batch")
    supervised = any(one.call is not None and _is_target(changes, one) for one in changes.held)
    if not reached and not supervised:
        raise Untold("no part of the batch was seen to go into a module")
    if not _follows(changes, list(changes.inputs)):
        _all_was_changed(changes, own)
        return {"used": [], "ignored": list(changes.inputs), "all": True, "supervised": supervised}
    one_by_one = list(changes.inputs)[:_INPUTS] if len(changes.inputs) > 1 else []
    ignored = [path for path in one_by_one if not changes.late and not _follows(changes, [path], loss=True)]
    changes.follows |= set(one_by_one or changes.inputs) - set(ignored)
    return {
        "used": [path for path in changes.inputs if path not in ignored],
        "ignored": [path for path in ignored if path in reached],
        "supervised": supervised,
    }


def _all_was_changed(changes: Changes, own: dict[str, Any]) -> None:
    """Raise Untold where something else of the batch may be what the model is given, or no change arrives at it."""
    fixed = {path for path, role in changes.roles.items() if role == {TARGET}}
    there = {path: one for path, one in changes.tensors.items() if path not in fixed and varies(one)}
    done = changes.run({path: changes.mixed(one) for path, one in there.items()})
    if len(there) > len(changes.inputs) and _any_moved(changes, done):
        raise Untold("what goes into the model was not found in the batch")
    pairs = [(one, other) for (_, one), (_, other) in zip(changes.first.inputs, done.inputs)]
    given = any(_is_part(own[path], one) for one, _ in pairs for path in changes.inputs)
    if given and all(one.shape == other.shape and bool((one == other).all()) for one, other in pairs):
        raise Untold("other inputs do not arrive at the model")


def _is_part(one: Any, other: Any) -> bool:
    return _same_values(one, other) or bool(one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr())


def _follows(changes: Changes, paths: list[str], loss: bool = False) -> bool:
    """Whether outputs follow these inputs; or, of `loss`, what they are held against: another view, the next state."""
    try:
        done = changes.run({path: changes.shuffled(path) for path in paths})
    except Untold:
        raise
    except Exception:  # numbers that are refused (shares, ids of a column's own): another sample's are not
        done = changes.run({path: changes.inputs[path].roll(1, 0) for path in paths})
    return (loss and _moves(changes.first.returned, done.returned)) or _any_moved(changes, done)


def _any_moved(changes: Changes, done: Pass) -> bool:
    try:
        return any(not float(far.max()) <= _MOVED for one, far in changes.moved(done) if one in changes.held)
    except Untold:  # other shapes: it follows them in some way
        return True


def _moves(one: Any, other: Any) -> bool:
    return one is not None and other is not None and not float(abs(one - other).max()) <= _MOVED * spread(one)


# Linearity


def linear(changes: Changes) -> dict[str, Any]:
    """How far an output is from being linear: of f(a) + f(b) - 2 f((a + b) / 2), as a share of how far f moves."""
    import torch

    paths = [path for path, one in changes.inputs.items() if noisy(one)]
    if len(paths) != len(changes.inputs) or not paths:
        raise Untold("not all of its inputs are real numbers")
    a = {path: changes.inputs[path] for path in paths}
    b = {path: one.roll(1, 0) + 3 * spread(one.float()) * changes.noise(one) for path, one in a.items()}
    middle = {path: (one + b[path]) / 2 for path, one in a.items()}
    far, half = changes.run(b), changes.run(middle)
    found = []
    for one, (_, away), (_, bent) in zip(changes.base, _differences(changes, far), _differences(changes, half)):
        way = float(torch.linalg.vector_norm(away))
        matrices = sum(leaf.dim() > 1 for leaf in leaves_of([one.graph]))
        if one.call is None and matrices > 1 and way > _MOVED * float(torch.linalg.vector_norm(one.value)):
            found.append((float(torch.linalg.vector_norm(away - 2 * bent)) / way, one.name, matrices))
    if not found:
        raise Untold("no module's output follows its inputs by two matrices of weights")
    bend, name, matrices = min(found)
    return {"output": name, "bend": bend, "matrices": matrices}


def _differences(changes: Changes, done: Any) -> Iterator[tuple[str, Any]]:
    others = outputs(done)
    if [one.value.shape for one in others] != [one.value.shape for one in changes.base]:
        raise Untold("a change of the inputs changed what is computed")
    for one, other in zip(changes.base, others):
        yield one.name, other.value - one.value
