"""Draws: how often training_step itself draws random numbers, by kind, and whether its loss follows from them."""

from __future__ import annotations

import collections
import contextlib
import functools
import random
import sys
from collections.abc import Iterator
from typing import Any

from .. import seeds
from . import frames
from .passes import Pass
from .purity import instead
from .session import Session

_MANY = 8  # draws of a kind; more are an augmentation's, whose number means nothing
_TRIED = 6  # draws that are tried, a pass each; a denoiser has 2
_SEEDS = (1,)  # of further passes, to see whether as much is drawn each time
_COINS = (1, 2, 3, 4, 5, 6)  # where one number may decide what else is drawn: 7 tosses agree once in 64
_PRECISE = ("torch.float32", "torch.float64")  # of a loss in bfloat16, one in five changes is rounded away
_LIBRARIES = ("torchmetrics",)  # a metric that draws is not the training's


def look(session: Session) -> dict[str, Any]:
    """Counts by kind, as `backburn.memorization.draws.Draws` says."""
    told: dict[str, Any] = {"step": frames.of(type(session.module).training_step), "size": session.size}
    if not session.first.drew:
        return told
    base, seen = _passed(session)
    if not seen.counts():
        return told
    loose = _loose(session, seen)
    used, drawn = collections.Counter(seen.generators), collections.Counter(seen.generators)
    tried = 0
    for index, one in enumerate(seen.draws):
        tries = not one.alone and one.kind not in loose and tried < _TRIED
        tried += tries
        follows = not tries or _follows(session, base, index, one.graded)
        used[one.kind] += follows
        drawn[one.kind] += follows or one.graded
    many = {one.kind for one in seen.draws if not one.alone}
    single = sorted({one.kind for one in seen.draws} - many)
    return told | {"used": dict(+used), "drawn": dict(+drawn), "loose": sorted(loose), "single": single}


def _loose(session: Session, seen: Drawing) -> set[str]:
    """Kinds of which another pass draws more or less, and those of which one draws many."""
    counts = seen.counts()
    tosses = bool(seen.generators) or any(one.alone for one in seen.draws)
    others = [_passed(session, seed=seed)[1].counts() for seed in (_COINS if tosses else _SEEDS)]
    differing = {kind for other in others for kind in {*counts, *other} if counts[kind] != other[kind]}
    return differing | {kind for kind, count in counts.items() if count > _MANY}


class Draw:
    """One draw. `alone`: it is a single number; `graded`: with gradients enabled, so not of a sample to be logged."""

    def __init__(self, kind: str, alone: bool, graded: bool) -> None:
        self.kind, self.alone, self.graded = kind, alone, graded


class Drawing:
    """What one pass drew: of torch, one by one, and the other `generators` (numpy, python) that it drew from."""

    def __init__(self) -> None:
        self.draws: list[Draw] = []
        self.generators: list[str] = []

    def counts(self) -> collections.Counter[str]:
        """Kind -> how often."""
        return collections.Counter([*(one.kind for one in self.draws), *self.generators])


@functools.cache
def _kinds() -> dict[Any, str]:
    """Function of torch -> what it draws. Masks (bernoulli) are a dropout's, and what draws inside is not seen."""
    import torch

    tensor, functional = torch.Tensor, torch.nn.functional
    named = {
        "normal": (torch.randn, torch.randn_like, torch.normal, tensor.normal_),
        "uniform": (torch.rand, torch.rand_like, tensor.uniform_),
        "integers": (torch.randint, torch.randint_like, tensor.random_),
        "orders": (torch.randperm,),
        "choices": (torch.multinomial, tensor.multinomial, functional.gumbel_softmax, tensor.exponential_),
        "gammas": (torch._standard_gamma, torch._sample_dirichlet),  # a mixup's share, of a Beta
    }
    return {function: kind for kind, functions in named.items() for function in functions}


def _passed(session: Session, *, seed: int | None = None, other: int | None = None) -> tuple[Pass, Drawing]:
    """One pass, by the numbers of every step or by those of `seed`, with the draw of index `other` replaced."""
    seen = Drawing()

    def step(own: Any, args: Any, given: Any) -> Any:
        if seed is not None:
            seeds.seed_all(seed)
        with _outside(seen), _recording(seen, other):
            return own(*args, **given)

    with instead(session.module, step):
        return session.run(), seen


@contextlib.contextmanager
def _outside(seen: Drawing) -> Iterator[None]:
    """Note which generators that are not torch's are drawn from meanwhile."""
    numpy: Any = sys.modules.get("numpy.random")
    before = random.getstate(), numpy and numpy.get_state(legacy=False)["state"]
    yield
    seen.generators += ["python"] if random.getstate() != before[0] else []
    if numpy and not _same(numpy.get_state(legacy=False)["state"], before[1]):
        seen.generators.append("numpy")


def _same(one: Any, other: Any) -> bool:
    return bool(one["pos"] == other["pos"] and (one["key"] == other["key"]).all())


def _recording(seen: Drawing, other: int | None) -> Any:
    import torch
    from torch.overrides import TorchFunctionMode

    kinds = _kinds()

    class Recording(TorchFunctionMode):  # type: ignore[misc, unused-ignore]
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            value = function(*args, **(kwargs or {}))
            if function not in kinds or _is_meant_to_drop():
                return value
            kind = kinds[function]
            seen.draws.append(Draw(kind, value.numel() <= 1, torch.is_grad_enabled()))
            return _replaced(kind, value, args, kwargs or {}) if len(seen.draws) - 1 == other else value

    return Recording()


def _is_meant_to_drop() -> bool:
    """Whether we are within a dropout that somebody wrote, by its name (drop_path, DropBlock), or within a metric."""
    frame: Any = sys._getframe(2)
    while frame is not None and frame.f_code is not _passed.__code__:
        owner = type(frame.f_locals["self"]).__name__ if "self" in frame.f_code.co_varnames[:1] else ""
        if "drop" in f"{frame.f_code.co_name} {owner}".lower():
            return True
        if any(one in frame.f_code.co_filename for one in _LIBRARIES):
            return True
        frame = frame.f_back
    return False


def _replaced(kind: str, value: Any, args: Any, given: Any) -> Any:
    """Others that may be drawn as well: on a GPU, an index that is out of range ends the process."""
    import torch

    with torch.no_grad():
        flat = value.detach().flatten().roll(1)
        if kind in ("uniform", "integers"):  # a mask of few is another one at the ends of the range
            low, high = _ends(kind, value, args, given)
            flat = torch.full_like(flat, low)
            flat[::2] = high
        if any(value is one for one in args):
            return value.copy_(flat.view_as(value))
    return flat.view_as(value)


def _ends(kind: str, value: Any, args: Any, given: Any) -> tuple[Any, Any]:
    """The least and the most that these arguments let be drawn; of uniform numbers, next to them."""
    import torch

    is_written = any(value is one for one in args)  # rand() has numbers, too, which are its shape
    told = [one for one in args if isinstance(one, (int, float))] if is_written or kind == "integers" else []
    told += [given[name] for name in ("from", "low", "to", "high") if name in given]
    if kind == "integers":
        low, high = [0, *told][-2:] if told else (value.min().item(), value.max().item() + 1)
        return low, high - 1
    low, high = told if len(told) == 2 else (0.0, 1.0)
    margin = (high - low) * torch.finfo(value.dtype).eps
    return low + margin, high - margin


def _follows(session: Session, base: Pass, index: int, graded: bool) -> bool:
    """Whether the loss is another one where the draw of this index is; so where that cannot be seen."""
    if not base.losses or any(str(loss.dtype) not in _PRECISE for loss in base.losses):
        return True
    try:
        other, _ = _passed(session, other=index)
    except Exception:  # whatever does not take these numbers has used them
        return True
    return _values(other) != _values(base) or (graded and not _same_inputs(other, base))


def _values(done: Pass) -> list[float]:
    return [float(one.detach().float().mean()) for one in done.losses]


def _same_inputs(one: Pass, other: Pass) -> bool:
    """Whether its submodules were given the same: what jitter of 1e-6 does to a loss may be rounded away."""
    pairs = list(zip(one.inputs, other.inputs))
    return len(one.inputs) == len(other.inputs) and all(given.equal(also) for (_, given), (_, also) in pairs)
