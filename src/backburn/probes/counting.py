"""Count what a few steps do: every operation that reaches torch's dispatcher, by the phase of the training it is in.

A count is the same on each machine at any load. Phases are the actions that Lightning tells its profiler.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import math
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from .batches import size

# What a profiler is told -> the phase. The first that matches counts; an action without one is in that around it.
_PHASES = {
    r"\[_\w+Loop\]\.\w+_next$": "data",
    r"\.(batch_to_device|transfer_batch_to_device|on_(before|after)_batch_transfer)$": "transfer",
    r"\.(optimizer_zero_grad|on_validation_model_zero_grad)$": "zero_grad",
    r"\.training_step$": "training_step",
    r"\.backward$": "backward",
    r"\.(validation_step|on_validation_\w+)$": "validation",
    r"\.optimizer_step$|^optimizer_step$|\.configure_gradient_clipping$|\.lr_scheduler_step$": "optimizer",
    r"^save_checkpoint$|\.on_save_checkpoint$": "checkpoint",
    r"^logging$": "logging",
    r"^\[Callback\]": "callbacks",
}
_EPOCHS = 2  # what only a second epoch does (loaders that start again, say) is seen
_VALIDATED = 2  # batches after each
# Of Lightning's logger connector: what it does of its own outside of every action.
_LOGGING = (
    "log_metrics", "log_eval_end_metrics", "on_batch_end", "on_epoch_end", "update_eval_epoch_metrics",
    "update_eval_step_metrics", "update_train_epoch_metrics", "update_train_step_metrics",
)  # fmt: skip


@functools.lru_cache(maxsize=None)
def phase_of(action: str) -> str:
    """The phase that an action of Lightning's opens, "" for one that opens none.

    >>> phase_of("[Strategy]SingleDeviceStrategy.training_step"), phase_of("run_training_batch")
    ('training_step', '')
    """
    return next((phase for pattern, phase in _PHASES.items() if re.search(pattern, action)), "")


class Phases:
    """A Lightning Profiler, with its base: `now` is the phase of the innermost action that has one."""

    def __init__(self) -> None:
        super().__init__()
        self.now = "other"
        self.open: list[tuple[str, str]] = []

    def start(self, action_name: str) -> None:
        """An action begins, inside of those that are open."""
        self.open.append((action_name, self.now))
        self.now = phase_of(action_name) or self.now

    def stop(self, action_name: str) -> None:
        """It ends, and with it what an exception left open inside. One that was never started is none of ours."""
        if any(name == action_name for name, _ in self.open):
            name = ""
            while name != action_name:
                name, self.now = self.open.pop()


def phases(package: str) -> Any:
    """Phases as a Profiler of `package` ("lightning.pytorch" or "pytorch_lightning")."""
    base = importlib.import_module(f"{package}.profilers").Profiler
    return type("PhaseProfiler", (Phases, base), {})()


class Count:
    """A TorchDispatchMode, with its base: while inside, what torch dispatches is counted, and the backward of it.

    `operations[phase, operation]` and `flops[phase]`, of matrix products, convolutions and attention as in torch's
    FlopCounterMode; `graded[phase]` are operations that autograd recorded or could have: some input requires a
    gradient, and gradients are on.
    """

    supports_higher_order_operators = True

    def __init__(self, phases: Phases) -> None:
        super().__init__()
        import torch
        from torch.utils.flop_counter import flop_registry

        self.phases, self.torch, self.formulas = phases, torch, flop_registry
        self.in_backward: Callable[[], int] = getattr(torch._C, "_current_graph_task_id", lambda: -1)
        self.operations: Counter[tuple[str, str]] = Counter()
        self.graded: Counter[str] = Counter()
        self.flops: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation, and count it."""
        kwargs = kwargs or {}
        if self.torch.is_inference_mode_enabled() and hasattr(func, "decompose"):
            # Elsewhere autograd has taken `linear` apart by now; the same work shall have the same names.
            with self:  # type: ignore[attr-defined]
                value = func.decompose(*args, **kwargs)
            if value is not NotImplemented:
                return value
        value = func(*args, **kwargs)
        self._count(getattr(func, "_overloadpacket", func), args, kwargs, value)
        return value

    def _count(self, func: Any, args: Any, kwargs: Any, value: Any) -> None:
        name = str(func)
        if name.startswith("profiler."):  # a mark for a trace
            return
        # Lightning has no name for a backward that a manual optimization runs.
        phase = self.phases.now if self.in_backward() == -1 else "backward"
        self.operations[phase, name] += 1
        if self.torch.is_grad_enabled() and any(map(_requires_grad, args)):
            self.graded[phase] += 1
        if func in self.formulas:
            with contextlib.suppress(Exception):  # a shape that torch has no formula for: the training goes on
                self.flops[phase] += int(self.formulas[func](*args, **kwargs, out_val=value))


def counter(phases: Phases) -> Any:
    """Count as a TorchDispatchMode: a context manager."""
    from torch.utils._python_dispatch import TorchDispatchMode

    return type("CountMode", (Count, TorchDispatchMode), {})(phases)


def _requires_grad(value: Any) -> bool:
    if isinstance(value, (list, tuple)):  # of a foreach operation
        return any(map(_requires_grad, value))
    return bool(getattr(value, "requires_grad", False))


class Counting:
    """The counting pass of one fit, from its first step on: two short epochs, all loaded in this process."""

    def __init__(self, trainer: Any, pl_module: Any, package: str, steps: int) -> None:
        self.trainer, self.module = trainer, pl_module
        self.workload = planned(trainer)
        self.seen: Counter[str] = Counter()
        self.epochs = 0
        self.closed = False
        self.phases = trainer.profiler = phases(package)
        self.count = counter(self.phases)
        self._name_logging()
        limit(trainer, max(1, steps // _EPOCHS), _VALIDATED)
        trainer.fit_loop.max_epochs = _EPOCHS
        iter(trainer.fit_loop._data_fetcher)  # again, as it was started with workers and without a limit
        self.count.__enter__()

    def _name_logging(self) -> None:
        connector = self.trainer._logger_connector
        places = [(connector, name) for name in _LOGGING if hasattr(connector, name)] + [(self.module, "log")]
        for place, name in places:
            setattr(place, name, _inside("logging", self.phases, getattr(place, name)))

    @property
    def done(self) -> bool:
        """Whether the fit went on for as long as it was let."""
        return self.epochs == _EPOCHS

    def before_step(self, batch: Any) -> None:
        """A batch of training data is here."""
        self.seen["training batches"] += 1
        self.seen["loader items"] += size(batch)
        self.workload.setdefault("batch size", size(batch))

    def after_step(self) -> None:
        """A step is over."""

    def validated(self, batch: Any) -> None:
        """A batch of validation data is here."""
        self.seen["validation steps"] += 1
        self.seen["validation items"] += size(batch)

    def epoch_over(self) -> None:
        """An epoch is over."""
        self.epochs += 1

    def close(self) -> None:
        """Count no more."""
        if not self.closed:
            self.closed = True
            self.count.__exit__(None, None, None)

    def record(self) -> dict[str, Any]:
        """Plain data, of what was counted until it was closed."""
        parameters = list(self.module.parameters())
        self.seen["optimizer steps"] = self.trainer.global_step
        self.seen["parameters"] = sum(one.numel() for one in parameters)
        self.seen["trainable parameters"] = sum(one.numel() for one in parameters if one.requires_grad)
        operations = {f"{phase} {name}": count for (phase, name), count in self.count.operations.items()}
        operations |= {f"{phase} with gradient": count for phase, count in self.count.graded.items()}
        return {
            "workload": {**self.workload, **self.seen},
            "operations": operations,
            "flops": dict(self.count.flops),
            "compiled": is_compiled(self.module),
        }


def _inside(action: str, profiler: Any, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*args: Any, **given: Any) -> Any:
        with profiler.profile(action):
            return method(*args, **given)

    return call


def planned(trainer: Any) -> dict[str, int]:
    """The workload of the whole training, told before anything is limited. What has no end or no length is left out."""
    loop = trainer.fit_loop
    validation = loop.epoch_loop.val_loop
    if trainer.enable_validation and validation._combined_loader is None:  # not wanted in the first epoch
        trainer.validating = True
        validation.setup_data()
        trainer.training = True
    found = {
        "steps per epoch": trainer.num_training_batches,
        "epochs": loop.max_epochs,
        "validation batches": sum(validation.max_batches),
        "batches between validations": trainer.val_check_batch,
        "epochs between validations": trainer.check_val_every_n_epoch,
        "accumulate": trainer.accumulate_grad_batches,
    }
    with contextlib.suppress(Exception):  # Lightning refuses where it cannot tell, of a script's own strategy say
        steps = trainer.estimated_stepping_batches
        found["planned steps"] = steps if steps >= 0 else math.inf
    return {name: int(value) for name, value in found.items() if value is not None and math.isfinite(value)}


def limit(trainer: Any, batches: int, validated: int) -> None:
    """End each epoch after `batches`, with `validated` batches of validation behind it, none before and in between.

    Loaders are in use by now: what they would give is limited in place. They load in this process where they can.
    """
    loop = trainer.fit_loop
    combined = loop._combined_loader
    # One without a length keeps its limit: Lightning looks ahead then, and knows the last batch of a short stream.
    combined.limits = [min(one, batches) if math.isfinite(one) else one for one in combined.limits]
    loop.max_batches = min(loop.max_batches, batches)
    trainer.limit_train_batches = batches
    limit_validation(trainer, validated)
    loaders = [*combined.flattened]
    validation = loop.epoch_loop.val_loop._combined_loader
    for one in loaders + (list(validation.flattened) if validation is not None else []):
        _load_here(one)


def limit_validation(trainer: Any, batches: int) -> None:
    """Validate on so many batches of each loader, at the end of each epoch."""
    validation = trainer.fit_loop.epoch_loop.val_loop
    validation._max_batches = [min(one, batches) for one in validation._max_batches]
    trainer.limit_val_batches = min(trainer.limit_val_batches, batches)
    trainer.check_val_every_n_epoch = 1
    trainer.val_check_batch = math.inf
    trainer._val_check_time_interval = None


def _load_here(loader: Any) -> None:
    """In this process, where the loader's operations are counted; not where workers are set up by the user."""
    from torch.utils.data import DataLoader

    init = getattr(loader, "worker_init_fn", None)
    ours = init is None or "pl_worker_init_function" in repr(init)  # Lightning's own, which seeds
    if isinstance(loader, DataLoader) and ours:
        loader.num_workers, loader.timeout, loader._iterator = 0, 0, None


def is_compiled(module: Any) -> bool:
    """Whether torch.compile was applied to it or to a part. It runs uncompiled where operations are counted."""
    if getattr(module, "_compiler_ctx", None) is not None:
        return True
    parts = module.modules()
    return any(type(one).__name__ == "OptimizedModule" or one._compiled_call_impl is not None for one in parts)
