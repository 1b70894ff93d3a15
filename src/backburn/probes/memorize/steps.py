"""The first optimizer steps, watched through the user's own hooks: gradients before and after, what moved, and how far.

Whatever calls backward and whatever optimizer steps is seen (automatic and manual optimization, several optimizers,
closures that are called again, an optimizer that is made anew at each step), by torch's own hooks, and nothing of them
is left behind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from .session import Session, Untold

STEPS = 8  # of the training; six tell a zero gradient from a first step's, and warm-ups begin at 0
_LONGEST = 64  # where an optimizer steps seldom: one that accumulates, a GAN's generator
_ENOUGH = 3  # steps of each optimizer
_SAMPLE = 2**14  # elements of a parameter that are looked at, evenly spread


class Steps:
    """`before` and `after` each step of the training; `record` once `after` says that enough was seen."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.names = {id(one): name for name, one in session.module.named_parameters()}
        self.parameters = {id(one): one for one in session.module.parameters() if one.requires_grad}
        for optimizer in session.trainer.optimizers:
            self.parameters |= {id(one): one for one in _held(optimizer)}
        self.gradients: dict[int, Any] = {}  # samples, as the last backward left them
        self.clear: set[int] = set()  # what was empty when a backward began since its optimizer's last step
        self.seen: dict[frozenset[int], Optimizer] = {}
        self.backwards = self.count = self.wiped = self.moved = 0
        self.unused = self.inside = False  # gradients that no step has used; within a step, and its closure
        self.scale = 1.0
        self.failed = ""  # why nothing can be told
        self._undo: list[Callable[[], None]] = []

    def before(self, step: int) -> None:
        """A step begins (from 0)."""
        if not self._undo:
            self._listen()

    def after(self, step: int) -> bool:
        """A step ended (`step` are done); whether enough was seen."""
        self.count = step
        seldom = len(self.seen) < len(self.session.trainer.optimizers)
        seldom |= any(len(one.ratios) < _ENOUGH for one in self.seen.values())
        return step >= (_LONGEST if seldom else STEPS)

    def stop(self) -> None:
        """Leave no hook behind."""
        while self._undo:
            self._undo.pop()()
        self.gradients.clear()

    def _listen(self) -> None:
        import torch
        from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

        backward = torch.autograd.backward

        def noted(*args: Any, **given: Any) -> Any:
            self._note(self._backward_begins)
            done = backward(*args, **given)
            self._note(self._backward_ended)
            return done

        def put_back() -> None:
            torch.autograd.backward = backward

        torch.autograd.backward = noted
        before = register_optimizer_step_pre_hook(lambda one, *_: self._note(self._step_begins, one))
        after = register_optimizer_step_post_hook(lambda one, *_: self._note(self._step_ended, one))
        self._undo = [put_back, before.remove, after.remove]

    def _note(self, what: Callable[..., None], *args: Any) -> None:
        """Whatever surprises us, the training goes on."""
        if self.failed:
            return
        try:
            what(*args)
        except Exception as error:
            if self.session.settings.get("strict"):
                raise
            self.failed = f"it raised {type(error).__name__}: {error}"[:300]

    def _backward_begins(self) -> None:
        self.backwards += 1
        held = {key: one.grad for key, one in self.parameters.items() if one.grad is not None}
        norms = dict(zip(held, _norms(held.values())))
        self.clear |= {key for key in self.parameters if norms.get(key, 0.0) == 0}
        stands = self.moved == self._moves()  # SAM goes a step to the side by gradients that it wipes then
        self.wiped += self.unused and stands and not self.inside and not any(norms.values())

    def _backward_ended(self) -> None:
        scaler = getattr(self.session.trainer.precision_plugin, "scaler", None)
        self.scale = float(scaler.get_scale()) if scaler is not None else 1.0
        self.gradients = {key: sample(one.grad) for key, one in self.parameters.items() if one.grad is not None}
        self.unused, self.moved = bool(self.gradients), self._moves()

    def _moves(self) -> int:
        """What is another number as soon as anything was written into a parameter."""
        return sum(one._version for one in self.parameters.values())

    def _step_begins(self, optimizer: Any) -> None:
        self.inside = True
        held = _held(optimizer)
        # Not of an attack, or an inner loop, that optimizes something of its own.
        if any(id(one) in self.parameters for one in held):
            one = self.seen.setdefault(frozenset(map(id, held)), Optimizer(held, self.names))
            one.begins(optimizer)
            one.began = self.backwards

    def _step_ended(self, optimizer: Any) -> None:
        self.inside = self.unused = False
        one = self.seen.get(frozenset(map(id, _held(optimizer))))
        if one is None or one.before is None:
            return
        if self.backwards > one.backwards:  # of one gradient used twice, nothing is told
            one.note_stale(self.clear)
        one.backwards = self.backwards
        self.clear -= one.keys
        one.again |= self.backwards - one.began > 1
        one.ended(optimizer, {} if one.again else self.gradients, self.scale)

    def record(self) -> dict[str, Any]:
        """Plain data, as `backburn.memorization.optimizing.Optimizing` says. Raises Untold where something failed."""
        if self.failed:
            raise Untold(self.failed)
        given = {id(one) for one in self.session.trainer.optimizers}
        schedules = self.session.schedules
        return {
            "count": self.count,
            "backwards": self.backwards,
            # Of several optimizers, one's backward leaves gradients for the other's zero_grad.
            "wiped": self.wiped if len(self.session.optimizers) == 1 else 0,
            "optimizers": [one.record(schedules, one.last in given) for one in self.seen.values()],
            "schedules": schedules.record(self.session.planned) if schedules is not None else [],
            "idle": [self._idle(one) for one in self.session.trainer.optimizers if self._is_idle(one)],
        }

    def _is_idle(self, optimizer: Any) -> bool:
        """Whether it took no step, nor another one a step on its parameters, while others did."""
        held = {id(one) for one in _held(optimizer)}
        return bool(held and self.seen) and not any(held & keys for keys in self.seen)

    def _idle(self, optimizer: Any) -> dict[str, Any]:
        names = [self.names.get(id(one), "") for one in _held(optimizer)]
        return {"name": type(optimizer).__name__, "parameters": [name for name in names if name]}


class Optimizer:
    """What steps on one set of parameters did, whichever object took them."""

    def __init__(self, held: list[Any], names: dict[int, str]) -> None:
        import torch

        self.held, self.keys = held, {id(one) for one in held}
        self.names = [names.get(id(one), f"({' x '.join(map(str, one.shape))})") for one in held]
        sizes = [min(one.numel(), len(range(0, one.numel(), _stride(one)))) for one in held]
        self.starts = [sum(sizes[:index]) for index in range(len(sizes))]
        self.sizes = sizes
        device = held[0].device
        self.index = torch.repeat_interleave(
            torch.arange(len(sizes), device=device), torch.tensor(sizes, device=device)
        )
        self.matrices = [index for index, one in enumerate(held) if one.dim() > 1] or list(range(len(held)))
        self.before: Any = None
        self.first: Any = None  # all samples before the first step
        self.touched: Any = None  # that had a gradient in each step
        self.now: Any = None
        self.had_state = self.again = False
        self.backwards = self.began = self.windows = self.lost = self.reused = 0
        self.stale = [0] * len(held)
        self.ratios: list[float] = []
        self.along: list[float] = []
        self.shrink: list[float] = []
        self.pull: list[float] = []
        self.decay: list[float] = []
        self.kept: list[float] = []
        self.left: list[float] = []
        self.rates: list[float] = []
        self.last = 0
        self.options: dict[str, Any] = {}
        self.name = ""
        self.optimizer: Any = None

    def begins(self, optimizer: Any) -> None:
        """Before a step, and before its closure."""
        self.before = self._together([sample(one) for one in self.held])
        self.had_state = any(len(one) for one in optimizer.state.values())

    def note_stale(self, clear: set[int]) -> None:
        """The step used gradients that no zero_grad preceded: what is not in `clear`."""
        self.windows += 1
        stale = [self.windows > 1 and id(one) not in clear and one.grad is not None for one in self.held]
        self.stale = [count + now for count, now in zip(self.stale, stale)]
        self.reused += 2 * sum(stale) > len(stale)

    def ended(self, optimizer: Any, gradients: dict[int, Any], scale: float) -> None:
        """After a step; `gradients` are samples as backward left them, `scale` times what they are. None are known of
        a step that called backward itself, again and again (LBFGS, SAM): it has no one gradient.
        """
        import torch

        used = [gradients.get(id(one)) for one in self.held]
        gradient = self._together([_zeros(one) if g is None else g for one, g in zip(self.held, used)]) / scale
        final = self._together([_zeros(one) if one.grad is None else sample(one.grad) for one in self.held])
        self.now = self._together([sample(one) for one in self.held])
        moved = self.now - self.before
        if self.first is None:
            self.first, self.touched = self.before, torch.ones_like(gradient, dtype=torch.bool)
        self.touched &= gradient != 0
        before, self.before = self.before, None
        rows = torch.stack(
            [moved * moved, before * before, gradient * gradient, moved * gradient, moved * before, gradient * before]
        )
        sums = torch.zeros(6, len(self.held), dtype=rows.dtype, device=rows.device).index_add_(1, self.index, rows)
        self._note(sums.tolist(), float(final.norm()), float(gradient.norm()), bool(gradients))
        self._note_state(optimizer)
        self._note_options(optimizer)

    def _note(self, sums: list[list[float]], final: float, gradient: float, known: bool) -> None:
        moved, before, grads, along, shrink, pull = sums
        # What starts at 0 (a head, an adapter) grows by any factor.
        self.matrices = [i for i in self.matrices if before[i] > 0]
        used = [i for i in self.matrices if grads[i] > 0]
        sized = used if known else self.matrices
        self.ratios.append(_median([math.sqrt(moved[i] / before[i]) for i in sized]))
        self.along.append(_cosine(sum(along), sum(moved), sum(grads)))
        self.shrink.append(-_median([_cosine(shrink[i], moved[i], before[i]) for i in used]))
        self.pull.append(_median([_cosine(pull[i], grads[i], before[i]) for i in used]))
        self.decay.append(_median([math.sqrt(before[i] / grads[i]) for i in used]))
        self.kept.append(final / gradient if gradient else math.nan)
        self.left.append(final)

    def _note_state(self, optimizer: Any) -> None:
        """Whether this step began without the state that the one before it left."""
        counters = [one["step"] for one in optimizer.state.values() if "step" in one]
        has = any(len(one) for one in optimizer.state.values())
        anew = not self.had_state or (len(counters) and float(counters[0]) <= 1)
        self.lost += bool(has and anew and len(self.rates))

    def _note_options(self, optimizer: Any) -> None:
        groups = optimizer.param_groups
        self.rates.append(max(float(group.get("lr", math.nan)) for group in groups))
        self.name, self.last, self.optimizer = type(optimizer).__name__, id(optimizer), optimizer
        for key in ("weight_decay", "eps", "momentum"):
            values = [float(group[key]) for group in groups if isinstance(group.get(key), (int, float))]
            if values:
                self.options[key] = max(values)
        for key, flat in (("decay of matrices", False), ("decay of others", True)):
            groups_of = [one for one in groups if any((part.dim() < 2) == flat for part in one["params"])]
            values = [float(one.get("weight_decay") or 0.0) for one in groups_of]
            self.options |= {key: max(values)} if values else {}
        for key in ("maximize", "decoupled_weight_decay"):
            self.options[key] = float(any(bool(group.get(key)) for group in groups))
        betas = groups[0].get("betas")
        if isinstance(betas, (tuple, list)) and len(betas) == 2:
            self.options |= {"beta1": float(betas[0]), "beta2": float(betas[1])}

    def record(self, schedules: Any, given: bool) -> dict[str, Any]:
        """Plain data, as `backburn.memorization.optimizing.Stepped` says."""
        stale = [name for name, one in zip(self.names, self.stale) if one and one >= self.windows - 1]
        low, lost = self._lost_in_precision()
        highest = schedules.highest(self.optimizer) if schedules is not None else None
        return {
            "name": self.name,
            "given": given,
            "parameters": len(self.held),
            "ratios": self.ratios,
            "along": self.along,
            "shrink": self.shrink,
            "pull": self.pull,
            "decay": self.decay,
            "kept": self.kept,
            "left": self.left,
            "rates": self.rates,
            "highest": highest if highest is not None else max(self.rates, default=0.0),
            "windows": self.windows,
            "lost": self.lost,
            "stale": stale,
            "reused": self.reused,
            "low": low,
            "lost_in_precision": lost,
            "options": self.options,
        }

    def _lost_in_precision(self) -> tuple[str, float]:
        """The 16-bit type of parameters, and the share of their elements that had a gradient and are what they were."""
        import torch

        low = [one.dtype in (torch.float16, torch.bfloat16) for one in self.held]
        if not any(low) or self.now is None:
            return "", 0.0
        at = torch.tensor(low, device=self.index.device)[self.index] & self.touched
        name = str(next(one.dtype for one, is_low in zip(self.held, low) if is_low)).removeprefix("torch.")
        return name, float((self.now == self.first)[at].double().mean()) if bool(at.any()) else 0.0

    def _together(self, samples: list[Any]) -> Any:
        import torch

        kind = torch.float32 if samples[0].device.type == "mps" else torch.float64
        return torch.cat([one.to(self.index.device, kind) for one in samples])


def sample(tensor: Any) -> Any:
    """Up to 2**14 elements of it, evenly spread, as a copy; of a sparse gradient as if it were dense."""
    tensor = tensor.detach()
    return _flat(tensor)[:: _stride(tensor)].clone()


def _flat(tensor: Any) -> Any:
    import torch

    return (tensor if tensor.layout == torch.strided else tensor.to_dense()).reshape(-1)


def _stride(tensor: Any) -> int:
    return max(1, -(-int(tensor.numel()) // _SAMPLE))


def _zeros(parameter: Any) -> Any:
    return sample(parameter).zero_()


def _held(optimizer: Any) -> list[Any]:
    """What an optimizer holds and moves, each once."""
    held = {id(one): one for group in optimizer.param_groups for one in group["params"]}
    return [one for one in held.values() if one.requires_grad and one.numel()]


def _norms(tensors: Iterable[Any]) -> list[float]:
    import torch

    flat = [_flat(one.detach()) for one in tensors]
    return [float(one) for one in torch._foreach_norm(flat, math.inf)] if flat else []


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2] if values else math.nan


def _cosine(dot: float, one: float, other: float) -> float:
    """Of the angle between two vectors, by their product and their squared lengths; 0 where one has no length."""
    return dot / math.sqrt(one * other) if one * other > 0 else 0.0
